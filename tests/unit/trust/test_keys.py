"""Keys and their files."""

from __future__ import annotations

import base64
import json
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from buildkit_py.errors import OutputError, UsageError
from buildkit_py.trust import keyfile
from buildkit_py.trust.keys import ECDSA, ED25519, PrivateKey, PublicKey
from tests.support import vectors

WRITTEN: dict[str, Callable[[PrivateKey, bytes], bytes]] = {"cosign": keyfile.sealed, "pkcs8": keyfile.pkcs8}


def never() -> bytes:
    raise AssertionError("no password is needed")


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("kind", [ECDSA, ED25519])
def test_a_key_comes_back_by_its_password_alone(kind: str, form: str) -> None:
    key = PrivateKey.generate(kind)
    raw = WRITTEN[form](key, b"secret")
    back = keyfile.parse(raw, lambda: b"secret", "k.key")
    assert key.public.verifies(back.sign(b"data"), b"data")
    assert not key.public.verifies(back.sign(b"data"), b"other")
    assert not PrivateKey.generate(kind).public.verifies(back.sign(b"data"), b"data")
    with pytest.raises(UsageError, match=r"k\.key can't be opened") as caught:
        keyfile.parse(raw, lambda: b"wrong", "k.key")
    assert caught.value.hint == "is the password right?"


def test_a_key_that_cosign_made() -> None:
    key = keyfile.parse(vectors.COSIGN_KEY, lambda: b"", "cosign.key")
    public = PublicKey.parse(vectors.COSIGN_PUBLIC, "cosign.pub")
    assert key.public.der == public.der
    assert public.verifies(base64.b64decode(vectors.COSIGN_SIGNATURE), vectors.COSIGN_MESSAGE)
    assert not public.verifies(base64.b64decode(vectors.COSIGN_SIGNATURE), vectors.COSIGN_MESSAGE + b"x")


def test_a_release_that_cosign_signed() -> None:
    from buildkit_py.trust.payload import COSIGN, claims_of, payload

    public = PublicKey.parse(vectors.RELEASE_PUBLIC, "cosign.pub")
    assert public.verifies(base64.b64decode(vectors.RELEASE_SIGNATURE), vectors.RELEASE_PAYLOAD)
    claims = claims_of(vectors.RELEASE_PAYLOAD, COSIGN, "p")
    assert (str(claims.digest), claims.reference) == (vectors.RELEASE_DIGEST, "index.docker.io/snyk/broker")
    # Given the same to say, the same bytes are signed here.
    assert payload(claims.digest, "index.docker.io/snyk/broker", claims.annotations) == vectors.RELEASE_PAYLOAD


def test_both_words_of_cosign_are_read() -> None:
    renamed = vectors.COSIGN_KEY.replace(b"COSIGN", b"SIGSTORE")
    assert keyfile.parse(renamed, lambda: b"", "k").public.fingerprint.startswith("sha256:")


def test_keys_without_a_password_ask_for_none(tmp_path: Path) -> None:
    file = tmp_path / "plain.pem"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", file], check=True)
    assert isinstance(keyfile.load(file, never).key, ec.EllipticCurvePrivateKey)


def test_openssl_gives_the_same_fingerprint(tmp_path: Path) -> None:
    public = PrivateKey.generate().public
    (tmp_path / "k.pub").write_bytes(public.pem)
    command = f"openssl pkey -pubin -in {tmp_path}/k.pub -outform DER | sha256sum"
    told = subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
    assert public.fingerprint == f"sha256:{told.split()[0]}"


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: plain["kdf"]["params"].update(N=1 << 40),
        lambda plain: plain["kdf"]["params"].update(N=65535),
        lambda plain: plain["kdf"]["params"].update(r=0),
        lambda plain: plain["kdf"]["params"].update(p=10**9),
        lambda plain: plain["kdf"]["params"].update(N=True),
        lambda plain: plain["kdf"].update(name="pbkdf2"),
        lambda plain: plain["cipher"].update(nonce="AAAA"),
        lambda plain: plain["cipher"].update(nonce=7),
        lambda plain: plain.update(ciphertext="not base64!"),
        lambda plain: plain.update(ciphertext="AAAA"),
        lambda plain: plain.pop("kdf"),
    ],
)
def test_hostile_key_files(change: Callable[[Any], Any]) -> None:
    raw = keyfile.sealed(PrivateKey.generate(), b"secret")
    plain = json.loads(base64.b64decode(b"".join(raw.splitlines()[1:-1])))
    change(plain)
    body = base64.b64encode(json.dumps(plain).encode())
    kind = b"ENCRYPTED COSIGN PRIVATE KEY"
    with pytest.raises(UsageError):
        keyfile.parse(b"-----BEGIN %s-----\n%s\n-----END %s-----\n" % (kind, body, kind), lambda: b"secret", "k")


@pytest.mark.parametrize(
    "raw",
    [b"", b"nothing", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", b"\xff" * 100_000],
)
def test_what_is_no_key(raw: bytes) -> None:
    with pytest.raises(UsageError):
        keyfile.parse(raw, lambda: b"", "k")
    with pytest.raises(UsageError):
        PublicKey.parse(raw, "k")


def test_a_public_key_does_not_sign() -> None:
    with pytest.raises(UsageError, match="is a public key, which can't sign"):
        keyfile.parse(PrivateKey.generate().public.pem, never, "k.pub")


def test_short_keys_are_refused() -> None:
    with pytest.raises(UsageError, match="1024 bits, which is too short"):
        PublicKey.of(rsa.generate_private_key(65537, 1024).public_key(), "old.pub")


def test_a_digest_is_checked_without_the_bytes() -> None:
    from hashlib import sha256

    for key in (PrivateKey.generate(), PrivateKey(rsa.generate_private_key(65537, 2048))):
        signature = key.sign(b"data")
        assert key.public.verifies_digest(signature, sha256(b"data").digest())
        assert not key.public.verifies_digest(signature, sha256(b"other").digest())
    edwards = PrivateKey.generate(ED25519)
    assert not edwards.public.verifies_digest(edwards.sign(b"data"), sha256(b"data").digest())


def test_files_are_written_all_or_none_and_never_replaced(tmp_path: Path) -> None:
    first, second = tmp_path / "a.key", tmp_path / "a.pub"
    keyfile.write_new({first: (b"private", 0o600), second: (b"public", 0o644)})
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    first.unlink()
    with pytest.raises(UsageError, match=re.escape(f"{second} is there already")):
        keyfile.write_new({first: (b"other", 0o600), second: (b"other", 0o644)})
    assert not first.exists()
    assert second.read_bytes() == b"public"
    first.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is there already"):
        keyfile.write_new({first: (b"other", 0o600)})
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(OutputError, match="can't be written"):
        keyfile.write_new({tmp_path / "no" / "k": (b"", 0o600)})
