"""What the tests of this room share: tars written entry by entry, and a canary that no archive may touch."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buildkit_py.layer.apply import Applied, Limits, apply_layer, outline_layer
from buildkit_py.layer.tree import ChainTree, EmptyTree, Tree

Item = tuple[str, bytes, bytes | str]
MakeTar = Callable[..., io.BytesIO]


@pytest.fixture
def make_tar() -> MakeTar:
    """Gives a tar of (name, type, content or target) items, or of `TarInfo`s."""

    def make(*items: Item | tarfile.TarInfo) -> io.BytesIO:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for item in items:
                if isinstance(item, tarfile.TarInfo):
                    tar.addfile(item, io.BytesIO(bytes(item.size)))
                    continue
                name, kind, value = item
                info = tarfile.TarInfo(name)
                info.type, info.mode = kind, 0o755 if kind == tarfile.DIRTYPE else 0o644
                data = value if isinstance(value, bytes) else b""
                info.linkname = value if isinstance(value, str) else ""
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        out.seek(0)
        return out

    return make


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """Layers applied one upon the other."""
    return Stack(tmp_path)


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


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A directory of the machine with a file in it; the test fails if anything there is made, changed or removed."""
    place = tmp_path / "canary"
    place.mkdir()
    (place / "file").write_text("alive")
    before = (place.stat().st_mtime_ns, (place / "file").stat())
    yield place
    after = (place.stat().st_mtime_ns, (place / "file").stat())
    assert sorted(each.name for each in place.iterdir()) == ["file"]
    assert (place / "file").read_text() == "alive"
    assert before[0] == after[0]
    assert before[1][:9] == after[1][:9] and before[1].st_ctime_ns == after[1].st_ctime_ns
