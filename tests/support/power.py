"""What is on the disk of a store when the power fails at any moment of a command.

The command waits before each call that syncs something or changes a name (`gate.py`), and the store is looked through
meanwhile. On the disk for certain are the bytes of a file as of its last fsync, fdatasync or syncfs, and the names of a
directory as of its own. What else may be there is a choice of the file system's; these are the ends of what is legal:

    ahead     every name is as it was at that moment; bytes that were not synced are zeros
    behind    a directory has the names of its last fsync; files that were not synced are empty
    journal   an fsync of a directory does nothing; whatever syncs a file takes all earlier changes of names with it
"""

from __future__ import annotations

import os
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.support import gate
from tests.support.gate import COMMITS, NAMES, SYNCS, Call, Gated
from tests.support.places import Place

Model = Literal["ahead", "behind", "journal"]
MODELS: tuple[Model, ...] = ("ahead", "behind", "journal")
Id = tuple[int, int]
"""An inode number, and how many files had it before."""
Names = dict[Id, dict[str, Id]]
"""What is in each directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One file of any type, but for its bytes."""

    mode: int
    uid: int
    gid: int
    size: int
    device: int
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What there was before a call: as processes saw it, and as it was on the disk for certain."""

    call: Call | None
    names: Names
    nodes: dict[Id, Node]
    synced: Names
    journal: Names
    bytes: dict[Id, bytes]

    def lay_down(self, root: Path, top: Id, model: Model) -> None:
        """Make the store as it is found after the power came back."""
        names = {"ahead": self.names, "behind": self.synced, "journal": self.journal}[model]
        pending = [(top, root)]
        while pending:
            each, path = pending.pop()
            self._make(each, path, grown=model == "ahead")
            pending += [(child, path / name) for name, child in names.get(each, {}).items() if child in self.nodes]

    def _make(self, each: Id, path: Path, *, grown: bool) -> None:
        node = self.nodes[each]
        if stat.S_ISDIR(node.mode):
            path.mkdir()
        elif stat.S_ISLNK(node.mode):
            path.symlink_to(node.target)
        elif stat.S_ISREG(node.mode):
            data = self.bytes.get(each, b"")
            path.write_bytes(data[: node.size].ljust(node.size, b"\0") if grown else data)
        else:
            os.mknod(path, node.mode, node.device)
        os.chown(path, node.uid, node.gid, follow_symlinks=False)
        if not stat.S_ISLNK(node.mode):
            path.chmod(stat.S_IMODE(node.mode))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The moments of one command; at the last it had ended. `top` is the directory of the store in `place`, which is as
    the command found it."""

    place: Place
    gated: Gated
    top: Id
    moments: tuple[Moment, ...]

    def after_power_loss(self, number: int, model: Model, root: Path) -> Place:
        """The place with the store as of a moment."""
        found = self.place.copy(root)
        subprocess.run(["rm", "-r", found.store], check=True)
        self.moments[number].lay_down(found.store, self.top, model)
        return found


def record(place: Place, *words: str) -> Recording:
    """Run a command in a place whose store is on the disk, and note every moment of it."""
    before = place.copy(place.root.with_name(f"{place.root.name}-before"))
    disk = _Disk(place.store)

    def answer(pid: int, call: Call) -> int:
        disk.look(pid, call)
        return 0

    asked = (*COMMITS, *NAMES)
    gated = gate.run(place.pybuild, *words, cwd=place.project, below=place.store, answer=answer, asked=asked)
    disk.look(0, None)
    return Recording(place=before, gated=gated, top=disk.top, moments=tuple(disk.moments))


class _Disk:
    """Follows what is durable. All that is there at the begin is."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._lives: dict[int, int] = {}
        self._doomed: dict[int, str] = {}
        self._names: Names = {}
        self._nodes: dict[Id, Node] = {}
        self._files: dict[Id, Path] = {}
        self._synced: Names = {}
        self._journal: Names = {}
        self._bytes: dict[Id, bytes] = {}
        self.moments: list[Moment] = []
        self._scan()
        self._sync_everything()
        self.top = self._id(store.stat().st_ino)

    def look(self, pid: int, call: Call | None) -> None:
        """Note a moment, then what its call makes durable."""
        self._scan()
        self.moments.append(
            Moment(
                call=call,
                names=self._names,
                nodes=dict(self._nodes),
                synced=dict(self._synced),
                journal=self._journal,
                bytes=dict(self._bytes),
            )
        )
        if call is None:
            return
        if call.name == "syncfs":
            self._sync_everything()
        elif call.name in SYNCS:
            self._sync(Path(f"/proc/{pid}/fd/{call.fd}"))
        elif call.name != "pwrite64":
            with suppress(FileNotFoundError):
                # What has this name may be gone then, and its number another file's.
                self._doomed[os.lstat(call.paths[-1]).st_ino] = call.paths[-1]

    def _sync_everything(self) -> None:
        self._synced, self._journal = self._names, self._names
        for each, path in self._files.items():
            with suppress(FileNotFoundError):
                self._bytes[each] = path.read_bytes()

    def _sync(self, place: Path) -> None:
        each = self._id(place.stat().st_ino)
        if not place.is_dir():
            self._bytes[each] = place.read_bytes()
            self._journal = self._names
            return
        mine = self._names.get(each, {})
        moved = set(mine.values())
        for other, names in self._synced.items():
            if other != each and not moved.isdisjoint(names.values()):
                live = self._names.get(other, {})
                kept = {name: child for name, child in names.items() if child not in moved or live.get(name) == child}
                self._synced = {**self._synced, other: kept}
        self._synced = {**self._synced, each: mine}

    def _scan(self) -> None:
        self._doomed = {number: path for number, path in self._doomed.items() if _number(path) != number}
        self._names, self._files = {}, {}
        pending = [self._store]
        while pending:
            directory = pending.pop()
            with suppress(FileNotFoundError):
                here = self._names.setdefault(self._note(directory), {})
                for name in os.listdir(directory):
                    with suppress(FileNotFoundError):
                        path = directory / name
                        here[name] = each = self._note(path)
                        mode = self._nodes[each].mode
                        pending += [path] if stat.S_ISDIR(mode) else []
                        if stat.S_ISREG(mode):
                            self._files[each] = path

    def _note(self, path: Path) -> Id:
        state = path.lstat()
        each = self._id(state.st_ino)
        target = os.readlink(path) if stat.S_ISLNK(state.st_mode) else ""
        self._nodes[each] = Node(
            mode=state.st_mode,
            uid=state.st_uid,
            gid=state.st_gid,
            size=state.st_size,
            device=state.st_rdev,
            target=target,
        )
        return each

    def _id(self, number: int) -> Id:
        if number in self._doomed:
            del self._doomed[number]
            self._lives[number] = self._lives.get(number, 0) + 1
        return number, self._lives.get(number, 0)


def _number(path: str) -> int:
    """The number of what has a name; -1 where nothing has it."""
    try:
        return os.lstat(path).st_ino
    except FileNotFoundError:
        return -1
