"""Canonical JSON: one byte string for one value, so that a digest of it names the value.

Keys sorted by code point, no white space, UTF-8, no floats (RFC 8785 restricted to integers).
"""

from __future__ import annotations

import json
from typing import Any

from buildkit_py.digest import Digest

_PLAIN = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_ESCAPED = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def dumps(value: Any) -> bytes:
    """The canonical bytes of a JSON value made of dict, list, tuple, str, int, bool and None.

    Lone surrogates (undecodable file names) are kept as `\\udcXX` escapes, so any path can be encoded.
    """
    try:
        return _PLAIN.encode(value).encode()
    except UnicodeEncodeError:
        return _ESCAPED.encode(value).encode()


def digest(value: Any) -> Digest:
    """SHA-256 of the canonical bytes."""
    return Digest.of(dumps(value))
