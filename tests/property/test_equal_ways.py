"""Quick ways through the code give what the general ways give."""

from __future__ import annotations

import copy
import tarfile
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import SchemaValidator, ValidationError

from buildkit_py import canonical
from buildkit_py.errors import IntegrityError
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.tarheader import header
from buildkit_py.layer.tarstream import member_of
from buildkit_py.oci import wire
from buildkit_py.oci.plainly import is_plain
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
    assert facts(member_of, bytes(changed)) == facts(by_library, bytes(changed))


SCALARS = st.sampled_from([
    None, True, False, 0, 2, 2.0, -1, 1 << 44, 1 << 63, "", "x", "layers", "sha256:" + "a" * 64, "sha256:a", "\ud800",
    "application/vnd.oci.image.manifest.v1+json", "text/x\n",
])  # fmt: skip
FIELDS = st.sampled_from([
    "schemaVersion", "config", "layers", "mediaType", "digest", "size", "annotations", "manifests", "platform", "os",
    "architecture", "rootfs", "type", "diff_ids", "history", "created", "Env", "ExposedPorts", "Labels", "StopTimeout",
    "Healthcheck", "empty_layer", "MediaType", "Config", "else",
])  # fmt: skip
BRANCHES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5))
BLOB = {"mediaType": "application/x", "digest": "sha256:" + "a" * 64, "size": 3}
MANIFEST = {"schemaVersion": 2, "config": BLOB, "layers": [BLOB], "annotations": {"a": "b"}}
INDEX = {"schemaVersion": 2, "manifests": [{**BLOB, "platform": {"os": "linux", "architecture": "amd64"}}]}
SETTINGS = {"Env": ["A=b"], "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}, "User": "u", "StopTimeout": 3}
CONFIG = {
    "architecture": "amd64", "os": "linux", "config": SETTINGS, "history": [{"created_by": "x", "empty_layer": True}],
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "a" * 64]},
}  # fmt: skip


@given(st.sampled_from([(wire.MANIFEST, MANIFEST), (wire.INDEX, INDEX), (wire.CONFIG, CONFIG)]), st.data())
def test_documents(pair: tuple[Any, dict[str, Any]], data: st.DataObject) -> None:
    schema, document = pair
    assert is_plain(schema, document)
    changed = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = changed
        while True:
            key = data.draw(st.sampled_from(sorted(place)) if isinstance(place, dict) and place else FIELDS)
            inner = place.get(key)
            inner = inner[0] if isinstance(inner, list) and inner else inner
            if not isinstance(inner, dict) or data.draw(st.booleans()):
                break
            place = inner
        place[data.draw(FIELDS | st.just(key))] = data.draw(BRANCHES)
    # What it does not say yes to, pydantic decides about.
    assert accepted(schema, changed) or not is_plain(schema, changed)


def accepted(schema: Any, value: Any) -> bool:
    try:
        SchemaValidator(schema).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def by_library(block: bytes) -> tarfile.TarInfo:
    found = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    if found.size < 0:
        raise IntegrityError("less than no bytes")
    return found


def facts(read: Callable[[bytes], tarfile.TarInfo], block: bytes) -> Any:
    try:
        found = read(block)
    except (tarfile.HeaderError, IntegrityError):
        return None
    names = ("name", "mode", "uid", "gid", "size", "mtime", "type", "linkname", "devmajor", "devminor")
    return [getattr(found, name) for name in names]
