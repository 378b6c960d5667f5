"""Copying where every directory stands for what it holds (`contents: always`), as Go's container tools do.

    pick ──▶ destination: links followed, the last one too; a file goes into a directory that is there
         ──▶ its missing directories are made
         ──▶ a file takes the place of anything but a directory; a directory that is there takes the source's metadata,
             but for the one that was named; a directory never takes the place of anything else

Each pick sees what those before it have made.
"""

from __future__ import annotations

import posixpath
from functools import partial
from pathlib import Path

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.errors import SourceInputError
from buildkit_py.graph.op import Copy
from buildkit_py.layer.contents import Inside, Pick, pick
from buildkit_py.layer.edit import Edit
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.flat import link_key
from buildkit_py.layer.modes import apply_mode
from buildkit_py.layer.owner import resolve_owner
from buildkit_py.layer.tree import Tree, ancestors, join, printable, resolve
from buildkit_py.layer.xattrs import CAPABILITY

Owner = tuple[int, int]


def copied(op: Copy, entry: Entry, path: str, owner: Owner | None) -> Entry:
    """An entry of the source as it is at `path` of the result."""
    uid, gid = owner if owner is not None else (entry.uid, entry.gid)
    return replace(entry, path=path, uid=uid, gid=gid, mode=_mode(op, entry))


def _mode(op: Copy, entry: Entry) -> int:
    is_directory = entry.type == "dir"
    wanted = op.directory_mode if is_directory and op.directory_mode is not None else op.mode
    if entry.type == "symlink":
        return 0o777
    if wanted is None:
        return entry.mode
    if wanted == "auto":
        return 0o755 if is_directory or entry.mode & 0o100 else 0o644
    return apply_mode(wanted, entry.mode, directory=is_directory)


def make_directories(edit: Edit, path: str, *, mode: int = 0o755, owner: Owner | None = None) -> None:
    """Make the directories that are missing of a path without links; raises `SourceInputError` where something else is
    in the way."""
    uid, gid = owner or (0, 0)
    for place in (*ancestors(path), *([path] if path else [])):
        found = edit.lookup(place)
        if found is None:
            edit.put(Entry(path=place, type="dir", mode=mode, uid=uid, gid=gid))
        elif found.type != "dir":
            raise SourceInputError(f"/{printable(place)} is a {found.type}, not a directory", hint="remove it first")


def make_for(op: Copy, edit: Edit, path: str, owner: Owner | None) -> None:
    """Make the directories that a copy needs; `made` says whom they belong to."""
    if op.made == "root":
        make_directories(edit, path)
        return
    wanted = op.directory_mode or op.mode or ""
    # Only what is copied gets the set-id and sticky bits, not the way to it.
    make_directories(edit, path, mode=int(wanted, 8) & 0o777 if wanted.isdigit() else 0o755, owner=owner)


def copy_contents(op: Copy, edit: Edit, source: Tree, spool: Path | None) -> None:
    """Do a copy; `spool` is a directory for what archives hold."""
    owner = resolve_owner(edit, op.owner, lenient=True) if op.owner is not None else None
    picks = pick(source, op.sources, exclude=op.exclude, optional=op.optional, parents=op.parents)
    for number, picked in enumerate(picks):
        if not (op.unpack and _unpacked(op, edit, source, picked, owner, spool, number)):
            _Copying(op, edit, source, owner, number).lay(picked)


def _unpacked(
    op: Copy, edit: Edit, source: Tree, picked: Pick, owner: Owner | None, spool: Path | None, number: int
) -> bool:
    """Unpack what was picked, if it is an archive."""
    from buildkit_py.layer.unpack import is_tar, unpack_file

    if picked.entry.type not in ("file", "hardlink") or not is_tar(source, picked.entry.path):
        return False
    place = resolve(edit, posixpath.normpath(op.dest))
    make_directories(edit, place, owner=owner if op.made == "alike" else None)
    unpack_file(edit, source, picked.entry.path, place, owner=owner, spool=spool, number=number)
    return True


@dataclass(frozen=True, slots=True)
class _Copying:
    """One pick on its way; `number` tells those of one copy apart."""

    op: Copy
    edit: Edit
    source: Tree
    owner: Owner | None
    number: int

    def lay(self, picked: Pick) -> None:
        """Lay it where it belongs."""
        place = self._destination()
        found = self.edit.lookup(place)
        if picked.entry.type == "dir":
            self._make(posixpath.dirname(place) if found is not None else place)
            self._require_directory(place)
            self._inside(picked.inside, place)
            return
        if found is not None and found.type == "dir":
            place = join(place, picked.name)
        self._make(posixpath.dirname(place))
        self._put(picked.entry, place, {picked.entry.target})

    def _destination(self) -> str:
        """Where the destination leads, when all that it needs is made: the directory that it is, or its parent."""
        parent, _, name = self.op.dest.rpartition("/")
        self._make(resolve(self.edit, parent if name not in ("", ".") else self.op.dest))
        return resolve(self.edit, posixpath.normpath(self.op.dest))

    def _inside(self, inside: tuple[Inside, ...], place: str) -> None:
        targets = {each.entry.target for each in inside if each.entry.type == "hardlink"}
        for each in inside:
            target = join(place, each.path)
            if each.entry.type == "dir":
                self._directory(each, target)
            else:
                self._put(each.entry, target, targets)

    def _directory(self, each: Inside, target: str) -> None:
        found = self.edit.lookup(target)
        made = self._copied(each.entry, target)
        if found is not None:
            self._require_directory(target)
            if each.held:
                made = replace(found, mode=each.entry.mode)
            elif not made.xattrs:
                made = replace(made, xattrs=found.xattrs)
        self.edit.put(made)

    def _put(self, entry: Entry, target: str, targets: set[str | None]) -> None:
        found = self.edit.lookup(target)
        if found is not None and found.type == "dir":
            raise SourceInputError(
                f"a file can't be copied to /{printable(target)}: a directory is there", hint="remove it first"
            )
        made = self._copied(entry, target)
        if entry.type not in ("file", "hardlink"):
            self.edit.put(made)
            return
        link = link_key(entry, targets)
        content = partial(self.source.open, entry.path)
        if made.type == "hardlink":
            made = replace(made, type="file", target=None)
        self.edit.put(made, content, link and (self.number, *link))

    def _copied(self, entry: Entry, target: str) -> Entry:
        made = copied(self.op, entry, target, self.owner)
        if not made.xattrs:
            return made
        return replace(made, xattrs=tuple(each for each in made.xattrs if each[0] == CAPABILITY))

    def _make(self, path: str) -> None:
        make_for(self.op, self.edit, path, self.owner)

    def _require_directory(self, place: str) -> None:
        found = self.edit.lookup(place)
        if found is None or found.type == "dir":
            return
        hint = "remove it first"
        if found.type == "symlink":
            hint = f"it leads to /{printable(resolve(self.edit, place))}: copy to there, or remove the link first"
        raise SourceInputError(
            f"a directory can't be copied to /{printable(place)}: a {found.type} is there", hint=hint
        )
