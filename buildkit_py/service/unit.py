"""The unit of a service: what pybuild says, then what the image may say, then what a person says; the last one counts.

The section `[X-Pybuild]`, which systemd leaves alone, names the release that the unit runs: writing the unit is the
switch from one release to another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import UsageError
from buildkit_py.service.names import unit_of
from buildkit_py.service.settings import Release
from buildkit_py.service.unitfile import Directive, listed_path, parse, render, text, word

MARK = "X-Pybuild"
_OWN = {("Service", "ExecStart"), ("Service", "RuntimeDirectory")}
_SWITCH = re.compile(
    rf"^\[{MARK}\]\nService=([a-z0-9_-]+)\nRoot=([^\n]+)\nRelease=([0-9a-f]{{16}})\n(?:Previous=([0-9a-f]{{16}})\n)?",
    re.MULTILINE,
)
_STOP_SECONDS = 10
_MOST_STOP_SECONDS = 9999
"""As much as an image may say in its template; 0 would be no limit to systemd."""
_KILLED = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """Which release a unit runs, of which service below which directory, and which one it ran before."""

    service: str
    root: str
    release: str
    previous: str | None = None

    @classmethod
    def read(cls, unit: str) -> Switch | None:
        """From a unit's text; None where it is not one of pybuild's."""
        found = _SWITCH.search(unit)
        return cls(service=found[1], root=found[2], release=found[3], previous=found[4]) if found else None

    def complete(self, body: str) -> str:
        """The unit's whole text."""
        previous = f"Previous={self.previous}\n" if self.previous else ""
        section = f"[{MARK}]\nService={self.service}\nRoot={self.root}\nRelease={self.release}\n{previous}"
        head = f"# Made by pybuild. To change it: `systemctl edit {self.service}`, `pybuild upgrade {self.service}`.\n"
        return f"{head}\n{body}\n{section}"


def body(
    release: Release,
    bundle: Path,
    runc: str,
    stop: tuple[str, int],
    stop_timeout: int | None,
    declared: Iterable[Directive],
) -> str:
    """The unit without its switch. `stop` is a signal's name and number. Raises `UsageError` for a wrong template."""
    own = _own(release, bundle, runc, stop, stop_timeout)
    return render([*own, *declared, *_said(release), Directive("Install", "WantedBy", "multi-user.target")])


def _own(
    release: Release, bundle: Path, runc: str, stop: tuple[str, int], stop_timeout: int | None
) -> Iterator[Directive]:
    seconds = _STOP_SECONDS if stop_timeout is None else stop_timeout
    name, directory = release.service, f"pybuild-{release.service}"
    # Root can make cgroups anywhere; told that it may not, the runtime leaves the processes in the unit's own.
    line = (runc, "--root", f"/run/{directory}", "--rootless=true", "run", "--bundle", str(bundle), name)
    yield Directive("Unit", "Description", f"{name} ({text(release.image)})")
    if release.settings.network == "host":
        yield Directive("Unit", "Wants", "network-online.target")
        yield Directive("Unit", "After", "network-online.target")
    yield Directive("Unit", "RequiresMountsFor", listed_path(str(bundle)))
    for key, value in (
        ("Type", "exec"),
        ("ExecStart", " ".join(map(word, line))),
        ("KillMode", "mixed"),
        ("KillSignal", stop[0]),
        ("TimeoutStopSec", str(min(max(seconds, 1), _MOST_STOP_SECONDS))),
        ("SuccessExitStatus", str(_KILLED + stop[1])),
        ("Restart", "on-failure"),
        ("RuntimeDirectory", directory),
        ("RuntimeDirectoryMode", "0700"),
        ("ProtectControlGroups", "yes"),
        ("DevicePolicy", "closed"),
    ):
        yield Directive("Service", key, value)


def _said(release: Release) -> Iterator[Directive]:
    """What a person said: the services that this one needs, and the lines of a template."""
    settings = release.settings
    for unit in map(unit_of, settings.requires):
        yield Directive("Unit", "Requires", unit)
    for unit in dict.fromkeys(map(unit_of, (*settings.requires, *settings.after))):
        yield Directive("Unit", "After", unit)
    for directive in parse(settings.template or "", "the template"):
        if (directive.section, directive.key) in _OWN or directive.section in (MARK, "Install"):
            raise UsageError(
                f"a template can't say {directive.key}= in [{directive.section}]",
                hint="pybuild writes that line itself; `systemctl edit` can change it afterwards",
            )
        yield directive
