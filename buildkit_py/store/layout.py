"""Where everything lies in a store, and how the directory is made and recognised.

    ROOT/                        0700; an OCI image layout (OCI image specification 1.1, image-layout.md)
    ├── version                  the version of this layout: "1"
    ├── oci-layout  index.json   the layout's marks; index.json repeats the image names of index.db
    ├── blobs/sha256/HEX         manifests, configs, layers, diffs of trees without bytes
    ├── snapshots/HEX/           the bytes of one diff, HEX is its digest
    │   ├── fs/                  as an overlayfs upper directory: a whiteout is a character device 0:0
    │   ├── index                the diff: JSON lines, one entry a line; its SHA-256 is HEX
    │   └── meta                 {"seal": …, "size": bytes below fs/, "v": 1}
    ├── caches/HEX/              one `cache` mount, HEX is the SHA-256 of its id
    │   ├── id                   the id, for people
    │   └── 0/ 1/ …              the directory; more than one where the sharing is private
    ├── index.db (-wal, -shm)    SQLite: trees, results, memo, images, builds, uses (see schema.py)
    ├── quota                    the bytes that the store may hold; absent without a limit
    ├── reserve                  room that is given up to remove something on a full disk (see reserve.py)
    ├── locks/HEX                named locks, HEX is the SHA-256 of the name; `gc` and `index` are fixed ones
    ├── leases/OWNER             one locked file a process at work; lists what it uses
    ├── partial/ALGORITHM-HEX.BOOT   a download under way; worthless after another boot
    ├── mounts/ID/                a view of an image that is mounted: who holds what (see holders.py)
    └── tmp/OWNER-N              work under way and things being removed; stale when OWNER's lease is not locked

A name below blobs/ and snapshots/ appears only after its bytes are on the disk, and those names are the truth about
which bytes are there; index.db holds what refers to them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from buildkit_py.digest import Digest
from buildkit_py.errors import NotFoundError, StoreBusyError, StoreError
from buildkit_py.store import files
from buildkit_py.store.faults import guard
from buildkit_py.store.locks import poll

VERSION = 1
OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
EMPTY_INDEX = b'{"manifests":[],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}'
DIRECTORIES = ("blobs", "blobs/sha256", "snapshots", "caches", "locks", "leases", "partial", "mounts", "tmp")
_INDEX = frozenset(f"index.db{ending}" for ending in ("", "-wal", "-shm", ".rebuild", ".damaged"))
_LATER = _INDEX | {"quota", "stat.db", "reserve"}
_CREATE_SECONDS = 60.0


class Layout:
    """The paths of one store. All text that becomes a name is a checked digest or is hashed first.

    `others` are additional stores, which are only read: see `additional.py`. Snapshots are looked for only in
    `stackable` ones: those of another user hold files that belong to nobody here.
    """

    __slots__ = (
        "caches",
        "index",
        "index_json",
        "leases",
        "locks",
        "mounts",
        "others",
        "partial",
        "root",
        "snapshots",
        "stackable",
        "tmp",
    )

    def __init__(self, root: Path, others: Sequence[Path] = ()) -> None:
        self.root = root
        self.others = tuple(map(Layout, others))
        self.stackable = tuple(other for other in self.others if _is_ours(other.root))
        self.snapshots = root / "snapshots"
        self.caches = root / "caches"
        self.locks = root / "locks"
        self.leases = root / "leases"
        self.partial = root / "partial"
        self.mounts = root / "mounts"
        self.tmp = root / "tmp"
        self.index = root / "index.db"
        self.index_json = root / "index.json"

    @classmethod
    def open(cls, root: Path, *, create: bool, others: Sequence[Path] = ()) -> Layout:
        """The layout at `root`, made or completed first where something of it is missing and `create` allows it.

        Raises `NotFoundError` where there is no store, `StoreError` for a foreign, newer or tampered directory.
        """
        with guard("opening the store", root):
            layout = cls(Path(os.path.realpath(root)), others)
            if not layout._complete():
                if not create and not layout._version():
                    raise NotFoundError(f"there is no store at {root}", hint="build something, or check `--store DIR`")
                layout._create()
                layout._complete()
        return layout

    def blob(self, digest: str) -> Path:
        """Where the blob of that digest is, or would be."""
        parsed = Digest.parse(digest)
        return self.root / "blobs" / parsed.algorithm / parsed.hex

    def snapshot(self, diff_digest: str) -> Path:
        """Where the snapshot of that diff is, or would be."""
        return self.snapshots / Digest.parse(diff_digest).hex

    def find_blob(self, digest: str) -> Path:
        """Where to read a blob: in this store, or in the first other one that has it; else where it would be."""
        own = self.blob(digest)
        if not self.others or os.path.lexists(own):
            return own
        return next(filter(_is_file, (other.blob(digest) for other in self.others)), own)

    def find_snapshot(self, diff_digest: str) -> Path:
        """Where to read a snapshot, as `find_blob`."""
        own = self.snapshot(diff_digest)
        if not self.stackable or os.path.lexists(own):
            return own
        places = (other.snapshot(diff_digest) for other in self.stackable)
        return next((place for place in places if _is_file(place / "index")), own)

    def cache(self, cache_id: str) -> Path:
        """Where the directories of the cache mount with that id are."""
        return self.caches / hashed(cache_id)

    def lock(self, name: str) -> Path:
        """The lock file of a name."""
        return self.locks / hashed(name)

    def _complete(self) -> bool:
        """Whether all is there. Raises when something is there that must not be."""
        if not self.root.exists():
            return False
        version = self._version()
        if version and version != str(VERSION):
            raise StoreError(
                f"the store at {self.root} has layout {version[:20]!r}, this pybuild knows {VERSION}",
                hint="use the pybuild that made it, or choose another store with `--store DIR`",
            )
        device = self.root.stat().st_dev
        found = [self._is_directory(name, device) for name in DIRECTORIES]
        return bool(version) and all(found)

    def _version(self) -> str:
        try:
            data = files.read_regular(self.root / "version", 64)
        except (FileNotFoundError, NotADirectoryError):
            return ""
        return data.decode(errors="replace").strip() or "(empty)"

    def _is_directory(self, name: str, device: int) -> bool:
        try:
            state = (self.root / name).lstat()
        except FileNotFoundError:
            return False
        if state.st_mode & 0o170000 != 0o040000:
            raise StoreError(
                f"{self.root / name} is not a directory of the store but a link or a file",
                hint="something replaced it; put the real directory back, or remove it: the store makes a new one",
            )
        if state.st_dev != device:
            raise StoreError(f"{self.root / name} lies on another file system than {self.root}")
        return True

    def _create(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files.directory(self.root) as fd:
            deadline = time.monotonic() + _CREATE_SECONDS
            if not poll(lambda: _try_flock(fd), deadline):
                raise StoreBusyError(f"another process is making the store at {self.root} and does not end")
            if not self._version():
                self._refuse_foreign()
                os.fchmod(fd, 0o700)
            self._fill()

    def _refuse_foreign(self) -> None:
        known = {name.partition("/")[0] for name in DIRECTORIES} | {"oci-layout", "index.json", ".new"}
        names = set(files.names(self.root))
        # What comes after the mark of the version tells a store that lost it, beside an index.
        strange = sorted(names - known - (_LATER if names & _INDEX else set()))
        if strange:
            raise StoreError(
                f"{self.root} is not a store, and it is not empty: it holds {strange[0]!r}",
                hint="choose an empty or a new directory with `--store DIR`",
            )

    def _fill(self) -> None:
        for name in DIRECTORIES:
            path = self.root / name
            with suppress(FileExistsError):
                path.mkdir()
                path.chmod(0o755 if name.startswith("blobs") else 0o700)
        files.fsync_directory(self.root / "blobs")
        # Trees are made below tmp/, and keep their places when they get their names.
        files.spread(self.tmp)
        marks = {"oci-layout": OCI_LAYOUT, "index.json": EMPTY_INDEX, "version": b"%d\n" % VERSION}
        for name, data in marks.items():
            if not (self.root / name).exists():
                with suppress(FileNotFoundError):
                    (self.root / ".new").unlink()
                files.replace(self.root / name, data, self.root / ".new")


def hashed(name: str) -> str:
    """A file name for any text."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _is_ours(root: Path) -> bool:
    """Whether a store belongs to this user, as user namespaces have it."""
    with suppress(OSError):
        return root.stat().st_uid == os.geteuid()
    return False


def _is_file(path: Path) -> bool:
    try:
        return files.is_regular(path)
    except StoreError:
        # What can't be looked at in another store is not there.
        return False


def _try_flock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
