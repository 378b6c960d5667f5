"""What differs between two trees that lie upon the same lower one; where neither changed that, nothing is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from buildkit_py.dataclass import dataclass
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tree import Tree, join, same

_LINKS = ("file", "hardlink")
_FIELDS = ("mode", "owner", "content", "target", "device", "xattrs")


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that differs: its entry before and after, None where it is not there."""

    before: Entry | None
    after: Entry | None

    @property
    def path(self) -> str:
        """Relative to the root, which is the empty path."""
        entry = self.after or self.before
        assert entry is not None
        return entry.path

    @property
    def kind(self) -> str:
        """`added`, `removed` or `changed`."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"

    @property
    def what(self) -> tuple[str, ...]:
        """What changed: `type` alone, or of `mode`, `owner`, `content`, `target`, `device`, `xattrs`."""
        if self.before is None or self.after is None:
            return ()
        if _type(self.before) != _type(self.after):
            return ("type",)
        pairs = zip(_FIELDS, _values(self.before), _values(self.after), strict=True)
        return tuple(name for name, before, after in pairs if before != after)

    @property
    def bytes(self) -> int:
        """By how many bytes files grew; further names of a file count for nothing."""
        return _size(self.after) - _size(self.before)


def differences(before: Tree, after: Tree, uppers: Iterable[Diff]) -> Iterator[Difference]:
    """Every difference, by path. `uppers` are all diffs of both trees above the lower one that they share."""
    touched: set[str] = set()
    replaced: set[str] = set()
    for diff in uppers:
        for entry in diff.entries:
            touched.add(entry.path)
            if entry.type != "dir":
                # What comes in its place later shows nothing of the shared tree, and says so nowhere.
                replaced.add(entry.path)
    return _Comparison(before, after, touched, replaced).below("", whole=False)


class _Comparison:
    def __init__(self, before: Tree, after: Tree, touched: set[str], replaced: set[str]) -> None:
        self._before = before
        self._after = after
        self._touched = touched
        self._replaced = replaced

    def below(self, path: str, *, whole: bool) -> Iterator[Difference]:
        """The differences at and below a path; `whole`: what no diff touches there may differ too."""
        before, after = self._before.lookup(path), self._after.lookup(path)
        if not same(before, after):
            yield Difference(before, after)
        folders = [
            tree
            for tree, entry in ((self._before, before), (self._after, after))
            if entry is not None and entry.type == "dir"
        ]
        whole = whole or path in self._replaced
        for name in sorted({name for tree in folders for name in tree.children(path)}):
            child = join(path, name)
            if whole or child in self._touched:
                yield from self.below(child, whole=whole)


def _type(entry: Entry) -> str:
    return "file" if entry.type in _LINKS else entry.type


def _values(entry: Entry) -> tuple[object, ...]:
    target = entry.target if entry.type == "symlink" else None
    return (entry.mode, (entry.uid, entry.gid), entry.digest, target, entry.device, entry.xattrs)


def _size(entry: Entry | None) -> int:
    return entry.size if entry is not None and entry.type == "file" else 0
