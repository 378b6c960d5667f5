"""The JSON schema of SARIF 2.1.0, out of the npm package that brings it; fetched once a machine."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from tests.support import cache

_PACKAGE = "@microsoft/jest-sarif@1.0.0-beta.0"


def schema() -> dict[str, Any]:
    """The schema."""
    place = cache.once("sarif-schema", _PACKAGE, _fetch)
    document: dict[str, Any] = json.loads((place / "schema.json").read_text())
    return document


def _fetch(directory: Path) -> None:
    cache.run("npm", "pack", "--silent", "--pack-destination", directory, _PACKAGE, cwd=directory)
    with tarfile.open(next(directory.glob("*.tgz"))) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() and member.name.endswith(".json") else None
            data = file.read() if file is not None else b""
            if b"Static Analysis Results" in data and b'"$schema"' in data:
                (directory / "schema.json").write_bytes(data)
                return
    raise RuntimeError(f"{_PACKAGE} holds no schema")
