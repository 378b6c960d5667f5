"""Signatures in sigstore's bundles, as cosign 3 attaches them: a referrer of the image whose one layer is the bundle.

    {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
     "verificationMaterial": {"publicKey": {"hint": …}, …},
     "dsseEnvelope": {"payload": …, "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": …}]}}

The payload is an in-toto statement about the image's digest. Instead of an envelope there may be a `messageSignature`
over the manifest itself. Only bundles whose key is known are checked; certificates and transparency logs are not.
(cosign's bundle specification, DSSE 1.0, in-toto attestation framework 1.)
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.oci import Descriptor
from buildkit_py.trust.claims import Claims, Trusted, Verdict
from buildkit_py.trust.foreign import Fields, from_base64, json_object, to_base64
from buildkit_py.trust.keys import PrivateKey, PublicKey
from buildkit_py.trust.place import Artifact, Place

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
FAMILY = "application/vnd.dev.sigstore.bundle"
STATEMENT = "application/vnd.in-toto+json"
_STATEMENT_TYPES = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
_SIGN = "https://sigstore.dev/cosign/sign/v1"
_MOST_SUBJECTS = 256


def sign(
    place: Place, subject: Descriptor, key: PrivateKey, *, reference: str, annotations: Mapping[str, str]
) -> Digest:
    """Attach a bundle to an image; returns the digest of the bundle's manifest. Raises `RegistryError`."""
    raw = bundle(subject.digest, key, reference=reference, annotations=annotations)
    digest = Digest.of(raw)
    title = {"org.opencontainers.image.title": f"{digest.algorithm}-{digest.hex}.sigstore.json"}
    told = {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": _SIGN,
        "org.opencontainers.image.created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    layer = Artifact(raw=raw, media_type=BUNDLE, more={"annotations": title})
    return place.attach(subject, BUNDLE, layer, told).digest


def bundle(digest: Digest, key: PrivateKey, *, reference: str, annotations: Mapping[str, str]) -> bytes:
    """The bundle over a statement that names the image by its digest, and as `reference`."""
    about = {"name": reference, "digest": {digest.algorithm: digest.hex}, "annotations": dict(annotations)}
    statement = {"_type": _STATEMENT_TYPES[0], "subject": [about], "predicateType": _SIGN, "predicate": {}}
    payload = json.dumps(statement, separators=(",", ":"), ensure_ascii=False).encode()
    signature = to_base64(key.sign(_encoded(STATEMENT, payload)))
    plain = {
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": key.public.hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": to_base64(payload),
            "payloadType": STATEMENT,
            "signatures": [{"sig": signature, "keyid": ""}],
        },
    }
    return json.dumps(plain, separators=(",", ":")).encode()


def verdict(raw: bytes, where: str, digest: Digest, trusted: Trusted) -> Verdict:
    """A bundle, checked as a signature of the image `digest`. Raises `IntegrityError`."""
    what = f"the bundle {where}"
    document = json_object(raw, what)
    if not document.text("mediaType").startswith(FAMILY):
        raise IntegrityError(f"{what} is of an unknown type")
    material = document.table("verificationMaterial")
    if "publicKey" not in material:
        return _problem(where, "it was made with a certificate, which is not checked here, and not with a key")
    if "messageSignature" in document:
        return _message(document.table("messageSignature"), where, digest, trusted)
    envelope = document.table("dsseEnvelope")
    payload, kind = from_base64(envelope.text("payload"), what), envelope.text("payloadType")
    signature = _only_signature(envelope, what)
    signer = next((key for key in trusted.keys if key.verifies(signature, _encoded(kind, payload))), None)
    if signer is None:
        return _problem(where, "no key that is trusted made it")
    if kind != STATEMENT:
        return _problem(where, f"it signs no statement but {kind[:60]!r}", signer)
    return _statement(json_object(payload, f"the statement in {what}"), where, digest, signer)


def _message(message: Fields, where: str, digest: Digest, trusted: Trusted) -> Verdict:
    what = f"the bundle {where}"
    stated = message.table("messageDigest")
    algorithm, value = stated.text("algorithm"), from_base64(stated.text("digest"), what)
    signature = from_base64(message.text("signature"), what)
    if (algorithm, value.hex()) != ("SHA2_256", digest.hex) or digest.algorithm != "sha256":
        return _problem(where, f"it is a signature of something else ({value.hex()[:64]})")
    signer = next((key for key in trusted.keys if key.verifies_digest(signature, value)), None)
    if signer is None:
        return _problem(where, "no key that is trusted made it")
    return Verdict(form="bundle", place=where, signer=signer.fingerprint, claims=Claims(digest=digest))


def _statement(statement: Fields, where: str, digest: Digest, signer: PublicKey) -> Verdict:
    if statement.text("_type") not in _STATEMENT_TYPES:
        return _problem(where, "it holds a statement of an unknown version", signer)
    if statement.text("predicateType") != _SIGN:
        return _problem(where, "it is an attestation, not a signature", signer)
    for item in statement.items("subject")[:_MOST_SUBJECTS]:
        about = Fields(item, statement.what)
        if about.table_or_empty("digest").get(digest.algorithm) == digest.hex:
            name = about.text_or_none("name") or None
            claims = Claims(digest=digest, reference=name, annotations=about.table_or_empty("annotations"))
            return Verdict(form="bundle", place=where, signer=signer.fingerprint, claims=claims)
    return _problem(where, "it is a signature of another image", signer)


def _only_signature(envelope: Fields, what: str) -> bytes:
    signatures = envelope.items("signatures")
    if len(signatures) != 1:
        raise IntegrityError(f"{what} has {len(signatures)} signatures where it must have one")
    return from_base64(Fields(signatures[0], what).text("sig"), what)


def _problem(where: str, problem: str, signer: PublicKey | None = None) -> Verdict:
    return Verdict(form="bundle", place=where, problem=problem, signer=signer.fingerprint if signer else None)


def _encoded(kind: str, body: bytes) -> bytes:
    """What an envelope's signature is over: DSSE's pre-authentication encoding."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(body), body)
