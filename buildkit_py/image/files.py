"""The files of an image, without the image: among others in a directory, or as a tar. Of several platforms, each has a
directory of its own.

    out/app                      one platform
    out/linux_arm64/app          of several
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from buildkit_py.dataclass import replace
from buildkit_py.errors import OutputError, StoreError
from buildkit_py.image.rootfs import merged
from buildkit_py.image.staging import exclusive, new_file_or_stream, translated
from buildkit_py.image.stored import StoredImage, images
from buildkit_py.layer.archive import write_layer
from buildkit_py.layer.draft import SECOND
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.flat import flat
from buildkit_py.layer.tree import join, printable
from buildkit_py.layer.writer import TreeWriter

if TYPE_CHECKING:
    from buildkit_py.layer.tree import Tree
    from buildkit_py.oci import Descriptor
    from buildkit_py.store import Store


def write_local(store: Store, described: Descriptor, destination: Path, *, epoch: int) -> None:
    """Put the files of an image into a directory, which may hold others: those of the same names are replaced.

    They belong to who builds; modes are kept, every time is `epoch` (seconds). No link in the directory is followed,
    and no directory gives way to a file. Raises `OutputError`.
    """
    for folder, image in _by_folder(store, described):
        place = destination / folder
        with translated(place), exclusive(place), merged(image) as tree:
            place.mkdir(exist_ok=True)
            with _faults():
                _lay_out(tree, place, epoch * SECOND)


def write_tar(
    store: Store, described: Descriptor, destination: Path | None, *, epoch: int, durable: bool = False
) -> None:
    """Write the files of an image as a plain tar, without a destination to standard output; owners are kept.

    Raises `OutputError`.
    """
    with ExitStack() as open_trees, new_file_or_stream(destination, store, durable=durable) as out:
        entries: list[Entry] = []
        sources: dict[str, tuple[Tree, str]] = {}
        for folder, image in _by_folder(store, described):
            tree = open_trees.enter_context(merged(image))
            for entry in flat(tree).entries:
                moved = _below(folder, entry)
                entries.append(moved)
                sources[moved.path] = (tree, entry.path)

        def content(entry: Entry) -> BinaryIO:
            tree, path = sources[entry.path]
            return tree.open(path)

        write_layer(Diff(tuple(entries)), content, out, compression="none", epoch=epoch)


def _by_folder(store: Store, described: Descriptor) -> Iterator[tuple[str, StoredImage]]:
    found = {str(image.descriptor.platform or image.platform): image for image in images(store, described)}
    for platform, image in sorted(found.items()):
        yield (platform.replace("/", "_") if len(found) > 1 else ""), image


def _below(folder: str, entry: Entry) -> Entry:
    if not folder:
        return entry
    target = join(folder, entry.target or "") if entry.type == "hardlink" else entry.target
    return replace(entry, path=join(folder, entry.path).rstrip("/"), target=target)


def _lay_out(tree: Tree, directory: Path, mtime: int) -> None:
    entries = [replace(entry, uid=os.geteuid(), gid=os.getegid()) for entry in flat(tree).entries if entry.path]
    with TreeWriter(directory) as writer:
        for entry in entries:
            if not _make_room(writer, directory / entry.path, entry):
                _place(writer, tree, entry, mtime)
        for entry in reversed(entries):
            if entry.type == "dir":
                writer.finish(entry, mtime)


def _make_room(writer: TreeWriter, path: Path, entry: Entry) -> bool:
    """Take away what has the name of an entry. Returns whether it is a directory that stays."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(mode):
        writer.remove(entry.path, directory=False)
        return False
    if entry.type != "dir":
        raise OutputError(
            f"{path} is a directory, and the image has a {entry.type} of that name",
            hint="remove it, or name another directory",
        )
    return True


def _place(writer: TreeWriter, tree: Tree, entry: Entry, mtime: int) -> None:
    match entry.type:
        case "dir":
            writer.directory(entry.path)
        case "hardlink":
            writer.link(entry.path, entry.target or "")
        case "file":
            with tree.open(entry.path) as source:
                written = writer.copy(entry, source, mtime)
            if written.digest != entry.digest:
                raise StoreError(f"/{printable(entry.path)} is damaged in the store", hint="run `pybuild store check`")
        case _:
            writer.other(entry, mtime)


@contextmanager
def _faults() -> Iterator[None]:
    """The file system that fails is the destination's, not the store's."""
    try:
        yield
    except StoreError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
