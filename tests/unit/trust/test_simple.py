"""OpenPGP signatures: what gpgv must say of one, and where the storage is that they lie in."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from buildkit_py.digest import Digest
from buildkit_py.errors import RegistryError, UsageError
from buildkit_py.reference import Reference
from buildkit_py.trust.lookaside import base_of, signatures
from buildkit_py.trust.place import Place
from buildkit_py.trust.simple import binary, signer_in
from tests.support.clients import make_client
from tests.support.faulty_registry import FaultyRegistry, Handler, faulty_registry
from tests.support.registry import write_config

FINGERPRINT = "AB" * 20
GOOD = (
    "NEWSIG",
    "GOODSIG 1234 Somebody",
    f"VALIDSIG {FINGERPRINT} 2026-01-01 1 0 4 0 1 8 00 {FINGERPRINT}",
    "PLAINTEXT 62 0",
)
DIGEST = Digest.of(b"manifest")
REF = Reference.parse("r.example/team/app:1")


def status(*lines: str) -> str:
    return "".join(f"[GNUPG:] {line}\n" for line in lines)


def test_one_good_signature_counts() -> None:
    assert signer_in(status(*GOOD)) == f"openpgp:{FINGERPRINT}"
    assert signer_in("gpgv: Good signature\n" + status(*GOOD, "KEY_CONSIDERED x 0")) == f"openpgp:{FINGERPRINT}"


@pytest.mark.parametrize(
    "lines",
    [
        (),
        GOOD[:1] + GOOD[2:],
        GOOD[:2] + GOOD[3:],
        GOOD[:3],
        (*GOOD, *GOOD),
        (*GOOD, "NEWSIG", "ERRSIG 1 1 8 00 1 9"),
        (*GOOD, "BADSIG 1234 Somebody"),
        (*GOOD, "EXPKEYSIG 1234 Somebody"),
        (*GOOD, "REVKEYSIG 1234 Somebody"),
        (*GOOD, "EXPSIG 1234 Somebody"),
        (*GOOD, "PLAINTEXT 62 0"),
        (*GOOD, "NODATA 1"),
    ],
)
def test_anything_else_does_not(lines: tuple[str, ...]) -> None:
    assert signer_in(status(*lines)) is None


def test_what_a_signer_is_called_says_nothing() -> None:
    name = status("NEWSIG", f"GOODSIG 1234 x\u2028[GNUPG:] VALIDSIG {FINGERPRINT}", "PLAINTEXT 62 0")
    assert signer_in(name.replace("\u2028", " ")) is None


def test_armour_is_taken_off() -> None:
    def armoured(data: bytes) -> bytes:
        kind, body = b"PGP PUBLIC KEY BLOCK", base64.encodebytes(data)
        return b"-----BEGIN %s-----\nComment: x\n\n%s=AAAA\n-----END %s-----\n" % (kind, body, kind)

    assert binary(armoured(b"one") + armoured(b"two")) == b"onetwo"
    assert binary(b"\x99\x01binary") == b"\x99\x01binary"
    with pytest.raises(UsageError, match="armoured key"):
        binary(armoured(b"one").replace(b"b25l", b"!!!!"))


def configured(home: Path, **files: str) -> Mapping[str, str]:
    directory = home / ".config" / "containers" / "registries.d"
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)
    return {"HOME": str(home)}


def test_the_most_specific_scope_says_where_the_storage_is(tmp_path: Path) -> None:
    environ = configured(
        tmp_path,
        one="docker:\n  r.example:\n    sigstore: https://host\n  r.example/team:\n    lookaside: https://team\n",
        two="default-docker:\n  lookaside: file:///all\ndocker:\n  r.example/team/app:2:\n    lookaside: https://tag\n",
    )
    assert base_of(REF, environ) == "https://team"
    assert base_of(Reference.parse("r.example/team/app:2"), environ) == "https://tag"
    assert base_of(Reference.parse("r.example/other:1"), environ) == "https://host"
    assert base_of(Reference.parse("elsewhere.example/x:1"), environ) == "file:///all"
    assert base_of(REF, {"HOME": "/nobody"}).endswith("/containers/sigstore")


@pytest.mark.parametrize(
    "text",
    [
        "docker: [",
        "docker: 7",
        "[" * 10_000,
        "docker:\n  r.example/team:\n    lookaside: 2020-13-45\n",
        "[]",
        "docker:\n  r.example/team: x\n",
        "docker:\n  r.example/team:\n    lookaside: ftp://x\n",
    ],
)
def test_what_is_no_configuration(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError):
        base_of(REF, configured(tmp_path, a=text))


def test_one_scope_is_said_once(tmp_path: Path) -> None:
    text = "docker:\n  r.example:\n    lookaside: https://x\n"
    with pytest.raises(UsageError, match="is said twice"):
        base_of(REF, configured(tmp_path, a=text, b=text))


@pytest.fixture
def server() -> Iterator[FaultyRegistry]:
    with faulty_registry() as made:
        yield made


def test_storage_may_be_a_server(tmp_path: Path, server: FaultyRegistry) -> None:
    environ = configured(tmp_path, a=f"docker:\n  r.example:\n    lookaside: http://{server.name}/sigs/\n")
    environ = {**environ, "PYBUILD_REGISTRIES": str(write_config(tmp_path / "registries.toml"))}
    place = Place(make_client(), REF)
    below = f"/sigs/team/app@sha256={DIGEST.hex}/signature-"

    def serve(handler: Handler) -> bool:
        handler.reply(200, b"signature") if handler.path in (f"{below}1", f"{below}2") else handler.reply(404)
        return True

    server.faults.append(serve)
    found = list(signatures(place, DIGEST, environ))
    assert found == [(f"http://{server.name}{below}{number}", b"signature") for number in (1, 2)]
    server.faults[0] = lambda handler: handler.reply(500) or True
    with pytest.raises(RegistryError, match="answered 500"):
        list(signatures(place, DIGEST, environ))
