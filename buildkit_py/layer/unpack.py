"""Unpacking archives that a build brings: tar (plain or compressed) and zip become changes of a tree, through limits.

The bytes of the members are spooled to one file, so an archive is read once and memory stays small.
"""

from __future__ import annotations

import io
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from buildkit_py.dataclass import replace
from buildkit_py.errors import IntegrityError, SourceInputError
from buildkit_py.graph.op import Unpack
from buildkit_py.layer.decompress import decompressed
from buildkit_py.layer.edit import Edit
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.limits import Allowance, Limits
from buildkit_py.layer.owner import resolve_owner
from buildkit_py.layer.select import select
from buildkit_py.layer.spool import Spool
from buildkit_py.layer.tarstream import TarStream, device_of, id_of, parts_of, target_of
from buildkit_py.layer.tree import Tree, ancestors, join, resolve
from buildkit_py.layer.writer import blocks
from buildkit_py.layer.xattrs import CAPABILITY, Xattrs

BLOCK = 1 << 20
_ZIP_ROW = 128
"""Bytes of a row in the directory of a zip file: 46 and a name."""
_CAPABILITY_SIZES = {b"\1": 12, b"\2": 20, b"\3": 24}
"""Bytes of a value of `security.capability` by its revision (capabilities(7)); the kernel takes no other."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
"""Of the methods in a zip; LZMA's could ask for any amount of memory."""
_REMOVAL = ".wh."
_OPAQUE = ".wh..wh..opq"


def unpack(op: Unpack, edit: Edit, source: Tree, spool: Path | None) -> None:
    """Do an `unpack` step; `spool` is a directory for the members' bytes."""
    if spool is None:
        raise SourceInputError("an archive can't be unpacked without a place for what it holds")
    owner = resolve_owner(edit, op.owner) if op.owner is not None else None
    start = resolve(edit, op.dest)
    edit.make_parents(f"{start}/x")
    for number, entry in enumerate(select(source, op.sources).roots):
        if entry.entries[0].type not in ("file", "hardlink"):
            raise SourceInputError(f"/{entry.path} is not an archive but a {entry.entries[0].type}")
        with source.open(entry.path) as file, Spool(spool / f"spool{number}") as bytes_of:
            _Unpacker(edit, start, op.strip, owner, bytes_of, entry.path).run(file)


def unpack_file(
    edit: Edit,
    source: Tree,
    path: str,
    start: str,
    *,
    owner: tuple[int, int] | None,
    spool: Path | None,
    number: int = 0,
) -> None:
    """Unpack one tar into the directory `start` as a layer would be: with devices and capabilities, and its removals
    hide what was there before."""
    if spool is None:
        raise SourceInputError("an archive can't be unpacked without a place for what it holds")
    with source.open(path) as file, Spool(spool / f"spool{number}") as bytes_of:
        _Layered(edit, start, 0, owner, bytes_of, path, number).run(file)


def is_tar(tree: Tree, path: str) -> bool:
    """Whether a file begins as a tar does, perhaps a compressed one; how it is called says nothing."""
    with tree.open(path) as file:
        try:
            plain = decompressed(file)
            block = b""
            while more := plain.read(tarfile.BLOCKSIZE - len(block)):
                block += more
            tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (IntegrityError, tarfile.TarError, ValueError, OSError):
            return False
    return True


