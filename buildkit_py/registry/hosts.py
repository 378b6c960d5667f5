"""What can be the name of a host."""

from __future__ import annotations

_LABEL = 63


def is_host(name: str) -> bool:
    """Whether a name can be asked for: an IP address, or labels of 1 to 63 characters (RFC 1035, 2.3.4)."""
    return ":" in name or all(0 < len(label) <= _LABEL for label in name.removesuffix(".").split("."))
