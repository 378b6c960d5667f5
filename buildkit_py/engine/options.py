"""What a build is asked to do, and what it answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from buildkit_py.dataclass import dataclass, field
from buildkit_py.graph.settings import Settings

if TYPE_CHECKING:
    from buildkit_py.graph.definition import Output
    from buildkit_py.registry.source import OfferedLayout
    from buildkit_py.source import Diagnostic, Span

STDOUT = "-"
"""The `value` of a destination that is standard output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where the person who builds wants an image, beyond the kinds that a build file knows.

    `local` puts the files of the image into a directory, among what is there; `tar` writes them as a plain tar. Those
    two hold all platforms, each in a directory of its own where there are several. `value` is as in an `Output`; for
    `tar`, `archive` and `docker` it may be `STDOUT`. With `push`, a `registry` is written to although the build as a
    whole does not push.
    """

    kind: Literal["archive", "layout", "docker", "registry", "rootfs", "store", "local", "tar"]
    value: str
    push: bool = False
    span: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlace:
    """A cache that machines share: `value` is a repository of a registry, or an absolute path (`local`).

    What is written there: `min` keeps the bytes of the layers of images alone, `max` of all steps. With `ignore_error`
    a failure to write is only told.
    """

    kind: Literal["registry", "local"]
    value: str
    mode: Literal["min", "max"] = "min"
    ignore_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One annotation, and the document that gets it: the manifest (of one platform, or of all), the index, or the
    manifest's descriptor in the index."""

    kind: Literal["manifest", "index", "manifest-descriptor"]
    key: str
    value: str
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """One request. Paths are absolute or relative to the working directory.

    Exactly one of `file` (a build file) and `graph` (a graph that another program wrote) is used; with neither, the
    directory is searched. `params` are texts, checked against their declarations. `outputs` come on top of those that
    the build file declares. `epoch` is in seconds; None takes 0.

    `text` is a build file that did not come from a file; `file` is then only what it is called. `contexts` are further
    directories by name, which `settings.contexts` says `local` of; `layouts` say what a graph means by `oci:NAME`. A
    `temporary` context is a copy that was made for this build: people know its files by their paths below it. `lock`
    says whether a lock file is kept; None leaves that to the kind of build file. With `pull`, tags are asked for anew
    although the store knows what they stood for. `cache_from` are asked in their order where the store knows no result,
    `cache_to` get what the build used or made. `proxies` are variables that steps with `proxy` get; `allow` is what the
    client grants. `policy` is the trust policy to obey instead of the one that holds on this machine. `limits` are the
    most that every step may use, beside what the build file says (`graph.resources`).
    """

    context: Path
    file: Path | None = None
    graph: Path | None = None
    params: Mapping[str, str | list[str]] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    outputs: tuple[Output | Destination, ...] = ()
    push: bool = False
    fsync_output: bool = False
    no_cache: bool = False
    refresh: bool = False
    locked: bool = False
    keep_going: bool = False
    jobs: int | None = None
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    allow_short_secret: bool = False
    runtime: str = "auto"
    snapshotter: str = "auto"
    epoch: int | None = None
    text: str | None = None
    temporary: bool = False
    settings: Settings = field(default_factory=Settings)
    contexts: Mapping[str, Path] = field(default_factory=dict)
    layouts: Mapping[str, OfferedLayout] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] = ()
    lock: bool | None = None
    pull: bool = False
    cache_from: tuple[CachePlace, ...] = ()
    cache_to: tuple[CachePlace, ...] = ()
    allow: frozenset[str] = frozenset()
    proxies: Mapping[str, str] = field(default_factory=dict)
    policy: Path | None = None
    limits: Mapping[str, int | str] = field(default_factory=dict)

    def shown(self, path: Path) -> str:
        """How people know a file: by its path from where they are, or from the root of a temporary context."""
        start = self.context if self.temporary and path.is_relative_to(self.context) else os.curdir
        return os.path.relpath(path, start)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerResult:
    """One layer of an image: its digest and size (bytes) as a blob, and whether the blob was there before."""

    name: str
    digest: str
    size: int
    reused: bool
    from_base: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """One image of one platform; `size` (bytes) is that of the blobs, `config` the digest of its configuration."""

    name: str
    platform: str
    digest: str
    size: int
    layers: tuple[LayerResult, ...]
    config: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What a build made.

    `digests` maps each image's name to the digest that names it: a manifest's, or an index's; `descriptors` to the OCI
    descriptor of that. `warnings` are what the frontend had to say.
    """

    build: str
    images: tuple[ImageResult, ...]
    digests: Mapping[str, str]
    ran: int
    cached: int
    seconds: float
    slowest: tuple[tuple[str, float], ...] = ()
    descriptors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()
