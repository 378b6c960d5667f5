"""Unpacking archives that a build brings: tar (plain or compressed) and zip become changes of a tree, through limits.

The bytes of the members are spooled to one file, so an archive is read once and memory stays small.
"""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import IO, BinaryIO, cast

from buildkit_py.errors import SourceInputError
from buildkit_py.graph.op import Unpack
from buildkit_py.layer.decompress import decompressed
from buildkit_py.layer.draft import Content
from buildkit_py.layer.edit import Edit
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.openat import open_in
from buildkit_py.layer.owner import resolve_owner
from buildkit_py.layer.select import select
from buildkit_py.layer.tree import Tree, resolve

BLOCK = 1 << 20
MAX_BYTES = 64 << 30
MAX_ENTRIES = 5_000_000


def unpack(op: Unpack, edit: Edit, source: Tree, spool: Path | None) -> None:
    """Do an `unpack` step; `spool` is a directory for the members' bytes."""
    if spool is None:
        raise SourceInputError("an archive can't be unpacked without a place for what it holds")
    owner = resolve_owner(edit, op.owner) if op.owner is not None else None
    start = resolve(edit, op.dest)
    edit.parents(f"{start}/x")
    for number, entry in enumerate(select(source, op.sources).roots):
        if entry.entries[0].type not in ("file", "hardlink"):
            raise SourceInputError(f"/{entry.path} is not an archive but a {entry.entries[0].type}")
        with source.open(entry.path) as file, _Spool(spool / f"spool{number}") as bytes_of:
            _Unpacker(edit, start, op.strip, owner, bytes_of, entry.path).run(file)


class _Spool:
    """One file of members' bytes, each found again by offset and size."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._total = 0

    def __enter__(self) -> _Spool:
        self._file = self._path.open("xb")
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def take(self, source: BinaryIO) -> tuple[int, str, Content]:
        """Spool a member; returns its size, digest, and how to read it."""
        start, hasher = self._total, hashlib.sha256()
        while block := source.read(BLOCK):
            self._total += len(block)
            if self._total > MAX_BYTES:
                raise SourceInputError(f"the archive unpacks to more than {MAX_BYTES} bytes")
            hasher.update(block)
            self._file.write(block)
        size = self._total - start
        self._file.flush()
        return size, f"sha256:{hasher.hexdigest()}", lambda: self._section(start, size)

    def _section(self, start: int, size: int) -> BinaryIO:
        file = open_in(self._path.parent, self._path.name)
        file.seek(start)
        return cast(BinaryIO, _Section(file, size))


class _Section(io.RawIOBase):
    """The next `size` bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


class _Unpacker:
    def __init__(
        self, edit: Edit, start: str, strip: int, owner: tuple[int, int] | None, spool: _Spool, name: str
    ) -> None:
        self._edit = edit
        self._start = start
        self._strip = strip
        self._owner = owner
        self._spool = spool
        self._name = name
        self._count = 0
        self._made: dict[str, str] = {}

    def run(self, file: BinaryIO) -> None:
        buffered = io.BufferedReader(cast("io.RawIOBase", file), BLOCK)
        try:
            if buffered.peek(4)[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
                self._zip(buffered)
            else:
                self._tar(decompressed(buffered))
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, ValueError, OSError) as error:
            raise SourceInputError(f"/{self._name} can't be unpacked: {error}") from None

    def _tar(self, stream: IO[bytes]) -> None:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]
                path = self._place(member.name)
                if path is not None:
                    self._tar_member(archive, member, path)

    def _tar_member(self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
        owner = self._owner or (member.uid, member.gid)
        entry = Entry(path=path, type="file", mode=member.mode & 0o7777, uid=owner[0], gid=owner[1])
        if member.isdir():
            self._edit.put(replace(entry, type="dir"))
        elif member.issym():
            self._edit.put(replace(entry, type="symlink", mode=0o777, target=member.linkname))
        elif member.islnk():
            self._link(entry, member.linkname)
        elif member.isfifo():
            self._edit.put(replace(entry, type="fifo"))
        elif member.isfile():
            self._file(entry, archive.extractfile(member))  # type: ignore[arg-type]
        else:
            raise SourceInputError(f"/{self._name} holds a device: {member.name[:200]}")

    def _zip(self, file: BinaryIO) -> None:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                path = self._place(member.filename)
                if path is None:
                    continue
                mode = member.external_attr >> 16
                owner = self._owner or (0, 0)
                entry = Entry(path=path, type="file", mode=stat.S_IMODE(mode) or 0o644, uid=owner[0], gid=owner[1])
                if member.is_dir():
                    self._edit.put(replace(entry, type="dir", mode=stat.S_IMODE(mode) or 0o755))
                elif stat.S_ISLNK(mode):
                    target = archive.read(member).decode("utf-8", "surrogateescape")
                    self._edit.put(replace(entry, type="symlink", mode=0o777, target=target))
                else:
                    with archive.open(member) as source:
                        self._file(entry, source)  # type: ignore[arg-type]

    def _file(self, entry: Entry, source: BinaryIO) -> None:
        size, digest, content = self._spool.take(source)
        self._edit.put(replace(entry, size=size, digest=digest), content)

    def _link(self, entry: Entry, target: str) -> None:
        path = self._place(target)
        found = self._edit.lookup(path) if path is not None else None
        if path is None or found is None or found.type not in ("file", "hardlink"):
            raise SourceInputError(f"/{self._name} links {entry.path!r} to {target[:200]!r}, which it does not hold")
        self._edit.put(replace(found, path=entry.path, type="file", target=None), self._edit.content(path))

    def _place(self, name: str) -> str | None:
        """Where a member goes, None for what `strip` takes away; no name leads out of the destination."""
        self._count += 1
        if self._count > MAX_ENTRIES:
            raise SourceInputError(f"/{self._name} holds more than {MAX_ENTRIES} entries")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise SourceInputError(f"/{self._name} has a name that leads out of it: {name[:200]!r}")
        parts = parts[self._strip :]
        if not parts:
            return None
        inside = resolve(_Below(self._edit, self._start), "/".join(parts[:-1]))
        return "/".join(piece for piece in (self._start, inside, parts[-1]) if piece)


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
