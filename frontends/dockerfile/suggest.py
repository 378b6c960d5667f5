"""What may have been meant by a name that is not known: the same rule as of command lines."""

from __future__ import annotations

from buildkit_py.suggest import suggest

__all__ = ["suggest"]
