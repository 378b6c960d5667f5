"""Hard links in a diff: of several names of one file, the first by path is the `file`, the others are its links."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from buildkit_py.dataclass import replace
from buildkit_py.layer.entry import Entry


def share(entries: Sequence[tuple[Entry, Hashable | None]]) -> list[Entry]:
    """Give every entry that comes with a key its type and target; those of one key are names of one file.

    An entry without a key, and one that is no file, stays what it is, but a link without a key becomes a file.
    """
    first: dict[Hashable, str] = {}
    for entry, key in entries:
        if key is not None and entry.type in ("file", "hardlink"):
            first[key] = min(entry.path, first.get(key, entry.path))
    return [_named(entry, first.get(key, entry.path)) for entry, key in entries]


def _named(entry: Entry, first: str) -> Entry:
    if entry.type not in ("file", "hardlink"):
        return entry
    if entry.path == first:
        return entry if entry.type == "file" else replace(entry, type="file", target=None)
    if entry.type == "hardlink" and entry.target == first:
        return entry
    return replace(entry, type="hardlink", target=first)
