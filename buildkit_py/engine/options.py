"""What a build is asked to do, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from buildkit_py.graph.definition import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """One request. Paths are absolute or relative to the working directory.

    Exactly one of `file` (a build file) and `graph` (a graph that another program wrote) is used; with neither, the
    directory is searched. `params` are texts, checked against their declarations. `outputs` come on top of those that
    the build file declares. `epoch` is in seconds; None takes 0.
    """

    context: Path
    file: Path | None = None
    graph: Path | None = None
    params: Mapping[str, str | list[str]] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    push: bool = False
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
    """One image of one platform; `size` (bytes) is that of the blobs."""

    name: str
    platform: str
    digest: str
    size: int
    layers: tuple[LayerResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What a build made. `digests` maps each image's name to the digest that names it: a manifest's, or an index's."""

    build: str
    images: tuple[ImageResult, ...]
    digests: Mapping[str, str]
    ran: int
    cached: int
    seconds: float
    slowest: tuple[tuple[str, float], ...] = ()
