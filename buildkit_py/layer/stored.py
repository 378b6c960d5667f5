"""Trees of the store by content id: their diffs, their directories, and one merged view of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from buildkit_py import canonical
from buildkit_py.errors import NotFoundError
from buildkit_py.graph.op import GitSource, HttpSource
from buildkit_py.layer.entry import EMPTY_TREE, Diff
from buildkit_py.layer.openat import Root, open_in
from buildkit_py.layer.tree import ChainTree, EmptyTree, Tree
from buildkit_py.store.snapshots import INDEX_LIMIT

if TYPE_CHECKING:
    from buildkit_py.layer.draft import Draft
    from buildkit_py.store import Store


class StoredTrees:
    """Looks trees up in a store and keeps what it read for as long as it lives. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = Lock()
        self._diffs: dict[str, Diff] = {}
        self._drafts: dict[str, Draft] = {}
        self._chains: dict[str, tuple[str, ...]] = {EMPTY_TREE: ()}
        self._trees: dict[str, Tree] = {}
        self._complete: set[str] = {EMPTY_TREE}
        self._described: set[str] = {EMPTY_TREE}

    def complete(self, content_id: str) -> bool:
        """Whether the bytes of the whole tree are in the store."""
        return self._all(content_id, self._store.snapshots.has, self._complete)

    def described(self, content_id: str) -> bool:
        """Whether it is known of the whole tree what it consists of, with or without its bytes."""
        return self._all(content_id, self._is_described, self._described)

    def holds(self, content_id: str, base: str) -> bool:
        """Whether the store has the bytes that a step over the tree `base` added to make this one."""
        row = self._store.trees.get(content_id)
        return content_id == base or (row is not None and self._store.snapshots.has(row[1]))

    def tells(self, content_id: str, base: str) -> bool:
        """Whether it is known what a step over the tree `base` changed to make this one, with or without its bytes."""
        row = self._store.trees.get(content_id)
        return content_id == base or (row is not None and self._is_described(row[1]))

    def _all(self, content_id: str, there: Callable[[str], bool], known: set[str]) -> bool:
        """Whether something is there of every diff of a tree; `known` are the trees that it holds for."""
        pending: list[str] = []
        current: str | None = content_id
        while current is not None and current not in known:
            row = self._store.trees.get(current)
            if row is None or not there(row[1]):
                return False
            pending.append(current)
            current = row[0]
        known.update(pending)
        return True

    def _is_described(self, digest: str) -> bool:
        return self.readable(digest) or self._store.blobs.has(digest)

    def offer(self, draft: Draft) -> bool:
        """Let a diff be known whose bytes can be read where they come from; it is then durable as a blob.

        False where the store had it before, with its bytes or without.
        """
        digest, blobs = draft.diff.digest, self._store.blobs
        laid = self._store.snapshots.has(digest)
        known = laid or blobs.has(digest)
        if not known:
            blobs.put(draft.diff.encoded)
        with self._lock:
            self._diffs[digest] = draft.diff
            if not laid:
                self._drafts[digest] = draft
        return not known

    def learn(self, diff: Diff) -> None:
        """Spare reading a diff that was just made."""
        with self._lock:
            self._diffs.setdefault(diff.digest, diff)

    def readable(self, digest: str) -> bool:
        """Whether the bytes of a diff can be read: from its snapshot, or from where a draft takes them."""
        return digest in self._drafts or self._store.snapshots.has(digest)

    @contextmanager
    def opened(self, digest: str) -> Iterator[Callable[[str], BinaryIO]]:
        """Opens many files of a diff, one after another; the call raises `OSError`."""
        draft = self._drafts.get(digest)
        if draft is not None:
            yield lambda path: draft.contents[path]()
            return
        with Root(self._store.snapshots.fs(digest)) as root:
            yield root.open

    def open(self, digest: str, path: str) -> BinaryIO:
        """A file of a diff; raises `OSError`."""
        draft = self._drafts.get(digest)
        return draft.contents[path]() if draft is not None else open_in(self._store.snapshots.fs(digest), path)

    def diff(self, digest: str) -> Diff:
        """The diff of that digest; raises `NotFoundError`."""
        with self._lock:
            found = self._diffs.get(digest)
        if found is None:
            found = Diff.decode(self._index(digest))
            with self._lock:
                self._diffs[digest] = found
        return found

    def _index(self, digest: str) -> bytes:
        try:
            return self._store.snapshots.index(digest)
        except NotFoundError:
            return self._store.blobs.read(digest, INDEX_LIMIT)

    def chain(self, content_id: str) -> tuple[str, ...]:
        """The digests of the diffs that make the tree, lowest first."""
        known = self._chains.get(content_id)
        if known is None:
            known = self._grown(content_id) or tuple(self._store.trees.chain(content_id))
            self._chains[content_id] = known
        return known

    def _grown(self, content_id: str) -> tuple[str, ...] | None:
        """The chain of a tree whose parent's is known: chains grow step by step."""
        row = self._store.trees.get(content_id)
        below = self._chains.get(row[0] or EMPTY_TREE) if row is not None else None
        return (*below, row[1]) if row is not None and below is not None else None

    def above(self, content_id: str, lower: str) -> list[str]:
        """The digests of the diffs that make the tree out of `lower`, lowest first; nothing need be known of `lower`.

        Raises `NotFoundError` where the store has forgotten a tree between the two.
        """
        found: list[str] = []
        while content_id != lower:
            row = self._store.trees.get(content_id)
            if row is None:
                raise NotFoundError(f"the store knows no tree {content_id}")
            content_id = row[0] or EMPTY_TREE
            found.append(row[1])
        return found[::-1]

    def known(self, content_id: str, lower: str) -> bool:
        """Whether the store still knows how the tree is made out of `lower`."""
        try:
            self.above(content_id, lower)
        except NotFoundError:
            return False
        return True

    def directories(self, content_id: str) -> list[Path]:
        """The directories to stack, lowest first."""
        return [self._store.snapshots.fs(digest) for digest in self.chain(content_id)]

    def tree(self, content_id: str) -> Tree:
        """The merged view; the tree must be `described`. Files can be opened where it is complete."""
        with self._lock:
            found = self._trees.get(content_id)
        if found is None:
            found = self._merge(self.chain(content_id))
            with self._lock:
                self._trees[content_id] = found
        return found

    def _merge(self, chain: Sequence[str]) -> Tree:
        if not chain:
            return EmptyTree()
        return ChainTree([(partial(self.open, digest), self.diff(digest)) for digest in chain])


def image_content_ids(layers: Iterable[str]) -> list[str]:
    """The content ids of an image's trees, one a layer, lowest first; `layers` are the digests of its blobs.

    Blobs are verified against their digests whenever they are read. What a configuration says of them is not.
    """
    digests = list(layers)
    return [str(canonical.digest({"image": digests[: count + 1]})) for count in range(len(digests))]


def http_content_id(source: HttpSource) -> str:
    """The content id of the tree that holds the one file of a pinned URL."""
    mode = {} if source.mode == "0644" else {"mode": source.mode}
    return str(canonical.digest({"http": source.digest, "filename": source.filename, **mode}))


def git_content_id(source: GitSource) -> str:
    """The content id of the tree of a commit."""
    more = {"submodules": True} if source.submodules else {}
    plain = {"git": source.commit, "subdir": source.subdir, "keep_git_dir": source.keep_git_dir, **more}
    return str(canonical.digest(plain))
