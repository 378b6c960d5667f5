"""Signatures that others accept, and others' that are accepted: skopeo, sigstore's library, JOSE, OpenSSL, GnuPG."""

from __future__ import annotations

import base64
import json
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import bases as base_images
from tests.support.command import Pybuild
from tests.support.registry import RegistryServer, available, serve_registry, write_config
from tests.support.signers import PASSWORD, Skopeo, end_agent, gpg_key, skopeo_with_sigstore, verified_by_sigstore

pytestmark = pytest.mark.skipif(not available(), reason="docker-registry is not installed")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistryServer]:
    with serve_registry(tmp_path / "registry") as server:
        base_images.push("tiny", server.name, "base", "1")
        yield server


@pytest.fixture
def pybuild(tmp_path: Path, registry: RegistryServer) -> Pybuild:
    (tmp_path / "home").mkdir()
    registries = write_config(tmp_path / "registries.toml", registry.name)
    made = Pybuild(home=tmp_path / "home", store=tmp_path / "store", registries=registries)
    return made.having(PYBUILD_KEY_PASSWORD=PASSWORD)


@pytest.fixture
def skopeo(tmp_path: Path, registry: RegistryServer) -> Skopeo:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    made = Skopeo(home=tmp_path / "home", registry=registry.name)
    made.attachments()
    return made


@pytest.fixture
def newer(skopeo: Skopeo) -> Skopeo:
    """A skopeo that knows sigstore's signatures."""
    try:
        return replace(skopeo, program=skopeo_with_sigstore())
    except RuntimeError as error:
        pytest.skip(f"no skopeo that knows sigstore can be had: {str(error)[:200]}")


@pytest.fixture
def image(registry: RegistryServer) -> str:
    """The base image, by its place in the registry."""
    return f"{registry.name}/library/base:1"


def key(pybuild: Pybuild, name: str = "k", *more: str) -> Path:
    pybuild.ok("key", "generate", "-o", name, *more)
    return pybuild.home / f"{name}.key"


def demand(pybuild: Pybuild, *names: str, **identity: Any) -> dict[str, Any]:
    """A policy that demands a signature by each of the keys, and a file of it that pybuild reads."""
    demands: list[dict[str, Any]] = [{"type": "sigstoreSigned", "keyPath": str(pybuild.home / name)} for name in names]
    for item in demands:
        item |= {"signedIdentity": identity} if identity else {}
    policy = {"default": demands}
    (pybuild.home / "policy.json").write_text(json.dumps(policy))
    return policy


def raw(skopeo: Skopeo, image: str) -> Any:
    done = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{image}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_keys_are_private_and_never_replaced(pybuild: Pybuild) -> None:
    told = pybuild.ok("key", "generate", "-o", "k").stdout
    assert "made k.key, k.pub" in told
    assert stat.S_IMODE((pybuild.home / "k.key").stat().st_mode) == 0o600
    assert PASSWORD not in told
    before = (pybuild.home / "k.key").read_bytes()
    again = pybuild("key", "generate", "-o", "k")
    assert (again.code, (pybuild.home / "k.key").read_bytes()) == (2, before)
    assert "is there already, and keys are never replaced" in again.stderr
    (pybuild.home / "k.key").unlink()
    assert pybuild("key", "generate", "-o", "k").code == 2
    assert not (pybuild.home / "k.key").exists()


def test_a_password_comes_from_a_file_too_and_must_be_right(pybuild: Pybuild, image: str) -> None:
    (pybuild.home / "pw").write_text("from a file\n")
    pybuild.ok("key", "generate", "-o", "k", "--password-file", "pw")
    wrong = pybuild("sign", "--key", "k.key", f"docker://{image}")
    assert wrong.code == 2
    assert "is the password right?" in wrong.stderr
    pybuild.ok("sign", "--key", "k.key", "--password-file", "pw", f"docker://{image}")
    without = Pybuild(home=pybuild.home, store=pybuild.store, registries=pybuild.registries)
    refused = without("sign", "--key", "k.key", f"docker://{image}")
    assert refused.code == 2
    assert "there is no terminal to ask for it" in refused.stderr
    assert without("key", "generate", "-o", "other").code == 2
    assert pybuild.having(PYBUILD_KEY_PASSWORD="")("key", "generate", "-o", "other").code == 2
    assert not (pybuild.home / "other.key").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ecdsa-p256", "ed25519"])
