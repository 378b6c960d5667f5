"""The `Link` header (RFC 8288), as far as lists that come in pages have one."""

from __future__ import annotations

import re

_NEXT = re.compile(r'<([^<>]{1,4096})>\s*;[^,<>]*\brel\s*=\s*"?next\b')


def next_link(header: str | None) -> str | None:
    """Where the next page is, as it is written there; None where there is none."""
    match = _NEXT.search(header or "")
    return match[1] if match else None
