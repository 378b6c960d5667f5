"""What the packages of an image are called in advisories (OSV schema, "affected[].package"), and how versions follow on
each other there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from buildkit_py.scan.libraries import library
from buildkit_py.scan.model import Package
from buildkit_py.scan.packages.system import Distribution

Name = tuple[str, str]
"""Ecosystem, without its release, and name."""
_LANGUAGES = {"pypi": "PyPI", "npm": "npm", "golang": "Go"}
LANGUAGES = frozenset(_LANGUAGES.values())
_DISTRIBUTIONS = {
    "debian": "Debian",
    "ubuntu": "Ubuntu",
    "alpine": "Alpine",
    "wolfi": "Wolfi",
    "chainguard": "Chainguard",
    "rocky": "Rocky Linux",
    "almalinux": "AlmaLinux",
    "rhel": "Red Hat",
    "opensuse-leap": "openSUSE",
    "sles": "SUSE",
    "mageia": "Mageia",
    "openeuler": "openEuler",
}
_BY_SOURCE = frozenset(("Debian", "Ubuntu", "Alpine", "Wolfi", "Chainguard"))
_ORDERS = {
    **dict.fromkeys(("Debian", "Ubuntu"), "DebianVersion"),
    **dict.fromkeys(("Alpine", "Wolfi", "Chainguard"), "AlpineLinuxVersion"),
    **dict.fromkeys(("Rocky Linux", "AlmaLinux", "Red Hat", "openSUSE", "SUSE", "Mageia", "openEuler"), "RpmVersion"),
    "PyPI": "PypiVersion",
    "npm": "SemverVersion",
    "Go": "GolangVersion",
}
_SEPARATORS = re.compile(r"[-_.]+")


def names_of(package: Package, distribution: Distribution) -> Iterator[tuple[Name, str]]:
    """What advisories call a package, each with the version that they then mean."""
    language = _LANGUAGES.get(package.kind)
    if language is not None:
        yield (language, canonical(language, package.name)), package.version.removeprefix("v")
        return
    ecosystem = _DISTRIBUTIONS.get(distribution.id)
    if ecosystem is None:
        return
    if ecosystem in _BY_SOURCE and package.source is not None:
        yield (ecosystem, package.source.name), package.source.version
    else:
        yield (ecosystem, package.name), package.version


def canonical(ecosystem: str, name: str) -> str:
    """A name in the one form that is compared (PEP 503 for Python)."""
    return _SEPARATORS.sub("-", name).lower() if ecosystem == "PyPI" else name


def is_release(suffix: str, distribution: Distribution) -> bool:
    """Whether what stands behind an ecosystem's colon means this distribution's release: `12`, `v3.20`, `9`,
    `22.04:LTS`, `enterprise_linux:9::baseos`. Nothing means all of them."""
    version = distribution.version
    if not suffix:
        return True
    if not version:
        return False
    parts = suffix.removeprefix("v").split(":")
    if distribution.id == "rhel":
        return len(parts) > 1 and version.split(".")[0] == parts[1].split(".")[0]
    if distribution.id == "ubuntu":
        return parts[0] == version or (parts[0] == "Pro" and len(parts) > 1 and parts[1] == version)
    return _begins(version, parts[0].removeprefix("Leap ").removeprefix("Linux Enterprise Server "))


def _begins(version: str, release: str) -> bool:
    """`3.20.3` is of the release `3.20`, and `9.4` of `9`."""
    return version.split(".")[: release.count(".") + 1] == release.split(".")


Order = Callable[[str], Any]
"""Makes of a version what can be compared by `<` and `==`; raises `ValueError`."""


def order_of(ecosystem: str) -> Order | None:
    """How the versions of an ecosystem are ordered; None where that is not known."""
    name = _ORDERS.get(ecosystem)
    if name is None:
        return None
    make = getattr(library("univers.versions"), name)

    def order(text: str) -> Any:
        try:
            return make(text)
        except Exception as error:
            raise ValueError(f"not a version of {ecosystem}: {text[:100]!r}") from error

    return order
