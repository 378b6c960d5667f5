"""Images by name. The rows decide; `index.json` repeats them for other OCI tools and is replaced atomically.

Both are written under SQLite's write lock, index.json first. The row `index_json` holds the stamp (inode, time, size)
of the file that matches the rows, so a process that was killed between the two is noticed by one `stat`.

A name is *given* by who builds, or *implied* by a build file (what it calls an image, a stage). Both keep an image; an
implied one is marked by an annotation of its descriptor, which nobody outside of this module sees.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from buildkit_py import canonical
from buildkit_py.dataclass import dataclass, replace
from buildkit_py.errors import IntegrityError, NotFoundError, StoreError
from buildkit_py.store import files
from buildkit_py.store.blobs import Blobs
from buildkit_py.store.faults import guard
from buildkit_py.store.index import Index
from buildkit_py.store.layout import Layout
from buildkit_py.store.leases import Owner
from buildkit_py.store.schema import CREATED, seal

REF_NAME = "org.opencontainers.image.ref.name"
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
IMPLIED = "dev.pybuild.name.implied"
_INDEX_JSON_LIMIT = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """A named image: its descriptor, when it got the name (seconds since 1970), whether who builds gave it, and
    `kind`: `image` or `index`. `place` is the additional store that it is in; None for this one."""

    name: str
    descriptor: dict[str, Any]
    created: float
    given: bool = True
    place: Path | None = None

    @property
    def kind(self) -> str:
        """`index` where several platforms may be in it."""
        return "index" if self.descriptor.get("mediaType") in INDEX_TYPES else "image"


class Images:
    """The names of images in one store."""

    def __init__(self, layout: Layout, index: Index, owner: Owner, blobs: Blobs) -> None:
        self._layout = layout
        self._index = index
        self._owner = owner
        self._blobs = blobs

    def list(self) -> list[ImageRecord]:
        """All images, by name."""
        rows = self._index.rows(f"SELECT name, descriptor, {CREATED}, seal FROM images ORDER BY name")
        return [_record(name, text, created) for name, text, created, sealed in rows if seal(name, text) == sealed]

    def everywhere(self) -> Sequence[ImageRecord]:
        """All images, by name, those of additional stores too; a name means what the first store says that has it."""
        found = {record.name: record for layout in reversed(self._layout.others) for record in _elsewhere(layout)}
        found.update((record.name, record) for record in self.list())
        return [found[name] for name in sorted(found)]

    def get(self, name: str) -> dict[str, Any] | None:
        """The descriptor of the image of that name, or None."""
        record = self._record(name)
        return record.descriptor if record is not None else None

    def find(self, name: str) -> dict[str, Any] | None:
        """The same, in additional stores too."""
        found = self.get(name)
        if found is None and self._layout.others:
            return next((record.descriptor for record in self.everywhere() if record.name == name), None)
        return found

    @property
    def state(self) -> str:
        """Changes with every change of a name."""
        row = self._index.row("SELECT value FROM facts WHERE name = 'index_json'")
        own = str(row[0]) if row is not None else ""
        return " ".join((own, *(_stamp_of(layout.index_json) for layout in self._layout.others)))

    def _record(self, name: str) -> ImageRecord | None:
        row = self._index.row(f"SELECT descriptor, {CREATED}, seal FROM images WHERE name = ?", (name,))
        if row is None or seal(name, row[0]) != row[2]:
            return None
        return _record(name, row[0], row[1])

    def put(self, name: str, descriptor: Mapping[str, Any], *, given: bool = True) -> bool:
        """Give an image a name, taking it from another that had it. Its manifest must be in the store.

        One that is implied takes no name away that was given, but to the same image: False says so.
        """
        if not self._blobs.has(str(descriptor.get("digest"))):
            raise StoreError(f"can't name an image {name!r}: its manifest {descriptor.get('digest')} is not stored")
        text = canonical.dumps(descriptor if given else _marked(descriptor, IMPLIED, "true")).decode()
        if self._index.row("SELECT seal FROM images WHERE name = ?", (name,)) == (seal(name, text),) and self.matches():
            return True
        with self._index.transaction():
            known = None if given else self._record(name)
            if known is not None and known.given:
                return bool(known.descriptor["digest"] == descriptor["digest"])
            self._index.execute(
                "INSERT OR REPLACE INTO images (name, descriptor, created, seal) VALUES (?, ?, ?, ?)",
                (name, text, time.time(), seal(name, text)),
            )
            self.rewrite()
        return True

    def remove(self, name: str) -> None:
        """Take the name away; bytes go with the next prune. Raises `NotFoundError`."""
        with self._index.transaction():
            if not self._index.execute("DELETE FROM images WHERE name = ?", (name,)):
                raise NotFoundError(f"no image {name!r} in the store", hint="`pybuild ls` lists the images")
            self.rewrite()

    def drop(self, name: str, digest: str) -> bool:
        """Take the name away if it stands for that digest, or for nothing; False where it stands for another."""
        with self._index.transaction():
            record = self._record(name)
            if record is not None and record.descriptor["digest"] != digest:
                return False
            self._index.execute("DELETE FROM images WHERE name = ?", (name,))
            self.rewrite()
        return True

    def mend(self, *, again: bool = False) -> None:
        """Write index.json again if it is not the file that matches the rows, or in any case."""
        if again or not self.matches():
            with self._index.transaction():
                self.rewrite()

    def rewrite(self) -> None:
        """Inside a transaction: write index.json again just before it commits."""
        self._index.before_commit("index.json", self._publish)

    def matches(self) -> bool:
        """Whether index.json is the file that was written with the rows."""
        row = self._index.row("SELECT value FROM facts WHERE name = 'index_json'")
        return row is not None and row[0] == self._stamp()

    def repeated(self) -> bool:
        """Whether index.json says what the rows say, byte by byte."""
        with suppress(OSError):
            return files.read_regular(self._layout.index_json, _INDEX_JSON_LIMIT) == self._document()
        return False

    def _document(self) -> bytes:
        manifests = [
            _marked(
                record.descriptor if record.given else _marked(record.descriptor, IMPLIED, "true"),
                REF_NAME,
                record.name,
            )
            for record in self.list()
        ]
        return canonical.dumps({"manifests": manifests, "mediaType": INDEX_TYPES[0], "schemaVersion": 2})

    def _publish(self) -> None:
        with guard("writing index.json", self._layout.root):
            files.replace(self._layout.index_json, self._document(), self._owner.temporary())
        self._index.execute("INSERT OR REPLACE INTO facts (name, value) VALUES ('index_json', ?)", (self._stamp(),))

    def _stamp(self) -> str:
        return _stamp_of(self._layout.index_json)


def _stamp_of(path: Path) -> str:
    with suppress(OSError):
        state = path.lstat()
        return f"{state.st_ino}-{state.st_mtime_ns}-{state.st_size}"
    return ""


def _elsewhere(layout: Layout) -> Iterator[ImageRecord]:
    """The images that an additional store names; when they got their names is as old as its list."""
    with suppress(OSError):
        created = layout.index_json.lstat().st_mtime
        for name, descriptor in _listed(layout):
            yield replace(_record(name, json.dumps(descriptor), created), place=layout.root)


def fill_from_index_json(layout: Layout, connection: sqlite3.Connection) -> None:
    """Take the image names of index.json over into a new index; what has no name or no manifest is left out."""
    for name, descriptor in _listed(layout):
        text = canonical.dumps(descriptor).decode()
        created = layout.find_blob(str(descriptor["digest"])).lstat().st_mtime
        connection.execute(
            "INSERT OR REPLACE INTO images (name, descriptor, created, seal) VALUES (?, ?, ?, ?)",
            (name, text, created, seal(name, text)),
        )


def _listed(layout: Layout) -> list[tuple[str, dict[str, Any]]]:
    """The names in an index.json with their descriptors, as far as it can be read."""
    plain: Any = None
    with suppress(OSError, ValueError, RecursionError):
        plain = json.loads(files.read_regular(layout.index_json, _INDEX_JSON_LIMIT))
    rows = plain.get("manifests") if isinstance(plain, dict) else None
    found = (_named(layout, row) for row in rows) if isinstance(rows, list) else ()
    return [each for each in found if each is not None]


def _named(layout: Layout, row: Any) -> tuple[str, dict[str, Any]] | None:
    """One row; None where it has no name, is no descriptor, or its manifest is not there."""
    from buildkit_py.oci import wire

    try:
        descriptor = dict(wire.check(wire.DESCRIPTOR, row, "descriptor"))
        annotations = dict(descriptor.pop("annotations", None) or {})
        name = annotations.pop(REF_NAME)
        canonical.dumps(descriptor)
        if not layout.find_blob(descriptor["digest"]).is_file():
            return None
    except (IntegrityError, LookupError, ValueError, RecursionError):
        return None
    return name, {**descriptor, "annotations": annotations} if annotations else descriptor


def _record(name: str, text: str, created: float) -> ImageRecord:
    descriptor: dict[str, Any] = json.loads(text)
    annotations = descriptor.get("annotations")
    if not isinstance(annotations, dict) or IMPLIED not in annotations:
        return ImageRecord(name=name, descriptor=descriptor, created=created)
    del annotations[IMPLIED]
    if not annotations:
        del descriptor["annotations"]
    return ImageRecord(name=name, descriptor=descriptor, created=created, given=False)


def _marked(descriptor: Mapping[str, Any], key: str, value: str) -> dict[str, Any]:
    """The descriptor with one more annotation."""
    return {**descriptor, "annotations": {**(descriptor.get("annotations") or {}), key: value}}
