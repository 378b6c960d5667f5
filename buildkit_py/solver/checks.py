"""The file checks of a `test` block as a node: answered from the index of the finished tree, without a mount."""

from __future__ import annotations

from dataclasses import dataclass, field

from buildkit_py import canonical
from buildkit_py.errors import PybuildError, TestError
from buildkit_py.graph.codec import encode
from buildkit_py.graph.definition import Test, TestItem
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.owner import resolve_owner
from buildkit_py.layer.tree import Tree, resolve
from buildkit_py.solver.nodes import Identity, InputNeeded
from buildkit_py.solver.session import Session
from buildkit_py.source import Span

MAX_TEXT = 64 * 1024 * 1024


@dataclass(slots=True)
class CheckNode:
    """All file checks of one `test` block over one tip. What held once for a tree holds for ever."""

    session: Session
    image: str
    tip: str
    test: Test
    kind: str = "test"
    slow: bool = False
    eager: tuple[str, ...] = ()
    id: str = field(init=False)
    title: str = field(init=False)
    inputs: tuple[str, ...] = field(init=False)
    span: Span | None = field(init=False)

    def __post_init__(self) -> None:
        self.id = f"check-{canonical.digest([self.tip, self.image, self._items()]).hex}"
        self.title = f"test {self.test.name!r} of {self.image}"
        self.inputs = (self.tip,)
        self.span = self.test.span

    def identify(self) -> Identity:
        """Known where the same checks held for the same tree."""
        known = self.session.store.memo.get("check", self._memo_key())
        return Identity(known=known is True, available=True, spared=known is True)

    def prepare(self) -> None:
        """Nothing to do."""

    def produce(self) -> None:
        """Look at every item; raises `TestError` that names each one that does not hold."""
        content_id = self.session.content[self.tip]
        if not self.session.trees.complete(content_id):
            raise InputNeeded(self.tip)
        self.session.begin(self)
        tree = self.session.trees.tree(content_id)
        faults = [(item, fault) for item in self.test.items if (fault := fault_of(tree, item)) is not None]
        if faults:
            raise TestError(
                f"test {self.test.name!r} of image {self.image!r} failed: " + "; ".join(fault for _, fault in faults),
                span=faults[0][0].span or self.span,
            )
        self.session.store.memo.put("check", self._memo_key(), True)
        self.session.did(self)

    def cancel(self) -> None:
        """A check is short: it runs to its end."""

    def _items(self) -> list[object]:
        return [encode(item) for item in self.test.items if item.kind != "run"]

    def _memo_key(self) -> str:
        plain = [{**item, "span": None} for item in self._items() if isinstance(item, dict)]
        return canonical.digest([self.session.content[self.tip], plain]).hex


def fault_of(tree: Tree, item: TestItem) -> str | None:
    """What is wrong, in words; None where the item holds. `run` items are steps and not looked at here."""
    if item.kind == "run":
        return None
    path = item.path or ""
    entry = _find(tree, path, follow=item.kind in ("file", "text"))
    if item.kind == "absent":
        return None if entry is None else f"{path} is there ({entry.type})"
    if entry is None:
        return f"{path} is not there"
    return _CHECKS[item.kind](tree, entry, path, item.expected)


def _find(tree: Tree, path: str, *, follow: bool) -> Entry | None:
    try:
        return tree.lookup(resolve(tree, path, follow_last=follow))
    except PybuildError:
        return None


def _file(tree: Tree, entry: Entry, path: str, expected: str | None) -> str | None:
    return None if entry.type in ("file", "hardlink") else f"{path} is not a file but a {entry.type}"


def _owner(tree: Tree, entry: Entry, path: str, expected: str | None) -> str | None:
    uid, gid = resolve_owner(tree, expected or "")
    whole = ":" in (expected or "")
    if entry.uid == uid and (not whole or entry.gid == gid):
        return None
    return f"{path} belongs to {entry.uid}:{entry.gid}, not to {expected}"


def _mode(tree: Tree, entry: Entry, path: str, expected: str | None) -> str | None:
    if entry.mode == int(expected or "0", 8):
        return None
    return f"{path} has mode {entry.mode:04o}, not {expected}"


def _text(tree: Tree, entry: Entry, path: str, expected: str | None) -> str | None:
    if entry.type not in ("file", "hardlink"):
        return f"{path} is not a file but a {entry.type}"
    with tree.open(resolve(tree, path)) as file:
        content = file.read(MAX_TEXT)
    return None if (expected or "").encode() in content else f"{path} does not hold {expected!r}"


_CHECKS = {"file": _file, "owner": _owner, "mode": _mode, "text": _text}
