"""Dockerfiles compiled in a test, without a network and without a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import dedent

from buildkit_py.errors import SourceError
from buildkit_py.graph import Definition, ImageConfig, ResolvedImage, Settings
from buildkit_py.graph.op import Op
from buildkit_py.graph.resolver import StaticResolver
from buildkit_py.platform import Platform
from buildkit_py.source import Diagnostic
from frontends import dockerfile

BASE = ImageConfig(
    env=(("PATH", "/bin:/sbin"), ("BASE", "yes")),
    workdir="/srv",
    entrypoint=("/base-entry",),
    command=("base-cmd",),
    labels={"from": "base"},
    on_build=(),
)
DIGEST = "sha256:" + "1" * 64


def resolver(images: Mapping[str, ImageConfig] | None = None, texts: Mapping[str, str] | None = None) -> StaticResolver:
    """Answers for `docker.io/library/base` and what else a test names."""
    known = {"docker.io/library/base:latest": BASE, **(images or {})}
    return StaticResolver(
        images={ref: ResolvedImage(digest=DIGEST, config=config) for ref, config in known.items()},
        urls={"https://example.test/a.txt": DIGEST, "https://example.test/a.tar": DIGEST},
        commits={("https://example.test/x.git", "HEAD"): "a" * 40, ("https://example.test/x.git", "v1"): "b" * 40},
        texts=texts or {},
    )


def compiled(
    text: str,
    *,
    args: Mapping[str, str] | None = None,
    target: str = "",
    settings: Settings | None = None,
    platform: str = "linux/amd64",
    images: Mapping[str, ImageConfig] | None = None,
    texts: Mapping[str, str] | None = None,
) -> Definition:
    """The definition of a Dockerfile whose lines may be indented as the test is."""
    return dockerfile.load(
        dedent(text).lstrip("\n"),
        file="Dockerfile",
        resolver=resolver(images, texts),
        params=args,
        platforms=[Platform.parse(platform)],
        targets=[target] if target else [],
        settings=settings,
    )


def history(definition: Definition) -> list[str]:
    """The lines of the only image's history; those without a layer begin with `-`."""
    (target,) = definition.targets
    return [f"- {line.text}" if line.empty else line.text for line in target.history]


def config(definition: Definition) -> ImageConfig:
    """The configuration of the only image."""
    (target,) = definition.targets
    return target.config


def ops(definition: Definition, kind: str) -> list[Op]:
    """The ops of one type, in order."""
    return [vertex.op for vertex in definition.vertices.values() if vertex.op.type == kind]


def faults(text: str, **options: object) -> Sequence[Diagnostic]:
    """What is wrong with a Dockerfile."""
    try:
        compiled(text, **options)  # type: ignore[arg-type]
    except SourceError as error:
        return error.diagnostics
    raise AssertionError("the Dockerfile was accepted")
