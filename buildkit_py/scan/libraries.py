"""The libraries of `pybuild[scan]`, which a build does not need: imported when a scan asks for them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from buildkit_py.errors import MissingToolError

_PACKAGES = {
    "packageurl": "packageurl-python",
    "cyclonedx": "cyclonedx-python-lib",
    "spdx_tools": "spdx-tools",
    "univers": "univers",
    "cvss": "cvss",
}


def library(module: str) -> Any:
    """A module of an optional library; raises `MissingToolError` where that is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError:
        package = _PACKAGES[module.partition(".")[0]]
        raise MissingToolError(
            f"scanning needs the Python package {package}, which is not installed",
            hint="install it with the others that `pybuild scan` uses: pip install 'pybuild[scan]'",
        ) from None
