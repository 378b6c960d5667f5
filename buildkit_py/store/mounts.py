"""What is mounted where, as /proc/self/mountinfo tells (proc(5))."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

_ESCAPE = re.compile(r"\\([0-7]{3})")
_DETACH_NOFOLLOW = 2 | 8
VIEW = "pybuild-"
"""How the names of mounted images begin in mount tables (see holders.py)."""


class Mounts:
    """One look at the mount table of this process's mount namespace, or at the `table` of another one."""

    def __init__(self, table: bytes | None = None) -> None:
        self._points: list[str] = []
        self._kinds: list[str] = []
        self._sources: set[str] = set()
        self._names: list[str] = []
        for line in lines(_table() if table is None else table):
            head, _, tail = line.partition(" - ")
            fields = head.split(" ")
            self._points.append(plain(fields[4]))
            self._names.append(plain(tail.split(" ")[1]))
            self._kinds.append(tail.partition(" ")[0])
            if tail.startswith("overlay "):
                self._sources.update(_overlay_directories(tail))

    def below(self, path: Path) -> list[str]:
        """The mount points at or below `path`, the latest mount first."""
        inside = f"{path}/"
        return [point for point in reversed(self._points) if point == str(path) or point.startswith(inside)]

    def kind(self, path: Path) -> str:
        """The type of the file system that holds `path`, as the kernel calls it; `unknown` where nothing tells."""
        real, found, kind = os.path.realpath(path), "", "unknown"
        for point, name in zip(self._points, self._kinds, strict=True):
            # A later mount at the same place hides the earlier one.
            if len(point) >= len(found) and f"{real}/".startswith(f"{point.rstrip('/')}/"):
                found, kind = point, name
        return kind

    def uses(self, path: Path) -> bool:
        """Whether something is mounted at or below `path`, or an overlay is made of a directory below it."""
        inside = f"{path}/"
        return bool(self.below(path)) or any(source.startswith(inside) for source in self._sources)

    def named(self, name: str) -> list[str]:
        """The mount points of what was mounted by a name (mount(2), `source`), the latest mount first."""
        pairs = zip(self._points, self._names, strict=True)
        return [point for point, known in pairs if known == name][::-1]

    def views(self) -> list[str]:
        """The mount points of images that pybuild mounted, of any store, the latest mount first."""
        pairs = zip(self._points, self._names, strict=True)
        return [point for point, name in pairs if name.startswith(VIEW)][::-1]

    def top(self, point: str) -> str | None:
        """The name of what is seen at a mount point; None where nothing is mounted."""
        pairs = zip(reversed(self._points), reversed(self._names), strict=True)
        return next((name for known, name in pairs if known == point), None)


def detach(path: Path) -> None:
    """Unmount whatever a killed process left at or below `path`, as far as this process may."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    for point in Mounts().below(path):
        libc.umount2(os.fsencode(point), _DETACH_NOFOLLOW)


def lines(table: bytes) -> list[str]:
    """The lines of a table in /proc. Of what ends a line for Python the kernel escapes the newline only, and names of
    mount points need be no UTF-8: they are told as file names are (PEP 383)."""
    return table.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n") if table else []


def _table() -> bytes:
    with suppress(OSError), open("/proc/self/mountinfo", "rb") as file:
        return file.read()
    return b""


def _overlay_directories(tail: str) -> list[str]:
    found: list[str] = []
    for option in tail.split(" ")[-1].split(","):
        name, _, value = plain(option).partition("=")
        if name.rstrip("+") in ("lowerdir", "upperdir", "workdir"):
            found.extend(f"{directory}/" for directory in value.split(":"))
    return found


def plain(field: str) -> str:
    """A field of a mount table as it was before its blanks were escaped."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)
