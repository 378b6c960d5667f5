"""What a person writes for an image, wherever it is.

docker://REF                  in a registry
oci:DIR[:NAME]                in an OCI image layout
oci-archive:FILE[:NAME]       in a tar of one
docker-archive:FILE[:NAME]    in what `docker save` writes
dir:PATH                      as plain files
NAME                          in the store
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import UsageError
from buildkit_py.reference import Reference
from buildkit_py.registry.source import split

Kind = Literal["docker", "oci", "oci-archive", "docker-archive", "dir", "store"]
_FILES = ("oci", "oci-archive", "docker-archive")
_DOCKER = "docker://"
_OTHERS = {
    "containers-storage": "that is Podman's store: write it with `podman save -o FILE`, and name docker-archive:FILE",
    "docker-daemon": "pybuild talks to no daemon: write it with `docker save -o FILE`, and name docker-archive:FILE",
    "ostree": "it is not known here: write it as oci:DIR with a tool that knows it",
    "sif": "it is not known here: write it as oci:DIR with a tool that knows it",
    "http": "write docker://HOST/NAME; plain HTTP is a setting of the registry",
    "https": "write docker://HOST/NAME",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an image is. `reference` is set of a registry, `path` of files, `name` where the text gives one."""

    text: str
    kind: Kind
    reference: Reference | None = None
    path: Path | None = None
    name: str | None = None

    @classmethod
    def parse(cls, text: str, directory: Path) -> Place:
        """Read it; paths are relative to `directory`. Raises `UsageError`."""
        if text.startswith(_DOCKER):
            return cls(text=text, kind="docker", reference=Reference.parse(text.removeprefix(_DOCKER)))
        kind, colon, rest = text.partition(":")
        if colon and kind == "docker":
            raise UsageError(f"not the name of an image: {text!r}", hint=f"write docker://{rest.lstrip('/')}")
        if colon and kind in _FILES:
            path, name = split(kind, rest)
            return cls(text=text, kind=cast("Kind", kind), path=directory / path, name=name)
        if colon and kind == "dir":
            if not rest:
                raise UsageError(f"not the name of an image: {text!r}", hint="write dir:PATH")
            return cls(text=text, kind="dir", path=directory / rest)
        if colon and kind in _OTHERS and (rest.startswith("//") or kind not in ("http", "https")):
            raise UsageError(f"images can't be named by {kind}:", hint=_OTHERS[kind])
        if not text:
            raise UsageError("an empty text names no image", hint="`pybuild ls` lists those of the store")
        return cls(text=text, kind="store", name=text)

    @classmethod
    def in_registry(cls, text: str) -> Place:
        """A reference, with or without `docker://`. Raises `UsageError`."""
        return cls.parse(text if text.startswith(_DOCKER) else f"{_DOCKER}{text}", Path())

    def __str__(self) -> str:
        return self.text
