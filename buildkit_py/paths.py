"""Where things are kept: for root below /var and /etc, for an ordinary user below the XDG directories."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# An ordinary user becomes root of a user namespace later; what is whose is decided by who started the process.
STARTED_AS_ROOT = os.geteuid() == 0
STARTED_AS = os.getuid()


def store_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The store: $PYBUILD_STORE, else /var/lib/pybuild, else below $XDG_DATA_HOME."""
    if given := environ.get("PYBUILD_STORE"):
        return Path(given)
    if STARTED_AS_ROOT:
        return Path("/var/lib/pybuild")
    return _home(environ, "XDG_DATA_HOME", ".local/share") / "pybuild"


def additional_stores(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The stores that are only read: $PYBUILD_ADDITIONAL_STORES, parted by colons."""
    return [Path(word) for word in environ.get("PYBUILD_ADDITIONAL_STORES", "").split(":") if word]


def configuration_path(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """A configuration file: below /etc/pybuild, else below $XDG_CONFIG_HOME."""
    if STARTED_AS_ROOT:
        return Path("/etc/pybuild") / name
    return _home(environ, "XDG_CONFIG_HOME", ".config") / "pybuild" / name


def _home(environ: Mapping[str, str], variable: str, usual: str) -> Path:
    return Path(environ.get(variable) or Path(environ.get("HOME") or "/") / usual)
