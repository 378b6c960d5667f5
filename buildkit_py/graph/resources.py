"""What a step may use at most: time, memory, processes, processors. Names, units, and how they are told.

    timeout     milliseconds
    memory      bytes, of the step and of what it keeps in memory (tmpfs)
    swap        bytes beside the memory; -1 is any amount; without it none
    pids        processes and threads
    cpus        thousandths of a processor
    cpu_shares  2 to 262144, weighed against other groups where processors are short
    cpuset      the numbers of processors, as 0-2,4

They travel as a plain mapping, so that who sets none need not load this. An op has the first four of those that stand
here for a build file; a client may set all, for every step.
"""

from __future__ import annotations

from collections.abc import Mapping

from buildkit_py.graph.op import ExecStep

Limits = Mapping[str, int | str]

DECLARED = ("timeout", "memory", "pids", "cpus")
"""Those that an op may have, by the names of its fields."""
LEAST = {"timeout": 1, "memory": 1 << 20, "pids": 1, "cpus": 10}
"""The least that each may be: below it no step lives, or the kernel takes no such value."""
CONTROLLERS = {
    "memory": "memory",
    "pids": "pids",
    "cpus": "cpu",
    "cpu_shares": "cpu",
    "cpuset": "cpuset",
}
"""The controller of control groups that keeps a limit."""
_OPTIONS = {"timeout": "--step-timeout", "memory": "--memory", "pids": "--pids-limit"}


def declared(op: ExecStep) -> dict[str, int]:
    """The limits that a step has by its op."""
    values = {name: getattr(op, name) for name in DECLARED}
    return {name: value for name, value in values.items() if value is not None}


def tighter(one: Limits, other: Limits) -> dict[str, int | str]:
    """Both, and of a limit that both have the lower."""
    merged = {**one, **other}
    for name in one.keys() & other.keys() & set(DECLARED):
        merged[name] = min(int(one[name]), int(other[name]))
    return merged


def controllers_of(limits: Limits) -> set[str]:
    """The controllers that the limits need."""
    return {CONTROLLERS[name] for name in limits if name in CONTROLLERS}


def told(name: str, op: ExecStep, client: Limits) -> str:
    """That a step met a limit, and who had set it."""
    own = declared(op)
    value = int(tighter(own, client)[name])
    by = (
        f"with {name}({spelled(name, value)})" if own.get(name) == value else f"{_OPTIONS[name]} {spelled(name, value)}"
    )
    if name == "timeout":
        return f"timed out after {_lasting(value)} ({by})"
    if name == "memory":
        return f"went over its memory limit ({by})"
    return f"met its limit of {value} process{'' if value == 1 else 'es'} ({by})"


def spelled(name: str, value: int) -> str:
    """As it is written in a build file and on a command line."""
    if name == "memory":
        unit = next((place for place in (3, 2, 1) if value % 1024**place == 0), 0)
        return f"{value // 1024**unit}{' kmg'[unit].strip()}"
    if name == "timeout":
        return _clock(value)
    return f"{value / 1000:g}" if name == "cpus" else str(value)


def _clock(value: int) -> str:
    parts = []
    for unit, length in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        number, value = divmod(value, length)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts)


def _lasting(value: int) -> str:
    for unit, length in (("hour", 3_600_000), ("minute", 60_000), ("second", 1000)):
        if value % length == 0:
            return f"{value // length} {unit}{'' if value == length else 's'}"
    return f"{value / 1000:g} seconds"
