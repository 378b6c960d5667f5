"""Signatures of the Notary Project: a referrer of the image whose one layer is a JWS envelope with certificates.

    {"payload": b64url({"targetArtifact": descriptor}),
     "protected": b64url({"alg": "ES256", "cty": …, "crit": […], "io.cncf.notary.signingScheme": "notary.x509", …}),
     "header": {"x5c": [certificates, the signer's first, the root last], …},
     "signature": b64url(signature over protected "." payload)}

(Notary Project: signature specification 1.1 and its JWS envelope; RFC 7515, RFC 7518.) Envelopes in COSE, time stamps
of an authority, plug-ins and revocation lists are not known here; what demands one of them does not hold.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from buildkit_py import __version__
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, UsageError
from buildkit_py.oci import Descriptor
from buildkit_py.trust.certificates import check_chain, fingerprint
from buildkit_py.trust.claims import Claims, Trusted, Verdict
from buildkit_py.trust.foreign import Fields, from_base64, json_object, to_base64
from buildkit_py.trust.keys import PrivateKey
from buildkit_py.trust.place import Artifact, Place

KIND = "application/vnd.cncf.notary.signature"
ENVELOPE = "application/jose+json"
_PAYLOAD = "application/vnd.cncf.notary.payload.v1+json"
_PREFIX = "io.cncf.notary."
_SCHEME, _TIME, _EXPIRY = f"{_PREFIX}signingScheme", f"{_PREFIX}signingTime", f"{_PREFIX}expiry"
_THUMBPRINTS = f"{_PREFIX}x509chain.thumbprint#S256"
_CURVES = {
    256: ("ES256", hashes.SHA256(), 32),
    384: ("ES384", hashes.SHA384(), 48),
    521: ("ES512", hashes.SHA512(), 66),
}
_RSA = {2048: ("PS256", hashes.SHA256()), 3072: ("PS384", hashes.SHA384()), 4096: ("PS512", hashes.SHA512())}
_MALFORMED = (
    *(ValueError, TypeError, UnsupportedAlgorithm),
    *(x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType),
)
Chain = Sequence[x509.Certificate]


def sign(place: Place, subject: Descriptor, key: PrivateKey, chain: Chain, *, annotations: Mapping[str, str]) -> Digest:
    """Attach an envelope to an image; returns the digest of its manifest. Raises `UsageError`, `RegistryError`."""
    raw = envelope(subject, key, chain, annotations=annotations)
    thumbprints = json.dumps([fingerprint(each) for each in chain], separators=(",", ":"))
    layer = Artifact(raw=raw, media_type=ENVELOPE, more={})
    return place.attach(subject, KIND, layer, {_THUMBPRINTS: thumbprints}).digest


def envelope(subject: Descriptor, key: PrivateKey, chain: Chain, *, annotations: Mapping[str, str]) -> bytes:
    """The envelope over a descriptor. Raises `UsageError` where key and chain can't make one."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    try:
        check_chain(chain, now)
    except IntegrityError as error:
        raise UsageError(f"the chain of certificates can't be used: {error.message}") from None
    if chain[0].public_key() != key.public.key:
        raise UsageError(
            "the first certificate of the chain is not the key's", hint="the signer's certificate is first"
        )
    if not isinstance(key.key, ec.EllipticCurvePrivateKey):
        raise UsageError(
            "signatures of the Notary Project are made with an ECDSA key here", hint="`pybuild key generate --notary`"
        )
    algorithm, digest, size = _CURVES[key.key.key_size]
    target = {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size}
    target_artifact: dict[str, Any] = {**target, **({"annotations": dict(annotations)} if annotations else {})}
    protected = {
        "alg": algorithm,
        "crit": [_SCHEME],
        "cty": _PAYLOAD,
        _SCHEME: "notary.x509",
        _TIME: now.isoformat().replace("+00:00", "Z"),
    }
    head, body = _encoded(protected), _encoded({"targetArtifact": target_artifact})
    r, s = decode_dss_signature(key.key.sign(f"{head}.{body}".encode(), ec.ECDSA(digest)))
    certificates = [base64.b64encode(each.public_bytes(serialization.Encoding.DER)).decode() for each in chain]
    plain = {
        "payload": body,
        "protected": head,
        "header": {"x5c": certificates, f"{_PREFIX}signingAgent": f"pybuild/{__version__}"},
        "signature": to_base64(r.to_bytes(size, "big") + s.to_bytes(size, "big"), url=True),
    }
    return json.dumps(plain, separators=(",", ":")).encode()


