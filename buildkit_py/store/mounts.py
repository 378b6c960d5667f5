"""What is mounted inside the store, as /proc/self/mountinfo tells (proc(5))."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

_ESCAPE = re.compile(r"\\([0-7]{3})")
_DETACH_NOFOLLOW = 2 | 8


class Mounts:
    """One look at the mount table of this process's mount namespace."""

    def __init__(self, text: str | None = None) -> None:
        if text is None:
            text = _table()
        self._points: list[str] = []
        self._kinds: list[str] = []
        self._sources: set[str] = set()
        for line in text.splitlines():
            head, _, tail = line.partition(" - ")
            fields = head.split(" ")
            self._points.append(_plain(fields[4]))
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


def detach(path: Path) -> None:
    """Unmount whatever a killed process left at or below `path`, as far as this process may."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    for point in Mounts().below(path):
        libc.umount2(os.fsencode(point), _DETACH_NOFOLLOW)


def _table() -> str:
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
    return ""


def _overlay_directories(tail: str) -> list[str]:
    found: list[str] = []
    for option in tail.split(" ")[-1].split(","):
        name, _, value = _plain(option).partition("=")
        if name.rstrip("+") in ("lowerdir", "upperdir", "workdir"):
            found.extend(f"{directory}/" for directory in value.split(":"))
    return found


def _plain(field: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)
