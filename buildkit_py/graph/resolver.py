"""What a frontend may ask of the world, as a protocol: implementations are injected.

A frontend never opens a socket or a store. The engine offers a resolver that obeys the lock file and asks registries;
`StaticResolver` answers from a table, for programs and tests that must not touch the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import SourceInputError
from buildkit_py.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The fields of an OCI image configuration's `config` that a build can inherit, set and unset.

    Keys of `healthcheck`: `test` (a list that begins with `CMD`, `CMD-SHELL` or `NONE`), `interval`, `timeout`,
    `start_period`, `start_interval` (nanoseconds) and `retries`. The last five fields are Docker's additions, and the
    specification's `author`; `stop_timeout` is in seconds.
    """

    env: tuple[tuple[str, str], ...] = ()
    user: str = ""
    workdir: str = ""
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    expose: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str | None = None
    healthcheck: Mapping[str, object] | None = None
    shell: tuple[str, ...] | None = None
    on_build: tuple[str, ...] = ()
    stop_timeout: int | None = None
    args_escaped: bool = False
    author: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedImage:
    """A pinned base: the digest of the platform's manifest (None where it could not be known), its configuration, and
    the platform that it says it is for (None where it says nothing)."""

    digest: str | None
    config: ImageConfig
    platform: Platform | None = None


class Resolver(Protocol):
    """Answers for one build. Every method raises a `PybuildError` where it can't answer."""

    def image(self, ref: str, platform: Platform) -> ResolvedImage:
        """Pin an image (a normalised reference, or `oci:` / `oci-archive:`) and give its configuration."""

    def http(self, url: str) -> str:
        """The digest of what a URL holds."""

    def git(self, url: str, ref: str) -> str:
        """The commit that a ref of a repository names."""

    def text(self, path: str) -> str:
        """The text of a build file below the context (an import); `path` is relative and normalised."""

    def find(self, path: str, context: str = "context") -> str | None:
        """The text of a file of a directory that the client offers, None where there is none; the lock pins nothing of
        it. A file beside the build file, whose name begins with the build file's, may lie outside the context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticResolver:
    """A resolver that answers from tables and touches nothing."""

    images: Mapping[str, ResolvedImage] = field(default_factory=dict)
    urls: Mapping[str, str] = field(default_factory=dict)
    commits: Mapping[tuple[str, str], str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    def image(self, ref: str, platform: Platform) -> ResolvedImage:
        """The image of the table; one that is not in it has no digest yet and an empty configuration."""
        return self.images.get(ref, ResolvedImage(digest=None, config=ImageConfig()))

    def http(self, url: str) -> str:
        """The digest of the table."""
        if url not in self.urls:
            raise SourceInputError(f"no digest is known for {url}", hint="write the digest beside the URL")
        return self.urls[url]

    def git(self, url: str, ref: str) -> str:
        """The commit of the table; a full commit is its own answer."""
        if len(ref) in (40, 64) and all(char in "0123456789abcdef" for char in ref):
            return ref
        if (url, ref) not in self.commits:
            raise SourceInputError(f"no commit is known for {url} {ref}", hint="write the full commit")
        return self.commits[url, ref]

    def text(self, path: str) -> str:
        """The text of the table."""
        if path not in self.texts:
            raise SourceInputError(f"no such file: {path}")
        return self.texts[path]

    def find(self, path: str, context: str = "context") -> str | None:
        """The text of the table; other directories than the context have none."""
        return self.texts.get(path) if context == "context" else None
