"""File steps as pure functions of metadata: an op and the trees it names become a draft."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.digest import Digest
from buildkit_py.errors import SourceInputError
from buildkit_py.graph.op import Chmod, Chown, Copy, FileStep, Merge, Mkdir, Remove, Symlink, Unpack, Write
from buildkit_py.layer.copying import copied, copy_contents, make_directories, make_for
from buildkit_py.layer.draft import Draft
from buildkit_py.layer.edit import Edit
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.flat import flat, link_key
from buildkit_py.layer.modes import apply_mode
from buildkit_py.layer.owner import resolve_owner
from buildkit_py.layer.select import Root, glob, select
from buildkit_py.layer.tree import EmptyTree, Tree, join, printable, resolve, walk
from buildkit_py.patterns import is_glob


def apply_op(op: FileStep, base: Tree, source: Tree | None = None, *, spool: Path | None = None) -> Draft:
    """What a file step changes of `base`. `source` is the tree of the input `from`, `spool` a directory for what an
    archive holds. Raises `SourceInputError` where a path or an owner is not there.
    """
    edit = Edit(base)
    return _STEPS[op.type](op, edit, source or EmptyTree(), spool) or edit.draft()


def _copy(op: Copy, edit: Edit, source: Tree, spool: Path | None) -> None:
    if op.contents == "always":
        copy_contents(op, edit, source, spool)
        return
    roots = select(source, op.sources, exclude=op.exclude, optional=op.optional).roots
    if not roots:
        return
    owner = resolve_owner(edit, op.owner) if op.owner is not None else None
    into = op.dest.endswith("/") or len(roots) > 1
    start = resolve(edit, op.dest) if into else edit.place(op.dest)
    if op.made == "alike":
        make_for(op, edit, start if into else posixpath.dirname(start), owner)
    if into:
        _make_directory(edit, start)
    for number, root in enumerate(roots):
        _Copying(op, edit, source, root, owner, number).to(
            "/".join(filter(None, (start, root.name))) if into else start
        )


@dataclass(frozen=True, slots=True)
class _Copying:
    """One selected thing on its way; `number` tells the sources of one copy apart."""

    op: Copy
    edit: Edit
    source: Tree
    root: Root
    owner: tuple[int, int] | None
    number: int

    def to(self, target: str) -> None:
        """Copy it to be `target`; `moved` is where directories that met a link in the destination have gone."""
        moved: dict[str, str] = {}
        targets = {entry.target for entry in self.root.entries if entry.type == "hardlink"}
        for entry in self.root.entries:
            below = entry.path[len(self.root.path) :].strip("/")
            parent, _, name = below.rpartition("/")
            place = join(moved.get(parent, join(target, parent).rstrip("/")), name) if below else target
            made = copied(self.op, entry, place, self.owner)
            if entry.type == "dir":
                moved[below] = self._directory(made, is_top=not below)
            elif entry.type in ("file", "hardlink"):
                self._refuse_directory(place)
                whole = replace(made, type="file", target=None)
                link = link_key(entry, targets)
                self.edit.put(whole, partial(self.source.open, entry.path), link and (self.number, *link))
            else:
                self._refuse_directory(place)
                self.edit.put(made)

    def _directory(self, made: Entry, *, is_top: bool) -> str:
        """Make or keep a directory; returns where it really is."""
        place = resolve(self.edit, made.path)
        found = self.edit.lookup(place)
        if found is not None and found.type == "dir":
            # What the source holds is copied; a directory that is there keeps its mode and owner, unless it was named.
            if place and place == made.path and not (is_top and not self.root.name):
                self.edit.put(made)
            return place
        there = self.edit.lookup(made.path)
        if there is not None:
            raise SourceInputError(
                f"a directory can't be copied to /{printable(made.path)}: a {there.type} is there",
                hint="remove it first",
            )
        self.edit.put(made)
        return made.path

    def _refuse_directory(self, place: str) -> None:
        found = self.edit.lookup(place)
        if found is not None and found.type == "dir":
            shown = printable(place)
            raise SourceInputError(
                f"a file can't be copied to /{shown}: a directory is there", hint=f"write /{shown}/ to copy into it"
            )


def _merge(op: Merge, edit: Edit, source: Tree, spool: Path | None) -> Draft:
    """What a tree holds, whatever is below it: the base is not looked at, and its root stays what it is."""
    entries = tuple(entry for entry in flat(source).entries if entry.path)
    contents = {entry.path: partial(source.open, entry.path) for entry in entries if entry.type == "file"}
    return Draft(diff=Diff(entries), contents=contents)


def _make_directory(edit: Edit, path: str) -> None:
    if not path:
        return
    found = edit.lookup(path)
    if found is None:
        edit.put(Entry(path=path, type="dir", mode=0o755))
    elif found.type != "dir":
        raise SourceInputError(f"/{path} is not a directory but a {found.type}")


def _mkdir(op: Mkdir, edit: Edit, source: Tree, spool: Path | None) -> None:
    uid, gid = resolve_owner(edit, op.owner, lenient=op.made == "alike")
    path = resolve(edit, op.path)
    found = edit.lookup(path)
    if found is not None and found.type != "dir":
        raise SourceInputError(f"/{path} is there already, and is a {found.type}")
    if found is not None and op.keep_existing:
        return
    if op.made == "alike":
        make_directories(edit, posixpath.dirname(path), owner=(uid, gid))
    before = found.mode if found else 0o755
    kept = found.xattrs if found else ()
    mode = apply_mode(op.mode, before, directory=True)
    edit.put(Entry(path=path, type="dir", mode=mode, uid=uid, gid=gid, xattrs=kept))


def _write(op: Write, edit: Edit, source: Tree, spool: Path | None) -> None:
    uid, gid = resolve_owner(edit, op.owner)
    data = op.text.encode()
    path = resolve(edit, op.path)
    found = edit.lookup(path)
    if found is not None and found.type == "dir":
        raise SourceInputError(f"/{path} is a directory")
    mode = apply_mode(op.mode, 0o644, directory=False)
    entry = Entry(path=path, type="file", mode=mode, uid=uid, gid=gid, size=len(data), digest=str(Digest.of(data)))
    edit.put(entry, lambda: io.BytesIO(data))


def _symlink(op: Symlink, edit: Edit, source: Tree, spool: Path | None) -> None:
    uid, gid = resolve_owner(edit, op.owner)
    path = edit.place(op.path)
    found = edit.lookup(path)
    if found is not None and found.type == "dir":
        raise SourceInputError(f"/{path} is a directory", hint="remove it first")
    edit.put(Entry(path=path, type="symlink", mode=0o777, uid=uid, gid=gid, target=op.target))


def _remove(op: Remove, edit: Edit, source: Tree, spool: Path | None) -> None:
    for path in _paths(edit, op.paths, missing_ok=op.missing_ok):
        if not path:
            raise SourceInputError("the root can't be removed", hint="start again with `from scratch`")
        edit.remove(path)


def _chmod(op: Chmod, edit: Edit, source: Tree, spool: Path | None) -> None:
    for path in _paths(edit, op.paths):
        for entry in _targets(edit, resolve(edit, path), op.recursive):
            if entry.type != "symlink":
                mode = apply_mode(op.mode, entry.mode, directory=entry.type == "dir")
                _alter(edit, replace(entry, mode=mode))


def _chown(op: Chown, edit: Edit, source: Tree, spool: Path | None) -> None:
    uid, gid = resolve_owner(edit, op.owner)
    for path in _paths(edit, op.paths):
        for entry in _targets(edit, path, op.recursive):
            _alter(edit, replace(entry, uid=uid, gid=gid))


def _targets(edit: Edit, path: str, recursive: bool) -> list[Entry]:
    if recursive:
        return list(walk(edit, path))
    entry = edit.lookup(path)
    return [entry] if entry is not None else []


def _alter(edit: Edit, entry: Entry) -> None:
    """Put an entry back with other metadata; its bytes stay what they are."""
    if entry.type == "hardlink":
        entry = replace(entry, type="file", target=None)
    content = edit.content(entry.path) if entry.type == "file" else None
    edit.put(entry, content)


def _paths(edit: Edit, patterns: tuple[str, ...], *, missing_ok: bool = False) -> Iterator[str]:
    for pattern in patterns:
        clean = pattern.strip("/")
        if is_glob(clean):
            found = [edit.place(path) for path in glob(edit, clean)]
            if not found and not missing_ok:
                raise SourceInputError(f"nothing matches {pattern!r}")
            yield from found
            continue
        path = edit.place(clean) if clean else ""
        if edit.lookup(path) is not None:
            yield path
        elif not missing_ok:
            raise SourceInputError(f"/{path} is not there")


def _unpack(op: Unpack, edit: Edit, source: Tree, spool: Path | None) -> None:
    from buildkit_py.layer.unpack import unpack

    unpack(op, edit, source, spool)


_STEPS: dict[str, Callable[[Any, Edit, Tree, Path | None], Draft | None]] = {
    "copy": _copy,
    "merge": _merge,
    "mkdir": _mkdir,
    "write": _write,
    "symlink": _symlink,
    "remove": _remove,
    "chmod": _chmod,
    "chown": _chown,
    "unpack": _unpack,
}