class _Unpacker:
    """Makes the members of one archive, the file `name`, out of others below `start`; `number` tells archives apart."""

    def __init__(
        self,
        edit: Edit,
        start: str,
        strip: int,
        owner: tuple[int, int] | None,
        spool: Spool,
        name: str,
        number: int = 0,
    ) -> None:
        self._edit = edit
        self._start = start
        self._strip = strip
        self._owner = owner
        self._spool = spool
        self._name = name
        self._number = number
        self._linked: set[str] = set()
        self._said: dict[Hashable, Entry] = {}
        self._opaque: set[str] = set()

    def run(self, file: BinaryIO) -> None:
        """Read it all; raises `SourceInputError` for what is no archive, or one that no honest tool makes."""
        try:
            with io.BufferedReader(cast("io.RawIOBase", file), BLOCK) as buffered:
                if self._is_zip(buffered.peek(4)):
                    self._zip(buffered)
                else:
                    with TarStream(buffered) as stream:
                        self._tar(stream)
        except IntegrityError as error:
            raise SourceInputError(f"/{self._name} can't be unpacked: {error.message}", hint=error.hint) from None
        except (zipfile.BadZipFile, EOFError, zlib.error, ValueError, RuntimeError, OSError) as error:
            raise SourceInputError(f"/{self._name} can't be unpacked: {error}") from None

    def _is_zip(self, head: bytes) -> bool:
        return head[:4] in (b"PK\x03\x04", b"PK\x05\x06")

    def _tar(self, stream: TarStream) -> None:
        for member in stream.members():
            path = self._place(member.name)
            if path is not None:
                self._tar_member(stream, member, path)
        stream.drain()

    def _tar_member(self, stream: TarStream, member: tarfile.TarInfo, path: str) -> None:
        owner = self._owner or (id_of(member.uid, path), id_of(member.gid, path))
        kept = self._xattrs(member)
        entry = Entry(path=path, type="file", mode=member.mode & 0o7777, uid=owner[0], gid=owner[1], xattrs=kept)
        if member.isdir():
            self._edit.put(replace(entry, type="dir"))
        elif member.issym():
            self._edit.put(
                replace(entry, type="symlink", mode=0o777, target=target_of(member.linkname, member.name), xattrs=())
            )
        elif member.islnk():
            self._link(entry, member.linkname)
        elif member.isfifo():
            self._edit.put(replace(entry, type="fifo"))
        elif member.isfile():
            self._file(entry, stream.blocks(member))
        else:
            self._other(entry, member)

    def _xattrs(self, member: tarfile.TarInfo) -> Xattrs:
        return ()

    def _other(self, entry: Entry, member: tarfile.TarInfo) -> None:
        raise IntegrityError(f"it holds a device: {member.name[:200]!r}")

    def _zip(self, file: BinaryIO) -> None:
        packed = file.seek(0, io.SEEK_END)
        allowance = Allowance(Limits.current())
        _check_rows(file, allowance.limits)
        taken = 0

        def counted(source: BinaryIO) -> Iterator[bytes]:
            nonlocal taken
            for block in blocks(source):
                taken += len(block)
                allowance.unpacked(taken, packed)
                yield block

        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                allowance.entry(member.file_size)
                path = self._place(member.filename)
                if path is not None:
                    if member.compress_type not in _METHODS:
                        what = "it is compressed in a way that is not read"
                        raise IntegrityError(f"{what}: {member.filename[:200]!r}")
                    with archive.open(member) as source:
                        self._zip_member(member, path, counted(cast(BinaryIO, source)))

    def _zip_member(self, member: zipfile.ZipInfo, path: str, content: Iterator[bytes]) -> None:
        mode = member.external_attr >> 16
        owner = self._owner or (0, 0)
        entry = Entry(path=path, type="file", mode=stat.S_IMODE(mode) or 0o644, uid=owner[0], gid=owner[1])
        if member.is_dir():
            self._edit.put(replace(entry, type="dir", mode=stat.S_IMODE(mode) or 0o755))
        elif stat.S_ISLNK(mode):
            target = next(content, b"").decode("utf-8", "surrogateescape")
            made = target_of(target, member.filename)
            self._edit.put(replace(entry, type="symlink", mode=0o777, target=made))
        else:
            self._file(entry, content)

    def _file(self, entry: Entry, source: Iterable[bytes]) -> None:
        size, digest, content = self._spool.take(source)
        self._edit.put(replace(entry, size=size, digest=digest), content)

    def _link(self, entry: Entry, target: str) -> None:
        path = self._place(target)
        found = self._edit.lookup(path) if path is not None else None
        if path is None or found is None or found.type not in ("file", "hardlink"):
            raise IntegrityError(f"it links {entry.path[:200]!r} to {target[:200]!r}, which it does not hold")
        whole = replace(found, path=entry.path, type="file", target=None)
        self._edit.put(whole, self._edit.content(path))

    def _place(self, name: str) -> str | None:
        """Where a member goes, None for what `strip` takes away; no name leads out of the destination."""
        parts = self._parts(name)[self._strip :]
        if not parts:
            return None
        inside = resolve(_Below(self._edit, self._start), "/".join(parts[:-1]))
        return "/".join(piece for piece in (self._start, inside, parts[-1]) if piece)

    def _parts(self, name: str) -> list[str]:
        return parts_of(name)


