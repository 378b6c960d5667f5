"""Which advisories hold for which packages: the evaluation that the OSV schema describes.

An installed version is affected where an entry for its package lists it in `versions`, or one of the entry's ranges
has it: of the events in their order, the last one that is not above the version decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cmp_to_key
from typing import Any

from buildkit_py.scan.model import Finding, Package, Severity, Vulnerability
from buildkit_py.scan.osv.advisories import Advisories, Advisory, affected, listed
from buildkit_py.scan.osv.ecosystems import LANGUAGES, Name, Order, is_release, names_of, order_of
from buildkit_py.scan.osv.severity import severity_of
from buildkit_py.scan.packages.system import Distribution

_KINDS = ("introduced", "fixed", "last_affected", "limit")


def vulnerabilities(
    advisories: Advisories, packages: Sequence[Package], distribution: Distribution
) -> Iterator[Finding]:
    """One finding for each advisory and installed package that it holds for.

    What a package of the distribution brought is only looked for as that: distributions mend without a new version.
    """
    installed: dict[Name, list[tuple[Package, str]]] = {}
    for package in packages:
        for called, version in names_of(package, distribution) if package.owner is None else ():
            installed.setdefault(called, []).append((package, version))
    for advisory in advisories.about(installed.keys()):
        found: dict[tuple[str, str], Finding] = {}
        for ecosystem, release, name, entry in affected(advisory):
            if ecosystem in LANGUAGES or is_release(release, distribution):
                for package, version in installed.get((ecosystem, name), ()):
                    try:
                        finding = _checked(advisory, entry, package, version, order_of(ecosystem))
                    except ValueError as error:
                        text = f"{advisory['id']} was not compared with {package.name} {package.version}: {error}"
                        advisories.problems.append(text)
                        continue
                    if finding is not None:
                        found.setdefault((package.purl, package.path), finding)
        yield from found.values()


def _checked(
    advisory: Advisory, entry: Advisory, package: Package, version: str, order: Order | None
) -> Finding | None:
    if order is None or not is_affected(entry, version, order):
        return None
    return _finding(advisory, entry, package, first_fix(entry, version, order))


def _finding(advisory: Advisory, entry: Advisory, package: Package, fixed: str | None) -> Finding:
    severity: Severity = severity_of(advisory, entry)
    names = [each for each in listed(advisory, "aliases") if isinstance(each, str)]
    named = advisory["id"] if not names else f"{advisory['id']} ({', '.join(names[:3])})"
    summary = advisory.get("summary")
    about = f": {' '.join(str(summary).split())[:200]}" if summary else ""
    return Finding(
        rule="vulnerability",
        severity=severity,
        message=f"{package.name} {package.version} has {named}{about}",
        place=package.path,
        layer=package.layer,
        vulnerability=Vulnerability(
            id=advisory["id"], aliases=tuple(names), purl=package.purl, version=package.version, fixed=fixed
        ),
    )


def is_affected(entry: Advisory, version: str, order: Order) -> bool:
    """Whether an entry of `affected` holds for a version; raises `ValueError` where versions can't be compared."""
    if version in listed(entry, "versions"):
        return True
    return any(_in_range(_events(each, order), order(version)) for each in _ranges(entry))


def _ranges(entry: Advisory) -> Iterator[Advisory]:
    """The ranges of versions; those of commits say nothing about what is installed."""
    for each in listed(entry, "ranges"):
        if isinstance(each, dict) and each.get("type") in ("SEMVER", "ECOSYSTEM"):
            yield each


Event = tuple[Any, str, str]
"""Where it is (None is before every version), its kind, its version."""


def _events(each: Advisory, order: Order) -> list[Event]:
    """The events of a range in the order of their versions; those that can't be read raise `ValueError`."""
    found: list[Event] = []
    for event in listed(each, "events"):
        for kind, text in event.items() if isinstance(event, dict) else ():
            if kind in _KINDS and isinstance(text, str):
                found.append((None if text == "0" else order(text), kind, text))
    return _sorted(found)


def _sorted(events: Iterable[Event]) -> list[Event]:
    """With nothing but `<` and `==`, which is all that versions have in common."""

    def order(one: Event, other: Event) -> int:
        return _before(other, one) - _before(one, other)

    return sorted(events, key=cmp_to_key(order))


def _before(one: Event, other: Event) -> bool:
    """Of events at one version, `introduced` comes first."""
    if one[0] is None or other[0] is None:
        return one[0] is None and other[0] is not None
    return bool(one[0] < other[0]) or (bool(one[0] == other[0]) and _KINDS.index(one[1]) < _KINDS.index(other[1]))


def _in_range(events: Sequence[Event], version: Any) -> bool:
    inside = False
    for at, kind, text in events:
        reached = at is None or not version < at
        if kind == "introduced" and reached:
            inside = True
        elif (kind == "fixed" and reached) or (kind == "last_affected" and reached and at < version):
            inside = False
        elif kind == "limit" and text != "*" and reached:
            return False
    return inside


def first_fix(entry: Advisory, version: str, order: Order) -> str | None:
    """The lowest fixed version above the installed one; None where there is none."""
    events = [event for each in _ranges(entry) for event in _events(each, order)]
    mine = order(version)
    return next((text for at, kind, text in _sorted(events) if kind == "fixed" and at is not None and mine < at), None)
