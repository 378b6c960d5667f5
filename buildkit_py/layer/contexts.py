"""The directories that a client offers to a build, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from buildkit_py.errors import SourceInputError
from buildkit_py.graph.op import LocalSource

if TYPE_CHECKING:
    from buildkit_py.layer.context import ContextTree
    from buildkit_py.layer.statcache import StatCache
    from buildkit_py.layer.tree import Tree


class Contexts:
    """Trees over local directories, one for each way a source looks at one. Thread-safe."""

    def __init__(self, roots: Mapping[str, Path], stat_cache: Path) -> None:
        self._roots = dict(roots)
        self._stat_cache = stat_cache
        self._stats: StatCache | None = None
        self._lock = Lock()
        self._trees: dict[LocalSource, ContextTree] = {}

    def tree(self, source: LocalSource) -> Tree:
        """The tree of a source; raises `SourceInputError` for a name that was not offered."""
        with self._lock:
            if source not in self._trees:
                self._trees[source] = self._open(source)
            return self._trees[source]

    def apart(self, source: LocalSource) -> Tree:
        """Another tree of the same source: `tree` looks again, but need not read again what this one has read.

        Raises `SourceInputError` as `tree` does.
        """
        with self._lock:
            return self._open(source)

    def opened(self) -> list[ContextTree]:
        """The trees that were asked for."""
        return list(self._trees.values())

    def close(self) -> None:
        """Keep what was learned about files for the next build. Never fails: it costs time alone."""
        if self._stats is not None:
            self._stats.close()

    def _open(self, source: LocalSource) -> ContextTree:
        if source.name not in self._roots:
            raise SourceInputError(f"the build was given no directory called {source.name!r}")
        from buildkit_py.layer.context import ContextTree
        from buildkit_py.layer.statcache import StatCache

        self._stats = self._stats or StatCache(self._stat_cache)
        return ContextTree(
            self._roots[source.name],
            self._stats,
            ignore=source.ignore,
            hidden=source.hidden,
            special=source.special,
        )
