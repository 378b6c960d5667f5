"""Builds the file system that one sandbox sees, in the private mount namespace of its own process.

Everything goes through descriptors of the root (see `inroot`), so a link in the tree leads nowhere else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import inroot, kernel, system
from buildkit_py.executor.sandbox.overlay import Overlays
from buildkit_py.executor.sandbox.spec import (
    BindMount,
    DirectoryRoot,
    FileMount,
    MemoryRoot,
    Mount,
    OverlayMount,
    OverlayRoot,
    RootMount,
    SandboxSpec,
    TmpfsMount,
)

_SYSTEM = ("dev", "proc", "sys")


@dataclass(frozen=True, slots=True)
class Rootfs:
    """A root that is ready: where it is mounted, and what was made only to mount on in the tree that the step changes
    (relative to that tree)."""

    path: Path
    stubs: tuple[str, ...]


class RootfsBuilder:
    """Mounts a spec's root and all that belongs into it; `scratch` is a directory in memory."""

    def __init__(self, spec: SandboxSpec, scratch: Path) -> None:
        self._spec = spec
        self._path = scratch / "root"
        self._files = scratch / "files"
        self._overlays = Overlays(scratch)
        self._made: list[tuple[str, int]] = []
        self._tree: tuple[str, int] | None = None
        self._count = 0
        self._nodev = 0 if spec.insecure else kernel.NODEV
        self._open_until_the_end: list[int] = []

    def build(self) -> Rootfs:
        """Raises `SandboxError`."""
        self._path.mkdir()
        self._show_root()
        self._show_files()
        root = os.open(self._path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not isinstance(self._spec.root, MemoryRoot):
                self._tree = ("", os.fstat(root).st_dev)
            self._mount_system(root)
            for mount in self._spec.mounts:
                self._mount(root, mount)
            self._shut()
            _check_cwd(root, self._spec.cwd)
        finally:
            os.close(root)
        if self._spec.read_only or isinstance(self._spec.root, MemoryRoot):
            kernel.set_attributes(str(self._path), kernel.READ_ONLY)
        return Rootfs(self._path, tuple(self._stubs()))

    def _stubs(self) -> Iterator[str]:
        if self._tree is not None:
            prefix, device = self._tree
            for path, where in self._made:
                if where == device and path.startswith(prefix):
                    yield path[len(prefix) :]

    def _show_root(self) -> None:
        mount = self._open_root(self._spec.root)
        with _Opened(os.open(self._path, os.O_PATH | os.O_CLOEXEC)) as target:
            kernel.attach(mount, target)
        os.close(mount)

    def _show_files(self) -> None:
        """Where the data of file mounts lies: in memory, and never swapped out where the kernel can promise that."""
        self._files.mkdir()
        memory = kernel.new_mount("tmpfs", kernel.NODEV | kernel.NOSUID, {"mode": "700"}, flags=("noswap",))
        with _Opened(os.open(self._files, os.O_PATH | os.O_CLOEXEC)) as target:
            kernel.attach(memory, target)
        os.close(memory)

    def _open_root(self, root: OverlayRoot | DirectoryRoot | MemoryRoot) -> int:
        match root:
            case OverlayRoot():
                at = self._mount_overlay(root)
                return _clone(str(at), "/", self._nodev, kernel.NODEV & ~self._nodev)
            case DirectoryRoot():
                return _clone(root.path, "/", self._nodev)
            case MemoryRoot():
                mount = kernel.new_mount("tmpfs", kernel.NODEV | kernel.NOSUID, {"mode": "755"})
                for name, target in root.links:
                    os.symlink(target, name, dir_fd=mount)
                return mount

    def _mount_overlay(self, root: OverlayRoot) -> Path:
        if not root.upper:
            return self._overlays.throw_away(root.lowers, userxattr=root.userxattr)
        return self._overlays.writable(root.lowers, root.upper, root.work, userxattr=root.userxattr)

    def _mount_system(self, root: int) -> None:
        try:
            for name in _SYSTEM:
                if inroot.real_directory(root, name):
                    self._made.append((name, os.fstat(root).st_dev))
        except OSError as error:
            raise SandboxError(f"can't make /dev, /proc and /sys in the root: {error.strerror}") from error
        with _Opened(_directory(root, "dev")) as target:
            system.mount_dev(target, nodes=self._spec.insecure)
        # Whatever the image has there is not what the step will see: no working directory, and no program.
        with _Opened(_directory(root, "proc")) as target:
            system.hide(target)
        with _Opened(_directory(root, "sys")) as target:
            system.mount_sys(target, own_network=self._spec.network == "none", whole=self._spec.insecure)

    def _mount(self, root: int, mount: Mount) -> None:
        try:
            source, directory = self._source(mount)
        except OSError as error:
            raise SandboxError(f"can't prepare what belongs at {mount.target}: {error.strerror}") from error
        target = inroot.place(root, mount.target, directory=directory)
        try:
            _check_target(mount.target, target.path)
            self._made.extend(target.made)
            kernel.attach(source, target.fd)
            if isinstance(mount, RootMount):
                self._tree = (f"{target.path}/", os.fstat(source).st_dev)
        except OSError as error:
            raise SandboxError(f"can't mount at {mount.target}: {error.strerror}") from error
        finally:
            os.close(target.fd)
            os.close(source)

    def _source(self, mount: Mount) -> tuple[int, bool]:
        match mount:
            case BindMount():
                waits = mount.private and self._holds_others(mount)
                tree = self._closable(mount.source, mount, waits)
                return tree, stat.S_ISDIR(os.fstat(tree).st_mode)
            case OverlayMount():
                waits = self._holds_others(mount)
                tree = self._closable(str(self._stack(mount, waits)), mount, waits)
                return tree, stat.S_ISDIR(os.fstat(tree).st_mode)
            case RootMount():
                return self._open_root(mount.root), True
            case TmpfsMount():
                size = {} if mount.size is None else {"size": str(mount.size)}
                return kernel.new_mount(
                    "tmpfs", kernel.NODEV | kernel.NOSUID, {"mode": f"{mount.mode:o}", **size}
                ), True
            case FileMount():
                return self._open_file(mount), False

    def _stack(self, mount: OverlayMount, waits: bool) -> Path:
        if mount.read_only and not waits:
            return self._overlays.read_only(mount.lowers, userxattr=mount.userxattr)
        if not mount.upper:
            return self._overlays.throw_away(mount.lowers, userxattr=mount.userxattr)
        return self._overlays.writable(mount.lowers, mount.upper, mount.work, userxattr=mount.userxattr)

    def _holds_others(self, mount: BindMount | OverlayMount) -> bool:
        """Whether other mounts have their place inside, where it may have to be made."""
        inside = f"{os.path.normpath(mount.target)}/"
        return mount.read_only and any(os.path.normpath(each.target).startswith(inside) for each in self._spec.mounts)

    def _closable(self, source: str, mount: BindMount | OverlayMount, waits: bool) -> int:
        """What a mount shows; a read-only one that others have their place in becomes so at the end."""
        tree = _clone(source, mount.path, kernel.NODEV | (kernel.READ_ONLY if mount.read_only and not waits else 0))
        if waits:
            self._open_until_the_end.append(os.dup(tree))
        return tree

    def _shut(self) -> None:
        for mount in self._open_until_the_end:
            kernel.set_attributes_of(mount, kernel.READ_ONLY)
            os.close(mount)

    def _open_file(self, mount: FileMount) -> int:
        self._count += 1
        path = self._files / str(self._count)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(mount.data)
            os.fchown(file.fileno(), mount.uid, mount.gid)
            os.fchmod(file.fileno(), mount.mode)
        return _clone(str(path), "/", kernel.NODEV | kernel.NOSUID | kernel.READ_ONLY)


class _Opened:
    """A descriptor that is closed at the end of a block."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *exc: object) -> None:
        os.close(self._fd)


def _directory(root: int, name: str) -> int:
    return os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)


def _clone(source: str, path: str, attributes: int, clear: int = 0) -> int:
    with _Opened(os.open(source, os.O_PATH | os.O_CLOEXEC)) as base:
        found = inroot.find(base, path) if path.strip("/") else os.dup(base)
        with _Opened(found):
            return kernel.clone_tree(found, attributes, clear)


def _check_target(wanted: str, path: str) -> None:
    first = path.partition("/")[0]
    if not path or path == "dev" or first in ("proc", "sys"):
        raise SandboxError(f"nothing can be mounted at {wanted}", hint="/, /dev, /proc and /sys belong to the sandbox")


def _check_cwd(root: int, cwd: str) -> None:
    try:
        fd = inroot.find(root, cwd)
    except OSError as error:
        raise SandboxError(f"the working directory {cwd} can't be entered: {error.strerror}") from error
    is_directory = stat.S_ISDIR(os.fstat(fd).st_mode)
    os.close(fd)
    if not is_directory:
        raise SandboxError(f"the working directory {cwd} is not a directory")
