"""Receipts: what a build that had nothing to do looked at, so that the next one like it need only look again.

A build whose steps were all cached leaves one, under the words that it was started with and the directory; it holds for
one environment:

    trees    {directory: [digest of the stamps of it and of the names that were looked at, [name, …]]}
    texts    {path: its stamp}, build files, the trust policy with its keys and what else was read by name, taken
             before it was read; "" for one that was not there; for a directory, where it really is
    uses     what was looked up in the store: [kind, id]; `rows` is one digest over all that was found
    events   what the build told; `record`, what it left in the list of builds

While all of that holds, the whole build would take the same way again, so its end is known: no graph is read, no key
computed. Whoever removes or changes a row, a blob, a snapshot, a name or a file makes the receipt worthless, not wrong.
A stamp is type, mode, size, mtime, ctime, inode and device; a directory's changes with the set of its names. Files that
were young when they were looked at could change without a trace, so such a build leaves no receipt.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from stat import S_ISDIR
from typing import TYPE_CHECKING, Any

from buildkit_py import __version__
from buildkit_py.dataclass import dataclass

if TYPE_CHECKING:
    from buildkit_py.store import Store

FORMAT = 3
KIND = "receipt"
"""The kind of `store.memo` that receipts are kept as."""
YOUNG_NS = 2_000_000_000
MOST_NAMES = 50_000
"""A receipt that names more files is not kept: looking at them is then most of the work anyway."""
_PASSING = frozenset({"_", "COLUMNS", "LINES", "OLDPWD", "PWD", "SHLVL"})
"""Variables that change from call to call and say nothing to a build; the directory is known by itself."""

Stamp = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one build looked at; see above. `trees` holds the names by directory, with the digest of their stamps."""

    trees: Mapping[str, tuple[str, Sequence[str]]]
    texts: Mapping[str, str]
    uses: Sequence[tuple[str, str]]
    rows: str


def key_of(words: Sequence[str]) -> str:
    """What a command line is known by; raises `OSError` where there is no current directory."""
    request = [FORMAT, __version__, os.getcwd(), os.geteuid(), list(words)]  # noqa: PTH109
    return hashlib.sha256(json.dumps(request).encode()).hexdigest()


def surroundings(environ: Mapping[str, str], *terminal: bool) -> str:
    """A digest of the environment; `terminal` says what the streams are."""
    variables = sorted(item for item in environ.items() if item[0] not in _PASSING)
    return hashlib.sha256(json.dumps([variables, terminal]).encode()).hexdigest()


def stamp(status: os.stat_result) -> Stamp:
    """What changes with a file, or with the set of names in a directory."""
    return (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)


def changed(stamp: Stamp) -> tuple[int, int]:
    """When its bytes and its metadata were last changed, in nanoseconds."""
    return stamp[2], stamp[3]


def digest_of(stamps: Iterable[Stamp]) -> str:
    """One digest over stamps, in order."""
    return hashlib.sha256(repr(list(stamps)).encode()).hexdigest()


def text_stamp(path: str) -> str:
    """The stamp of a file, of the link that may lead to it, and where its directory really is; of a directory, only
    where that is. Empty where there is nothing of that name."""
    try:
        itself, target = os.lstat(path), os.stat(path)  # noqa: PTH116
    except OSError:
        return ""
    if S_ISDIR(target.st_mode):
        return os.path.realpath(path)
    return repr((os.path.realpath(os.path.dirname(path)), stamp(itself), stamp(target)))  # noqa: PTH120


def holds(plain: Mapping[str, Any], store: Store) -> bool:
    """Whether everything that a receipt names is as it was."""
    try:
        return (
            all(text_stamp(path) == known for path, known in plain["texts"].items())
            and all(_now(directory, names) == known for directory, (known, names) in plain["trees"].items())
            and rows(store, [(kind, name) for kind, name in plain["uses"]]) == plain["rows"]
        )
    except (OSError, LookupError, TypeError, ValueError, AttributeError):
        return False


def _now(directory: str, names: Sequence[str]) -> str:
    found = [stamp(os.lstat(directory))]
    found += [stamp(os.lstat(f"{directory}/{name}")) for name in names]
    return digest_of(found)


def rows(store: Store, uses: Iterable[tuple[str, str]]) -> str:
    """One digest over the state of what a build looked up: the seals of rows, and whether bytes are there."""
    state = hashlib.sha256()
    for kind, name in uses:
        state.update(repr((kind, name, store.state_of(kind, name))).encode())
    state.update(store.images.state.encode())
    return state.hexdigest()
