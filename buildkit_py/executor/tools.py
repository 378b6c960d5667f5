"""The programs of the build machine that host steps declare: where each is, what it is, and the package that brings it.

On the path of a cached build: nothing of the sandbox is imported here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.errors import MissingToolError

if TYPE_CHECKING:
    from buildkit_py.graph.op import Tool
    from buildkit_py.store import Store

HOST_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Where host steps look for programs."""

_PACKAGES = {
    "apt-get": "apt",
    "cargo": "cargo",
    "createrepo_c": "createrepo-c",
    "dnf": "dnf",
    "dpkg-deb": "dpkg",
    "gcc": "gcc",
    "gpg": "gnupg",
    "g++": "g++",
    "ldconfig": "libc-bin",
    "mkfs.ext4": "e2fsprogs",
    "node": "nodejs",
    "pip": "python3-pip",
    "pip3": "python3-pip",
    "python3": "python3",
    "rpm2cpio": "rpm2cpio",
    "sbuild": "sbuild",
    "xz": "xz-utils",
}
"""The Debian package of a program, where its name is not that of the program."""


def find_tool(name: str, path: Sequence[str] = HOST_PATH, *, package: str | None = None) -> Path:
    """The file of the program `name`, all links followed; raises `MissingToolError` that names the Debian package."""
    for directory in path:
        candidate = Path(directory, name)
        try:
            if candidate.is_file() and candidate.stat().st_mode & 0o111:
                return candidate.resolve()
        except OSError:
            continue
    raise MissingToolError(
        f"the tool `{name}` is not installed on this machine",
        hint=f"apt-get install {package or _PACKAGES.get(name, name)}",
    )


def tool_identity(name: str, path: Sequence[str] = HOST_PATH, *, package: str | None = None) -> str:
    """`sha256:…` of the program's file, for a step's key: a new version of it is another tool."""
    file = find_tool(name, path, package=package)
    try:
        with file.open("rb") as opened:
            return f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"
    except OSError as error:
        raise MissingToolError(f"the tool `{name}` can't be read: {error.strerror} ({file})") from error


class MachineTools:
    """Identities of programs: SHA-256 of the file, remembered under its stat data."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, str] = {}

    def identity(self, tool: Tool) -> str:
        """The digest of the program; raises `MissingToolError` that names the package to install."""
        if tool.name not in self._known:
            self._known[tool.name] = self._remembered(tool)
        return self._known[tool.name]

    def _remembered(self, tool: Tool) -> str:
        path = find_tool(tool.name, package=tool.package)
        facts = path.stat()
        name = f"{path}:{facts.st_size}:{facts.st_mtime_ns}:{facts.st_ctime_ns}:{facts.st_ino}"
        known: str | None = self._store.memo.get("tool", name)
        if known is None:
            known = tool_identity(tool.name, HOST_PATH, package=tool.package)
            self._store.memo.put("tool", name, known)
        return known
