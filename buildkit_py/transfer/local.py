"""Blobs as files of a directory that other tools read too: an image layout, or a plain directory.

A blob that is fetched lies in `.pybuild-partial/`, locked by who fetches it; what a killed process left of it is taken
up again by the next. A file appears under its name only when it is whole and checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from buildkit_py.digest import Digest
from buildkit_py.errors import OutputError, StoreError
from buildkit_py.image.staging import exclusive, new_file, translated
from buildkit_py.oci import Descriptor
from buildkit_py.registry.blobs import BlobSource, Progress
from buildkit_py.registry.download import fetch_blob
from buildkit_py.registry.retry import Cancel, Retry
from buildkit_py.store import files
from buildkit_py.store.locks import HeldLock, acquire, try_acquire
from buildkit_py.store.partial import PartialBlob
from buildkit_py.transfer.destination import Outcome

PARTIAL = ".pybuild-partial"
_LOCK = ".lock"


class LocalBlobs:
    """The blobs of a directory; `path` says where each is, relative to `root`.

    The directory is made with the first of them, and `mark`, a file's name and content, at once: a copy that is cut
    short is known for what it is.
    """

    def __init__(self, root: Path, path: Callable[[Digest], str], retry: Retry, mark: tuple[str, bytes]) -> None:
        self._root = root
        self._path = path
        self._retry = retry
        self._mark = mark
        self._lock = Lock()
        self._begun = False

    def take(
        self, item: Descriptor, sources: Sequence[BlobSource], progress: Progress | None, cancel: Cancel
    ) -> Outcome:
        """See to it that a blob is there. Raises `OutputError`, and what sources raise."""
        target = self._root / self._path(item.digest)
        self._begin()
        with translated(self._root):
            if self.has(item):
                return "existing"
            # Of the wrong size: what is left of a file that was not written as a whole.
            target.unlink(missing_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            fetched = fetch_blob(item, sources, self, retry=self._retry, progress=progress, cancel=cancel)
        except StoreError as error:
            raise OutputError(f"the output {self._root} can't be written: {error.message}") from error
        return "copied" if fetched else "existing"

    def has(self, item: Descriptor) -> bool:
        """Whether the whole blob is there."""
        path = self._root / self._path(item.digest)
        return files.is_regular(path) and path.lstat().st_size == item.size

    @contextmanager
    def partial(self, digest: str) -> Iterator[PartialBlob]:
        """Take a blob in hand to fetch it."""
        parsed = Digest.parse(digest)
        beside = self._root / PARTIAL / f"{parsed.algorithm}-{parsed.hex}"
        lock = _locked(beside.with_suffix(_LOCK))
        try:
            held = PartialBlob(
                parsed, beside, self._root / self._path(parsed), lock, make_room=lambda _: None, kept=lambda _: None
            )
        except BaseException:
            lock.release()
            raise
        with held:
            yield held

    def put(self, item: Descriptor, raw: bytes, path: str | None = None) -> None:
        """Write a document, as a blob or at `path`. Raises `OutputError`."""
        target = self._root / (path or self._path(item.digest))
        self._begin()
        with new_file(target, known=True) as out:
            out.write(raw)

    def _begin(self) -> None:
        name, content = self._mark
        with self._lock:
            if self._begun:
                return
            with exclusive(self._root), translated(self._root):
                self._root.mkdir(exist_ok=True)
                _refuse_links(self._root)
                if not (self._root / name).exists():
                    with new_file(self._root / name, known=True) as out:
                        out.write(content)
            self._begun = True

    def tidy(self) -> None:
        """Remove what killed processes left of blobs that are whole by now, and the place of unfinished ones if it is
        empty."""
        for lock in (self._root / PARTIAL).glob(f"*{_LOCK}"):
            held = try_acquire(lock, create=False, temporary=True)
            if held is not None:
                beside = lock.with_suffix("")
                if files.is_regular(self._root / self._path(Digest.parse(beside.name.replace("-", ":")))):
                    beside.unlink(missing_ok=True)
                held.release()
        with suppress(OSError):
            (self._root / PARTIAL).rmdir()


def _refuse_links(root: Path) -> None:
    """A directory that came from elsewhere must not lead what is written into it to another place."""
    for path in (*root.iterdir(), *root.glob("blobs/*")):
        if path.is_symlink():
            raise OutputError(f"{path} is a link, which nothing is written through", hint="name another directory")


def _locked(path: Path) -> HeldLock:
    """The lock at `path`, whose directory another process may be about to tidy away."""
    while True:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            return acquire(path, f"blob {path.stem}")
        except StoreError:
            if path.parent.is_dir():
                raise
