"""Searching a diff for secrets: in contents, names, link targets and attributes, in every form that tools write them
in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO

from buildkit_py.dataclass import dataclass
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.secret_forms import forms

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """Where a secret was found: in `path` (relative), the secret's id, and in which form, empty where as it is."""

    path: str
    secret: str
    form: str


def find_secrets(
    diff: Diff,
    open_content: Callable[[Entry], BinaryIO],
    secrets: Mapping[str, bytes],
    check: Callable[[], None] = lambda: None,
) -> list[Hit]:
    """At most one hit a secret and entry. Compressed and encrypted copies are not found. What `check` raises between
    two pieces ends the search."""
    needles = [(name, form, shape) for name, value in secrets.items() for form, shape in forms(value)]
    if not needles:
        return []
    return [hit for entry in diff.entries for hit in _of_entry(entry, open_content, needles, check)]


def _of_entry(
    entry: Entry,
    open_content: Callable[[Entry], BinaryIO],
    needles: list[tuple[str, str, bytes]],
    check: Callable[[], None],
) -> Iterator[Hit]:
    seen: set[str] = set()
    for data in _pieces(entry, open_content, max(len(shape) for _, _, shape in needles)):
        check()
        for name, form, shape in needles:
            if name not in seen and shape in data:
                seen.add(name)
                yield Hit(path=entry.path, secret=name, form=form)


def _pieces(entry: Entry, open_content: Callable[[Entry], BinaryIO], longest: int) -> Iterator[bytes]:
    """Everything of an entry that could hold a secret; pieces of a file overlap by what a secret may span."""
    yield entry.path.encode("utf-8", "surrogateescape")
    yield (entry.target or "").encode("utf-8", "surrogateescape")
    for name, value in entry.xattrs:
        yield name.encode() + b"=" + value
    if entry.type == "file" and entry.size:
        with open_content(entry) as file:
            tail = b""
            while block := file.read(BLOCK):
                data = tail + block
                yield data
                tail = data[-(longest - 1) :] if longest > 1 else b""
