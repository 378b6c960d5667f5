"""Bytes → records. `parse_…` checks foreign bytes strictly; `read_…` trusts bytes that were checked and stored.

Go programs match JSON names without regard to case and take the last of two equal ones. A document that they and this
program would read differently is refused (CVE-2021-41190).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.oci.config import ImageConfigDoc
from buildkit_py.oci.descriptor import Descriptor
from buildkit_py.oci.manifest import Index, Manifest
from buildkit_py.oci.media_types import (
    DOCKER_CONFIG,
    DOCUMENTS,
    INDEXES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA_1,
)

MAX_DOCUMENT = 4 * 1024 * 1024
"""The most bytes that a manifest, an index or a configuration may have; registries refuse more too."""


def check_bytes(raw: bytes, descriptor: Descriptor, what: str) -> None:
    """Raise `IntegrityError` unless `raw` is what the descriptor says. `what` names it for people."""
    if len(raw) != descriptor.size:
        raise IntegrityError(f"{what} has {len(raw)} bytes where its descriptor says {descriptor.size}")
    if _digest(raw, descriptor.digest.algorithm) != descriptor.digest:
        raise IntegrityError(f"{what} does not match its digest {descriptor.digest}")


def parse_document(raw: bytes, media_type: str | None = None) -> Manifest | Index:
    """A manifest or an index from foreign bytes; `media_type` is what its carrier says of it, None if nothing.

    Raises `IntegrityError`.
    """
    if media_type in SCHEMA_1:
        _refuse_schema_1()
    if media_type is not None and media_type not in DOCUMENTS:
        raise IntegrityError(f"not an image manifest: its media type is {media_type[:100]!r}")
    plain = _json(raw, "manifest")
    actual = _agreed_type(plain, media_type)
    return parse_index(raw, actual) if actual in INDEXES else _parse_manifest(raw, actual, plain)


def parse_index(raw: bytes, media_type: str = OCI_INDEX) -> Index:
    """An index from foreign bytes: a registry's, or the `index.json` of an image layout. Raises `IntegrityError`."""
    from buildkit_py.oci import wire

    plain = _json(raw, "index")
    _agreed_type(plain, media_type)
    return Index.from_plain(raw, media_type, wire.check(wire.INDEX, plain, "index"))


def parse_config(raw: bytes, media_type: str = OCI_CONFIG) -> ImageConfigDoc:
    """An image configuration from foreign bytes. Raises `IntegrityError`, also where it is no image's."""
    from buildkit_py.oci import wire

    if media_type not in (OCI_CONFIG, DOCKER_CONFIG):
        raise IntegrityError(f"not an image configuration: its media type is {media_type[:100]!r}")
    plain = wire.check(wire.CONFIG, _json(raw, "image configuration"), "image configuration")
    return ImageConfigDoc.from_plain(raw, plain)


def read_document(raw: bytes, media_type: str | None = None) -> Manifest | Index:
    """A manifest or an index that `parse_document` accepted before."""
    plain = json.loads(raw)
    actual = media_type or plain.get("mediaType") or _type_by_shape(plain)
    return (Index if actual in INDEXES else Manifest).from_plain(raw, actual, plain)


def read_config(raw: bytes) -> ImageConfigDoc:
    """A configuration that `parse_config` accepted before."""
    return ImageConfigDoc.from_plain(raw, json.loads(raw))


def _parse_manifest(raw: bytes, media_type: str, plain: Mapping[str, Any]) -> Manifest:
    from buildkit_py.oci import wire

    return Manifest.from_plain(raw, media_type, wire.check(wire.MANIFEST, plain, "manifest"))


def _agreed_type(plain: Mapping[str, Any], given: str | None) -> str:
    """The one media type that the carrier, the body and its shape agree on."""
    if plain.get("schemaVersion") == 1:
        _refuse_schema_1()
    body = plain.get("mediaType")
    if body is not None and not isinstance(body, str):
        raise IntegrityError("a manifest's `mediaType` is no text")
    if body is not None and given is not None and body != given:
        raise IntegrityError(f"a manifest's media type is given as {given!r}, but its body says {str(body)[:100]!r}")
    shape = _type_by_shape(plain)
    actual = given or body or shape
    if actual not in DOCUMENTS:
        raise IntegrityError(f"not an image manifest: its media type is {str(actual)[:100]!r}")
    if (actual in INDEXES) != (shape in INDEXES):
        what = "an index" if shape in INDEXES else "a manifest"
        raise IntegrityError(f"a document of media type {actual!r} has the fields of {what}")
    if body is None and actual not in (OCI_MANIFEST, OCI_INDEX):
        raise IntegrityError(f"a document of media type {actual!r} does not say so in its `mediaType` field")
    return str(actual)


def _type_by_shape(plain: Mapping[str, Any]) -> str:
    names = {name.lower() for name in plain}
    if "manifests" in names and names & {"layers", "config", "fslayers"}:
        raise IntegrityError("a document has the fields of a manifest and of an index at once; it is not to be trusted")
    if "manifests" in names:
        return OCI_INDEX
    if "config" in names:
        return OCI_MANIFEST
    raise IntegrityError("a document is neither a manifest (`config`) nor an index (`manifests`)")


def _refuse_schema_1() -> NoReturn:
    raise IntegrityError(
        "the image has a manifest of Docker's schema 1, which has no verifiable layers",
        hint="push the image again with a current tool, which writes schema 2 or OCI",
    )


def _json(raw: bytes, what: str) -> dict[str, Any]:
    if len(raw) > MAX_DOCUMENT:
        raise IntegrityError(f"a {what} of {len(raw)} bytes is too large; the limit is {MAX_DOCUMENT}")
    try:
        plain = json.loads(raw, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"a {what} is not JSON: {str(error)[:100]}") from None
    if not isinstance(plain, dict):
        raise IntegrityError(f"a {what} is not a JSON object")
    return plain


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) != len(pairs):
        raise IntegrityError("a document has one name twice in the same object")
    return plain


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _digest(raw: bytes, algorithm: str) -> Digest:
    import hashlib

    return Digest(algorithm, hashlib.new(algorithm, raw).hexdigest())