def test_skopeo_takes_what_pybuild_signed(pybuild: Pybuild, newer: Skopeo, image: str, kind: str) -> None:
    key(pybuild, "k", "--type", kind)
    key(pybuild, "other")
    policy = demand(pybuild, "k.pub")
    refused = newer.takes("library/base:1", policy)
    assert refused.returncode != 0
    assert "signature" in refused.stderr
    pybuild.ok("sign", "--key", "other.key", f"docker://{image}")
    assert newer.takes("library/base:1", policy).returncode != 0
    pybuild.ok("sign", "--key", "k.key", f"docker://{image}")
    taken = newer.takes("library/base:1", policy)
    assert taken.returncode == 0, taken.stderr
    assert newer.takes("library/base:1", demand(pybuild, "k.pub", "other.pub")).returncode == 0


@pytest.mark.slow
def test_skopeo_takes_one_platform_of_what_pybuild_signed(
    pybuild: Pybuild, newer: Skopeo, registry: RegistryServer
) -> None:
    base_images.push("python", registry.name, "python", "1")
    key(pybuild)
    pybuild.ok("sign", "--key", "k.key", f"docker://{registry.name}/library/python:1")
    policy = demand(pybuild, "k.pub")
    for more in ((), ("--all",)):
        taken = newer.takes("library/python:1", policy, *more)
        assert taken.returncode == 0, taken.stderr
    assert pybuild("verify", "--key", "k.pub", f"docker://{registry.name}/library/python:1").code == 0


@pytest.mark.slow
def test_skopeo_signs_with_a_key_of_pybuild_and_pybuild_verifies(
    pybuild: Pybuild, newer: Skopeo, registry: RegistryServer
) -> None:
    private = key(pybuild)
    key(pybuild, "other")
    (pybuild.home / "pw").write_text(PASSWORD)
    signing = ("--sign-by-sigstore-private-key", str(private), "--sign-passphrase-file", str(pybuild.home / "pw"))
    newer.puts("tiny", "team/app:1", *signing)
    name = f"docker://{registry.name}/team/app:1"
    told = json.loads(pybuild.ok("verify", "--json", "--key", "k.pub", name).stdout)
    (verdict,) = told["signatures"]
    assert (verdict["verified"], verdict["reference"]) == (True, f"{registry.name}/team/app:1")
    wrong = pybuild("verify", "--json", "--key", "other.pub", name)
    assert wrong.code == 19
    assert json.loads(wrong.stdout)["signatures"][0]["reference"] is None
    demand(pybuild, "k.pub")
    pybuild.ok("verify", "--policy", "policy.json", name)
    # A signature of pybuild stands beside that of skopeo, which goes on to take the image.
    pybuild.ok("sign", "--key", "other.key", name)
    assert newer.takes("team/app:1", demand(pybuild, "k.pub", "other.pub")).returncode == 0


def test_nothing_signed_and_wrongly_signed_are_told_apart(pybuild: Pybuild, image: str) -> None:
    key(pybuild)
    key(pybuild, "other")
    unsigned = pybuild("verify", "--key", "k.pub", f"docker://{image}")
    assert unsigned.code == 18
    assert "is not signed" in unsigned.stderr
    pybuild.ok("sign", "--key", "other.key", f"docker://{image}")
    assert pybuild("verify", "--key", "k.pub", f"docker://{image}").code == 19
    nobody = pybuild("verify", "--key", "k.pub", "docker://127.0.0.1:1/a:1")
    assert nobody.code == 10
    demand(pybuild, "k.pub")
    assert pybuild("verify", "--policy", "policy.json", f"docker://{image}").code == 19


def test_all_forms_are_seen_at_once(pybuild: Pybuild, image: str) -> None:
    key(pybuild)
    key(pybuild, "n", "--notary", "--name", "team of the test")
    pybuild.ok("sign", "--key", "k.key", "-a", "build=a claim", f"docker://{image}")
    pybuild.ok("sign", "--key", "k.key", "--format", "bundle", f"docker://{image}")
    pybuild.ok("sign", "--key", "n.key", "--format", "notary", "-a", "by=us", f"docker://{image}")
    trusted = ("--key", "k.pub", "--ca", "n.root.crt")
    told = json.loads(pybuild.ok("verify", "--json", *trusted, f"docker://{image}").stdout)
    forms = {item["form"]: item for item in told["signatures"]}
    assert all(item["verified"] for item in forms.values())
    assert sorted(forms) == ["bundle", "cosign", "notary"]
    assert forms["cosign"]["annotations"] == {"build": "a claim"}
    assert forms["bundle"]["reference"] == image
    assert forms["notary"]["annotations"] == {"by": "us"}
    assert "CN=team of the test" in forms["notary"]["name"]
    text = pybuild.ok("verify", *trusted, f"docker://{image}").stdout
    assert text.count("holds") == 3
    # Whoever trusts nobody that signed it sees that, and none of what is claimed.
    key(pybuild, "other", "--notary")
    blind = pybuild("verify", "--key", "other.pub", "--ca", "other.root.crt", f"docker://{image}")
    assert blind.code == 19
    assert "a claim" not in blind.stdout


