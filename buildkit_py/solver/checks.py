"""The file checks of a `test` block as nodes: answered from the index of the finished tree, without a mount."""

from __future__ import annotations

from threading import Event
from typing import BinaryIO

from buildkit_py import canonical
from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import PybuildError, TestError
from buildkit_py.graph.codec import encode
from buildkit_py.graph.definition import TestItem
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.owner import resolve_owner
from buildkit_py.layer.tree import Tree, resolve
from buildkit_py.solver.key import shared_key
from buildkit_py.solver.nodes import Identity, InputNeeded
from buildkit_py.solver.session import Session
from buildkit_py.source import Span

BLOCK = 1 << 20


@dataclass(slots=True)
class CheckNode:
    """One file check of a `test` block over one tip. What held once for a tree holds for ever."""

    session: Session
    image: str
    tip: str
    test: str
    item: TestItem
    kind: str = "test"
    slow: bool = field(init=False)
    eager: tuple[str, ...] = ()
    id: str = field(init=False)
    title: str = field(init=False)
    inputs: tuple[str, ...] = field(init=False)
    span: Span | None = field(init=False)

    def __post_init__(self) -> None:
        self.slow = self.session.cache is not None
        self.id = f"check-{canonical.digest([self.tip, self.image, self.test, encode(self.item)]).hex}"
        self.title = f"test {self.test!r} of {self.image}: {self.item.kind} {self.item.path}"
        self.inputs = (self.tip,)
        self.span = self.item.span

    def identify(self) -> Identity:
        """Known where the same check held for the same tree."""
        known = self.held or self._shared()
        return Identity(known=known, available=True, spared=known)

    @property
    def held(self) -> bool:
        """Whether the store knows that the check holds."""
        return self.session.store.memo.get("check", self.memo_key()) is True

    def _shared(self) -> bool:
        """Whether it held for the same tree on another machine."""
        cache = self.session.cache
        if cache is None or not cache.check(shared_key("check", self.memo_key())):
            return False
        self.session.store.memo.put("check", self.memo_key(), True)
        return True

    def look_ahead(self, stop: Event) -> None:
        """Nothing to look at."""

    def prepare(self) -> None:
        """Nothing to do."""

    def produce(self) -> Identity:
        """Look at the file; raises `TestError` where it is not as it should be."""
        content_id = self.session.content[self.tip]
        if not self.session.trees.complete(content_id):
            raise InputNeeded(*self.session.stacks.whole(self.tip))
        self.session.begin(self)
        tree = self.session.trees.tree(content_id)
        fault = fault_of(tree, self.item)
        if fault is not None:
            raise TestError(f"test {self.test!r} of {self.image}: {self.item.kind} {fault}", span=self.span)
        self.session.store.memo.put("check", self.memo_key(), True)
        self.session.did(self)
        return Identity(known=True, available=True)

    def cancel(self) -> None:
        """A check is short: it runs to its end."""

    def memo_key(self) -> str:
        """What the store knows the check by."""
        return canonical.digest([self.session.content[self.tip], {**encode(self.item), "span": None}]).hex


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
    wanted = (expected or "").encode()
    with tree.open(resolve(tree, path)) as file:
        return None if holds(file, wanted) else f"{path} does not hold {expected!r}"


def holds(file: BinaryIO, wanted: bytes, block: int = BLOCK) -> bool:
    """Whether a file of any size has these bytes somewhere."""
    kept = b""
    while True:
        piece = file.read(block)
        if wanted in kept + piece:
            return True
        if not piece:
            return False
        # What could be the beginning of a match that ends in the next block.
        kept = (kept + piece)[-(len(wanted) - 1) :] if len(wanted) > 1 else b""


_CHECKS = {"file": _file, "owner": _owner, "mode": _mode, "text": _text}
