"""Build checks of a Dockerfile's text, on images that are described and never fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from buildkit_py.graph import ImageConfig, ResolvedImage
from buildkit_py.graph.resolver import StaticResolver
from buildkit_py.platform import Platform
from buildkit_py.source import Diagnostic
from frontends.dockerfile import check

PATH = ("PATH", "/usr/bin:/bin")


def image(platform: str = "", **config: object) -> ResolvedImage:
    """An image for a platform, by default the host's; `config` are fields of its configuration."""
    found = ImageConfig(env=(PATH,), **config)  # type: ignore[arg-type]
    return ResolvedImage(
        digest="sha256:" + "1" * 64,
        config=found,
        platform=Platform.parse(platform) if platform else Platform.host(),
    )


IMAGES: Mapping[str, ResolvedImage] = {
    "docker.io/library/alpine:latest": image(),
    "docker.io/library/busybox:latest": image(),
    "docker.io/library/shelled:latest": image(shell=("/bin/bash", "-c")),
    "docker.io/library/rooted:latest": image(workdir="/srv"),
    "docker.io/library/foreign:latest": image("linux/s390x"),
    "docker.io/library/windows:latest": image("windows/amd64"),
    "docker.io/library/trigger:latest": image(on_build=("ENV API_KEY=1", "CMD one", "CMD two")),
}


def found(
    text: str, *, ignore: str = "", given: Mapping[str, str] | None = None, targets: Sequence[str] = ()
) -> list[Diagnostic]:
    """What `pybuild check` finds. `ignore` is the text of the context's ignore file, `given` are build arguments."""
    texts = {".dockerignore": ignore} if ignore else {}
    resolver = StaticResolver(images=IMAGES, texts=texts)
    return check(text, file="Dockerfile", resolver=resolver, params=dict(given or {}), targets=targets)


def lines(rule: str, text: str, **more: object) -> list[int]:
    """The lines at which one rule warns."""
    return [item.span.line for item in found(text, **more) if item.rule == rule and item.span]  # type: ignore[arg-type]
