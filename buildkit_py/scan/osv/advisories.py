"""Reading a directory of advisories: JSON files as the OSV schema (1.x) describes them, in any folders below it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from buildkit_py.errors import SourceInputError
from buildkit_py.scan.osv.ecosystems import Name, canonical

_LIMIT = 32 << 20
_NAME = re.compile(rb'"name"\s*:\s*"((?:[^"\\])*)"')
Advisory = dict[str, Any]


class Advisories:
    """The advisories of a directory that are about some packages; `problems` says which files could not be read."""

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise SourceInputError(f"{directory} is no directory", hint="unpack an export of OSV there")
        self.directory = directory
        self.count = 0
        self.problems: list[str] = []

    def about(self, names: Collection[Name]) -> Iterator[Advisory]:
        """Those that name one of the packages and were not withdrawn."""
        plain = frozenset(canonical("PyPI", name).encode() for _, name in names) | {name.encode() for _, name in names}
        for path in self._files():
            self.count += 1
            data = self._bytes(path)
            if data is not None and _may_be_about(data, plain):
                advisory = self._parsed(path, data)
                if advisory is not None and not advisory.get("withdrawn") and _is_about(advisory, names):
                    yield advisory

    def _files(self) -> Iterator[Path]:
        def fail(error: OSError) -> None:
            raise SourceInputError(f"{error.filename} can't be read: {error.strerror}")

        for folder, folders, files in os.walk(self.directory, onerror=fail):
            folders.sort()
            yield from (Path(folder, name) for name in sorted(files) if name.endswith(".json"))

    def _bytes(self, path: Path) -> bytes | None:
        try:
            with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
                data = file.read(_LIMIT + 1)
        except OSError as error:
            self.problems.append(f"{path} was not read: {error.strerror}")
            return None
        if len(data) > _LIMIT:
            self.problems.append(f"{path} was not read: it is larger than {_LIMIT} bytes")
            return None
        return data

    def _parsed(self, path: Path, data: bytes) -> Advisory | None:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            self.problems.append(f"{path} was not read: {str(error)[:100]}")
            return None
        if not isinstance(document, dict) or not isinstance(document.get("id"), str):
            self.problems.append(f"{path} was not read: it is no advisory")
            return None
        return document


def listed(document: Advisory, name: str) -> list[Any]:
    """A field that is a list; empty where it is none."""
    value = document.get(name)
    return value if isinstance(value, list) else []


def affected(advisory: Advisory) -> Iterator[tuple[str, str, str, Advisory]]:
    """What an advisory says of each package: ecosystem, release of it, name, and the rest."""
    for entry in listed(advisory, "affected"):
        package = entry.get("package") if isinstance(entry, dict) else None
        if isinstance(package, dict):
            ecosystem, name = package.get("ecosystem"), package.get("name")
            if isinstance(ecosystem, str) and isinstance(name, str):
                base, _, release = ecosystem.partition(":")
                yield base, release, canonical(base, name), entry


def _may_be_about(data: bytes, names: frozenset[bytes]) -> bool:
    """A quick look that spares parsing most files; a file with escapes in it is always parsed."""
    if b"\\/" in data or b"\\u" in data:
        return True
    found = _NAME.findall(data)
    return any(name in names or canonical("PyPI", name.decode("utf-8", "replace")).encode() in names for name in found)


def _is_about(advisory: Advisory, names: Collection[Name]) -> bool:
    return any((ecosystem, name) in names for ecosystem, _, name, _ in affected(advisory))