class _Layered(_Unpacker):
    """Unpacks a tar as a layer."""

    def _is_zip(self, head: bytes) -> bool:
        return False

    def _tar_member(self, stream: TarStream, member: tarfile.TarInfo, path: str) -> None:
        parent, _, name = path.rpartition("/")
        if name.startswith(_REMOVAL):
            self._remove(parent, name)
            return
        # A removal hides what was there before, and what this archive has put there stays, parents included.
        for place in ancestors(path):
            found = self._edit.lookup(place)
            if len(place) > len(self._start) and found is not None and self._edit.changed(place) is None:
                self._edit.put(found)
        super()._tar_member(stream, member, path)

    def _remove(self, parent: str, name: str) -> None:
        hidden = name.removeprefix(_REMOVAL)
        if name == _OPAQUE:
            # What is hidden stays so: another one would cost another look at every name, and say nothing.
            for each in () if parent in self._opaque else list(self._edit.children(parent)):
                self._edit.hide(join(parent, each))
            self._opaque.add(parent)
        elif hidden in ("", ".", ".."):
            raise IntegrityError(f"it has a malformed removal: {join(parent, name)[:200]!r}")
        elif not hidden.startswith(_REMOVAL):
            self._edit.hide(join(parent, hidden))

    def _link(self, entry: Entry, target: str) -> None:
        path = self._place(target)
        found = self._edit.lookup(path) if path is not None else None
        if path is None or found is None or found.type == "dir":
            raise IntegrityError(f"it links {entry.path[:200]!r} to {target[:200]!r}, which it does not hold")
        if path == entry.path:
            return
        if found.type not in ("file", "hardlink"):
            for name in (path, entry.path):
                self._edit.put(replace(found, path=name, uid=entry.uid, gid=entry.gid))
            return
        key = self._edit.linked(path)
        names = (entry.path,) if key in self._said else (path, entry.path)
        if key not in self._said:
            key = (self._number, len(self._said))
        content = self._edit.content(path)
        self._said[key] = replace(found, type="file", target=None, mode=entry.mode, uid=entry.uid, gid=entry.gid)
        for name in names:
            self._edit.put(replace(self._said[key], path=name), content, key)
        self._linked.update(names)

    def _tar(self, stream: TarStream) -> None:
        super()._tar(stream)
        # What a later name says of a file is said of all its names: told once at the end, as it takes a look at each.
        for name in self._linked:
            key, now = self._edit.linked(name), self._edit.changed(name)
            said = replace(self._said[key], path=name) if key in self._said else None
            if said is not None and now is not None and said != replace(now, type="file", target=None):
                self._edit.put(said, self._edit.content(name), key)

    def _parts(self, name: str) -> list[str]:
        """Names may go up again as long as they don't lead out."""
        return parts_of(posixpath.normpath(name))

    def _xattrs(self, member: tarfile.TarInfo) -> Xattrs:
        text = member.pax_headers.get(f"SCHILY.xattr.{CAPABILITY}")
        if text is None:
            return ()
        value = text.encode("utf-8", "surrogateescape")
        if len(value) != _CAPABILITY_SIZES.get(value[3:4]):
            raise IntegrityError(f"capabilities that Linux does not know are set: {member.name[:200]!r}")
        return ((CAPABILITY, value),)

    def _other(self, entry: Entry, member: tarfile.TarInfo) -> None:
        if not (member.ischr() or member.isblk()):
            raise IntegrityError(f"it has an entry of an unknown type: {member.name[:200]!r}")
        self._edit.put(replace(entry, type="char" if member.ischr() else "block", device=device_of(member)))


class _Below:
    """A part of a tree as a root of its own: links of an archive can't lead out of where it is unpacked."""

    def __init__(self, tree: Tree, start: str) -> None:
        self._tree = tree
        self._start = start

    def lookup(self, path: str) -> Entry | None:
        return self._tree.lookup("/".join(part for part in (self._start, path) if part))

    def children(self, path: str) -> list[str]:
        return list(self._tree.children("/".join(part for part in (self._start, path) if part)))

    def open(self, path: str) -> BinaryIO:
        return self._tree.open("/".join(part for part in (self._start, path) if part))


def _check_rows(file: BinaryIO, limits: Limits) -> None:
    """The directory of a zip file is read as a whole, so its size is looked at before."""
    end: Any = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end and end[zipfile._ECD_SIZE] > _ZIP_ROW * limits.entries:  # type: ignore[attr-defined]
        raise limits.passed("entries", f"it has a directory of {end[5]} bytes, which is one of more entries than that")