def verdict(raw: bytes, where: str, digest: Digest, trusted: Trusted) -> Verdict:
    """An envelope, checked as a signature of the image `digest`. Raises `IntegrityError`."""
    what = f"the envelope {where}"
    document = json_object(raw, what)
    head, body = document.text("protected"), document.text("payload")
    signature = from_base64(document.text("signature"), what, url=True)
    chain = _chain(document.table("header"), what)
    document.end()
    protected = json_object(from_base64(head, what, url=True), f"the protected header of {what}")
    now = trusted.now or datetime.datetime.now(datetime.UTC)
    signer, name = fingerprint(chain[0]), chain[0].subject.rfc4514_string()[:200]
    if not any(certificate in trusted.roots for certificate in chain):
        return Verdict(form="notary", place=where, problem="its certificates lead to none that is trusted")
    check_chain(chain, now)
    algorithm = protected.text("alg")
    if not _verifies(chain[0], algorithm, signature, f"{head}.{body}".encode()):
        return Verdict(form="notary", place=where, problem=f"the signature does not hold ({algorithm[:20]!r})")
    signed = _attributes(protected, now)
    claims = _claims(json_object(from_base64(body, what, url=True), f"the payload of {what}"))
    if claims.digest != digest:
        problem = f"it is a signature of another image ({claims.digest})"
        return Verdict(form="notary", place=where, problem=problem, signer=f"sha256:{signer}", name=name)
    return Verdict(form="notary", place=where, signer=f"sha256:{signer}", name=name, signed=signed, claims=claims)


def _chain(header: Fields, what: str) -> list[x509.Certificate]:
    texts = header.texts("x5c")
    try:
        chain = [_whole(x509.load_der_x509_certificate(from_base64(text, what))) for text in texts[:16]]
    except _MALFORMED:
        raise IntegrityError(f"{what} holds something that is no certificate that is known here") from None
    if not chain:
        raise IntegrityError(f"{what} holds no certificate")
    return chain


def _whole(certificate: x509.Certificate) -> x509.Certificate:
    """The certificate, all of it read: the library reads a part only when it is asked for that, and raises then."""
    _ = certificate.subject.rfc4514_string(), certificate.issuer, certificate.signature_hash_algorithm
    _ = certificate.extensions, certificate.public_key(), certificate.not_valid_before_utc
    return certificate


def _verifies(leaf: x509.Certificate, algorithm: str, signature: bytes, data: bytes) -> bool:
    """Whether the signature holds, by the one algorithm that the certificate's key allows."""
    key = leaf.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size in _CURVES:
            wanted, digest, size = _CURVES[key.key_size]
            if algorithm != wanted or len(signature) != 2 * size:
                return False
            r, s = (int.from_bytes(part, "big") for part in (signature[:size], signature[size:]))
            key.verify(encode_dss_signature(r, s), data, ec.ECDSA(digest))
            return True
        if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA:
            wanted, digest = _RSA[key.key_size]
            if algorithm != wanted:
                return False
            key.verify(signature, data, padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH), digest)
            return True
    except InvalidSignature:
        return False
    return False


def _attributes(protected: Fields, now: datetime.datetime) -> str:
    """The time that the signer claims. Raises `IntegrityError` where an attribute demands what is not known here."""
    what = protected.what
    if protected.text("cty") != _PAYLOAD:
        raise IntegrityError(f"{what} is about a payload of an unknown type")
    critical = protected.texts("crit")
    unknown = [name for name in critical if name not in (_SCHEME, _EXPIRY)]
    if unknown or _SCHEME not in critical:
        raise IntegrityError(f"{what} demands what is not known here: {', '.join(unknown)[:100] or 'no scheme'}")
    if protected.text(_SCHEME) != "notary.x509":
        raise IntegrityError(f"{what} follows a signing scheme that is not known here")
    expiry = protected.text_or_none(_EXPIRY)
    if expiry is not None and now >= _time(expiry, what):
        raise IntegrityError(f"the signature expired at {expiry}")
    signed = protected.text(_TIME)
    _time(signed, what)
    return signed


def _time(text: str, what: str) -> datetime.datetime:
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise IntegrityError(f"{what} holds something that is no time: {text[:40]!r}")
    return time


def _claims(payload: Fields) -> Claims:
    target = payload.table("targetArtifact")
    annotations = target.table_or_empty("annotations")
    target.text("mediaType")
    target.number("size")
    return Claims(digest=Digest.parse(target.text("digest")), annotations=annotations)


def _encoded(value: Mapping[str, Any]) -> str:
    return to_base64(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), url=True)
