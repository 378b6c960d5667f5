"""Sigstore's bundles: ours, and those of its conformance suite."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from typing import Any

import pytest

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.trust.bundle import BUNDLE, bundle, verdict
from buildkit_py.trust.claims import Trusted
from buildkit_py.trust.keys import ED25519, PrivateKey, PublicKey
from tests.support import vectors

DIGEST = Digest.of(b"manifest")
KEY = PrivateKey.generate()
TRUSTED = Trusted(keys=(PrivateKey.generate().public, KEY.public))


def made(key: PrivateKey = KEY) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(bundle(DIGEST, key, reference="r.example/app:1", annotations={"build": "42"}))
    return raw


def judged(plain: dict[str, Any], digest: Digest = DIGEST, trusted: Trusted = TRUSTED) -> Any:
    return verdict(json.dumps(plain).encode(), "sha256:b", digest, trusted)


def resigned(statement: Any, kind: str = "application/vnd.in-toto+json") -> dict[str, Any]:
    """A bundle around another statement, rightly signed."""
    plain, payload = made(), json.dumps(statement).encode()
    signature = KEY.sign(b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload))
    plain["dsseEnvelope"] = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }
    return plain


def statement() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(base64.b64decode(made()["dsseEnvelope"]["payload"]))
    return value


@pytest.mark.parametrize("key", [KEY, PrivateKey.generate(ED25519)], ids=["ecdsa", "ed25519"])
def test_a_bundle_holds_for_its_image_and_its_key(key: PrivateKey) -> None:
    found = judged(made(key), trusted=Trusted(keys=(key.public,)))
    assert found.holds
    assert found.signer == key.public.fingerprint
    assert (found.claims.reference, found.claims.annotations) == ("r.example/app:1", {"build": "42"})
    assert "no key that is trusted" in judged(made(key), trusted=Trusted()).problem
    assert "another image" in judged(made(key), Digest.of(b"x"), Trusted(keys=(key.public,))).problem


def test_half_a_character_is_refused() -> None:
    plain = made()
    plain["dsseEnvelope"]["payloadType"] = "\ud800"
    with pytest.raises(IntegrityError, match="not usable JSON"):
        judged(plain)


def test_a_bundle_of_the_conformance_suite() -> None:
    key = PublicKey.parse(vectors.BUNDLE_PUBLIC, "key.pub")
    assert key.hint == vectors.BUNDLE_HINT
    envelope = {
        "payload": vectors.BUNDLE_PAYLOAD,
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": vectors.BUNDLE_SIGNATURE, "keyid": ""}],
    }
    material = {"publicKey": {"hint": vectors.BUNDLE_HINT}, "tlogEntries": []}
    plain = {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}
    digest = Digest("sha256", sha256(b"a.txt").hexdigest())
    found = judged(plain, digest, Trusted(keys=(key,)))
    # Its signature holds, and what it signs is an attestation.
    assert (found.signer, found.problem) == (key.fingerprint, "it is an attestation, not a signature")
    envelope["payloadType"] = "application/vnd.in-toto+jso"
    assert judged(plain, digest, Trusted(keys=(key,))).problem == "no key that is trusted made it"


def test_a_signature_over_the_manifest_itself() -> None:
    signature = base64.b64encode(KEY.sign(b"manifest")).decode()
    stated = {"algorithm": "SHA2_256", "digest": base64.b64encode(sha256(b"manifest").digest()).decode()}
    plain = made()
    del plain["dsseEnvelope"]
    plain["messageSignature"] = {"messageDigest": stated, "signature": signature}
    assert judged(plain).holds
    assert "something else" in judged(plain, Digest.of(b"x")).problem
    stated["digest"] = base64.b64encode(sha256(b"x").digest()).decode()
    assert judged(plain, Digest.of(b"x")).problem == "no key that is trusted made it"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda it: it.update(predicateType="https://slsa.dev/provenance/v1"), "an attestation, not a signature"),
        (lambda it: it.update(_type="https://in-toto.io/Statement/v9"), "a statement of an unknown version"),
        (lambda it: it.update(subject=[]), "another image"),
        (lambda it: it["subject"][0]["digest"].update(sha256="0" * 64), "another image"),
        (lambda it: it["subject"][0].update(digest={"sha512": it["subject"][0]["digest"]["sha256"]}), "another image"),
    ],
)
def test_statements_that_are_no_signature_of_the_image(change: Any, told: str) -> None:
    value = statement()
    assert judged(resigned(value)).holds
    change(value)
    found = judged(resigned(value))
    assert found.problem is not None
    assert told in found.problem
    assert found.claims is None


def test_another_payload_type_is_no_statement() -> None:
    assert "it signs no statement" in judged(resigned(statement(), "text/plain")).problem


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.pop("mediaType"),
        lambda it: it.update(mediaType="text/plain"),
        lambda it: it.pop("verificationMaterial"),
        lambda it: it.pop("dsseEnvelope"),
        lambda it: it["dsseEnvelope"].update(payload="!"),
        lambda it: it["dsseEnvelope"].update(signatures=[]),
        lambda it: it["dsseEnvelope"].update(signatures=it["dsseEnvelope"]["signatures"] * 2),
        lambda it: it["dsseEnvelope"].update(signatures=[7]),
    ],
)
def test_hostile_bundles(change: Any) -> None:
    plain = made()
    change(plain)
    with pytest.raises(IntegrityError):
        judged(plain)


def test_bundles_with_certificates_are_not_believed() -> None:
    plain = made()
    plain["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}}
    assert "made with a certificate" in judged(plain).problem
