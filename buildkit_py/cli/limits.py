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


def limits_of(args: Namespace) -> dict[str, int | str]:
    """The limits that the arguments set, 0 and -1 being none; raises `UsageError`."""
    limits: dict[str, int | str] = {}
    if args.step_timeout:
        limits["timeout"] = _least("timeout", _milliseconds(args.step_timeout), "--step-timeout", args.step_timeout)
    if args.memory and (memory := bytes_of(args.memory, "--memory")):
        limits["memory"] = _least("memory", memory, "--memory", args.memory)
        if args.memory_swap and (swap := _swap(args.memory_swap, memory)):
            limits["swap"] = swap
    if args.pids_limit and (pids := _number(args.pids_limit, "--pids-limit")):
        limits["pids"] = pids
    if cpus := _cpus(args):
        limits["cpus"] = cpus
    if args.cpu_shares and (shares := _number(args.cpu_shares, "--cpu-shares")):
        limits["cpu_shares"] = min(max(shares, _SHARES[0]), _SHARES[1])
    if args.cpuset_cpus:
        limits["cpuset"] = _list(args.cpuset_cpus)
    return limits


def _milliseconds(text: str) -> int:
    if not _TIME.match(text):
        raise UsageError(f"can't read --step-timeout {text!r}", hint="write it as 10m, 1h30m or 90s")
    return round(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))


def _swap(text: str, memory: int) -> int:
    """Bytes beside the memory, from both together; -1 is any amount."""
    if text == "-1":
        return -1
    both = bytes_of(text, "--memory-swap") or memory
    if both < memory:
        raise UsageError(
            f"--memory-swap {text}: this is less than the memory alone",
            hint="it is memory and swap together; -1 is any amount of swap",
        )
    return both - memory


def _cpus(args: Namespace) -> int:
    """Thousandths of a processor; 0 is no limit."""
    quota = _number(args.cpu_quota or "0", "--cpu-quota")
    period = _number(args.cpu_period or "0", "--cpu-period") or _PERIOD
    if args.cpus and quota:
        raise UsageError("--cpus and --cpu-quota exclude each other", hint="--cpus 1.5 says it all")
    if quota:
        return _least("cpus", quota * 1000 // period, "--cpu-quota", args.cpu_quota)
    if not args.cpus:
        return 0
    if not re.fullmatch(r"\d{1,4}(?:\.\d{1,3})?", args.cpus, re.ASCII):
        raise UsageError(f"can't read --cpus {args.cpus!r}", hint="write a number of processors, as 2 or 1.5")
    cpus = round(float(args.cpus) * 1000)
    return cpus and _least("cpus", cpus, "--cpus", args.cpus)


def _least(name: str, value: int, option: str, text: str) -> int:
    if value < LEAST[name]:
        raise UsageError(
            f"{option} {text}: no step can do with so little", hint="write more, perhaps with a unit: 512m"
        )
    return value


def _number(text: str, option: str) -> int:
    """A number; 0 stands for none, as -1 does."""
    if text == "-1":
        return 0
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise UsageError(f"can't read {option} {text!r}", hint="write a number; `pybuild build --help` says of what")
    return int(text)


def _list(text: str) -> str:
    if not _LIST.match(text):
        raise UsageError(f"can't read --cpuset-cpus {text!r}", hint="write numbers of processors, as 0-2,4")
    return text
