"""Targets that are signatures: what they are made of, and the same signed rightly, so that all of it is looked at."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_MANIFEST
from buildkit_py.trust import bundle, notary, payload, simple
from buildkit_py.trust.certificates import make_chain, parse_pem, to_pem
from buildkit_py.trust.claims import Trusted, Verdict
from buildkit_py.trust.keys import PrivateKey, PublicKey
from tests.fuzz.contract import Target, Unfit, attempt
from tests.support import vectors

_SUBJECT = Descriptor.of(b"manifest", OCI_MANIFEST)
_NAME = "r.example/a:1"


@cache
def _key() -> PrivateKey:
    return PrivateKey.generate()


@cache
def _trusted() -> Trusted:
    return Trusted(keys=(_key().public,), roots=(_chain()[1],))


@cache
def _chain() -> Any:
    return make_chain(_key(), "team")


def _shown(verdict: Verdict | None) -> None:
    """A verdict can be told, and claims nothing that it does not hold."""
    if verdict is not None:
        json.dumps(verdict.to_plain())
        assert verdict.holds == (verdict.claims is not None)


def _cosign(data: bytes) -> None:
    for kind in (payload.COSIGN, payload.ATOMIC):
        attempt(payload.claims_of, data, kind, "the payload")


def _cosign_seeds() -> list[bytes]:
    return [payload.payload(_SUBJECT.digest, _NAME, {"a": "b"}), vectors.RELEASE_PAYLOAD]


def _bundle(data: bytes) -> None:
    _shown(attempt(bundle.verdict, data, "sha256:e", _SUBJECT.digest, _trusted()))


def _bundle_seeds() -> list[bytes]:
    made = bundle.bundle(_SUBJECT.digest, _key(), reference=_NAME, annotations={"a": "b"})
    plain = json.loads(made)
    digest = {"algorithm": "SHA2_256", "digest": base64.b64encode(bytes.fromhex(_SUBJECT.digest.hex)).decode()}
    message = {"messageDigest": digest, "signature": plain.pop("dsseEnvelope")["signatures"][0]["sig"]}
    return [made, json.dumps({**plain, "messageSignature": message}).encode()]


def _statement(data: bytes) -> None:
    """A statement in a bundle that a trusted key signed."""
    made = json.loads(_bundle_seeds()[0])
    body = b"DSSEv1 %d %s %d %s" % (len(bundle.STATEMENT), bundle.STATEMENT.encode(), len(data), data)
    made["dsseEnvelope"]["payload"] = base64.b64encode(data).decode()
    made["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(_key().sign(body)).decode()
    _bundle(json.dumps(made).encode())


def _statement_seeds() -> list[bytes]:
    return [base64.b64decode(json.loads(_bundle_seeds()[0])["dsseEnvelope"]["payload"])]


def _notary(data: bytes) -> None:
    _shown(attempt(notary.verdict, data, "sha256:e", _SUBJECT.digest, _trusted()))


def _notary_seeds() -> list[bytes]:
    return [notary.envelope(_SUBJECT, _key(), _chain(), annotations={"build": "42"})]


def _envelope(data: bytes) -> None:
    """An envelope whose parts are given plain, signed rightly by the key of the chain's first certificate."""
    try:
        plain = json.loads(data)
        head, body = (_encoded(plain[part]) for part in ("protected", "payload"))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unfit from None
    r, s = decode_dss_signature(_key().sign(f"{head}.{body}".encode()))
    raw = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).rstrip(b"=").decode()
    _notary(json.dumps({**plain, "protected": head, "payload": body, "signature": raw}).encode())


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _envelope_seeds() -> list[bytes]:
    plain = json.loads(_notary_seeds()[0])
    for part in ("protected", "payload"):
        plain[part] = json.loads(base64.urlsafe_b64decode(plain[part] + "=="))
    return [json.dumps(plain).encode()]


def _certificate(data: bytes) -> None:
    """A certificate (DER) before the trusted root: whoever knows the root can send such a chain."""
    from cryptography.hazmat.primitives.serialization import Encoding

    plain = json.loads(_notary_seeds()[0])
    root = base64.b64encode(_chain()[1].public_bytes(Encoding.DER)).decode()
    plain["header"]["x5c"] = [base64.b64encode(data).decode(), root]
    _notary(json.dumps(plain).encode())


def _certificate_seeds() -> list[bytes]:
    from cryptography.hazmat.primitives.serialization import Encoding

    return [each.public_bytes(Encoding.DER) for each in _chain()]


def _pem(data: bytes) -> None:
    attempt(parse_pem, data, "root.pem")
    attempt(PublicKey.parse, data, "key.pub")
    attempt(simple.binary, data)


def _pem_seeds() -> list[bytes]:
    armoured = (
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: a\n\nmQENBF\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"
    )
    return [to_pem(_chain()), _key().public.pem, vectors.COSIGN_PUBLIC, armoured]


def _status(data: bytes) -> None:
    simple.signer_in(data.decode("utf-8", "replace"))


_STATUS = b"[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 1 a\n[GNUPG:] VALIDSIG " + b"AB" * 20 + b" x\n[GNUPG:] PLAINTEXT 62 0\n"

TARGETS: dict[str, Target] = {
    "cosign-payload": Target(run=_cosign, seeds=_cosign_seeds, form="json"),
    "sigstore-bundle": Target(run=_bundle, seeds=_bundle_seeds, form="json"),
    "sigstore-statement": Target(run=_statement, seeds=_statement_seeds, form="json"),
    "notary": Target(run=_notary, seeds=_notary_seeds, form="json"),
    "notary-signed": Target(run=_envelope, seeds=_envelope_seeds, form="json"),
    "certificate": Target(run=_certificate, seeds=_certificate_seeds),
    "pem": Target(run=_pem, seeds=_pem_seeds, form="text"),
    "gpgv-status": Target(run=_status, seeds=lambda: [_STATUS], form="text"),
}
