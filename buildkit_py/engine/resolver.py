"""The resolver of a real build: it asks registries, servers and repositories, and what it learns stays in the store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from buildkit_py.digest import Digest
from buildkit_py.errors import SourceError, SourceInputError
from buildkit_py.graph.resolver import ResolvedImage
from buildkit_py.layer.openat import open_beneath

if TYPE_CHECKING:
    from buildkit_py.executor.source.image import Images
    from buildkit_py.graph.resolver import Resolver
    from buildkit_py.lockfile import LockFile
    from buildkit_py.platform import Platform
    from buildkit_py.store import Store

_LOCAL = ("oci:", "oci-archive:")
MAX_BUILD_FILE = 16 * 1024 * 1024


class EngineResolver:
    """Answers a frontend's questions, through the lock file; implements `graph.Resolver` without it as well."""

    def __init__(
        self, store: Store, images: Callable[[], Images], context: Path, lock_path: Path, *, locked: bool
    ) -> None:
        self._store = store
        self._images = images
        self._context = context
        self._lock_path = lock_path
        self._locked = locked
        self._lock: LockFile | None = None
        self._read: dict[str, str] = {}
        self.texts: dict[str, str] = {}

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

        if ref.startswith(_LOCAL):
            self._read[ref] = self._state(ref)
        pulled = self._images().describe(ref, platform)
        return ResolvedImage(digest=str(pulled.digest), config=from_document(pulled.config))

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
        from buildkit_py.engine.compile import decoded

        try:
            with open_beneath(self._context, path) as file:
                data = file.read(MAX_BUILD_FILE + 1)
        except OSError as error:
            raise SourceInputError(f"{path} can't be read: {error.strerror}") from None
        text = decoded(data, path)
        self._read[path] = str(Digest.of(data))
        self.texts[path] = text
        return text

    def _state(self, name: str) -> str:
        """What changes with a build file or a layout (digests), or an archive (its stat data)."""
        if not name.startswith(_LOCAL):
            return str(Digest.of(self.text(name).encode()))
        kind, path, *_ = name.split(":")
        try:
            if kind == "oci":
                return str(Digest.of((self._context / path / "index.json").read_bytes()))
            facts = (self._context / path).stat()
        except OSError:
            return ""
        return f"{facts.st_size}:{facts.st_mtime_ns}:{facts.st_ctime_ns}:{facts.st_ino}"
