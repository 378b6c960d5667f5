"""Foreign JSON that must mean one thing only: no name twice, no field of another type, nothing unknown that counts.

Two programs that read one signed document differently are how signatures are got round.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, NoReturn

from buildkit_py.errors import IntegrityError, PybuildError

MAX_BYTES = 1 << 20
"""The most bytes that a payload, a bundle or an envelope may have."""

_URL = re.compile(r"[A-Za-z0-9_-]*")


def json_object(raw: bytes, what: str, fault: type[PybuildError] = IntegrityError) -> Fields:
    """The JSON object in `raw`; raises `fault`, whose message begins with `what`."""
    if len(raw) > MAX_BYTES:
        raise fault(f"{what} has more than {MAX_BYTES} bytes")
    try:
        plain = json.loads(raw, object_pairs_hook=_pairs, parse_constant=_no_number)
        # Half a character is read as this by one program and as that by another.
        json.dumps(plain, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise fault(f"{what} is not usable JSON: {str(error)[:100]}") from None
    return Fields(plain, what, fault)


class Fields:
    """A JSON object whose fields are taken out one by one; `end` refuses what is left. Raises `fault`."""

    def __init__(self, value: object, what: str, fault: type[PybuildError] = IntegrityError) -> None:
        self.what = what
        self._fault = fault
        if not isinstance(value, dict):
            raise fault(f"{what} is not a JSON object")
        self._left: dict[str, Any] = dict(value)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    @property
    def names(self) -> list[str]:
        """The fields that nobody took yet."""
        return list(self._left)

    def text(self, name: str) -> str:
        """A string, which must be there."""
        value = self._take(name)
        return value if isinstance(value, str) else self._wrong(name, "a string")

    def text_or_none(self, name: str) -> str | None:
        """A string; None where the field is absent."""
        return self.text(name) if name in self._left else None

    def number(self, name: str) -> int:
        """An integer, which must be there."""
        value = self._take(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else self._wrong(name, "an integer")

    def items(self, name: str) -> list[Any]:
        """A list, which must be there."""
        value = self._take(name)
        return value if isinstance(value, list) else self._wrong(name, "a list")

    def texts(self, name: str) -> list[str]:
        """A list of strings, which must be there."""
        values = self.items(name)
        return values if all(isinstance(value, str) for value in values) else self._wrong(name, "a list of strings")

    def table(self, name: str) -> Fields:
        """An object, which must be there."""
        return Fields(self._take(name), f"{self.what}: {name[:60]!r}", self._fault)

    def table_or_empty(self, name: str) -> dict[str, Any]:
        """An object as it is; empty where the field is absent or null."""
        value = self._left.pop(name, None)
        if value is not None and not isinstance(value, dict):
            self._wrong(name, "an object")
        return value or {}

    def end(self) -> None:
        """Refuse the fields that nobody took."""
        if self._left:
            raise self._fault(f"{self.what} has an unknown field {min(self._left)[:60]!r}")

    def _take(self, name: str) -> Any:
        if name not in self._left:
            raise self._fault(f"{self.what} has no field {name!r}")
        return self._left.pop(name)

    def _wrong(self, name: str, wanted: str) -> NoReturn:
        raise self._fault(f"{self.what}: {name!r} is not {wanted}")


def from_base64(text: str, what: str, *, url: bool = False, fault: type[PybuildError] = IntegrityError) -> bytes:
    """The bytes of base64 text; with `url`, of the alphabet of addresses without padding. Raises `fault`."""
    try:
        if not url:
            return base64.b64decode(text.encode("ascii"), validate=True)
        if _URL.fullmatch(text) is None:
            raise ValueError(text)
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise fault(f"{what} is not base64") from None


def to_base64(data: bytes, *, url: bool = False) -> str:
    """Base64 text; with `url`, of the alphabet of addresses without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode() if url else base64.b64encode(data).decode()


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return plain


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
