"""Tars written entry by entry, honest ones and hostile ones, and a canary that none of them may touch."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tarfile import CHRTYPE, DIRTYPE, LNKTYPE, REGTYPE, SYMTYPE

from buildkit_py.layer.apply import Applied, Limits, apply_layer, outline_layer
from buildkit_py.layer.tree import ChainTree, EmptyTree, Tree

Item = tuple[str, bytes, bytes | str]
R, D, S, L = REGTYPE, DIRTYPE, SYMTYPE, LNKTYPE
DEAD = b"dead"
"""What a hostile archive writes where it gets through."""


def tar_of(*items: Item | tarfile.TarInfo) -> bytes:
    """A tar of (name, type, content or target) items, or of `TarInfo`s, whose bytes are zero."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for item in items:
            info = item if isinstance(item, tarfile.TarInfo) else _info(item)
            data = item[2] if not isinstance(item, tarfile.TarInfo) and isinstance(item[2], bytes) else bytes(info.size)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _info(item: Item) -> tarfile.TarInfo:
    name, kind, value = item
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, 0o755 if kind == DIRTYPE else 0o644
    info.linkname = value if isinstance(value, str) else ""
    info.size = len(value) if isinstance(value, bytes) else 0
    return info


def noted(name: str, kind: bytes = REGTYPE, **records: str) -> tarfile.TarInfo:
    """An entry with attributes; `__` in their names stands for a dot."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, 0o755 if kind == DIRTYPE else 0o644
    info.pax_headers = {f"SCHILY.xattr.{key.replace('__', '.')}": value for key, value in records.items()}
    return info


def device(name: str) -> tarfile.TarInfo:
    """The device that forgets."""
    info = tarfile.TarInfo(name)
    info.type, info.devmajor, info.devminor = CHRTYPE, 1, 3
    return info


def hostile(canary: Path) -> dict[str, list[Item]]:
    """Each with the ways of one known hole, aimed at the canary."""
    up = "../" * 12 + str(canary).lstrip("/")
    return {
        "the root as a link (CVE-2021-29136)": [(".", S, str(canary)), ("file", R, DEAD)],
        "a slash as a link (CVE-2021-29136)": [("/", S, str(canary)), ("/file", R, DEAD)],
        "dots": [(f"{up}/file", R, DEAD)],
        "dots in the middle": [("a/", D, b""), (f"a/{up}/file", R, DEAD)],
        "an absolute name": [(f"{canary}/file", R, DEAD)],
        "a parent that is an absolute link": [("ln", S, str(canary)), ("ln/file", R, DEAD)],
        "a parent that is a relative link": [("ln", S, up), ("ln/file", R, DEAD), ("ln/new", R, b"x")],
        "a chain of links": [("a", S, "b"), ("b", S, "c"), ("c", S, str(canary)), ("a/file", R, DEAD)],
        "a link that becomes its own parent": [
            *(("a", S, str(canary)), ("a", D, b""), ("a/file", R, b"x"), ("a", S, str(canary))),
        ],
        "a hard link to the machine": [("h", L, f"{canary}/file"), ("h", R, DEAD)],
        "a hard link through a link (CVE-2020-10696)": [("ln", S, str(canary)), ("h", L, "ln/file"), ("h", R, DEAD)],
        "a hard link with dots": [("h", L, f"{up}/file")],
        "a removal through a link": [("ln", S, str(canary)), ("ln/.wh.file", R, b"")],
        "an opaque marker through a link": [("ln", S, str(canary)), ("ln/.wh..wh..opq", R, b"")],
        "a removal of dots": [("a/.wh...", R, b""), (".wh..", R, b"")],
        "a removal with dots in it": [("a/.wh.../../../file", R, b"")],
        "a link over a file that is written": [("f", S, f"{canary}/file"), ("f", R, DEAD)],
        "a directory over a link": [("d", S, str(canary)), ("d", D, b""), ("d/file", R, b"x")],
        "a path too long to be resolved (CVE-2025-4517)": _too_long(canary),
    }


def _too_long(canary: Path) -> list[Item]:
    """Links in so deep a directory that `os.path.realpath` gives up in the middle, and says that it is inside."""
    deep, items, path = "d" * 247, list[Item](), ""
    for step in "abcdefghijklmnop":
        items += [(f"{path}{deep}", D, b""), (f"{path}{step}", S, deep)]
        path += f"{deep}/"
    link = "/".join("abcdefghijklmnop") + "/" + "l" * 254
    items.append((link, S, "../" * 16))
    items.append(("escape", S, f"{link}{'/..' * 12}{canary}"))
    return [*items, ("h", L, "escape/file"), ("h", R, DEAD), ("escape/file", R, DEAD), ("escape/new", R, DEAD)]


def reaching(canary: Path) -> list[Item | tarfile.TarInfo]:
    """What of that an engine may take, as others do, and must keep below its root, in one tar."""
    there, up = str(canary), "../" * 12 + str(canary).lstrip("/")
    return [
        *((f"{there}/file", R, DEAD), ("p/abs", S, there), ("p/abs/file", R, DEAD), ("p/abs/new", R, DEAD)),
        *(("p/rel", S, f"../{up}"), ("p/rel/file", R, DEAD), ("p/a", S, "b"), ("p/b", S, there), ("p/a/file", R, DEAD)),
        *(("p/f", S, f"{there}/file"), ("p/f", R, DEAD), ("p/d", S, there), ("p/d", D, b""), ("p/d/file", R, DEAD)),
        noted("p/o", DIRTYPE, trusted__overlay__opaque="y", user__overlay__opaque="y", user__kept="1"),
        noted("p/m", user__overlay__metacopy="", trusted__overlay__redirect=there, trusted__overlay__metacopy=""),
    ]


@contextmanager
def alive(place: Path) -> Iterator[Path]:
    """A directory of the machine with a file in it; fails if anything there is made, changed or removed meanwhile."""
    place.mkdir()
    (place / "file").write_text("alive")
    before = (place.stat().st_mtime_ns, (place / "file").stat())
    yield place
    after = (place.stat().st_mtime_ns, (place / "file").stat())
    assert sorted(each.name for each in place.iterdir()) == ["file"]
    assert (place / "file").read_text() == "alive"
    assert before[0] == after[0]
    assert before[1][:9] == after[1][:9] and before[1].st_ctime_ns == after[1].st_ctime_ns


class Stack:
    """A chain of snapshots made by `apply_layer`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0
        self.applied: list[tuple[Path, Applied]] = []

    @property
    def tree(self) -> Tree:
        return ChainTree([(path, each.diff) for path, each in self.applied]) if self.applied else EmptyTree()

    @property
    def top(self) -> Path:
        return self.applied[-1][0]

    def apply(self, blob: io.BytesIO, limits: Limits | None = None) -> Applied:
        self._count += 1
        path = self._directory / f"layer{self._count}"
        path.mkdir()
        path.chmod(0o755)
        applied = apply_layer(blob, path, lower=self.tree, limits=limits)
        blob.seek(0)
        assert outline_layer(blob, lower=self.tree, limits=limits) == applied
        self.applied.append((path, applied))
        return applied

    def text(self, path: str) -> bytes:
        with self.tree.open(path) as file:
            return file.read()

    def names(self, path: str = "") -> list[str]:
        return list(self.tree.children(path))
