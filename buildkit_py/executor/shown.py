"""What mounts take of a step's inputs: a tree to show, and what a new cache begins with."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SourceInputError
from buildkit_py.executor.leaks import refuse_secrets_of_draft
from buildkit_py.executor.workshop import Workshop, input_of, local_source
from buildkit_py.graph.op import CacheMount, Copy
from buildkit_py.layer.draft import Draft, materialise
from buildkit_py.layer.entry import EMPTY_TREE, content_id
from buildkit_py.layer.fileops import apply_op
from buildkit_py.layer.owner import resolve_owner
from buildkit_py.layer.tree import EmptyTree, Tree, printable, resolve
from buildkit_py.patterns import escaped
from buildkit_py.protocol import StepTask, TaskInput

_PLAIN_MODE, _PLAIN_OWNER = "0755", "0:0"


@dataclass(frozen=True, slots=True)
class Shown:
    """The inputs of one task, as mounts see them."""

    shop: Workshop
    task: StepTask
    cancelled: Event

    def content(self, role: str, source: str) -> str:
        """The content id of a tree that holds, at `source`, what a mount of that input shows."""
        given = input_of(self.task, role)
        local = local_source(given)
        return given.content_id if local is None else self._laid_out(given, source, plain=not local.special)

    def _laid_out(self, given: TaskInput, source: str, *, plain: bool) -> str:
        """What a mount shows of a local directory, as a snapshot: the step sees what its key was made of."""
        parent = source.rstrip("/").rpartition("/")[0]
        op = Copy(sources=(escaped(source),), dest=f"{parent}/", owner="0:0", mode="auto" if plain else None)
        draft = apply_op(op, EmptyTree(), self.shop.tree(given))
        content = content_id(EMPTY_TREE, draft.diff)
        if draft.diff:
            self._keep(draft)
            self.shop.store.trees.put(content, EMPTY_TREE, draft.diff.digest)
        return content

    def _keep(self, draft: Draft) -> None:
        snapshots = self.shop.store.snapshots
        if not snapshots.has(draft.diff.digest):
            refuse_secrets_of_draft(self.shop.secrets, draft, self.cancelled, copied=True)
            with snapshots.area() as area:
                size = materialise(draft, area.fs, self.task.epoch)
                snapshots.commit(area, draft.diff.digest, draft.diff.encoded, size)

    def cache_name(self, mount: CacheMount) -> str:
        """What a cache is called: caches of one id that began with different things are different caches."""
        if mount.input is None:
            return mount.id
        return f"{mount.id} from {self.content(mount.input, mount.source)}:{mount.source}"

    def begin(self, mount: CacheMount, base: Tree, directory: Path) -> None:
        """Fill the directory of a new cache with what it is to begin with."""
        if mount.input is None:
            return
        tree = self.shop.trees.tree(self.content(mount.input, mount.source))
        entry = tree.lookup(resolve(tree, mount.source))
        if entry is None or entry.type != "dir":
            raise SourceInputError(f"{printable(mount.source)} is not a directory, as a cache must begin with")
        op = Copy(sources=(f"{escaped(mount.source).rstrip('/')}/",), dest="/")
        materialise(apply_op(op, EmptyTree(), tree), directory, self.task.epoch)
        uid, gid = (entry.uid, entry.gid) if mount.owner == _PLAIN_OWNER else resolve_owner(base, mount.owner)
        os.chown(directory, uid, gid)
        directory.chmod(entry.mode if mount.mode == _PLAIN_MODE else int(mount.mode, 8))
