"""Signals that STOPSIGNAL may name: those of Linux, whatever system this runs on."""

from __future__ import annotations

import re

_NAMES = frozenset(
    {
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
        "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
        "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
        *(f"RTMIN+{number}" for number in range(1, 16)),
        *(f"RTMAX-{number}" for number in range(1, 15)),
    }
)  # fmt: skip
_NUMBER = re.compile(r"[+-]?[0-9]+\Z")
_MAX = 2**63


def is_signal(text: str) -> bool:
    """Whether it is a signal's name, with or without SIG and in any case, or a number that is not 0."""
    if _NUMBER.match(text):
        return len(text) <= 20 and -_MAX <= int(text) < _MAX and int(text) != 0
    return text.upper().removeprefix("SIG") in _NAMES