def test_openssl_takes_the_signature_and_skopeo_the_manifest(pybuild: Pybuild, skopeo: Skopeo, image: str) -> None:
    key(pybuild)
    pybuild.ok("sign", "--key", "k.key", f"docker://{image}")
    home, (repository, _, _) = pybuild.home, image.rpartition(":")
    done = skopeo("inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{image}")
    tag = f"{done.stdout.strip().replace(':', '-')}.sig"
    (layer,) = raw(skopeo, f"{repository}:{tag}")["layers"]
    host, _, name = repository.partition("/")
    (home / "payload").write_bytes(_blob(host, name, layer["digest"]))
    signature = layer["annotations"]["dev.cosignproject.cosign/signature"]
    (home / "signature").write_bytes(base64.b64decode(signature))
    words = ("dgst", "-sha256", "-verify", home / "k.pub", "-signature", home / "signature", home / "payload")
    assert _openssl(*words) == "Verified OK\n"
    payload = json.loads((home / "payload").read_text())
    assert payload["critical"]["identity"]["docker-reference"] == image
    # As a whole it is an image like others to a tool that copies it.
    taken = skopeo.takes(f"{name}:{tag}", None)
    assert taken.returncode == 0, taken.stderr


def referrer(skopeo: Skopeo, image: str, kind: str) -> tuple[Any, bytes, bytes]:
    """The manifest of the only referrer of a type, its layer and the configuration, as the registry gives them."""
    repository, _, _ = image.rpartition(":")
    done = skopeo("inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{image}")
    digest = done.stdout.strip()
    index = raw(skopeo, f"{repository}:{digest.replace(':', '-')}")
    (listed,) = [item for item in index["manifests"] if item["artifactType"] == kind]
    manifest = raw(skopeo, f"{repository}@{listed['digest']}")
    assert manifest["subject"]["digest"] == digest
    place = repository.partition("/")
    found = [_blob(place[0], place[2], item["digest"]) for item in (manifest["layers"][0], manifest["config"])]
    return manifest, found[0], found[1]


