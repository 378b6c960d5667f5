"""The resolver of a real build: it asks registries, servers and repositories, and what it learns stays in the store."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from buildkit_py.digest import Digest
from buildkit_py.errors import RegistryError, SourceError, SourceInputError
from buildkit_py.graph.resolver import ResolvedImage
from buildkit_py.layer.openat import open_beneath
from buildkit_py.receipt import text_stamp
from buildkit_py.reference import is_local

if TYPE_CHECKING:
    from buildkit_py.executor.source.image import Images
    from buildkit_py.graph.resolver import Resolver
    from buildkit_py.lockfile import LockFile
    from buildkit_py.platform import Platform
    from buildkit_py.registry.source import OfferedLayout
    from buildkit_py.store import Store

_FOUND = "found:"
_ROOTS = {"oci": "index.json", "dir": "manifest.json"}
"""The file of a directory that says which image it holds."""
MAX_BUILD_FILE = 16 * 1024 * 1024


class EngineResolver:
    """Answers a frontend's questions, through the lock file; implements `graph.Resolver` without it as well."""

    def __init__(
        self,
        store: Store,
        images: Callable[[], Images],
        context: Path,
        lock_path: Path,
        *,
        locked: bool,
        build_file: Path | None = None,
        contexts: Mapping[str, Path] | None = None,
        layouts: Mapping[str, OfferedLayout] | None = None,
    ) -> None:
        self._store = store
        self._images = images
        self._context = context
        self._lock_path = lock_path
        self._locked = locked
        self._build_file = build_file
        self._contexts = {**(contexts or {}), "context": context}
        self._layouts = layouts or {}
        self._lock: LockFile | None = None
        self._read: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.files: dict[str, str] = {}
        """The files that were looked for, by their absolute paths, with their stamps from before they were read."""

    def lock_text(self) -> str | None:
        """The lock file as it is on disk, None where there is none."""
        try:
            with open_beneath(self._lock_path.parent, self._lock_path.name) as file:
                return file.read(MAX_BUILD_FILE).decode()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise SourceInputError(f"{self._lock_path} can't be read: {error}") from None

    def locked(self, refresh: Collection[str] | Literal["all"] = ()) -> Resolver:
        """This resolver behind the lock file; `refresh` names what is to be asked for anew."""
        from buildkit_py.lockfile import LockedResolver

        return LockedResolver(self, self.lock, locked=self._locked, refresh=refresh)

    @property
    def lock(self) -> LockFile:
        """The lock file, read when it is first needed."""
        from buildkit_py.lockfile import LockFile

        if self._lock is None:
            self._lock = LockFile.load(self._lock_path)
        return self._lock

    def save_lock(self) -> bool:
        """Write the lock file if it changed."""
        return self._lock is not None and self._lock.save()

    def read(self) -> dict[str, str]:
        """What the answers depend on besides the lock file: build files and local images, with the state of each."""
        return dict(self._read)

    def unchanged(self, read: Mapping[str, str]) -> bool:
        """Whether everything that an earlier build read is as it was then."""
        try:
            return all(self._state(name) == state for name, state in read.items())
        except (SourceInputError, SourceError):
            return False

    def image(self, ref: str, platform: Platform) -> ResolvedImage:
        """Pin an image and read its configuration; no layer is fetched."""
        from buildkit_py.image.config import from_document

        if is_local(ref):
            self._read[ref] = self._state(ref)
        try:
            pulled = self._images().describe(ref, platform)
        except RegistryError as error:
            from buildkit_py.engine.naming import told_of

            error.hint = told_of(self._store, ref) or error.hint
            raise
        return ResolvedImage(
            digest=str(pulled.digest), config=from_document(pulled.config), platform=pulled.config.platform
        )

    def http(self, url: str) -> str:
        """Fetch a URL into the store and give its digest."""
        from buildkit_py.executor.source.http import fetch

        return fetch(self._store, url)[0]

    def git(self, url: str, ref: str) -> str:
        """Ask a repository for the commit of a ref."""
        from buildkit_py.executor.source.git import resolve_ref

        return resolve_ref(url, ref)

    def text(self, path: str) -> str:
        """Read a build file below the context; a path that leaves it, by links too, is refused."""
        text = self._text(self._context, path, path)
        if text is None:
            raise SourceInputError(f"{path} can't be read: {os.strerror(errno.ENOENT)}")
        self._read[path] = _state_of(text)
        self.texts[path] = text
        return text

    def find(self, path: str, context: str = "context") -> str | None:
        """Read a file of a directory that the client offers, or one beside the build file that is called after it."""
        text = self._find(path, context)
        self._read[f"{_FOUND}{context}:{path}"] = _state_of(text)
        if text is not None and context == "context":
            self.texts[path] = text
        return text

    def _find(self, path: str, context: str) -> str | None:
        if context not in self._contexts:
            raise SourceInputError(f"the build was given no directory called {context!r}")
        if self._build_file is not None and context == "context":
            own = os.path.relpath(self._build_file, self._context)
            more = path.removeprefix(own)
            if path.startswith(own) and "/" not in more:
                return self._text(self._build_file.parent, self._build_file.name + more, path)
        return self._text(self._contexts[context], path, path)

    def _text(self, directory: Path, path: str, name: str) -> str | None:
        place = str((directory / path).absolute())
        self.files.setdefault(place, text_stamp(place))
        return _read_text(directory, path, name)

    def _state(self, name: str) -> str:
        """What changes with a build file or a layout (digests), or an archive (its stat data)."""
        if name.startswith(_FOUND):
            context, _, path = name.removeprefix(_FOUND).partition(":")
            return _state_of(self._find(path, context))
        if not is_local(name):
            return _state_of(self.text(name))
        kind, _, rest = name.partition(":")
        path = rest if kind == "dir" else rest.partition(":")[0]
        layout = self._layouts.get(path)
        place = layout.path if layout is not None else self._context / path
        try:
            if kind in _ROOTS:
                return str(Digest.of((place / _ROOTS[kind]).read_bytes()))
            facts = (self._context / path).stat()
        except OSError:
            return ""
        return f"{facts.st_size}:{facts.st_mtime_ns}:{facts.st_ctime_ns}:{facts.st_ino}"


def _read_text(directory: Path, path: str, name: str) -> str | None:
    """The text of a file below a directory, None where there is none."""
    from buildkit_py.engine.buildfile import decoded

    try:
        with open_beneath(directory, path) as file:
            data = file.read(MAX_BUILD_FILE + 1)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise SourceInputError(f"{name} can't be read: {error.strerror}") from None
    if len(data) > MAX_BUILD_FILE:
        raise SourceInputError(f"{name} has more than {MAX_BUILD_FILE} bytes")
    return decoded(data, name)


def _state_of(text: str | None) -> str:
    return str(Digest.of(text.encode())) if text is not None else "absent"
