"""Amounts as people read them."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(count: int) -> str:
    """Bytes in decimal units: `0 B`, `999 B`, `1.2 kB`, `45.1 MB`."""
    value, unit = float(count), 0
    while value >= 999.95 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{count} B"


def ago(seconds: float) -> str:
    """A length of time in its largest unit: `3 minutes`, `1 hour`, `12 days`; of none, `less than a minute`."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        number = int(seconds // length)
        if number > 0:
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return "less than a minute"
