"""The directories that a client offers to a build, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from buildkit_py.errors import SourceInputError
from buildkit_py.graph.op import LocalSource

if TYPE_CHECKING:
    from buildkit_py.layer.tree import Tree


class Contexts:
    """Trees over local directories, one for each way a source looks at one. Thread-safe."""

    def __init__(self, roots: Mapping[str, Path], stat_cache: Path) -> None:
        self._roots = dict(roots)
        self._stat_cache = stat_cache
        self._lock = Lock()
        self._trees: dict[LocalSource, Tree] = {}

    def tree(self, source: LocalSource) -> Tree:
        """The tree of a source; raises `SourceInputError` for a name that was not offered."""
        if source.name not in self._roots:
            raise SourceInputError(f"the build was given no directory called {source.name!r}")
        with self._lock:
            if source not in self._trees:
                from buildkit_py.layer.context import ContextTree
                from buildkit_py.layer.statcache import StatCache

                self._trees[source] = ContextTree(
                    self._roots[source.name],
                    StatCache(self._stat_cache),
                    ignore=source.ignore,
                    hidden=source.hidden,
                )
            return self._trees[source]
