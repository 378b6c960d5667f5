"""The records of a shared cache: what a key came to, as an OCI manifest with the tag `k-` and the key's digits.

    step        content_id, diff   layers: the diff, and the layers that hold its files; or none of both
    selection   selection          what a copy or a mount takes of a tree
    check       (nothing)          a file check of a test held
    layer       diff_id            layers: the blob that some diffs make
    names       content_id         layers: the diffs of an image's layers, lowest first

A record is a pure function of what it says: no clock, path, host or user has a part in it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from buildkit_py import canonical
from buildkit_py.dataclass import dataclass, field
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.oci import Descriptor, Manifest, check_bytes, parse_document
from buildkit_py.oci.media_types import OCI_EMPTY, OCI_MANIFEST, layer_compression

VERSION = 1
CONFIG = "application/vnd.pybuild.cache.record.v1+json"
DIFF = "application/vnd.pybuild.diff.v1+jsonl"
EMPTY = Descriptor.of(b"{}", OCI_EMPTY)
"""What a manifest lists where there is nothing to list. OCI image specification 1.1, "Guidance for an Empty
Descriptor"."""
MAX_CONFIG = 64 << 10
MAX_DIFF = 256 << 20
MAX_LAYERS = 64

Kind = Literal["step", "selection", "check", "layer", "names"]
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "step": ("content_id", "diff"),
    "selection": ("selection",),
    "check": (),
    "layer": ("diff_id",),
    "names": ("content_id",),
}
_MAY_BE_NULL = {"step": frozenset({"content_id", "diff"})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known of a `key` (`sha256:…`). `facts` are digests, by the names that the kind has; `diffs` and `layers`
    are blobs beside the record."""

    kind: Kind
    key: str
    facts: Mapping[str, str | None] = field(default_factory=dict)
    diffs: tuple[Descriptor, ...] = ()
    layers: tuple[Descriptor, ...] = ()

    @property
    def tag(self) -> str:
        """What it is found by."""
        return tag_of(self.key)

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """The blobs that its manifest lists, but for its configuration."""
        return (*self.diffs, *self.layers) or (EMPTY,)

    @property
    def config(self) -> bytes:
        """The configuration, canonical JSON."""
        return canonical.dumps({"v": VERSION, "kind": self.kind, "key": self.key, **self.facts})

    @property
    def manifest(self) -> bytes:
        """The manifest, canonical JSON. The configuration is in it too, so that one request is enough."""
        config = Descriptor.of(self.config, CONFIG).to_plain()
        return canonical.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": {**config, "data": base64.b64encode(self.config).decode()},
                "layers": [blob.to_plain() for blob in self.blobs],
            }
        )


def tag_of(key: str) -> str:
    """The tag of a key's record."""
    return f"k-{Digest.parse(key).hex}"


def parse(raw: bytes, kind: Kind, key: str, config_of: Callable[[Descriptor], bytes]) -> Record:
    """A record from foreign bytes, which must be of this kind and key; `config_of` fetches a configuration that is not
    in the manifest. Raises `IntegrityError`."""
    document = parse_document(raw)
    if not isinstance(document, Manifest) or document.config.media_type != CONFIG:
        raise IntegrityError("it is no record of a cache")
    if document.config.size > MAX_CONFIG:
        raise IntegrityError(f"its configuration has {document.config.size} bytes, {MAX_CONFIG} is the most")
    config = _inline(raw)
    if config is None:
        config = config_of(document.config)
    check_bytes(config, document.config, "its configuration")
    diffs, layers = _sorted(document.layers)
    record = Record(kind=kind, key=key, facts=_facts(config, kind, key), diffs=diffs, layers=layers)
    _check_blobs(record)
    return record


def _inline(raw: bytes) -> bytes | None:
    """The configuration that the manifest itself carries."""
    data = json.loads(raw)["config"].get("data")
    if data is None:
        return None
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise IntegrityError("its configuration is not in base64") from None


def _facts(config: bytes, kind: Kind, key: str) -> dict[str, str | None]:
    try:
        plain: Any = json.loads(config)
        whole = isinstance(plain, dict) and canonical.dumps(plain) == config
    except (ValueError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise IntegrityError("its configuration is no canonical JSON object")
    if type(plain.get("v")) is not int or plain["v"] != VERSION:
        raise IntegrityError(f"it is of version {str(plain.get('v'))[:20]}, and this program reads {VERSION}")
    if plain.get("key") != key:
        raise IntegrityError(f"it is the record of another key, {str(plain.get('key'))[:80]!r}")
    if plain.get("kind") != kind:
        raise IntegrityError(f"it is a record of the kind {str(plain.get('kind'))[:20]!r}, not {kind!r}")
    names = _FIELDS[kind]
    if set(plain) != {"v", "kind", "key", *names}:
        raise IntegrityError(f"it has other fields than a record of the kind {kind!r}")
    nullable = _MAY_BE_NULL.get(kind, frozenset())
    return {name: None if name in nullable and plain[name] is None else _digest(plain[name]) for name in names}


def _digest(value: Any) -> str:
    return str(Digest.parse(value if isinstance(value, str) else ""))


def _sorted(listed: tuple[Descriptor, ...]) -> tuple[tuple[Descriptor, ...], tuple[Descriptor, ...]]:
    """The diffs and the layers among the blobs of a manifest."""
    if len(listed) > 2 * MAX_LAYERS:
        raise IntegrityError(f"it lists {len(listed)} blobs")
    found = [item for item in listed if item.media_type != OCI_EMPTY]
    diffs = tuple(item for item in found if item.media_type == DIFF)
    layers = tuple(item for item in found if item.media_type != DIFF)
    for item in layers:
        if layer_compression(item.media_type) is None:
            raise IntegrityError(f"it lists something of the type {item.media_type[:100]!r}")
    for item in diffs:
        if item.size > MAX_DIFF:
            raise IntegrityError(f"its diff has {item.size} bytes, {MAX_DIFF} is the most")
    return diffs, layers


def _check_blobs(record: Record) -> None:
    """What a record lists belongs to what it says."""
    listed = [str(item.digest) for item in record.diffs]
    allowed = {
        "step": not record.layers or len(listed) == 1,
        "names": not record.layers,
        "layer": not listed and len(record.layers) == 1,
    }
    if not allowed.get(record.kind, not listed and not record.layers):
        raise IntegrityError(f"it lists other blobs than a record of the kind {record.kind!r}")
    if record.kind == "step" and listed and listed != [record.facts["diff"]]:
        raise IntegrityError("the diff that it lists is not the one that it names")
