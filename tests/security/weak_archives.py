"""pybuild without its guards against archives, for the proof that the tests notice."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any


def paths_are_followed() -> None:
    """A layer's names are opened as they are, whatever link stands on their way."""
    from buildkit_py.errors import IntegrityError
    from buildkit_py.layer import apply, openat, writer

    checked = apply._Applier._make_parents

    def resolve(_: object, path: str) -> str:
        return path

    def open_below(directory: int, path: str, flags: int = os.O_RDONLY, *, links: bool = False) -> int:
        return os.open(path or ".", flags & ~os.O_NOFOLLOW, dir_fd=directory)

    def make_parents(self: Any, path: str) -> None:
        with suppress(IntegrityError):
            checked(self, path)

    apply.resolve = resolve  # type: ignore[attr-defined]
    apply._Applier._make_parents = make_parents  # type: ignore[method-assign]
    openat.open_below = open_below
    writer._NEW = os.O_RDWR | os.O_CREAT | os.O_TRUNC


def names_may_lead_out() -> None:
    """`..` in a name means what it means to the kernel."""
    from buildkit_py.layer import apply, unpack

    def parts_of(name: str) -> list[str]:
        return [part for part in name.split("/") if part not in ("", ".")]

    for module in (apply, unpack):
        module.parts_of = parts_of  # type: ignore[attr-defined]


def no_limits() -> None:
    """An archive may hold anything."""
    from buildkit_py.layer.limits import Allowance

    def anything(*_: Any) -> None:
        return None

    for name in ("entry", "header", "unpacked", "time"):
        setattr(Allowance, name, anything)


def documents_mean_what_comes_first() -> None:
    """A document with the fields of both is taken for a manifest."""
    from buildkit_py.oci import parse

    parse._type_by_shape = lambda plain: parse.OCI_MANIFEST if "config" in plain else parse.OCI_INDEX


def text_is_shown_as_it_is() -> None:
    """What an image says goes to the terminal."""
    from buildkit_py.graph import title
    from buildkit_py.progress import text

    text.clean = title.printable_line = lambda line: line
