"""Amounts as people write them: `10GB`, `512MiB`, `7d`, `12h`."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError

_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]*)\Z", re.ASCII)
_SIZES = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SIZES |= {f"{unit}b": factor for unit, factor in list(_SIZES.items()) if unit in "kmgt" and unit}
_SIZES |= {f"{unit}ib": 1024 ** (place + 1) for place, unit in enumerate("kmgt")}
_TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def size(text: str) -> int:
    """Bytes: a number with B, kB, MB, GB, TB (decimal) or KiB, MiB, GiB, TiB; for argparse."""
    match = _AMOUNT.match(text)
    factor = _SIZES.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ArgumentTypeError(f"not a size: {text!r}; write it as 10GB or 512MiB")
    return round(float(match[1]) * factor)


def seconds(text: str) -> float:
    """Seconds: a number with s, m, h, d or w; for argparse."""
    match = _AMOUNT.match(text)
    factor = _TIMES.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ArgumentTypeError(f"not a length of time: {text!r}; write it as 7d, 12h or 30m")
    return float(match[1]) * factor
