"""Snapshots: the bytes of diffs, one directory each in overlayfs upper format, named by the digest of the diff.

A snapshot is made in an *area* below tmp/ and gets its name by one rename after one `syncfs`; so what has a name is
whole. Nothing changes in a snapshot afterwards.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, NotFoundError, StoreError
from buildkit_py.store import files
from buildkit_py.store.faults import guard, of_os_error
from buildkit_py.store.layout import Layout
from buildkit_py.store.leases import Owner
from buildkit_py.store.schema import seal

INDEX_LIMIT = 1 << 32


class Area:
    """A place to make one snapshot in: `fs` for its files, `work` for overlayfs, both empty. A context manager.

    What is in it is removed when it is left without a commit; nothing may then be mounted below `path` any more.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fs = path / "fs"
        self.work = path / "work"
        with guard("making a work area", path.parent):
            for directory in (path, self.fs, self.work):
                directory.mkdir()
                directory.chmod(0o755)
            # Opened before anything is written: syncfs then reports every write-back error since.
            self.fd = os.open(path, files.DIRECTORY)

    def __enter__(self) -> Area:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)
        try:
            with guard("removing a work area", self.path):
                files.remove(self.path)
        except StoreError:
            # The error under way says more; the next start removes what is left.
            if error is None:
                raise


class Snapshots:
    """The snapshots of one store, by diff digest."""

    def __init__(self, layout: Layout, owner: Owner) -> None:
        self._layout = layout
        self._owner = owner

    def area(self) -> Area:
        """A new, empty work area on the file system of the snapshots."""
        return Area(self._owner.temporary())

    def commit(self, area: Area, diff_digest: str, index: bytes, size: int) -> bool:
        """Publish `area.fs` as the snapshot of `diff_digest`; False when there was one. Durable on return.

        `index` is the encoded diff, `size` the bytes of the files. Raises `IntegrityError` for another diff's index.
        """
        if str(Digest.of(index)) != diff_digest:
            raise IntegrityError(f"the index of a snapshot does not have the digest {diff_digest}")
        self._owner.note("snapshot", diff_digest)
        target = self._layout.snapshot(diff_digest)
        with guard("writing a snapshot", self._layout.root):
            if self._whole(target):
                files.fsync_directory(target.parent)
                return False
            if self._layout.stackable and self._whole(self._layout.find_snapshot(diff_digest)):
                return False
            self._owner.make_room(size)
            for name in files.names(area.path):
                if name != "fs":
                    files.remove(area.path / name)
            files.write_new(area.path / "index", index, durable=False)
            files.write_new(area.path / "meta", _encode_meta(diff_digest, size), durable=False)
            files.sync_file_system(area.fd)
            made = self._rename(area.path, target)
            files.fsync_directory(target.parent)
        return made

    def has(self, diff_digest: str) -> bool:
        """Whether the snapshot is there; under a lease it then stays."""
        own = self._layout.snapshot(diff_digest)
        self._owner.note("snapshot", diff_digest)
        return self._whole(self._layout.find_snapshot(diff_digest) if self._layout.stackable else own)

    def fs(self, diff_digest: str) -> Path:
        """The directory to stack; it must not be changed."""
        return self._layout.find_snapshot(diff_digest) / "fs"

    def index(self, diff_digest: str) -> bytes:
        """The encoded diff, verified; raises `NotFoundError`, or `IntegrityError` when it is damaged."""
        own = self._layout.snapshot(diff_digest)
        self._owner.note("snapshot", diff_digest)
        path = (self._layout.find_snapshot(diff_digest) if self._layout.stackable else own) / "index"
        with guard("reading a snapshot", path):
            try:
                data = files.read_regular(path, INDEX_LIMIT)
            except FileNotFoundError as error:
                raise NotFoundError(f"the snapshot {diff_digest} is not in the store") from error
        if str(Digest.of(data)) != diff_digest:
            raise IntegrityError(
                f"the index of the snapshot {diff_digest} is damaged",
                hint="remove it with `pybuild store check --repair`, then build again",
            )
        return data

    def _whole(self, path: Path) -> bool:
        try:
            directories = (path, path / "fs")
            return all(stat.S_ISDIR(each.lstat().st_mode) for each in directories) and files.is_regular(path / "index")
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise of_os_error(error, "looking for a snapshot", path) from error

    def _rename(self, source: Path, target: Path) -> bool:
        """Rename without replacing (rename(2) never replaces a directory with something in it)."""
        for _ in range(100):
            try:
                source.rename(target)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    raise
                if self._whole(target):
                    return False
                discard(target, self._owner)
            else:
                return True
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def snapshot_size(path: Path) -> int | None:
    """The bytes of a snapshot's files as its `meta` says; None where that is damaged or gone."""
    with suppress(OSError, ValueError, TypeError, LookupError):
        data = files.read_regular(path / "meta", 4096)
        size = int(json.loads(data)["size"])
        return size if data == _encode_meta(f"sha256:{path.name}", size) else None
    return None


def _encode_meta(diff_digest: str, size: int) -> bytes:
    sealed = seal(diff_digest, str(size)).hex()
    return json.dumps({"seal": sealed, "size": size, "v": 1}, sort_keys=True).encode()


def discard(path: Path, owner: Owner) -> None:
    """Take an object away: one rename into tmp/, made durable, then removal; a killed process leaves nothing half."""
    doomed = owner.temporary()
    with suppress(FileNotFoundError):
        path.rename(doomed)
        files.fsync_directory(path.parent)
        files.remove(doomed)
