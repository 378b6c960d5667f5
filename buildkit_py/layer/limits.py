"""What an archive that somebody else made may cost: one value, which everything that reads such archives obeys.

The variable PYBUILD_LIMITS changes single limits: `entries=5000000,bytes=1t`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping

from buildkit_py.dataclass import dataclass, fields, replace
from buildkit_py.errors import IntegrityError, UsageError

VARIABLE = "PYBUILD_LIMITS"
_AMOUNT = re.compile(r"([0-9]{1,12})([kmgt]?)\Z")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one archive may hold: `bytes` unpacked, holes of sparse files included, and beyond the first `free` no
    more than `ratio` times its packed bytes; `entries`; bytes of one extended header (`pax`) and of all (`headers`),
    which are kept in memory; `xattrs` of an entry; `holes` of a file. And what reading it may take: `seconds`, without
    those that its bytes are waited for.

    The ratio is above what deflate can reach (1,032): a layer of zeros that was written here must be read again here.
    """

    bytes: int = 256 << 30
    free: int = 8 << 30
    ratio: int = 1_100
    entries: int = 1_000_000
    pax: int = 1 << 20
    headers: int = 256 << 20
    xattrs: int = 128
    holes: int = 100_000
    seconds: int = 2 * 60 * 60

    @classmethod
    def current(cls, environ: Mapping[str, str] = os.environ) -> Limits:
        """The limits that are in force; raises `UsageError`."""
        changes: dict[str, int] = {}
        known = [item.name for item in fields(cls)]
        for word in filter(None, environ.get(VARIABLE, "").split(",")):
            name, _, text = word.strip().partition("=")
            amount = _AMOUNT.match(text.lower())
            if name not in known or amount is None:
                raise UsageError(
                    f"can't read {word!r} of {VARIABLE}",
                    hint=f"write NAME=NUMBER, as entries=5000000 or bytes=1t; names are {', '.join(known)}",
                )
            changes[name] = int(amount[1]) * _UNITS[amount[2]]
        return replace(cls(), **changes)

    def passed(self, name: str, what: str) -> IntegrityError:
        """The error for an archive that is beyond the limit of that name; `what` says how."""
        return IntegrityError(
            f"{what}; the limit is {getattr(self, name)}",
            hint=f"where it is to be trusted, set {VARIABLE}={name}=NUMBER to a higher limit",
        )


class Allowance:
    """What one archive has used up of its limits. The methods raise `IntegrityError` once a limit is passed."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._entries = 0
        self._headers = 0
        self._held = 0
        self._until = time.monotonic() + limits.seconds

    def waited(self, seconds: float) -> None:
        """Its bytes came late."""
        self._until += seconds

    def entry(self, size: int) -> None:
        """One more entry, whose file has so many bytes."""
        self._entries += 1
        self._held += size
        if self._entries > self.limits.entries:
            raise self.limits.passed("entries", f"it has more than {self.limits.entries} entries")
        if self._held > self.limits.bytes:
            raise self.limits.passed("bytes", f"its files have more than {self.limits.bytes} bytes")
        self.time()

    def header(self, size: int) -> None:
        """One more extended header, before it is read."""
        if size > self.limits.pax:
            raise self.limits.passed("pax", f"it has an extended header of {size} bytes")
        self._headers += size
        if self._headers > self.limits.headers:
            raise self.limits.passed("headers", f"its extended headers have more than {self.limits.headers} bytes")

    def unpacked(self, size: int, packed: int) -> None:
        """So many bytes came of so many packed ones."""
        if size > self.limits.bytes:
            raise self.limits.passed("bytes", f"it unpacks to more than {self.limits.bytes} bytes")
        if size - self.limits.free > self.limits.ratio * packed:
            raise self.limits.passed(
                "ratio",
                f"it unpacks to more than {self.limits.free} bytes, and to {size // max(packed, 1)} times its own size",
            )
        self.time()

    def time(self) -> None:
        """However much time it took so far."""
        if time.monotonic() > self._until:
            raise self.limits.passed("seconds", f"reading it takes more than {self.limits.seconds} seconds")
