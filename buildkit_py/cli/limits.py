"""What a command line lets each step use at most, in the words that container tools have for it."""

from __future__ import annotations

import re

from buildkit_py.cli.parser import Namespace
from buildkit_py.cli.settings import bytes_of
from buildkit_py.errors import UsageError
from buildkit_py.graph.resources import LEAST

_TIME = re.compile(r"(?:\d{1,9}(?:\.\d{1,3})?(?:ms|s|m|h|d))+\Z", re.ASCII)
_PART = re.compile(r"([\d.]+)(ms|s|m|h|d)")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LIST = re.compile(r"\d{1,4}(?:-\d{1,4})?(?:,\d{1,4}(?:-\d{1,4})?)*\Z", re.ASCII)
_PERIOD = 100_000
_SHARES = (2, 262144)
"""The range that the kernel has; other numbers stand for its ends."""
_PERIODS = (1000, 1_000_000)
_NONE = "0 is no limit"
_MORE = {
    "timeout": "write more, as 90s or 10m",
    "memory": "write more, perhaps with a unit: 512m",
    "cpus": "write more: --cpus 0.5 is half the time of a processor",
}


def limits_of(args: Namespace) -> dict[str, int | str]:
    """The limits that the arguments set, 0 being none; raises `UsageError`."""
    limits: dict[str, int | str] = {}
    if args.step_timeout and (timeout := _milliseconds(args.step_timeout)):
        limits["timeout"] = timeout
    if memory := _memory(args):
        limits["memory"] = memory
    if args.memory_swap and (swap := _swap(args.memory_swap, memory)):
        limits["swap"] = swap
    if args.pids_limit and (pids := _number(args.pids_limit, "--pids-limit", none="-1")):
        limits["pids"] = pids
    if cpus := _cpus(args):
        limits["cpus"] = cpus
    if args.cpu_shares and (shares := _number(args.cpu_shares, "--cpu-shares")):
        limits["cpu_shares"] = min(max(shares, _SHARES[0]), _SHARES[1])
    if args.cpuset_cpus:
        limits["cpuset"] = _list(args.cpuset_cpus)
    return limits


def _milliseconds(text: str) -> int:
    if text in ("0", "-1"):
        return 0
    if not _TIME.match(text):
        raise UsageError(f"can't read --step-timeout {text!r}", hint=f"write it as 10m, 1h30m or 90s; {_NONE}")
    time = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return _least("timeout", round(time), "--step-timeout", text) if time else 0


def _memory(args: Namespace) -> int:
    """Bytes; 0 is no limit."""
    if args.memory == "-1":
        raise UsageError("can't read --memory '-1'", hint=_NONE)
    memory = bytes_of(args.memory, "--memory") if args.memory else 0
    return memory and _least("memory", memory, "--memory", args.memory)


def _swap(text: str, memory: int) -> int:
    """Bytes beside the memory, from both together; -1 is any amount."""
    if text == "-1":
        return -1 if memory else 0
    both = bytes_of(text, "--memory-swap") or memory
    if both and not memory:
        raise UsageError(
            f"--memory-swap {text}: this is memory and swap together, and no limit of memory is set",
            hint="write --memory too",
        )
    if both < memory:
        raise UsageError(
            f"--memory-swap {text}: this is less than the memory alone",
            hint="it is memory and swap together; -1 is any amount of swap",
        )
    return both - memory


def _cpus(args: Namespace) -> int:
    """Thousandths of a processor; 0 is no limit."""
    quota = _number(args.cpu_quota or "0", "--cpu-quota", none="-1")
    period = _number(args.cpu_period or "0", "--cpu-period") or _PERIOD
    if not _PERIODS[0] <= period <= _PERIODS[1]:
        raise UsageError(
            f"--cpu-period {period}: no period is so {'long' if period > _PERIOD else 'short'}",
            hint=f"write {_PERIODS[0]} to {_PERIODS[1]} microseconds",
        )
    if args.cpus and quota:
        raise UsageError("--cpus and --cpu-quota exclude each other", hint="--cpus 1.5 says it all")
    if quota:
        return _least("cpus", quota * 1000 // period, "--cpu-quota", args.cpu_quota)
    if not args.cpus:
        return 0
    if not re.fullmatch(r"\d{1,4}(?:\.\d{1,3})?|\.\d{1,3}", args.cpus, re.ASCII):
        raise UsageError(f"can't read --cpus {args.cpus!r}", hint=f"write a number of processors, as 2 or 1.5; {_NONE}")
    cpus = round(float(args.cpus) * 1000)
    return cpus and _least("cpus", cpus, "--cpus", args.cpus)


def _least(name: str, value: int, option: str, text: str) -> int:
    if value < LEAST[name]:
        raise UsageError(f"{option} {text}: no step can do with so little", hint=f"{_MORE[name]}; {_NONE}")
    return value


def _number(text: str, option: str, *, none: str = "0") -> int:
    """A number; 0 stands for none, as `none` does."""
    if text == none:
        return 0
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        hint = _NONE if text == "-1" else "write a number; `pybuild build --help` says of what"
        raise UsageError(f"can't read {option} {text!r}", hint=hint)
    return int(text)


def _list(text: str) -> str:
    ranges = [part.split("-") for part in text.split(",")] if _LIST.match(text) else []
    if not ranges or any(int(ends[0]) > int(ends[-1]) for ends in ranges):
        raise UsageError(f"can't read --cpuset-cpus {text!r}", hint="write numbers of processors, as 0-2,4")
    return text
