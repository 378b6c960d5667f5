"""Which blobs an image needs: from its descriptor through indexes and manifests to configs and layers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from buildkit_py.errors import IntegrityError
from buildkit_py.store import files
from buildkit_py.store.blobs import DOCUMENT_LIMIT
from buildkit_py.store.images import INDEX_TYPES
from buildkit_py.store.layout import Layout
from buildkit_py.store.leases import Use

_DOCUMENTS = frozenset(
    {
        *INDEX_TYPES,
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
_DIGEST = re.compile(r"sha(?:256:[0-9a-f]{64}|384:[0-9a-f]{96}|512:[0-9a-f]{128})(?![0-9a-f])")


def needed(layout: Layout, descriptor: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The descriptors of all blobs of an image, its own first; what can't be read has nothing below it."""
    pending, seen = [descriptor], set()
    while pending:
        current = pending.pop()
        digest = current.get("digest")
        if not isinstance(digest, str) or digest in seen:
            continue
        seen.add(digest)
        yield current
        if current.get("mediaType") in _DOCUMENTS:
            pending.extend(_children(_path(layout, digest)))


def path_to(layout: Layout, descriptor: dict[str, Any], digest: str) -> list[dict[str, Any]] | None:
    """The descriptors that lead from an image's own to that of a blob, both included; None where it needs none such."""
    pending, seen = [[descriptor]], set()
    while pending:
        path = pending.pop()
        current = path[-1].get("digest")
        if current == digest:
            return path
        if isinstance(current, str) and current not in seen and path[-1].get("mediaType") in _DOCUMENTS:
            pending.extend([*path, child] for child in _children(_path(layout, current)))
        seen.add(current)
    return None


def closure(layout: Layout, digests: Iterable[str]) -> set[str]:
    """The digests, and those that the manifests among them name, whatever media type leads to them."""
    pending, seen = list(digests), set[str]()
    while pending:
        digest = pending.pop()
        if digest in seen:
            continue
        seen.add(digest)
        names = (child.get("digest") for child in _children(_path(layout, digest)))
        pending.extend(name for name in names if isinstance(name, str))
    return seen


def in_use(layout: Layout, uses: Iterable[Use]) -> frozenset[Use]:
    """What leases name, and the blobs that the manifests and indexes among it need: who reads one goes on to those."""
    named = frozenset(uses)
    return named | {("blob", digest) for digest in closure(layout, (name for kind, name in named if kind == "blob"))}


def mentioned(text: object) -> list[str]:
    """Every digest that stands in a text; none in what a damaged row has in its place."""
    return _DIGEST.findall(text) if isinstance(text, str) else []


def _path(layout: Layout, digest: str) -> Path | None:
    with suppress(IntegrityError):
        return layout.find_blob(digest)
    return None


def _children(path: Path | None) -> list[dict[str, Any]]:
    if path is None:
        return []
    with suppress(OSError, ValueError, RecursionError):
        if path.lstat().st_size > DOCUMENT_LIMIT or files.read_regular(path, 0) != b"{":
            return []
        document = json.loads(files.read_regular(path, DOCUMENT_LIMIT))
        lists = [document.get("manifests"), document.get("layers"), [document.get("config")]]
        return [item for found in lists if isinstance(found, list) for item in found if isinstance(item, dict)]
    return []
