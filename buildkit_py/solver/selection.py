"""What a step takes from an input, as a digest: of exactly the paths that it selects, and of what it keeps of each.

A copy that gives every file one owner does not depend on the owners of its source, and one with `mode auto` depends on
nothing but the executable bit; so the digest leaves out what the result can't show. Which of the selected names share
one file is part of it; where else that file has names is not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from buildkit_py import canonical
from buildkit_py.dataclass import dataclass, replace
from buildkit_py.digest import Digest
from buildkit_py.graph.op import BindMount, CacheMount, Copy, ExecStep, Merge, Op, Unpack
from buildkit_py.layer import contents, select
from buildkit_py.layer.flat import link_key
from buildkit_py.layer.links import share
from buildkit_py.layer.xattrs import CAPABILITY

if TYPE_CHECKING:
    from buildkit_py.layer.contents import Pick
    from buildkit_py.layer.entry import Entry
    from buildkit_py.layer.select import Root
    from buildkit_py.layer.tree import Tree

Modes = Literal["all", "executable", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a selector takes from a tree, as canonical JSON; with `contents: always`, one item for each of `names`."""

    names: tuple[str, ...]
    text: bytes

    @property
    def digest(self) -> str:
        """Names what is selected."""
        return str(Digest.of(self.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """A pure description of what is taken from one input; `name` tells selections of one step apart."""

    name: str
    role: str
    sources: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    contents: Literal["slash", "always"] = "slash"
    optional: bool = False
    parents: bool = False
    unpack: bool = False
    owners: bool = True
    modes: Modes = "all"
    directory_modes: Modes = "all"

    def memo_key(self, content_id: str) -> str:
        """Names this selection from a tree that never changes."""
        plain: Mapping[str, Any] = {
            field: getattr(self, field) for field in self.__slots__ if field not in ("name", "role")
        }
        return canonical.digest({"tree": content_id, **plain}).hex

    def check(self, tree: Tree, source: str) -> None:
        """Raise `SourceInputError` where one of the sources stands for nothing."""
        if self.contents == "always":
            contents.check(tree, source, optional=self.optional, parents=self.parents)
        else:
            select.check(tree, source, optional=self.optional)

    def select(self, tree: Tree) -> Selection:
        """What is selected; raises `SourceInputError` where nothing is."""
        if self.contents != "always":
            return Selection(names=(), text=canonical.dumps(list(self.rows(tree))))
        named = list(self.named(tree))
        return Selection(names=tuple(name for name, _ in named), text=canonical.dumps([item for _, item in named]))

    def rows(self, tree: Tree) -> Iterator[list[Any]]:
        """What is selected, as rows; not for `contents: always`."""
        selection = select.select(tree, self.sources, exclude=self.exclude, optional=self.optional)
        return (self._row(entry) for root in selection.roots for entry in _shared(root))

    def named(self, tree: Tree) -> Iterator[tuple[str, Any]]:
        """With `contents: always`, one item a pick, and what that is called. Of a directory that stands for what it
        holds, neither name nor metadata can show."""
        picks = contents.pick(tree, self.sources, exclude=self.exclude, optional=self.optional, parents=self.parents)
        for picked in picks:
            if picked.entry.type == "dir":
                yield picked.name, list(self._inside(picked))
            elif self.unpack and _is_archive(tree, picked.entry):
                yield picked.name, picked.entry.digest
            else:
                alone = replace(picked.entry, path=picked.name)
                yield picked.name, {"file": self._row(_bare(share([(alone, None)])[0]))}

    def _inside(self, picked: Pick) -> Iterator[list[Any]]:
        targets = {each.entry.target for each in picked.inside if each.entry.type == "hardlink"}
        if not targets:
            # No names of one file: each stands for itself.
            for each in picked.inside:
                _, *rest = self._row(_bare(each.entry))
                yield [each.path, *rest, {"held": each.entry.mode}] if each.held else [each.path, *rest]
            return
        named = share([
            (replace(each.entry, path=each.path), link_key(each.entry, targets)) for each in picked.inside
        ])  # fmt: skip
        for each, entry in zip(picked.inside, named, strict=True):
            row = self._row(_bare(entry))
            # Where such a directory is there already, it gets the source's mode whatever mode the copy sets.
            yield [*row, {"held": each.entry.mode}] if each.held else row

    def _row(self, entry: Entry) -> list[Any]:
        row = entry.to_row()
        modes = self.directory_modes if entry.type == "dir" else self.modes
        if not self.owners:
            row[3] = row[4] = 0
        if modes == "none":
            row[2] = 0
        elif modes == "executable":
            row[2] = 0 if entry.type in ("dir", "symlink") else entry.mode & 0o100
        return row


def _bare(entry: Entry) -> Entry:
    """An entry with the attributes that such a copy keeps."""
    if not entry.xattrs:
        return entry
    return replace(entry, xattrs=tuple(each for each in entry.xattrs if each[0] == CAPABILITY))


def _is_archive(tree: Tree, entry: Entry) -> bool:
    from buildkit_py.layer.unpack import is_tar

    return entry.type in ("file", "hardlink") and is_tar(tree, entry.path)


def _shared(root: Root) -> list[Entry]:
    """What a root holds, under the names that it is selected by; a link names the first of the selected names of its
    file."""
    targets = {entry.target for entry in root.entries if entry.type == "hardlink"}
    keys = [link_key(entry, targets) for entry in root.entries]
    return share(list(zip(select.Selection(roots=(root,)).entries, keys, strict=True)))


def selectors_of(op: Op, local: Collection[str] = (), plain: Collection[str] = ()) -> list[Selector]:
    """The selections that a step makes from its inputs; those with the roles in `local` are directories of the client.

    A mount shows files of those that are `plain` with plain modes, so only their executable bits count. What a new
    cache begins with counts too.
    """
    if isinstance(op, Copy):
        return [_of_copy(op)]
    if isinstance(op, Merge):
        # All of it; the content id of a tree says the same, but a directory of the client has none.
        return [Selector(name="from", role="from", sources=("/",))] if "from" in local else []
    if isinstance(op, Unpack):
        return [
            Selector(name="from", role="from", sources=op.sources, owners=False, modes="none", directory_modes="none")
        ]
    if isinstance(op, ExecStep):
        return [
            _of_mount(mount, plain) for mount in op.mounts if isinstance(mount, BindMount | CacheMount) if mount.input
        ]
    return []


def _of_mount(mount: BindMount | CacheMount, plain: Collection[str]) -> Selector:
    modes: Modes = "executable" if mount.input in plain else "all"
    return Selector(
        name=mount.target,
        role=mount.input or "",
        sources=(mount.source,),
        modes=modes,
        directory_modes=modes,
    )


def _of_copy(op: Copy) -> Selector:
    return Selector(
        name="from",
        role="from",
        sources=op.sources,
        exclude=op.exclude,
        contents=op.contents,
        optional=op.optional,
        parents=op.parents,
        unpack=op.unpack,
        owners=op.owner is None,
        modes=_shown(op.mode),
        directory_modes=_shown(op.mode if op.directory_mode is None else op.directory_mode),
    )


def _shown(mode: str | None) -> Modes:
    """What a result shows of the modes of its source."""
    if mode == "auto":
        return "executable"
    return "none" if mode is not None and mode.isdigit() else "all"
