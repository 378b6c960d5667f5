"""What a step takes from an input, as a digest: of exactly the paths that it selects, and of what it keeps of each.

A copy that gives every file one owner does not depend on the owners of its source, and one with `mode auto` depends on
nothing but the executable bit; so the digest leaves out what the result can't show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from buildkit_py import canonical
from buildkit_py.graph.op import BindMount, Copy, ExecStep, Op, Unpack
from buildkit_py.layer.select import select

if TYPE_CHECKING:
    from buildkit_py.layer.entry import Entry
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
        rows = [self._row(entry) for entry in selection.entries]
        return str(canonical.digest(rows))

    def _row(self, entry: Entry) -> list[Any]:
        row = entry.to_row()
        if not self.owners:
            row[3] = row[4] = 0
        if self.modes == "none":
            row[2] = 0
        elif self.modes == "executable":
            row[2] = entry.mode & 0o100 if entry.type in ("file", "hardlink") else 0
        return row


def selectors_of(op: Op) -> list[Selector]:
    """The selections that a step makes from its inputs."""
    if isinstance(op, Copy):
        return [_of_copy(op)]
    if isinstance(op, Unpack):
        return [Selector(name="from", role="from", sources=op.sources, owners=False, modes="none")]
    if isinstance(op, ExecStep):
        return [
            Selector(name=mount.target, role=mount.input, sources=(mount.source,))
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
