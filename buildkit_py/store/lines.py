"""Lines: where a build file says what made each line of an image's history, kept once a configuration.

An image itself never says so: its bytes do not depend on where its build file lies, nor on blank lines in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buildkit_py.store.records import Memo

KIND = "lines"
"""The kind of their facts; keys are digests of configurations."""


class Lines:
    """Digest of a configuration → `context` and `file` of the build that made it last, and `lines`, one for each line
    of its history: `at` (`file:line`), `steps` (titles and places of what a layer was made of), `base` (the image
    that the line was taken over from)."""

    def __init__(self, memo: Memo) -> None:
        self._memo = memo

    def get(self, config: str) -> dict[str, Any] | None:
        """What is known, None where nothing is."""
        found: dict[str, Any] | None = self._memo.get(KIND, config)
        return found

    def put(self, config: str, value: Mapping[str, Any]) -> None:
        """Keep it, unless it is known."""
        if self.get(config) != value:
            self._memo.put(KIND, config, value)
