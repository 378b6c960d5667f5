"""Quick ways through the code give what the general ways give."""

from __future__ import annotations

import tarfile
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from buildkit_py import canonical
from buildkit_py.errors import IntegrityError
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.tarheader import header
from buildkit_py.layer.tarstream import Limits, _checked
from buildkit_py.patterns import Rules

NAMES = st.sampled_from(["a", "b", "a.txt", "b.txt", "**", "*", "*.txt", "[ab]", "?", ".."])
PATTERNS = st.builds(
    lambda again, names: again + "/".join(names), st.sampled_from(["", "!"]), st.lists(NAMES, min_size=1, max_size=4)
)
PLACES = st.lists(st.sampled_from(["a", "b", "a.txt", "c\n", "é"]), min_size=1, max_size=4)


@given(st.lists(PATTERNS, max_size=5), PLACES)
def test_rules_within_a_directory(patterns: list[str], place: list[str]) -> None:
    rules = Rules(patterns)
    directory, path = "/".join(place[:-1]), "/".join(place)
    assert rules.within(directory)(path) == rules.excludes(path)


@given(
    st.text(st.characters(codec="utf-8") | st.characters(categories=["Cs"]), max_size=20),
    st.integers(0, 0o7777),
    st.integers(0, 1 << 40),
    st.none() | st.just(""),
)
def test_the_line_of_a_file(path: str, mode: int, size: int, target: str | None) -> None:
    entry = Entry(path=path, type="file", mode=mode, size=size, digest="sha256:" + "0" * 64, target=target)
    assert entry.to_line() == canonical.dumps(entry.to_row())


SOUND = st.builds(
    lambda path, mode, uid, size, kind: header(Entry(path=path, type=kind, mode=mode, uid=uid, size=size), 7)[-512:],
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30),
    st.integers(0, 0o7777),
    st.integers(0, 1 << 22),
    st.integers(0, 1 << 35),
    st.sampled_from(["file", "dir", "symlink", "hardlink", "fifo", "char"]),
)
EDITS = st.lists(st.tuples(st.integers(0, 511), st.sampled_from(b"\x00 0178-+_x/S\x80\xff")), max_size=4)


@given(SOUND, EDITS, st.booleans())
def test_headers_of_a_tar(block: bytes, edits: list[tuple[int, int]], summed: bool) -> None:
    changed = bytearray(block)
    for place, value in edits:
        changed[place] = value
    if summed:
        changed[148:156] = b"%06o\0 " % (sum(changed) - sum(changed[148:156]) + 8 * 32)
    assert facts(_checked(Limits()), bytes(changed)) == facts(tarfile.TarInfo, bytes(changed))


def facts(kind: type[tarfile.TarInfo], block: bytes) -> Any:
    try:
        found = kind.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, IntegrityError):
        return None
    names = ("name", "mode", "uid", "gid", "size", "mtime", "type", "linkname", "devmajor", "devminor")
    return [getattr(found, name) for name in names]
