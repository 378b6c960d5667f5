"""Refusing what holds a secret: diffs before they are kept, and cache directories after a step that had a secret."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from buildkit_py.errors import SecretLeakError
from buildkit_py.executor.secrets import SecretStore
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.openat import open_in
from buildkit_py.layer.secrets import Hit, find_secrets

_TAKEN_IN = (
    "leave its file out of what is copied: name it in .dockerignore (in a Buildfile: in `exclude`), or keep it "
    "outside of the directory"
)


def refuse_secrets(
    secrets: SecretStore, diff: Diff, open_content: Callable[[Entry], BinaryIO], *, copied: bool = False
) -> None:
    """Raise `SecretLeakError` where a diff holds a secret of this build; `copied`: the diff is taken from a directory
    of the client. Costs nothing where there is none."""
    searched = secrets.searchable()
    hits = find_secrets(diff, open_content, searched) if searched else []
    if hits:
        error = _leak(secrets, hits[0], "")
        error.hint = _TAKEN_IN if copied else error.hint
        raise error


class CacheWatch:
    """The cache directories of one step, `directories` by where it sees them; what it changes in them is searched."""

    def __init__(self, directories: Mapping[str, Path], scratch: Path) -> None:
        self._directories = directories
        # The clock that change times are taken from; nothing in a sandbox can set them.
        marker = scratch / "began"
        marker.touch()
        self._began = marker.stat().st_ctime_ns
        marker.unlink()

    def purge(self, secrets: SecretStore, step: str) -> SecretLeakError | None:
        """Remove every changed file that holds a secret; the error that names the first one and the step."""
        searched = secrets.searchable()
        first: SecretLeakError | None = None
        for target, directory in self._directories.items() if searched else ():
            for hit in _hits(directory, self._began, searched):
                with suppress(FileNotFoundError):
                    _remove(directory / hit.path)
                first = first or _leak(secrets, hit, f" of the cache at {target}, by the step {secrets.redact(step)!r}")
        return first


def _leak(secrets: SecretStore, hit: Hit, where: str) -> SecretLeakError:
    place = "the cache" if where else "the image"
    return SecretLeakError(
        f"the secret {hit.secret!r} was found in /{secrets.redact(hit.path)}{where} ({hit.form})",
        hint=f"the step must not write it into {place}; mount it where the program reads it from",
    )


def _hits(directory: Path, began: int, secrets: Mapping[str, bytes]) -> list[Hit]:
    changed = Diff(entries=tuple(_changed(directory, "", began)))
    return find_secrets(changed, lambda entry: open_in(directory, entry.path), secrets)


def _changed(directory: Path, below: str, began: int) -> Iterator[Entry]:
    """What was changed since, deepest last; directories of steps that still run may lose entries meanwhile."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory / below) as found:
        for each in found:
            path = f"{below}/{each.name}" if below else each.name
            with suppress(FileNotFoundError):
                facts = each.stat(follow_symlinks=False)
                if facts.st_ctime_ns >= began:
                    yield _entry(directory, path, facts)
            if each.is_dir(follow_symlinks=False):
                yield from _changed(directory, path, began)


def _entry(directory: Path, path: str, facts: os.stat_result) -> Entry:
    if stat.S_ISLNK(facts.st_mode):
        return Entry(path=path, type="symlink", target=os.readlink(directory / path))
    if stat.S_ISREG(facts.st_mode):
        return Entry(path=path, type="file", size=facts.st_size)
    return Entry(path=path, type="dir" if stat.S_ISDIR(facts.st_mode) else "fifo")


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
