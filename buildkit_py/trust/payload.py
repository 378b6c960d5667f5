"""The payload of simple signing, which cosign and the OpenPGP signatures of containers' tools share.

    {"critical": {"type": …, "image": {"docker-manifest-digest": …}, "identity": {"docker-reference": …}},
     "optional": {…} or null}

(containers-signature(5), cosign's signature specification.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.trust.claims import Claims
from buildkit_py.trust.foreign import Fields, json_object

COSIGN = "cosign container image signature"
ATOMIC = "atomic container signature"


def payload(digest: Digest, reference: str, annotations: Mapping[str, str]) -> bytes:
    """The bytes that are signed for cosign."""
    critical = {
        "identity": {"docker-reference": reference},
        "image": {"docker-manifest-digest": str(digest)},
        "type": COSIGN,
    }
    plain = {"critical": critical, "optional": dict(annotations) or None}
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()


def claims_of(raw: bytes, kind: str, what: str) -> Claims:
    """What a payload of the type `kind` says; only for bytes whose signature holds. Raises `IntegrityError`."""
    document = json_object(raw, what)
    critical = document.table("critical")
    optional = document.table_or_empty("optional")
    document.end()
    if critical.text("type") != kind:
        raise IntegrityError(f"{what} is not of the type {kind!r}")
    digest = _only(critical.table("image"), "docker-manifest-digest")
    reference = _only(critical.table("identity"), "docker-reference")
    critical.end()
    return Claims(digest=Digest.parse(digest), reference=reference, annotations=optional)


def _only(fields: Fields, name: str) -> str:
    value = fields.text(name)
    fields.end()
    return value
