"""Refusing what holds a secret: diffs before they are kept, and cache directories after a step that had a secret."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import BinaryIO

from buildkit_py.errors import Cancelled, SecretLeakError
from buildkit_py.executor.secrets import SecretStore
from buildkit_py.grace import Grace
from buildkit_py.layer.draft import Draft
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.openat import DIRECTORY, Root, open_below, open_regular
from buildkit_py.layer.secrets import Hit, find_secrets
from buildkit_py.store import files
from buildkit_py.store.faults import guard

_TAKEN_IN = (
    "leave its file out of what is copied or mounted: name it in .dockerignore (in a Buildfile: in `exclude`), or keep "
    "it outside of the directory"
)
_CHANGED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.ENODATA)
"""How the kernel speaks of a name that another step has taken away meanwhile, or has made something else."""
_STOPPED_SECONDS = 5.0
_LOOKS = 5
"""How often a cache is looked through again after something was found: it may have been moved meanwhile."""


def refuse_secrets(
    secrets: SecretStore,
    diff: Diff,
    open_content: Callable[[Entry], BinaryIO],
    cancelled: Event,
    *,
    copied: bool = False,
) -> None:
    """Raise `SecretLeakError` where a diff holds a secret of this build, `Cancelled` once nobody waits; `copied`: the
    diff is taken from a directory of the client. Costs nothing where there is none."""
    searched = secrets.searchable()

    def check() -> None:
        if cancelled.is_set():
            raise Cancelled("the step was stopped")

    hits = find_secrets(diff, open_content, searched, check) if searched else []
    if hits:
        error = _leak(secrets, hits[0], "")
        error.hint = _TAKEN_IN if copied else error.hint
        raise error


def refuse_secrets_of_draft(secrets: SecretStore, draft: Draft, cancelled: Event, *, copied: bool) -> None:
    """As `refuse_secrets`, for files that are not laid down yet."""
    contents = draft.contents
    refuse_secrets(secrets, draft.diff, lambda entry: contents[entry.path](), cancelled, copied=copied)


class CacheWatch:
    """The cache directories of one step, `directories` by where it sees them; what it changes in them is searched.

    Other steps may be at work in them: they are only ever reached through descriptors, and no link is followed.
    """

    def __init__(self, directories: Mapping[str, Path], scratch: Path, stopped: Event) -> None:
        self._directories = directories
        self._stopped = stopped
        # The clock that change times are taken from; nothing in a sandbox can set them.
        marker = scratch / "began"
        marker.touch()
        self._began = marker.stat().st_ctime_ns
        marker.unlink()

    def purge(self, secrets: SecretStore, step: str) -> SecretLeakError | None:
        """Remove every changed file that holds a secret, and all of a cache that can't be searched; the error that
        names the first one and the step."""
        searched = secrets.searchable()
        first: SecretLeakError | None = None
        for target, directory in self._directories.items() if searched else ():
            where = f" of the cache at {target}, by the step {secrets.redact(step)!r}"
            try:
                hits = _cleaned(directory, self._began, searched, _patience(self._stopped))
            except OSError as error:
                _empty(directory)
                first = first or SecretLeakError(
                    f"what may be a secret stood in {where.removeprefix(' of ')}: it can't be searched "
                    f"({(error.strerror or 'unknown reason').lower()}), so it was emptied",
                    hint="a cache is searched for secrets after each step that has one",
                )
            else:
                first = first or (_leak(secrets, hits[0], where) if hits else None)
        return first


def _patience(stopped: Event) -> Callable[[], None]:
    """A cache is worth a search, but not an endless one: a sparse file costs a step nothing."""
    grace = Grace(stopped, _STOPPED_SECONDS)

    def check() -> None:
        if grace.over():
            raise OSError(errno.ETIMEDOUT, "the build was stopped meanwhile")

    return check


def _leak(secrets: SecretStore, hit: Hit, where: str) -> SecretLeakError:
    place, form = "the cache" if where else "the image", f", as {hit.form}" if hit.form else ""
    return SecretLeakError(
        f"the secret {hit.secret!r} was found in /{secrets.redact(hit.path)}{where}{form}",
        hint=f"the step must not write it into {place}; mount it where the program reads it from",
    )


def _cleaned(directory: Path, began: int, secrets: Mapping[str, bytes], check: Callable[[], None]) -> list[Hit]:
    """What held a secret, and is gone now; raises `OSError` for what can't be searched or removed."""
    found: list[Hit] = []
    with Root(directory) as root:
        for _ in range(_LOOKS):
            changed = Diff(entries=tuple(_changed(root.fd, began)))
            hits = find_secrets(changed, lambda entry: _content(root.fd, entry.path), secrets, check)
            if not hits:
                return found
            found += hits
            for hit in hits:
                if not hit.path:
                    raise OSError(errno.EPERM, "the directory itself holds it")
                with suppress(FileNotFoundError):
                    files.remove_in(*root.parent(hit.path))
            root.forget()
    raise OSError(errno.EAGAIN, "other steps move what is in it")


def _changed(root: int, began: int) -> Iterator[Entry]:
    """What was changed since; directories before what is in them."""
    yield Entry(path="", type="dir", xattrs=_attributes(f"/proc/self/fd/{root}", links=True))
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with _meanwhile_changed(), _opened(root, below) as folder, os.scandir(folder) as found:
            for each in found:
                path = f"{below}/{each.name}" if below else each.name
                with _meanwhile_changed():
                    facts = each.stat(follow_symlinks=False)
                    if stat.S_ISDIR(facts.st_mode):
                        waiting.append(path)
                    if facts.st_ctime_ns >= began:
                        yield _entry(folder, each.name, path, facts)


def _entry(folder: int, name: str, path: str, facts: os.stat_result) -> Entry:
    if stat.S_ISLNK(facts.st_mode):
        return Entry(path=path, type="symlink", target=os.readlink(name, dir_fd=folder))
    attributes = _attributes(f"/proc/self/fd/{folder}/{name}")
    if stat.S_ISREG(facts.st_mode):
        return Entry(path=path, type="file", size=facts.st_size, xattrs=attributes)
    return Entry(path=path, type="dir" if stat.S_ISDIR(facts.st_mode) else "fifo", xattrs=attributes)


def _attributes(path: str, *, links: bool = False) -> tuple[tuple[str, bytes], ...]:
    try:
        names = os.listxattr(path, follow_symlinks=links)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise
    return tuple((name, os.getxattr(path, name, follow_symlinks=links)) for name in names)


def _content(root: int, path: str) -> BinaryIO:
    with _meanwhile_changed():
        return open_regular(root, path)
    return io.BytesIO()


def _empty(directory: Path) -> None:
    with guard("emptying a cache directory", directory), files.directory(directory) as folder:
        for name in os.listdir(folder):
            files.remove_in(folder, name)
        for name in os.listxattr(folder):
            if name.startswith("user."):
                os.removexattr(folder, name)


@contextmanager
def _opened(root: int, path: str) -> Iterator[int]:
    folder = open_below(root, path, DIRECTORY)
    try:
        yield folder
    finally:
        os.close(folder)


@contextmanager
def _meanwhile_changed() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _CHANGED:
            raise
