"""Is everything in the store what its name says? Names what is wrong; with repair removes exactly that.

What was removed is made again by the next build or pull; nothing else is touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from buildkit_py.dataclass import replace
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, StoreError
from buildkit_py.store import files
from buildkit_py.store.builds import read_summary, summary_of
from buildkit_py.store.faults import guard
from buildkit_py.store.gc import sweep
from buildkit_py.store.images import ImageRecord
from buildkit_py.store.inventory import Held
from buildkit_py.store.layout import DIRECTORIES, OCI_LAYOUT
from buildkit_py.store.reach import needed
from buildkit_py.store.report import Finding, Kind
from buildkit_py.store.rows import BUILDS, IMAGES, TABLES, Table, unsealed
from buildkit_py.store.verify import snapshot_problem

if TYPE_CHECKING:
    from buildkit_py.store.store import Store


_OTHERS = 0o022


class Check:
    """One check of a store."""

    def __init__(self, store: Store, *, repair: bool) -> None:
        self._store = store
        self._layout = store.layout
        self._repair = repair

    def run(self) -> list[Finding]:
        """Everything that is wrong, objects before what refers to them."""
        with guard("checking the store", self._store.root):
            broken_index = list(self._index())
            if broken_index and not self._repair:
                # Its rows can't be trusted: what refers to what is checked once it is made anew.
                return [*broken_index, *self._objects()]
            return [
                *broken_index,
                *self._objects(),
                *(finding for table in TABLES for finding in self._rows(table)),
                *self._summaries(),
                *self._images(),
                *self._index_json(),
                *self._mounts(),
            ]

    def _objects(self) -> Iterator[Finding]:
        """What is seen without the index."""
        yield from self._marks()
        yield from self._directories()
        yield from self._blobs()
        yield from self._snapshots()
        yield from self._caches()

    def _index(self) -> Iterator[Finding]:
        problems = self._store.index.problems()
        if problems:
            if self._repair:
                self._store.index.rebuild()
            yield self._mended("index", "index.db", problems[0])

    def _marks(self) -> Iterator[Finding]:
        mark = self._layout.root / "oci-layout"
        data = b""
        with suppress(OSError):
            data = files.read_regular(mark, 4096)
        if data != OCI_LAYOUT:
            if self._repair:
                files.replace(mark, OCI_LAYOUT, self._store.owner.temporary())
            yield self._mended("layout", "oci-layout", "it is damaged or missing")

        try:
            self._store.space.quota  # noqa: B018 - it is read to see whether it can be
        except StoreError as error:
            if self._repair:
                self._store.space.limit(None)
            yield self._mended("layout", "quota", error.message)

    def _directories(self) -> Iterator[Finding]:
        for path in (self._layout.root, *(self._layout.root / name for name in DIRECTORIES)):
            yield from self._mode(path, "layout", path.name, safe=stat.S_IMODE(path.lstat().st_mode) & ~_OTHERS)
        for name in files.names(self._layout.root / "blobs"):
            path = self._layout.root / "blobs" / name
            if not stat.S_ISDIR(path.lstat().st_mode):
                if self._repair:
                    files.remove(path)
                problem = "it is no directory of blobs"
                yield Finding(kind="layout", id=f"blobs/{name}", problem=problem, repaired=self._repair)

    def _mode(self, path: Path, kind: Kind | Literal["layout"], name: str, *, safe: int) -> Iterator[Finding]:
        """Whether others may write, or the owner may not read, what the store keeps."""
        try:
            mode = stat.S_IMODE(path.lstat().st_mode)
            if mode != safe:
                if self._repair:
                    path.chmod(safe)
                problem = f"it has the mode {mode:04o}, not {safe:04o}"
                yield self._mended(kind, name, problem)
        except FileNotFoundError:
            return

    def _blobs(self) -> Iterator[Finding]:
        for algorithm in files.names(self._layout.root / "blobs"):
            directory = self._layout.root / "blobs" / algorithm
            for name in files.names(directory) if stat.S_ISDIR(directory.lstat().st_mode) else ():
                digest = f"{algorithm}:{name}"
                problem = _blob_problem(directory / name, digest)
                if problem is not None:
                    yield self._removed("blob", digest, directory / name, problem)
                else:
                    yield from self._mode(directory / name, "blob", digest, safe=files.FILE_MODE)

    def _snapshots(self) -> Iterator[Finding]:
        for name in files.names(self._layout.snapshots):
            path = self._layout.snapshots / name
            problem = snapshot_problem(path)
            if problem is not None and os.path.lexists(path):
                yield self._removed("snapshot", f"sha256:{name}", path, problem)

    def _caches(self) -> Iterator[Finding]:
        for name in files.names(self._layout.caches):
            yield from self._cache_links(name)
            path = self._layout.caches / name / "id"
            with suppress(FileNotFoundError, NotADirectoryError):
                if hashlib.sha256(files.read_regular(path, 1 << 20)).hexdigest() != name:
                    if self._repair:
                        path.unlink()
                    problem = "the id noted beside it is damaged; its files are not checked"
                    yield self._mended("cache", name, problem)

    def _cache_links(self, name: str) -> Iterator[Finding]:
        """Links in the place of a cache's directories, by which what steps write would leave the store."""
        home = self._layout.caches / name
        inside = [] if home.is_symlink() else [home / each for each in files.names(home)]
        for path in (home, *inside):
            if path.is_symlink():
                if self._repair:
                    path.unlink()
                place = str(path.relative_to(self._layout.caches))
                yield self._mended("cache", place, "it is a symbolic link")

    def _rows(self, table: Table) -> Iterator[Finding]:
        for key in list(unsealed(self._store.index, table)):
            if self._repair:
                with self._store.index.transaction():
                    table.purge(self._store.index, key)
                    if table is IMAGES:
                        self._store.images.rewrite()
            name = " ".join(str(part) for part in key)
            yield Finding(kind=table.kind, id=name, problem="its row in the index is damaged", repaired=self._repair)

    def _summaries(self) -> Iterator[Finding]:
        """What lists show of builds is no part of a seal: it must be what the records say."""
        damaged = {key for (key, *_) in unsealed(self._store.index, BUILDS)}
        rows = self._store.index.rows("SELECT id, created, summary, record FROM builds")
        for name, created, summary, record in rows:
            if name in damaged:
                continue
            said = (read_summary(summary) or {}).get("created")
            wanted = summary_of(json.loads(record), said if isinstance(said, float) else created)
            if summary != wanted:
                if self._repair:
                    self._store.index.execute("UPDATE builds SET summary = ? WHERE id = ?", (wanted, name))
                yield self._mended("build", name, "its summary is damaged")

    def _images(self) -> Iterator[Finding]:
        for record in self._store.images.list():
            problem = self._unreachable(record)
            # Looked at again: between the two looks the name may have been taken away, and its bytes collected.
            if problem is not None and self._store.images.get(record.name) == record.descriptor:
                if self._repair:
                    self._store.images.drop(record.name, str(record.descriptor["digest"]))
                yield Finding(kind="image", id=record.name, problem=problem, repaired=self._repair)

    def _unreachable(self, record: ImageRecord) -> str | None:
        for descriptor in needed(self._layout, record.descriptor):
            try:
                size = self._layout.find_blob(str(descriptor["digest"])).lstat().st_size
            except FileNotFoundError:
                if self._store.memo.get("origin", str(descriptor["digest"])) is not None:
                    # A layer of a base that no step needed: known to be elsewhere, fetched when its bytes are wanted.
                    continue
                return f"{descriptor['digest']} is missing"
            except IntegrityError as error:
                return error.message
            if descriptor.get("size", size) != size:
                return f"{descriptor['digest']} has {size} bytes, not {descriptor['size']}"
        return None

    def _index_json(self) -> Iterator[Finding]:
        with self._store.index.transaction(durable=False):
            # A name whose row is damaged is in no list of the rows.
            unsure = any(unsealed(self._store.index, IMAGES))
            same = self._store.images.matches() and (unsure or self._store.images.repeated())
        if not same:
            if self._repair:
                self._store.images.mend(again=True)
            problem = "it is not the file that was written with the image names"
            yield self._mended("layout", "index.json", problem)

    def _mounts(self) -> Iterator[Finding]:
        for sight in self._store.holders().unknown:
            problem = f"its record is damaged, so nothing is removed until it is unmounted at {', '.join(sight.points)}"
            yield Finding(kind="mount", id=sight.holder.id, problem=problem, remedy="wait")

    def _mended(self, kind: str, name: str, problem: str) -> Finding:
        return Finding(kind=kind, id=name, problem=problem, repaired=self._repair, remedy="mend")

    def _removed(self, kind: Kind, name: str, path: Path, problem: str) -> Finding:
        finding = Finding(kind=kind, id=name, problem=problem)
        if not self._repair:
            return finding
        doomed = Held(kind=kind, id=name, label=name, bytes=0, used=time.time(), path=path, reason=None, wanted=False)
        stays = sweep(self._store, [doomed]).get((kind, name))
        if stays is None:
            return replace(finding, repaired=True)
        return replace(finding, problem=f"{problem}; it is kept for now, because {stays}")


def _blob_problem(path: Path, digest: str) -> str | None:
    try:
        Digest.parse(digest)
        if not files.is_regular(path):
            return "it is not a regular file" if os.path.lexists(path) else None
        actual = files.file_digest(path, digest.partition(":")[0])
    except IntegrityError:
        return "its name is not a digest"
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"it can't be read: {error.strerror}"
    return None if actual == digest else f"its bytes have the digest {actual}"
