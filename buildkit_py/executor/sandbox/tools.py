"""The machine's programs that host steps declare: where each is, what it is, and the package that brings it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from buildkit_py.errors import MissingToolError

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
