"""What a step takes from an input, as a digest: of exactly the paths that it selects, and of what it keeps of each.

A copy that gives every file one owner does not depend on the owners of its source, and one with `mode auto` depends on
nothing but the executable bit; so the digest leaves out what the result can't show. Which of the selected names share
one file is part of it; where else that file has names is not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from buildkit_py import canonical
from buildkit_py.graph.op import BindMount, Copy, ExecStep, Op, Unpack
from buildkit_py.layer.flat import link_key
from buildkit_py.layer.links import share
from buildkit_py.layer.select import Selection, select

if TYPE_CHECKING:
    from buildkit_py.layer.entry import Entry
    from buildkit_py.layer.select import Root
    from buildkit_py.layer.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """A pure description of what is taken from one input; `name` tells selections of one step apart."""

    name: str
    role: str
    sources: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    contents: Literal["slash", "always"] = "slash"
    owners: bool = True
    modes: Literal["all", "executable", "none"] = "all"

    def memo_key(self, content_id: str) -> str:
        """Names this selection from a tree that never changes."""
        plain: Mapping[str, Any] = {
            field: getattr(self, field) for field in self.__slots__ if field not in ("name", "role")
        }
        return canonical.digest({"tree": content_id, **plain}).hex

    def digest(self, tree: Tree) -> str:
        """The digest of what is selected; raises `SourceInputError` where nothing is."""
        selection = select(tree, self.sources, exclude=self.exclude, contents=self.contents)
        rows = [self._row(entry) for root in selection.roots for entry in _shared(root)]
        return str(canonical.digest(rows))

    def _row(self, entry: Entry) -> list[Any]:
        row = entry.to_row()
        if not self.owners:
            row[3] = row[4] = 0
        if self.modes == "none":
            row[2] = 0
        elif self.modes == "executable":
            row[2] = 0 if entry.type in ("dir", "symlink") else entry.mode & 0o100
        return row


def _shared(root: Root) -> list[Entry]:
    """What a root holds, under the names that it is selected by; a link names the first of the selected names of its
    file."""
    targets = {entry.target for entry in root.entries if entry.type == "hardlink"}
    keys = [link_key(entry, targets) for entry in root.entries]
    return share(list(zip(Selection(roots=(root,)).entries, keys, strict=True)))


def selectors_of(op: Op, local: Collection[str] = ()) -> list[Selector]:
    """The selections that a step makes from its inputs; those with the roles in `local` are directories of the client.

    A mount shows files of the client with plain modes, so only their executable bits count.
    """
    if isinstance(op, Copy):
        return [_of_copy(op)]
    if isinstance(op, Unpack):
        return [Selector(name="from", role="from", sources=op.sources, owners=False, modes="none")]
    if isinstance(op, ExecStep):
        return [
            Selector(
                name=mount.target,
                role=mount.input,
                sources=(mount.source,),
                modes="executable" if mount.input in local else "all",
            )
            for mount in op.mounts
            if isinstance(mount, BindMount)
        ]
    return []


def _of_copy(op: Copy) -> Selector:
    modes: Literal["all", "executable", "none"] = "all"
    if op.mode == "auto":
        modes = "executable"
    elif op.mode is not None and op.mode.isdigit():
        modes = "none"
    return Selector(
        name="from",
        role="from",
        sources=op.sources,
        exclude=op.exclude,
        contents=op.contents,
        owners=op.owner is None,
        modes=modes,
    )
