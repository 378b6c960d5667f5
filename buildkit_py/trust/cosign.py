"""cosign's signatures: a manifest under the tag `sha256-HEX.sig` whose layers are payloads of simple signing.

The annotation of a layer holds the signature over the layer's bytes. (cosign's signature specification, "Storage".)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.oci import Descriptor, Index, Manifest
from buildkit_py.oci.media_types import OCI_CONFIG, OCI_MANIFEST
from buildkit_py.trust.claims import Trusted, Verdict
from buildkit_py.trust.foreign import from_base64, to_base64
from buildkit_py.trust.keys import PrivateKey, PublicKey
from buildkit_py.trust.payload import COSIGN, claims_of, payload
from buildkit_py.trust.place import Place, Send, tag_of

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
SUFFIX = ".sig"
_MOST = 64


def sign(
    place: Place, subject: Descriptor, key: PrivateKey, *, reference: str, annotations: Mapping[str, str]
) -> Digest:
    """Add a signature to those of an image; one that says the same by the same key is not added twice.

    Returns the digest of the payload. Raises `RegistryError`, `IntegrityError`.
    """
    raw = payload(subject.digest, reference, annotations)
    signature = to_base64(key.sign(raw))

    def changed(known: Manifest | Index | None, send: Send) -> bytes | None:
        layers = list(known.layers) if isinstance(known, Manifest) else []
        if any(layer.digest == Digest.of(raw) and _by(layer, key.public, raw) for layer in layers):
            return None
        made = {**send(raw, PAYLOAD).to_plain(), "annotations": {SIGNATURE: signature}}
        plain = [*(layer.to_plain() for layer in layers), made]
        return manifest(plain, send)

    place.change(tag_of(subject.digest, SUFFIX), changed)
    return Digest.of(raw)


def manifest(layers: list[dict[str, Any]], send: Send) -> bytes:
    """The manifest that holds signatures; its configuration is sent."""
    config = send(_config([item["digest"] for item in layers]), OCI_CONFIG)
    plain = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config.to_plain(), "layers": layers}
    return json.dumps(plain, separators=(",", ":")).encode()


def verdicts(place: Place, digest: Digest, trusted: Trusted) -> Iterator[Verdict]:
    """Every signature of an image, checked. Raises `RegistryError`, and `IntegrityError` where the manifest that holds
    them is damaged."""
    held = place.document(tag_of(digest, SUFFIX))
    layers = held.layers if isinstance(held, Manifest) else ()
    for layer in [item for item in layers if item.media_type == PAYLOAD][:_MOST]:
        try:
            yield _verdict(place, layer, digest, trusted)
        except IntegrityError as error:
            yield Verdict(form="cosign", place=str(layer.digest), problem=error.message)


def _verdict(place: Place, layer: Descriptor, digest: Digest, trusted: Trusted) -> Verdict:
    where = str(layer.digest)
    raw = place.blob(layer)
    signer = next((key for key in trusted.keys if _by(layer, key, raw)), None)
    if signer is None:
        return Verdict(form="cosign", place=where, problem="no key that is trusted made it")
    claims = claims_of(raw, COSIGN, f"the payload {where}")
    if claims.digest != digest:
        problem = f"it is a signature of another image ({claims.digest})"
        return Verdict(form="cosign", place=where, problem=problem, signer=signer.fingerprint)
    return Verdict(form="cosign", place=where, signer=signer.fingerprint, claims=claims)


def _by(layer: Descriptor, key: PublicKey, raw: bytes) -> bool:
    """Whether that key made the signature in a layer's annotation."""
    signature = layer.annotations.get(SIGNATURE)
    if not isinstance(signature, str):
        raise IntegrityError(f"the payload {layer.digest} has no signature")
    # Some are attached from files with line ends, which the tools that read them allow.
    text = signature.replace("\n", "").replace("\r", "")
    return key.verifies(from_base64(text, f"the signature of {layer.digest}"), raw)


def _config(digests: list[str]) -> bytes:
    """The configuration of a manifest that is no image; some tools read the digests of its layers there."""
    plain = {
        "architecture": "",
        "os": "",
        "config": {},
        "history": [{"created": "1970-01-01T00:00:00Z"} for _ in digests],
        "rootfs": {"type": "layers", "diff_ids": digests},
    }
    return json.dumps(plain, separators=(",", ":")).encode()
