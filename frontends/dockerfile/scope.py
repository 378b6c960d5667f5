"""Arguments: those that are always there, those before the first FROM, and what a command line gives them."""

from __future__ import annotations

from collections.abc import Mapping

from buildkit_py.dataclass import dataclass, field
from buildkit_py.platform import Platform
from buildkit_py.source import Span
from frontends.dockerfile import syntax
from frontends.dockerfile.expand import Expansion, expand
from frontends.dockerfile.faults import expanding

DEFAULT_TARGET = "default"
PROXIES = frozenset(
    name
    for plain in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (plain, plain.upper())
)
"""Variables that every RUN may be given without a declaration; they are in no key."""

BUILTIN = frozenset(
    {
        "BUILDKIT_BUILD_NAME",
        "BUILDKIT_CACHE_MOUNT_NS",
        "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
        "BUILDKIT_DOCKERFILE_CHECK",
        "BUILDKIT_INLINE_CACHE",
        "BUILDKIT_MULTI_PLATFORM",
        "BUILDKIT_SANDBOX_HOSTNAME",
        "BUILDKIT_SBOM_SCAN_CONTEXT",
        "BUILDKIT_SBOM_SCAN_STAGE",
        "BUILDKIT_SYNTAX",
        "SOURCE_DATE_EPOCH",
    }
)
"""Arguments that say something to the builder and need no declaration."""

NOT_IN_ENVIRONMENT = frozenset({"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"})


def platform_arguments(build: Platform, target: Platform, stage: str, given: Mapping[str, str]) -> dict[str, str]:
    """The arguments that FROM may use without a declaration, and stages after one. `given` overrides them."""
    values = {
        "BUILDPLATFORM": str(build),
        "BUILDOS": build.os,
        "BUILDOSVERSION": "",
        "BUILDARCH": build.architecture,
        "BUILDVARIANT": build.variant,
        "TARGETPLATFORM": str(target),
        "TARGETOS": target.os,
        "TARGETOSVERSION": "",
        "TARGETARCH": target.architecture,
        "TARGETVARIANT": target.variant,
        "TARGETSTAGE": stage or DEFAULT_TARGET,
    }
    return {name: given.get(name, value) for name, value in values.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Globals:
    """What FROM sees: `values` of all arguments that have one. `declared` are the names of ARG instructions before the
    first FROM, with where each was written last."""

    values: Mapping[str, str]
    declared: Mapping[str, Span] = field(default_factory=dict)


def global_scope(file: syntax.File, predefined: Mapping[str, str], given: Mapping[str, str]) -> Globals:
    """Evaluate the ARG instructions before the first FROM, one after the other. Raises `SourceError`."""
    values = dict(predefined)
    declared: dict[str, Span] = {}
    for instruction in file.globals:
        for pair in instruction.pairs:
            declared[pair.name] = pair.span
            if pair.name in given:
                values[pair.name] = given[pair.name]
            elif pair.value is not None:
                values[pair.name] = expanded(pair.value, values, file.escape, pair.span).text
    return Globals(values=values, declared=declared)


def expanded(text: str, values: Mapping[str, str], escape: str, span: Span) -> Expansion:
    """The expansion of one word; raises `SourceError` at `span`."""
    with expanding(span):
        return expand(text, values, escape=escape)
