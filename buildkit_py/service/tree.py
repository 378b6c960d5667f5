"""The tree of a service: the image's, with the places that something is mounted at made beforehand, as data.

Nothing is made later on: the runtime would follow links of the image, and write into a tree that is to stay as it was
verified. Devices are left out: a service finds those of /dev, and could open others on the machine's disks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from buildkit_py.dataclass import replace
from buildkit_py.digest import Digest
from buildkit_py.errors import SandboxError
from buildkit_py.layer.edit import Edit
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.tree import Tree, join, resolve, walk
from buildkit_py.service.bundle import Places
from buildkit_py.service.settings import Network

if TYPE_CHECKING:
    from buildkit_py.layer.owner import User

_SYSTEM = ("dev", "proc", "sys")
_MEMORY = {"run": 0o755, "tmp": 0o1777, "var/tmp": 0o1777}
_SHOWN = ("/etc/hosts", "/etc/resolv.conf")
_MOST_NAME = 255
_EMPTY = str(Digest.of(b""))


class Dressed:
    """A tree to be laid out, and what is mounted in it."""

    def __init__(self, tree: Tree, user: User) -> None:
        self.tree = Edit(tree)
        self._user = user
        for entry in list(walk(tree)):
            if entry.type in ("char", "block"):
                self.tree.remove(entry.path)
        for name in _SYSTEM:
            self._directory(name)

    def places(self, cwd: str, volumes: Iterable[str], network: Network, state: Path) -> Places:
        """Make every mount point, and say what is mounted there. Raises `SandboxError`."""
        memory = {f"/{real}": options for real, options in map(self._memory, _MEMORY)}
        kept = self._volumes(volumes)
        return Places(
            cwd=f"/{self._cwd(cwd)}",
            memory=memory,
            volumes={f"/{real}": state / state_name(real) for real in kept},
            shown=[path for path in _SHOWN if network == "host" and Path(path).is_file() and self._file(path)],
        )

    def _cwd(self, path: str) -> str:
        """The working directory. Links below /proc would lead a runtime to what it has open of the machine."""
        real = self._made(path or "/", "the working directory")
        if real.split("/")[0] == "proc":
            raise SandboxError(f"{path} can't be the working directory of a service: it is in /proc")
        return real

    def _memory(self, path: str) -> tuple[str, Sequence[str]]:
        """A directory in memory that begins with what the image has there."""
        real = resolve(self.tree, path)
        if real.split("/")[0] in _SYSTEM:
            raise SandboxError(f"/{path} of the image leads to /{real}, which is the machine's")
        entry = self.tree.lookup(real)
        if entry is None:
            entry = Entry(path=real, type="dir", mode=_MEMORY[path])
            self.tree.put(entry)
        if entry.type != "dir" or not real:
            raise SandboxError(f"/{path} of the image is no directory")
        return real, (f"mode={entry.mode:o}", f"uid={entry.uid}", f"gid={entry.gid}", "tmpcopyup")

    def _volumes(self, paths: Iterable[str]) -> list[str]:
        """Where the volumes really are; one inside another is kept with that."""
        found: list[str] = []
        for path in paths:
            real = self._made(path, "the volume", self._user.uid, self._user.gid)
            if not real or real.split("/")[0] in _SYSTEM:
                raise SandboxError(f"{path} can't be a volume of a service")
            state_name(real)
            found.append(real)
        ordered = sorted(set(found), key=lambda real: (real.count("/"), real))
        return [real for real in ordered if not any(real.startswith(f"{outer}/") for outer in ordered)]

    def _made(self, path: str, what: str, uid: int = 0, gid: int = 0) -> str:
        """Where a directory of the image is, made if it is missing."""
        real = resolve(self.tree, path)
        entry = self.tree.lookup(real)
        if not real:
            return real
        if entry is not None and entry.type != "dir":
            raise SandboxError(f"{what} {path} is no directory in the image")
        if entry is None:
            self.tree.put(Entry(path=real, type="dir", mode=0o755, uid=uid, gid=gid))
        return real

    def _directory(self, name: str) -> None:
        """A plain directory at the top, whatever the image has there: no link may lead a mount elsewhere."""
        entry = self.tree.lookup(name)
        if entry is None or entry.type != "dir":
            self.tree.put(Entry(path=name, type="dir", mode=0o755))

    def _file(self, path: str) -> bool:
        """An empty file to mount over, in the place of a link, where its directory is a plain one."""
        name = path.strip("/")
        parent = self.tree.lookup(name.rpartition("/")[0])
        entry = self.tree.lookup(name)
        if (parent is not None and parent.type != "dir") or (entry is not None and entry.type == "dir"):
            return False
        if entry is None or entry.type != "file":
            self.tree.put(Entry(path=name, type="file", mode=0o644, digest=_EMPTY), BytesIO)
        return True


class Below:
    """A directory of a tree as a tree of its own."""

    def __init__(self, tree: Tree, top: str) -> None:
        self._tree, self._top = tree, top

    def lookup(self, path: str) -> Entry | None:
        """The entry, by its path below the directory."""
        found = self._tree.lookup(self._at(path))
        return replace(found, path=path) if found is not None else None

    def children(self, path: str) -> Iterable[str]:
        """The sorted names directly inside a directory."""
        return self._tree.children(self._at(path))

    def open(self, path: str) -> BinaryIO:
        """The content of a file."""
        return self._tree.open(self._at(path))

    def _at(self, path: str) -> str:
        return join(self._top, path) if path else self._top


def state_name(real: str) -> str:
    """What the directory of a volume is called; raises `SandboxError` for one whose name would be too long."""
    name = quote(real, safe="")
    if len(name) > _MOST_NAME:
        raise SandboxError(f"the path of a volume is too long: /{real[:80]}…")
    return name
