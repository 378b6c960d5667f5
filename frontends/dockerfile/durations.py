"""Durations as HEALTHCHECK takes them: `1h30m`, `1.5s`, `500ms`, `0`."""

from __future__ import annotations

import re

from frontends.dockerfile.faults import fault
from frontends.dockerfile.syntax import Flag

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_LEAST = _UNITS["ms"]
_MOST = 2**63 - 1
_PIECE = re.compile(r"(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))([^0-9.]+)")
_NUMBER = re.compile(r"([+-]?)([0-9]{1,20})\Z")
MAX_RETRIES = 2**31 - 1


def read_duration(flag: Flag | None) -> int | None:
    """Nanoseconds; None where the flag was not given, or is empty. Raises `SourceError`."""
    if flag is None or not flag.value:
        return None
    span, text = flag.value_span or flag.span, flag.value
    found = _nanoseconds(text)
    if found is None:
        raise fault(f"--{flag.name} is not a duration: {text}", span, hint="write a number with its unit: 30s, 1m30s")
    if found and found < _LEAST:
        raise fault(f"--{flag.name} is too short: {text}", span, hint="the least is 1ms; 0 means the default")
    return found


def read_retries(flag: Flag | None) -> int | None:
    """A count; None where the flag was not given, or is empty. Raises `SourceError`."""
    if flag is None or not flag.value:
        return None
    match = _NUMBER.match(flag.value)
    found = int(flag.value) if match else -1
    if not 0 <= found <= MAX_RETRIES:
        span = flag.value_span or flag.span
        raise fault(f"--retries is not a count: {flag.value}", span, hint="write a whole number, as --retries=3")
    return found


def _nanoseconds(text: str) -> int | None:
    sign, body = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    if body == "0":
        return 0
    total, place = 0, 0
    while place < len(body):
        match = _PIECE.match(body, place)
        unit = _UNITS.get(match[4]) if match else None
        if match is None or unit is None:
            return None
        part = match[2] or match[3] or ""
        total += int((match[1] or "").lstrip("0")[:30] or "0") * unit
        # As the reference computes it: a fraction is a float of the unit, cut off.
        total += int(float(int(part[:18] or "0")) * (unit / 10.0 ** len(part[:18])))
        place = match.end()
    if not body or total > _MOST:
        return None
    return -total if sign == "-" else total
