"""The shapes in which a secret's bytes may turn up: one table for redacting output and for searching layers.

Compressed, encrypted or otherwise transformed copies are not in the table, so they are not found.
"""

from __future__ import annotations

import base64
import json

MIN_LENGTH = 8
"""A secret shorter than this many bytes can't be told from ordinary text: it is refused, or not searched for."""

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_WRAPPED_COLUMNS = (64, 76)


def core(secret: bytes) -> bytes:
    """The secret without the white space around it, which shells and editors drop and add."""
    return secret.strip()


def forms(secret: bytes) -> list[tuple[str, bytes]]:
    """The (name, bytes) shapes of one secret, each at most once, none empty, the raw one first. Names are for people;
    the raw one has none.

    Base64 is cut to the characters that do not depend on what stands before and after the secret, one shape for each
    of the three alignments. The raw shape is `core(secret)`, so that a final newline makes no difference.
    """
    plain = core(secret)
    if not plain:
        return []
    found: dict[bytes, str] = {}
    for name, shape in [("", plain), *_base64(plain), *_hex(plain), *_percent(plain), *_json(plain)]:
        found.setdefault(shape, name)
    return [(name, shape) for shape, name in found.items() if shape]


def lines(secret: bytes) -> list[bytes]:
    """The lines of a secret of several lines that are long enough to be told from ordinary text.

    The armour around a PEM key is public and left out.
    """
    parts = [line.strip() for line in core(secret).splitlines()]
    if len(parts) < 2:
        return []
    return [part for part in dict.fromkeys(parts) if len(part) >= MIN_LENGTH and not part.startswith(b"-----")]


def _base64(plain: bytes) -> list[tuple[str, bytes]]:
    shapes = []
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + plain)
        # A character is the secret's own when all of its six bits are.
        first, last = -(-8 * before // 6), 8 * (before + len(plain)) // 6
        middle = encoded[first:last]
        shapes.append(("base64", middle))
        shapes.append(("base64 for URLs", middle.translate(bytes.maketrans(b"+/", b"-_"))))
        if before == 0:
            shapes += [("base64 in lines", _wrap(middle, columns)) for columns in _WRAPPED_COLUMNS]
    return shapes


def _wrap(text: bytes, columns: int) -> bytes:
    return b"\n".join(text[start : start + columns] for start in range(0, len(text), columns))


def _hex(plain: bytes) -> list[tuple[str, bytes]]:
    lower = plain.hex().encode()
    return [("hex", lower), ("hex", lower.upper())]


def _percent(plain: bytes) -> list[tuple[str, bytes]]:
    return [
        ("URL encoding", _quote(plain, _UNRESERVED, "%{:02X}")),
        ("URL encoding", _quote(plain, _UNRESERVED, "%{:02x}")),
        ("URL encoding", _quote(plain, _UNRESERVED | {ord("/")}, "%{:02X}")),
        ("URL encoding", _quote(plain, _UNRESERVED | {ord(" ")}, "%{:02X}").replace(b" ", b"+")),
    ]


def _quote(plain: bytes, safe: frozenset[int], escape: str) -> bytes:
    return b"".join(bytes((byte,)) if byte in safe else escape.format(byte).encode() for byte in plain)


def _json(plain: bytes) -> list[tuple[str, bytes]]:
    try:
        text = plain.decode()
    except UnicodeDecodeError:
        return []
    return [
        ("a JSON string", json.dumps(text)[1:-1].encode()),
        ("a JSON string", json.dumps(text, ensure_ascii=False)[1:-1].encode()),
    ]