def _blob(host: str, repository: str, digest: str) -> bytes:
    from urllib.request import urlopen

    with urlopen(f"http://{host}/v2/{repository}/blobs/{digest}") as answer:
        data: bytes = answer.read()
    return data


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
@pytest.mark.parametrize("kind", ["ecdsa-p256", "ed25519"])
def test_sigstore_takes_the_bundle(pybuild: Pybuild, skopeo: Skopeo, image: str, kind: str, tmp_path: Path) -> None:
    key(pybuild, "k", "--type", kind)
    key(pybuild, "other", "--type", kind)
    pybuild.ok("sign", "--key", "k.key", "--format", "bundle", f"docker://{image}")
    manifest, bundle, config = referrer(skopeo, image, "application/vnd.dev.sigstore.bundle.v0.3+json")
    assert config == b"{}"
    assert manifest["annotations"]["dev.sigstore.bundle.predicateType"] == "https://sigstore.dev/cosign/sign/v1"
    hint = json.loads(bundle)["verificationMaterial"]["publicKey"]["hint"]
    assert verified_by_sigstore(bundle, pybuild.home / "k.pub", hint, tmp_path)
    assert not verified_by_sigstore(bundle, pybuild.home / "other.pub", hint, tmp_path)
    changed = json.loads(bundle)
    payload = base64.b64decode(changed["dsseEnvelope"]["payload"]).replace(b"cosign/sign", b"cosign/SIGN")
    changed["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    assert not verified_by_sigstore(json.dumps(changed).encode(), pybuild.home / "k.pub", hint, tmp_path)


def test_jose_and_openssl_take_the_envelope(pybuild: Pybuild, skopeo: Skopeo, image: str) -> None:
    from jwcrypto import jwk, jws
    from jwcrypto.common import JWSEHeaderParameter

    key(pybuild, "n", "--notary")
    pybuild.ok("sign", "--key", "n.key", "--format", "notary", f"docker://{image}")
    manifest, envelope, _ = referrer(skopeo, image, "application/vnd.cncf.notary.signature")
    thumbprints = json.loads(manifest["annotations"]["io.cncf.notary.x509chain.thumbprint#S256"])
    header = json.loads(envelope)["header"]
    certificates = [base64.b64decode(text) for text in header["x5c"]]
    home = pybuild.home
    files = [home / "leaf.der", home / "root.der"]
    for file, data, thumbprint in zip(files, certificates, thumbprints, strict=True):
        file.write_bytes(data)
        told = _openssl("x509", "-inform", "DER", "-in", file, "-noout", "-fingerprint", "-sha256")
        assert told.strip().partition("=")[2].replace(":", "").lower() == thumbprint
    _openssl("x509", "-inform", "DER", "-in", files[0], "-out", home / "leaf.pem")
    assert "OK" in _openssl("verify", "-x509_strict", "-CAfile", home / "n.root.crt", home / "leaf.pem")
    public = jwk.JWK.from_pem(_openssl("x509", "-in", home / "leaf.pem", "-noout", "-pubkey").encode())
    scheme = JWSEHeaderParameter("signing scheme", True, True, lambda token: True)
    token = jws.JWS(header_registry={"io.cncf.notary.signingScheme": scheme})
    token.allowed_algs = ["ES256"]
    token.deserialize(envelope.decode(), public)
    target = json.loads(token.payload)["targetArtifact"]
    assert target["digest"] == manifest["subject"]["digest"]
    changed = json.loads(envelope)
    changed["payload"] = changed["payload"][:-4] + "AAAA"
    with pytest.raises(jws.InvalidJWSSignature):
        token.deserialize(json.dumps(changed), public)


def _openssl(*words: Any) -> str:
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, text=True).stdout


def test_an_image_of_the_store_is_signed_as_the_store_knows_it(
    pybuild: Pybuild, registry: RegistryServer, image: str
) -> None:
    key(pybuild)
    (pybuild.home / "Dockerfile").write_text(f"FROM {image}\nCOPY Dockerfile /d\n")
    place = f"{registry.name}/team/app:1"
    pybuild.ok("build", "-q", "-t", "app:1", ".")
    early = pybuild("sign", "--key", "k.key", "app:1", place)
    assert early.code == 10
    assert "push it first" in early.stderr
    pybuild.ok("push", "app:1", place)
    digest = pybuild.ok("ls", "-q", "app:1").stdout.strip()
    # Somebody moves the tag: what was built is signed all the same.
    base_images.push("tiny", registry.name, "elsewhere", "1")
    subprocess.run(
        [
            *("skopeo", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"),
            *(f"docker://{registry.name}/library/elsewhere:1", f"docker://{place}"),
        ],
        check=True,
    )
    told = json.loads(pybuild.ok("sign", "--json", "--key", "k.key", "app:1", place).stdout)
    assert [item["digest"] for item in told["signatures"]] == [digest]
    pybuild.ok("verify", "--key", "k.pub", "app:1", place)
    assert pybuild("verify", "--key", "k.pub", f"docker://{place}").code == 18


def test_push_signs(pybuild: Pybuild, skopeo: Skopeo, registry: RegistryServer, image: str) -> None:
    key(pybuild)
    (pybuild.home / "Dockerfile").write_text(f"FROM {image}\nCOPY Dockerfile /d\n")
    place = f"{registry.name}/team/app:1"
    pybuild.ok("build", "-q", "-t", "app:1", ".")
    wrong = pybuild.having(PYBUILD_KEY_PASSWORD="wrong")("push", "--sign-key", "k.key", "app:1", place)
    assert wrong.code == 2
    assert pybuild("verify", "--key", "k.pub", f"docker://{place}").code == 10
    pybuild.ok("push", "--sign-key", "k.key", "app:1", place)
    told = json.loads(pybuild.ok("verify", "--json", "--key", "k.pub", f"docker://{place}").stdout)
    assert [item["reference"] for item in told["signatures"]] == [place]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("sign", "docker://{image}"), 2, "needs --key"),
        (("sign", "--key", "none.key", "docker://{image}"), 2, "can't be read"),
        (("sign", "--key", "k.pub", "docker://{image}"), 2, "is a public key, which can't sign"),
        (("sign", "--key", "k.key", "--format", "notary", "docker://{image}"), 2, "chain of certificates"),
        (("sign", "--key", "k.key", "-a", "x", "docker://{image}"), 2, "KEY=VALUE"),
        (("sign", "--key", "k.key", "docker://{image}", "elsewhere"), 2, "is a place already"),
        (("sign", "--key", "k.key", "nothing:1", "{image}"), 16, "no image called"),
        (("verify", "--key", "k.key", "docker://{image}"), 2, "holds no public key"),
        (("verify", "--ca", "k.pub", "docker://{image}"), 2, "holds no certificates"),
        (("verify", "--key", "k.pub", "--policy", "p", "docker://{image}"), 2, "leave --key and --ca out"),
        (("verify", "--policy", "none.json", "docker://{image}"), 2, "there is no trust policy"),
        (("key", "generate", "--notary", "--type", "ed25519"), 2, "knows no Ed25519 keys"),
        (("key", "generate", "--name", "x"), 2, "add --notary"),
        (("key", "destroy"), 2, "can't be 'destroy'"),
    ],
)
def test_mistakes(pybuild: Pybuild, image: str, words: tuple[str, ...], code: int, said: str) -> None:
    key(pybuild)
    result = pybuild(*(word.format(image=image) for word in words))
    assert result.code == code, result.output
    assert said in result.stderr


