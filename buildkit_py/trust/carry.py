"""Signatures that go with an image from one repository to another: each beside the digest that was signed, its bytes
as they are. What hangs on the image there stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.oci import Descriptor, Index, Manifest
from buildkit_py.trust import cosign
from buildkit_py.trust.place import Place, Send, tag_of
from buildkit_py.trust.verify import MOST, is_signature, may_be_signature


def carry(source: Place, target: Place, subject: Digest) -> Iterator[Digest]:
    """Copy the signatures of a manifest or index that is in both repositories, whoever made them; yields the digest of
    each manifest that holds some. Raises `RegistryError`, `IntegrityError`."""
    held = source.document(tag_of(subject, cosign.SUFFIX))
    if isinstance(held, Manifest):
        yield _attached(source, target, tag_of(subject, cosign.SUFFIX), held)
    for item in [each for each in source.referrers(subject) if may_be_signature(each)][:MOST]:
        document = source.document(str(item.digest))
        if isinstance(document, Manifest) and is_signature(document) and _subject(document) == str(subject):
            target.adopt(subject, document, source.blob)
            yield document.digest


def _subject(document: Manifest) -> str | None:
    """The digest that a manifest refers to: what is listed may be of something else."""
    found = json.loads(document.raw).get("subject")
    return found.get("digest") if isinstance(found, dict) else None


def _attached(source: Place, target: Place, tag: str, held: Manifest) -> Digest:
    """Copy cosign's manifest, whose layers are added to those that are there."""
    if len(held.layers) > MOST:
        raise IntegrityError(f"{source.ref.name}:{tag} holds {len(held.layers)} signatures, {MOST} is the most")

    def changed(known: Manifest | Index | None, send: Send) -> bytes | None:
        there = list(known.layers) if isinstance(known, Manifest) else []
        missing = [layer for layer in held.layers if layer not in there]
        if known is not None and not missing:
            return None
        for layer in missing:
            _sent(source, layer, send)
        if any(layer not in held.layers for layer in there):
            return cosign.manifest([layer.to_plain() for layer in (*there, *missing)], send)
        _sent(source, held.config, send)
        return held.raw

    target.change(tag, changed)
    return held.digest


def _sent(source: Place, item: Descriptor, send: Send) -> None:
    send(source.blob(item), item.media_type)
