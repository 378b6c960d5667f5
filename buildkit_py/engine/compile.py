"""From a build file to a pinned definition, remembered under everything that it was made from.

A build whose file, imports, parameters and lock are unchanged reads its graph from the store, and imports no frontend.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import buildkit_py
from buildkit_py import canonical
from buildkit_py.digest import Digest
from buildkit_py.errors import NotFoundError, SourceError, SourceInputError
from buildkit_py.graph import codec
from buildkit_py.graph.spans import relocated
from buildkit_py.platform import Platform
from buildkit_py.source import Diagnostic, Span, renamed

if TYPE_CHECKING:
    from buildkit_py.engine.options import BuildOptions
    from buildkit_py.engine.resolver import EngineResolver
    from buildkit_py.graph.definition import Definition
    from buildkit_py.graph.resolver import Resolver
    from buildkit_py.store import Store

NAMES = {"Buildfile": "buildfile", "Dockerfile": "dockerfile", "Containerfile": "dockerfile"}
FORMAT = 2
"""Changes with what is remembered of a compiled build file."""
_WRITE_ONE = "write a Buildfile: see `pybuild help`"
MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFile:
    """The file that a build is described in, and the frontend that can read it.

    Frontends know files by their paths below the context, people by their paths from where they are.
    """

    path: Path
    frontend: str
    text: str
    note: str | None = None

    @property
    def shown(self) -> str:
        """How people know it."""
        return os.path.relpath(self.path)

    @property
    def lock_path(self) -> Path:
        """Where its lock file is."""
        return self.path.with_name(f"{self.path.name}.lock")


@dataclass(slots=True, kw_only=True)
class Texts:
    """The build files that were read, by the name that messages use; kept to show excerpts of them."""

    files: dict[str, str] = field(default_factory=dict)


def find_build_file(options: BuildOptions) -> BuildFile:
    """The build file of a request; raises `SourceInputError` that says what to write where there is none."""
    if options.file is not None:
        return _read(options.file, _frontend_of(options.file), None)
    found = [name for name in ("Buildfile", "Dockerfile") if (options.context / name).is_file()]
    if not found:
        raise SourceInputError(f"there is no Buildfile in {options.context}", hint=f"name one with -f, or {_WRITE_ONE}")
    note = "both a Buildfile and a Dockerfile are here: the Buildfile is built" if len(found) == 2 else None
    return _read(options.context / found[0], NAMES[found[0]], note)


def _frontend_of(path: Path) -> str:
    for name, frontend in NAMES.items():
        if path.name == name or path.name.startswith(f"{name}.") or path.name.lower().endswith(f".{name.lower()}"):
            return frontend
    return "buildfile"


def _read(path: Path, frontend: str, note: str | None) -> BuildFile:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SourceInputError(f"{path} can't be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise SourceInputError(f"{path} has more than {MAX_BYTES} bytes: that is no build file")
    return BuildFile(path=path, frontend=frontend, text=decoded(data, os.path.relpath(path)), note=note)


def decoded(data: bytes, name: str) -> str:
    """The text of a build file; raises `SourceError` at the first byte that is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        span = Span(name, line, column, line, column + 1)
        message = f"not UTF-8 text: byte 0x{data[error.start]:02x}"
        raise SourceError([Diagnostic(message=message, span=span, hint="save the file as UTF-8")]) from None


def load_frontend(name: str) -> Any:
    """The frontend registered under a name (entry point group `pybuild.frontends`)."""
    from importlib.metadata import entry_points

    for entry_point in entry_points(group="pybuild.frontends", name=name):
        return entry_point.load()
    if name == "dockerfile":
        raise SourceInputError("this version of pybuild reads Buildfiles only", hint=_WRITE_ONE)
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
        )
    except SourceError as error:
        raise SourceError([renamed(item, _shown(options)) for item in error.diagnostics]) from None
    return definition


def _shown(options: BuildOptions) -> Callable[[str], str]:
    """How people know a file whose path below the context is given."""
    return functools.cache(lambda name: os.path.relpath(options.context / name))


class Compiler:
    """Compiles build files against a store that remembers the graphs."""

    def __init__(self, store: Store, resolver: EngineResolver, texts: Texts) -> None:
        self._store = store
        self._resolver = resolver
        self._texts = texts

    def compile(self, options: BuildOptions, file: BuildFile) -> Definition:
        """The pinned definition of a build file; raises `SourceError` with everything that is wrong in it."""
        self._texts.files[os.path.relpath(file.path)] = file.text
        request = self._request(options, file)
        known = self._store.memo.get("compiled", self._key(request, file))
        if known is not None and self._resolver.unchanged(known["read"]):
            return relocated(codec.decode_definition(known["definition"]), _shown(options))
        definition = load_build_file(options, file, self._resolver.locked())
        plain = {"read": self._resolver.read(), "definition": definition.to_plain()}
        self._resolver.save_lock()
        self._store.memo.put("compiled", self._key(request, file), plain)
        return relocated(definition, _shown(options))

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
        }

    def _key(self, request: Mapping[str, Any], file: BuildFile) -> str:
        lock = self._resolver.lock_text()
        return canonical.digest({**request, "lock": lock}).hex


def _hidden(options: BuildOptions, file: BuildFile) -> tuple[str, ...]:
    """The build file and its lock as paths below the context, where they are below it."""
    context = options.context.resolve()
    paths = (file.path.resolve(), file.lock_path.resolve())
    return tuple(str(path.relative_to(context)) for path in paths if path.is_relative_to(context))
