"""Is a snapshot on the disk what its index says? Every name, type, size, mode, owner, link, attribute and byte.

The index is read as the plain JSON lines that spec/store.md describes: [path, type, mode, uid, gid, {more}].
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buildkit_py.store import files
from buildkit_py.store.snapshots import INDEX_LIMIT, snapshot_size

_TYPES = {
    "file": stat.S_IFREG,
    "hardlink": stat.S_IFREG,
    "dir": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
    "whiteout": stat.S_IFCHR,
}


class _Problem(Exception):  # noqa: N818 - ends a comparison; its text is the finding
    pass


def snapshot_problem(snapshot: Path) -> str | None:
    """The first thing wrong with a snapshot in plain words, or None. Follows no link."""
    try:
        if not stat.S_ISDIR(snapshot.lstat().st_mode):
            raise _Problem("it is not a directory")
        rows = _index(snapshot)
        if snapshot_size(snapshot) is None:
            raise _Problem("its meta file is damaged or missing")
        if not stat.S_ISDIR((snapshot / "fs").lstat().st_mode):
            raise _Problem("its fs is not a directory")
        _compare_all(snapshot / "fs", rows)
    except _Problem as problem:
        return str(problem)
    except (ValueError, TypeError, LookupError):
        return "its index is not the index of a diff"
    except FileNotFoundError as error:
        return f"{os.path.relpath(str(error.filename), snapshot)} is missing"
    except OSError as error:
        return f"{error.filename or snapshot} can't be read: {error.strerror}"
    return None


def _index(snapshot: Path) -> dict[str, list[Any]]:
    data = files.read_regular(snapshot / "index", INDEX_LIMIT)
    if hashlib.sha256(data).hexdigest() != snapshot.name:
        raise _Problem("its index does not have the digest that names it")
    return {row[0]: row for row in map(json.loads, data.splitlines())}


def _compare_all(top: Path, rows: Mapping[str, list[Any]]) -> None:
    parents = {parent for path in rows for parent in _parents(path)}
    inodes: dict[str, int] = {}
    pending = [""]
    if "" in rows:
        _compare(top, rows[""], top.lstat())
    while pending:
        relative = pending.pop()
        with os.scandir(top / relative) as entries:
            for entry in entries:
                path = f"{relative}/{entry.name}" if relative else entry.name
                state = entry.stat(follow_symlinks=False)
                if path in rows:
                    _compare(Path(entry.path), rows[path], state)
                    inodes[path] = state.st_ino
                elif path not in parents or not stat.S_ISDIR(state.st_mode):
                    raise _Problem(f"{path} is there, but not in the index")
                if stat.S_ISDIR(state.st_mode):
                    pending.append(path)
    _compare_names(rows, inodes)


def _compare_names(rows: Mapping[str, list[Any]], inodes: Mapping[str, int]) -> None:
    missing = sorted(path for path in rows if path and path not in inodes)
    if missing:
        raise _Problem(f"{missing[0]} is missing")
    for path, row in rows.items():
        if row[1] == "hardlink" and inodes[path] != inodes.get(row[5]["target"]):
            raise _Problem(f"{path} is not a hard link to {row[5]['target']}")


def _compare(path: Path, row: list[Any], state: os.stat_result) -> None:
    name, kind, mode, uid, gid, more = row
    if stat.S_IFMT(state.st_mode) != _TYPES.get(kind):
        raise _Problem(f"{name} is not of the type {kind}")
    if kind in ("char", "block", "whiteout"):
        device = tuple(more.get("device") or (0, 0))
        if (os.major(state.st_rdev), os.minor(state.st_rdev)) != device:
            raise _Problem(f"{name} is not the device {device[0]}:{device[1]}")
    if kind == "whiteout":
        return
    if kind == "symlink":
        if os.readlink(path) != more["target"]:
            raise _Problem(f"{name} does not lead to {more['target']}")
    elif stat.S_IMODE(state.st_mode) != mode:
        raise _Problem(f"{name} has the mode {stat.S_IMODE(state.st_mode):04o}, not {mode:04o}")
    # Only root, of the machine or of a user namespace, can have given files away.
    if os.geteuid() == 0 and (state.st_uid, state.st_gid) != (uid, gid):
        raise _Problem(f"{name} belongs to {state.st_uid}:{state.st_gid}, not {uid}:{gid}")
    _compare_attributes(path, name, more)
    if "digest" in more:
        _compare_content(path, name, more, state)


def _compare_attributes(path: Path, name: str, more: Mapping[str, Any]) -> None:
    for attribute, value in more.get("xattrs", {}).items():
        try:
            found = os.getxattr(path, attribute, follow_symlinks=False)
        except OSError:
            found = None
        if found != base64.b64decode(value):
            raise _Problem(f"{name} has another value of {attribute}, or none")


def _compare_content(path: Path, name: str, more: Mapping[str, Any], state: os.stat_result) -> None:
    if state.st_size != more["size"]:
        raise _Problem(f"{name} has {state.st_size} bytes, not {more['size']}")
    if files.file_digest(path, more["digest"].partition(":")[0]) != more["digest"]:
        raise _Problem(f"{name} does not have the bytes that the index names")


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
