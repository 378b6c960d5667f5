"""Image references: `[registry/]repository[:tag][@digest]`, normalised as `docker` does."""

from __future__ import annotations

import re

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.digest import Digest
from buildkit_py.errors import UsageError

DEFAULT_REGISTRY = "docker.io"
LOCAL = ("oci:", "oci-archive:", "docker-archive:", "dir:")
"""What the name of an image that is a file or a directory begins with."""
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_REGISTRY = re.compile(rf"(?:\[[0-9a-fA-F:]+\]|{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>[0-9]{{1,5}}))?\Z")
_MOST_PORT = 65535
_MOST = 1024
"""Characters of a whole name: host, repository, tag and digest have fewer together."""


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A parsed reference; `tag` is None only where `digest` is given."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parse and normalise; raises `UsageError` that names the wrong part."""
        if len(text) > _MOST:
            raise UsageError(f"an image name of {len(text)} characters is too long: {text[:80]!r}…")
        rest, at, digest_text = text.partition("@")
        digest = Digest.parse(digest_text) if at else None
        head, slash, tail = rest.partition("/")
        if slash and ("." in head or ":" in head or head == "localhost"):
            registry, path = head, tail
        else:
            registry, path = DEFAULT_REGISTRY, rest
        path, colon, tag_text = path.partition(":")
        host = _REGISTRY.match(registry)
        if host is None or not 0 < int(host["port"] or 1) <= _MOST_PORT:
            raise UsageError(f"not a registry host in {text!r}: {registry!r}", hint="it is HOST or HOST:PORT")
        if registry == "index.docker.io":
            registry = DEFAULT_REGISTRY
        if registry == DEFAULT_REGISTRY and "/" not in path:
            path = f"library/{path}"
        _check_repository(path, text)
        if colon and not _TAG.match(tag_text):
            raise UsageError(f"not a tag in {text!r}: {tag_text!r}", hint="a tag is up to 128 of A-Z a-z 0-9 _ . -")
        return cls(registry, path, tag_text if colon else (None if digest else "latest"), digest)

    def with_digest(self, digest: Digest) -> Reference:
        """The same name, pinned."""
        return replace(self, digest=digest)

    @property
    def name(self) -> str:
        """`registry/repository`, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def is_local(text: str) -> bool:
    """Whether the name is that of a layout, an archive or a directory, not of something in a registry."""
    return text.startswith(LOCAL)


def _check_repository(path: str, text: str) -> None:
    components = path.split("/")
    if len(path) > 255 or not all(_COMPONENT.match(component) for component in components):
        upper = any(char.isupper() for char in path)
        hint = (
            f"write it in lower case: {text.lower()!r}"
            if upper
            else "a name is lower-case letters, digits, . _ - and /"
        )
        raise UsageError(f"not an image name: {text!r}", hint=hint)
