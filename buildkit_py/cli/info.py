"""`pybuild info`: what pybuild finds on this machine, and what it makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store
from buildkit_py.cli.shell import Shell

_WIDTH = 18


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    add_json(parser)
    add_store(parser)


def run(args: Namespace, shell: Shell) -> int:
    """Look around, and show what is there."""
    from buildkit_py.engine.machine import Machine
    from buildkit_py.paths import additional_stores

    facts = Machine(shell.store_path(args.store), additional_stores(shell.environ)).facts()
    if args.json:
        shell.print(json.dumps(facts, indent=2))
    else:
        shell.write(_page(facts))
    return 0


def _page(facts: dict[str, Any]) -> str:
    from buildkit_py.progress.text import clean

    rows = [("pybuild", facts["version"])]
    for name, show in _SHOWN:
        if name in facts["problems"]:
            rows.append((name.replace("_", " "), f"not known: {facts['problems'][name]}"))
        else:
            rows += show(facts[name])
    return "".join(f"{name:<{_WIDTH}}{clean(text)}".rstrip() + "\n" for name, text in rows)


Rows = list[tuple[str, str]]


def _system(fact: dict[str, Any]) -> Rows:
    return [("system", f"{fact['kernel']}, {fact['platform']}, Python {fact['python']}")]


def _user(fact: dict[str, Any]) -> Rows:
    who = "an ordinary user, in a user namespace" if fact["rootless"] else "root"
    return [("user", who), *(("", f"- {text}") for text in fact["restrictions"])]


def _store(fact: dict[str, Any]) -> Rows:
    from buildkit_py.progress.text import count, size

    state = count(fact["images"], "image") if fact["exists"] else "not made yet"
    quota = f"quota {size(fact['quota'])}" if fact["quota"] is not None else "no quota"
    return [
        ("store", f"{fact['path']} ({state})"),
        ("", f"on {fact['file_system']}, {size(fact['free'])} free, {quota}"),
    ]


def _additional(fact: list[dict[str, Any]]) -> Rows:
    rows = [each["problem"] or f"{each['path']} (only read)" for each in fact]
    return [("additional stores" if place == 0 else "", text) for place, text in enumerate(rows)]


def _runtimes(fact: dict[str, Any]) -> Rows:
    rows = [("runtime", fact["used"] or "none is installed: apt-get install runc")]
    for each in fact["found"]:
        told = f"{each['version'] or 'of an unknown version'} ({each['path']})" if each["path"] else each["problem"]
        rows.append(("", f"- {each['name']}: {told}"))
    return rows


def _snapshotter(fact: dict[str, Any]) -> Rows:
    rows = [("snapshotter", fact["used"])]
    for each in fact["tried"]:
        rows.append(("", f"- {each['name']}: {each['refusal'] or 'works here'}"))
    return rows


def _cgroups(fact: dict[str, Any]) -> Rows:
    able = [f"{name} (v{each['version']})" for name, each in fact.items() if not each["refusal"]]
    rows = [("limits of steps", ", ".join(["time", *able]))]
    for name, each in fact.items():
        if each["refusal"]:
            carried = f"cgroups v{each['version']}, but " if each["version"] else ""
            rows.append(("", f"- {name}: {carried}{each['refusal']}; {each['remedy']}"))
    return rows


def _registries(fact: dict[str, Any]) -> Rows:
    rows = [("registries", fact["path"] if fact["exists"] else f"{fact['path']} (not there: nothing is set)")]
    for name, host in fact["hosts"].items():
        told = [f"mirrors {', '.join(host['mirrors'])}"] if host["mirrors"] else []
        told += ["plain HTTP"] if host["plain_http"] else []
        told += [f"trusts {host['ca']}"] if host["ca"] else []
        rows.append(("", f"- {name}: {'; '.join(told) or 'nothing'}"))
    return rows


def _trust_policy(fact: dict[str, Any] | None) -> Rows:
    if fact is None:
        return [("trust policy", "none: every image may be used")]
    return [("trust policy", f"{fact['path']} (default: {', '.join(fact['default'])})")]


_SHOWN: tuple[tuple[str, Callable[[Any], Rows]], ...] = (
    ("system", _system),
    ("user", _user),
    ("store", _store),
    ("additional_stores", _additional),
    ("runtimes", _runtimes),
    ("snapshotter", _snapshotter),
    ("cgroups", _cgroups),
    ("registries", _registries),
    ("trust_policy", _trust_policy),
)

INFO = Command(
    "info",
    about=(
        "Show what pybuild finds on this machine and what it makes of it: the store and its file system, how trees of\n"
        "steps are put together and why so, runtimes, registries. A fact that can't be had is said to be unknown."
    ),
    examples=(("pybuild info", "to read"), ("pybuild info --json", "for programs, and for reports of faults")),
    prepare=prepare,
    run=run,
)
