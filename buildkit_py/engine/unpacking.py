"""A tar archive as a directory to build from: its members go through the same checks as those that a step unpacks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from buildkit_py.errors import SourceInputError
from buildkit_py.graph.op import Unpack
from buildkit_py.layer.draft import materialise
from buildkit_py.layer.edit import Edit
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.tree import ROOT, EmptyTree
from buildkit_py.layer.unpack import unpack

_NAME = "archive"


def unpack_into(archive: Path, directory: Path, what: str) -> None:
    """Unpack into an empty directory; everything belongs to who builds. `what` is how people know the archive.

    Raises `SourceInputError` for what is no archive, or one that no honest tool makes.
    """
    edit = Edit(EmptyTree())
    try:
        unpack(Unpack(sources=(_NAME,), dest="/", owner="0:0"), edit, _OneFile(archive), archive.parent)
    except SourceInputError as error:
        message = error.message.replace(f"/{_NAME}", what, 1)
        raise SourceInputError(message, hint=error.hint) from None
    materialise(edit.draft(), directory, 0)


class _OneFile:
    """A tree that holds a file of this machine under one name."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lookup(self, path: str) -> Entry | None:
        if not path:
            return ROOT
        return Entry(path=_NAME, type="file", mode=0o644) if path == _NAME else None

    def children(self, path: str) -> Iterable[str]:
        return () if path else (_NAME,)

    def open(self, path: str) -> BinaryIO:
        return self._path.open("rb")
