"""What a scan finds: packages, and findings with their rule, severity, place, layer and line of origin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from buildkit_py.dataclass import dataclass

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low")
"""The worst first."""

State = Literal["visible", "replaced", "deleted", "config"]
"""Of a file: whether a container of the image sees it, or a later layer has something else or nothing at its path.
`config`: the finding is in the image's configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A kind of finding; `about` is one sentence."""

    id: str
    severity: Severity
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedLayer:
    """A layer by its number (the lowest is 1), with what its history says. Where a build of this store made the image
    also with `FILE:LINE` of its build file, or the name of the base that the layer was taken over from."""

    number: int
    digest: str
    size: int
    created_by: str = ""
    line: str | None = None
    base: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a package of a distribution was built from; advisories of Debian and Alpine name that."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Something that is installed. `kind` is the type of its purl; `path` the file that says so; `layer` the number of
    the layer since which it is there in this version; `owner` the distribution's package that brought `path`."""

    kind: str
    name: str
    version: str
    purl: str
    path: str
    layer: int
    licences: tuple[str, ...] = ()
    architecture: str = ""
    source: Source | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vulnerability:
    """What an advisory says of a package; `fixed` is the lowest fixed version above the installed one."""

    id: str
    aliases: tuple[str, ...]
    purl: str
    version: str
    fixed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding. A secret's value is never in it: `shown` holds its first four characters where these are public,
    `fingerprint` the begin of its SHA-256 where it can't be guessed from that.

    `place` is a path relative to the root, or of the configuration what holds it, as `Env[A]`; `line` counts from 1.
    `gone` is the number of the layer that deleted or replaced the file. `count` files are meant, the first is named.
    """

    rule: str
    severity: Severity
    message: str
    place: str
    layer: int | None = None
    state: State = "visible"
    line: int | None = None
    shown: str | None = None
    fingerprint: str | None = None
    gone: int | None = None
    count: int = 1
    vulnerability: Vulnerability | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A finding that was ignored, and why."""

    finding: Finding
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of one scan; `notes` say what could not be read. Findings are sorted, the worst first."""

    name: str
    digest: str
    platform: str
    created: str | None
    layers: tuple[ScannedLayer, ...]
    packages: tuple[Package, ...]
    findings: tuple[Finding, ...]
    ignored: tuple[Ignored, ...] = ()
    notes: tuple[str, ...] = ()

    def count(self, severity: Severity) -> int:
        """How many findings have that severity."""
        return sum(finding.severity == severity for finding in self.findings)


def at_least(severity: Severity, least: Severity) -> bool:
    """Whether a severity is as bad as another, or worse."""
    return SEVERITIES.index(severity) <= SEVERITIES.index(least)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings by severity, then rule, layer and place."""

    def order(each: Finding) -> tuple[int, str, int, str, int, str]:
        return SEVERITIES.index(each.severity), each.rule, each.layer or 0, each.place, each.line or 0, each.message

    return tuple(sorted(findings, key=order))
