"""What an image may say about the unit that runs it: a closed list of keys, each with values of a closed form.

An image is foreign: its labels and files are inert text. What is not on the list is refused with its name, whatever it
says, so nothing that an image holds becomes a command, a path, a user, a right or a dependency on the machine's own
units.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SandboxError
from buildkit_py.service.names import is_name
from buildkit_py.service.unitfile import Directive, parse, text

if TYPE_CHECKING:
    from buildkit_py.layer.tree import Tree
    from buildkit_py.oci import ImageConfigDoc

LABEL = "dev.pybuild.service.unit"
"""The label that holds a template; with `.SECTION.KEY` behind it, one that holds the value of a single line."""
FILE = "usr/lib/pybuild/service.unit"
"""The file of the image that holds a template where there is no such label."""
_MOST_BYTES = 1 << 16
_MOST_TEXT = 200

_TARGETS = frozenset(
    f"{name}.target"
    for name in ("network", "network-online", "nss-lookup", "time-sync", "local-fs", "remote-fs", "sockets")
)
_RESTARTS = frozenset(("no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog"))
_SPAN = re.compile(r"[1-9][0-9]{0,3}(?:ms|s)?\Z")
_SIZE = re.compile(r"[1-9][0-9]{0,14}[KMGT]?\Z")
_NUMBER = re.compile(r"[1-9][0-9]{0,6}\Z")
_PERCENT = re.compile(r"[1-9][0-9]{0,4}%\Z")
_STATUSES = re.compile(r"[0-9]{1,3}(?: [0-9]{1,3})*\Z")
_URI = re.compile(r"(?:https?://|man:)[A-Za-z0-9._~:/?#@!&()*+,;=-]{1,500}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What an image's template says: lines that are safe as they are, and the services that it names."""

    directives: tuple[Directive, ...] = ()
    after: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()


def declared_by(config: ImageConfigDoc, tree: Tree) -> Declared:
    """What an image says: its template, then its labels for single lines. Raises as `declared`."""
    lines = list(_template(config, tree))
    for label, value in config.labels.items():
        section, dot, key = label.removeprefix(f"{LABEL}.").partition(".")
        if label.startswith(f"{LABEL}.") and dot:
            lines.append((Directive(section, key, value), f"the label {label}"))
    return declared(lines)


def _template(config: ImageConfigDoc, tree: Tree) -> Iterable[tuple[Directive, str]]:
    where = f"the label {LABEL}"
    text = config.labels.get(LABEL)
    if text is None:
        where, text = f"/{FILE} of the image", _file(tree)
    return [(directive, where) for directive in parse(text, where)]


def _file(tree: Tree) -> str:
    from buildkit_py.layer.tree import resolve

    entry = tree.lookup(real := resolve(tree, FILE))
    if entry is None:
        return ""
    if entry.type not in ("file", "hardlink") or entry.size > _MOST_BYTES:
        raise SandboxError(f"/{FILE} of the image is not a file of a sensible size")
    with tree.open(real) as file:
        return (file.read(_MOST_BYTES) or b"").decode(errors="replace")


def declared(lines: Iterable[tuple[Directive, str]]) -> Declared:
    """Lines, each with where it stands, as lines of a unit; raises `SandboxError` for what is not on the list."""
    directives: list[Directive] = []
    names: dict[str, list[str]] = {"After": [], "Requires": [], "Wants": []}
    for (section, key, value), where in lines:
        form = _FORMS.get((section, key))
        if form is None:
            raise SandboxError(
                f"{where} asks for {key}= in [{section}], which no image may say",
                hint="give a template of your own with --template FILE; an empty one leaves the image's out",
            )
        shown = form(value)
        if shown is None:
            raise SandboxError(f"{where} gives {key}= a value that it can't have: {value[:80]!r}")
        directives.append(Directive(section, key, shown))
        if key in names:
            names[key] += [item for item in value.split() if item not in _TARGETS]
    plain = {key: tuple(item.removesuffix(".service") for item in found) for key, found in names.items()}
    return Declared(
        directives=tuple(directives), after=plain["After"], requires=plain["Requires"], wants=plain["Wants"]
    )


def _text(value: str) -> str | None:
    return text(value[:_MOST_TEXT]) or None


def _uris(value: str) -> str | None:
    return text(value) if all(map(_URI.match, value.split())) else None


def _units(value: str) -> str | None:
    """Targets that only order things, and services by the names that pybuild gives."""
    units = []
    for item in value.split():
        if item in _TARGETS:
            units.append(item)
        elif is_name(item.removesuffix(".service")):
            units.append(f"{item.removesuffix('.service')}.service")
        else:
            return None
    return " ".join(units) or None


def _one_of(*values: str) -> Callable[[str], str | None]:
    return lambda value: value if value in values else None


def _like(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    return lambda value: value if pattern.match(value) else None


_FORMS: dict[tuple[str, str], Callable[[str], str | None]] = {
    ("Unit", "Description"): _text,
    ("Unit", "Documentation"): _uris,
    ("Unit", "After"): _units,
    ("Unit", "Requires"): _units,
    ("Unit", "Wants"): _units,
    ("Unit", "StartLimitIntervalSec"): _like(_SPAN),
    ("Unit", "StartLimitBurst"): _like(_NUMBER),
    ("Service", "Type"): _one_of("exec", "notify"),
    ("Service", "Restart"): _one_of(*_RESTARTS),
    ("Service", "RestartSec"): _like(_SPAN),
    ("Service", "TimeoutStartSec"): _like(_SPAN),
    ("Service", "TimeoutStopSec"): _like(_SPAN),
    ("Service", "SuccessExitStatus"): _like(_STATUSES),
    ("Service", "MemoryMax"): _like(_SIZE),
    ("Service", "MemoryHigh"): _like(_SIZE),
    ("Service", "TasksMax"): _like(_NUMBER),
    ("Service", "LimitNOFILE"): _like(_NUMBER),
    ("Service", "CPUQuota"): _like(_PERCENT),
    ("Service", "CPUWeight"): _like(_NUMBER),
    ("Service", "IOWeight"): _like(_NUMBER),
}
