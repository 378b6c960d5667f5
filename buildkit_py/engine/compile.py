"""From a build file to a pinned definition, remembered under everything that it was made from.

A build whose file, imports, parameters and lock are unchanged reads its graph from the store, and imports no frontend.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import buildkit_py
from buildkit_py import canonical
from buildkit_py.dataclass import dataclass, field
from buildkit_py.digest import Digest
from buildkit_py.engine.buildfile import BuildFile
from buildkit_py.errors import NotFoundError, SourceError
from buildkit_py.graph import codec
from buildkit_py.graph.spans import relocated
from buildkit_py.platform import Platform
from buildkit_py.source import renamed

if TYPE_CHECKING:
    from buildkit_py.engine.options import BuildOptions
    from buildkit_py.engine.resolver import EngineResolver
    from buildkit_py.engine.unlocked import UnlockedResolver
    from buildkit_py.graph.definition import Definition
    from buildkit_py.graph.resolver import Resolver
    from buildkit_py.graph.settings import Settings
    from buildkit_py.store import Store

FORMAT = 4
"""Changes with what is remembered of a compiled build file."""
LOCKING = frozenset({"buildfile"})
"""The frontends whose builds keep a lock file unless the client says otherwise."""


@dataclass(slots=True, kw_only=True)
class Texts:
    """The build files that were read, by the name that messages use; kept to show excerpts of them."""

    files: dict[str, str] = field(default_factory=dict)


def load_frontend(name: str) -> Any:
    """The frontend of that name: one that came with pybuild, else of the entry point group `pybuild.frontends`."""
    # Asking the metadata of all that is installed takes as long as reading a Dockerfile.
    own = f"frontends.{name}"
    try:
        return import_module(own)
    except ModuleNotFoundError as error:
        if error.name != own:
            raise
    from importlib.metadata import entry_points

    for entry_point in entry_points(group="pybuild.frontends", name=name):
        return entry_point.load()
    raise NotFoundError(f"no frontend called {name!r} is installed", hint="reinstall pybuild, or build a Buildfile")


def load_build_file(options: BuildOptions, file: BuildFile, resolver: Resolver) -> Definition:
    """Have the frontend of a build file make its graph, with answers from `resolver`."""
    try:
        definition: Definition = load_frontend(file.frontend).load(
            file.text,
            file=os.path.relpath(file.path, options.context),
            resolver=resolver,
            params=options.params,
            platforms=tuple(Platform.parse(text) for text in options.platforms),
            targets=options.targets,
            epoch=options.epoch or 0,
            hidden=_hidden(options, file),
            settings=options.settings,
        )
    except SourceError as error:
        raise SourceError([renamed(item, _shown(options)) for item in error.diagnostics]) from None
    return definition


def _shown(options: BuildOptions) -> Callable[[str], str]:
    """How people know a file whose path below the context is given."""
    return functools.cache(lambda name: options.shown(options.context / name))


class Compiler:
    """Compiles build files against a store that remembers the graphs."""

    def __init__(self, store: Store, resolver: EngineResolver, texts: Texts) -> None:
        self._store = store
        self._resolver = resolver
        self._texts = texts

    def compile(self, options: BuildOptions, file: BuildFile) -> Definition:
        """The pinned definition of a build file; raises `SourceError` with everything that is wrong in it."""
        self._texts.files[file.shown] = file.text
        request = self._request(options, file)
        answers = self._unlocked(options) if not locks(options, file) else None
        known = self._store.memo.get("compiled", self._key(request))
        if known is not None and self._still(known, answers):
            return relocated(codec.decode_definition(known["definition"]), _shown(options))
        definition = load_build_file(options, file, answers or self._resolver.locked())
        plain = {
            "read": self._resolver.read(),
            "answers": answers.answers if answers is not None else {},
            "definition": definition.to_plain(),
        }
        if answers is None:
            self._resolver.save_lock()
        self._store.memo.put("compiled", self._key(self._request(options, file)), plain)
        return relocated(definition, _shown(options))

    def _still(self, known: Mapping[str, Any], answers: UnlockedResolver | None) -> bool:
        """Whether what a graph was made of is as it was."""
        if not self._resolver.unchanged(known["read"]):
            return False
        return answers is None or answers.still(known["answers"])

    def _unlocked(self, options: BuildOptions) -> UnlockedResolver:
        from buildkit_py.engine.unlocked import UnlockedResolver

        return UnlockedResolver(self._resolver, self._store, pull=options.pull)

    def _request(self, options: BuildOptions, file: BuildFile) -> Mapping[str, Any]:
        return {
            "program": [buildkit_py.__version__, FORMAT],
            "frontend": file.frontend,
            "file": [os.path.relpath(file.path, options.context), str(Digest.of(file.text.encode()))],
            "params": dict(options.params),
            "platforms": list(options.platforms) or [str(Platform.host())],
            "targets": list(options.targets),
            "epoch": options.epoch or 0,
            "hidden": list(_hidden(options, file)),
            "settings": _plain(options.settings),
            "lock": self._resolver.lock_text() if locks(options, file) else None,
        }

    def _key(self, request: Mapping[str, Any]) -> str:
        return canonical.digest(request).hex


def locks(options: BuildOptions, file: BuildFile) -> bool:
    """Whether what the names of a build file meant is kept in a lock file beside it."""
    if options.lock is not None:
        return options.lock
    return options.locked or file.frontend in LOCKING


def _plain(settings: Settings) -> dict[str, Any]:
    """The settings as a JSON value."""
    plain: dict[str, Any] = codec.encode(settings)
    return {**plain, "allow": sorted(settings.allow)}


def _hidden(options: BuildOptions, file: BuildFile) -> tuple[str, ...]:
    """The build file and its lock as paths below the context, where they are below it."""
    context = options.context.resolve()
    paths = [file.path.resolve(), *([file.lock_path.resolve()] if locks(options, file) else [])]
    return tuple(str(path.relative_to(context)) for path in paths if path.is_relative_to(context))