def test_openpgp_signatures_in_lookaside_storage(
    pybuild: Pybuild, skopeo: Skopeo, registry: RegistryServer, image: str, tmp_path: Path
) -> None:
    home = pybuild.home
    storage = tmp_path / "lookaside"
    skopeo.configure({"lookaside": f"file://{storage}"})
    own = home / ".config" / "containers" / "registries.d"
    own.mkdir(parents=True)
    shutil.copy(home / "registries.d" / "test.yaml", own / "test.yaml")
    try:
        print_of, armoured = gpg_key(home, "signer@example.org")
        _, other = gpg_key(home, "other@example.org")
        (home / "signer.asc").write_bytes(armoured)
        (home / "other.asc").write_bytes(other)
        skopeo.puts("tiny", "team/app:1", "--sign-by", print_of)
    finally:
        end_agent(home)
    assert list(storage.rglob("signature-1"))

    def policy(*files: str) -> None:
        paths = [str(home / file) for file in files]
        demands = {"type": "signedBy", "keyType": "GPGKeys", "keyPaths": paths}
        (home / "policy.json").write_text(json.dumps({"default": [demands]}))

    name = f"docker://{registry.name}/team/app:1"
    policy("other.asc", "signer.asc")
    pybuild.ok("verify", "--policy", "policy.json", name)
    policy("other.asc")
    assert pybuild("verify", "--policy", "policy.json", name).code == 19
    assert pybuild("verify", "--policy", "policy.json", f"docker://{image}").code == 18
    policy("signer.asc")
    (signature,) = storage.rglob("signature-1")
    damaged = bytearray(signature.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    signature.write_bytes(damaged)
    assert pybuild("verify", "--policy", "policy.json", name).code == 19
    missing = pybuild.having(PATH="/nonexistent")("verify", "--policy", "policy.json", name)
    assert missing.code == 9
    assert "gpgv is not installed" in missing.stderr


@pytest.mark.slow
def test_signatures_go_along_with_a_copy(pybuild: Pybuild, newer: Skopeo, image: str, registry: RegistryServer) -> None:
    key(pybuild)
    there = f"{registry.name}/carried/app:1"
    words = ("copy", "--all", "--signatures", f"docker://{image}", f"docker://{there}")
    bare = pybuild.ok(*words)
    assert "has no signatures" in bare.stderr
    for form in ("cosign", "bundle"):
        pybuild.ok("sign", "--key", "k.key", "--format", form, "--identity", there, f"docker://{image}")
    told = json.loads(pybuild.ok(*words, "--json").stdout)
    assert len(told["signatures"]) == 2
    assert told["copied"] == []
    verified = json.loads(pybuild.ok("verify", "--json", "--key", "k.pub", f"docker://{there}").stdout)
    assert [item["verified"] for item in verified["signatures"]] == [True, True]
    taken = newer.takes("carried/app:1", demand(pybuild, "k.pub"))
    assert taken.returncode == 0, taken.stderr
    for wrong in ((*words, "--compress", "zstd"), ("copy", "--signatures", f"docker://{image}", "oci:x")):
        refused = pybuild(*wrong)
        assert refused.code == 2, refused.output
