"""The images of an archive, whatever kind it is: an OCI layout in a tar, or what `docker save` writes.

standard input, or a compressed file ──▶ a file without a name ──▶ members, read where they lie
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError, SourceInputError, UsageError
from buildkit_py.layer.decompress import Inflating
from buildkit_py.layer.limits import Allowance, Limits
from buildkit_py.oci import MAX_DOCUMENT, Descriptor, parse_index
from buildkit_py.reference import DEFAULT_REGISTRY, Reference
from buildkit_py.registry.blobs import ImageReader
from buildkit_py.registry.dockerarchive import MANIFEST, DockerArchiveReader, archived_images
from buildkit_py.registry.layout import ArchiveFiles, LayoutReader, names_of
from buildkit_py.transfer.place import Kind, Place

if TYPE_CHECKING:
    from buildkit_py.store import Store

STDIN = "-"
"""What standard input is called."""

_CHUNK = 1 << 20
_LONGEST_NAME = 512
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loadable:
    """One image of an archive, with its names there, which are Docker's `tags` or names as they are; `place` is where
    it is, without a path for standard input, and is written as one command names it without them."""

    reader: ImageReader
    names: tuple[str, ...]
    place: Place
    tags: bool = False


@contextmanager
def archive(path: Path | None, stream: BinaryIO, room: Path) -> Iterator[ArchiveFiles]:
    """An archive's members: of `path`, or of what `stream` gives.

    What is compressed, or comes in as a stream, lies in a file without a name in `room` until the block ends. Raises
    `SourceInputError`, `IntegrityError`.
    """
    if path is not None and not _is_compressed(path):
        yield ArchiveFiles(path, links=True)
        return
    with ExitStack() as stack:
        whole = stack.enter_context(TemporaryFile(dir=room))
        try:
            packed = stack.enter_context(path.open("rb")) if path is not None else stream
            plain = Inflating(packed, Allowance(Limits.current()))
            while piece := plain.read(_CHUNK):
                whole.write(piece)
            whole.flush()
        except IntegrityError as error:
            raise IntegrityError(
                f"{path or 'standard input'} can't be unpacked: {error.message}", hint=error.hint
            ) from None
        except OSError as error:
            what = path or "standard input"
            raise SourceInputError(f"can't read {what} into {room}: {error.strerror or error}") from None
        again = f"/proc/self/fd/{whole.fileno()}"
        yield ArchiveFiles(path or Path(STDIN), lambda _, flags: os.open(again, flags), links=True)


def loadable(files: ArchiveFiles, name: str) -> list[Loadable]:
    """Every image of an archive that is called `name`. Raises `IntegrityError` for what holds none."""
    members = files.names()
    if {"oci-layout", "index.json"} <= members:
        return _of_layout(files, name)
    if MANIFEST in members:
        return [
            Loadable(
                reader=DockerArchiveReader(name, files, f"@{number}"),
                names=_usable(image.tags),
                tags=True,
                place=_place("docker-archive", name, f"@{number}"),
            )
            for number, image in enumerate(archived_images(files, name))
        ]
    raise IntegrityError(
        f"{name} holds no images: it has neither an index.json nor a {MANIFEST}",
        hint="write one with `pybuild save`, `docker save` or `podman save`",
    )


def _place(kind: Kind, name: str, image: str | None = None) -> Place:
    """An image of the archive that is called `name`; a colon belongs to the path here."""
    text = f"{kind}:{name}:{image}" if image is not None else f"{kind}:{name}"
    return Place(text=text, kind=kind, path=Path(name) if name != STDIN else None, name=image)


def store_name(store: Store, tag: str) -> str:
    """What the store calls an image that a Docker archive calls `tag`: the name that it has for it, however that is
    written, else the short form that people write."""
    wanted = _reference(tag)
    if wanted is None:
        return tag
    for record in store.images.list():
        if record.given and _reference(record.name) == wanted:
            return record.name
    return str(wanted).removeprefix(f"{DEFAULT_REGISTRY}/").removeprefix("library/")


def _reference(name: str) -> Reference | None:
    try:
        return Reference.parse(name)
    except (UsageError, IntegrityError):
        return None


def _of_layout(files: ArchiveFiles, name: str) -> list[Loadable]:
    with files.open("index.json") as file:
        rows = parse_index(file.read(MAX_DOCUMENT + 1)).manifests
    by_digest: dict[str, list[Descriptor]] = {}
    for row in rows:
        by_digest.setdefault(str(row.digest), []).append(row)
    found = []
    for same in by_digest.values():
        reader = LayoutReader(name, files, None)
        reader.pinned = same[0].digest
        names = _usable(dict.fromkeys(each for row in same for each in names_of(row)[:1]))
        found.append(Loadable(reader=reader, names=names, place=_place("oci-archive", name)))
    return found


def _usable(names: Iterable[str]) -> tuple[str, ...]:
    """Those that people could write, and a terminal would only show."""
    return tuple(name for name in names if name.isprintable() and " " not in name and len(name) <= _LONGEST_NAME)


def _is_compressed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(_COMPRESSED)
    except OSError as error:
        raise SourceInputError(f"can't read {path}: {error.strerror}") from None
