"""The system calls that Python has no name for: the mount API by file descriptors, openat2 and clone3.

All of them have the same number on every architecture. Failures are `OSError`; the callers translate.
"""

from __future__ import annotations

import ctypes
import os
import struct

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 428, 429, 430, 431, 432
_CLONE3, _CLOSE_RANGE, _OPENAT2, _MOUNT_SETATTR = 435, 436, 437, 442

AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE, _CLOEXEC = 1, os.O_CLOEXEC
_MOVE_BOTH_BY_FD = 0x04 | 0x40
_FSCONFIG_FLAG, _FSCONFIG_STRING, _FSCONFIG_CREATE = 0, 1, 6

READ_ONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
"""Attributes of a mount, for `new_mount`, `clone_tree` and `set_attributes`."""
_PRIVATE = 1 << 18

RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT = 2, 4, 8, 16

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_CLONE_PIDFD = 0x1000
_SIGCHLD = 17

_MS_REC, _MS_PRIVATE = 1 << 14, 1 << 18
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc_with_gil = ctypes.PyDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def _call(number: int, what: str, *args: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    wide = [ctypes.c_long(item) if isinstance(item, int) else item for item in args]
    return _checked(int(_libc.syscall(ctypes.c_long(number), *wide)), what)


def openat2(directory: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    """Open `path` below `directory` as `resolve` says (openat2(2)); again when a rename elsewhere raced with it."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve)
    while True:
        try:
            return _call(_OPENAT2, path, directory, os.fsencode(path), how, len(how))
        except BlockingIOError:
            continue


def new_mount(kind: str, attributes: int, options: dict[str, str] | None = None, flags: tuple[str, ...] = ()) -> int:
    """A new file system of that kind as a descriptor that nothing shows yet; `flags` are used where known."""
    context = _call(_FSOPEN, kind, kind.encode(), 1)
    try:
        for key, value in (options or {}).items():
            _call(_FSCONFIG, f"{kind} {key}", context, _FSCONFIG_STRING, key.encode(), value.encode(), 0)
        for flag in flags:
            _try_flag(context, flag)
        _call(_FSCONFIG, kind, context, _FSCONFIG_CREATE, None, None, 0)
        return _call(_FSMOUNT, kind, context, 1, attributes)
    finally:
        os.close(context)


def _try_flag(context: int, flag: str) -> None:
    try:
        _call(_FSCONFIG, flag, context, _FSCONFIG_FLAG, flag.encode(), None, 0)
    except OSError:
        return


def clone_tree(source: int, attributes: int, clear: int = 0) -> int:
    """A copy of the mounts at and below an open file or directory, with `attributes` set on all of them and those of
    `clear` taken away."""
    tree = _call(_OPEN_TREE, "bind", source, b"", _OPEN_TREE_CLONE | _CLOEXEC | AT_EMPTY_PATH | _AT_RECURSIVE)
    try:
        _setattr(tree, b"", AT_EMPTY_PATH | _AT_RECURSIVE, attributes, clear, _PRIVATE)
    except OSError:
        os.close(tree)
        raise
    return tree


def attach(mount: int, target: int) -> None:
    """Show a mount at an open directory or file."""
    _call(_MOVE_MOUNT, "mount", mount, b"", target, b"", _MOVE_BOTH_BY_FD)


def set_attributes(path: str, attributes: int, *, recursive: bool = False) -> None:
    """Set attributes of the mount that is at `path`."""
    _setattr(-100, os.fsencode(path), _AT_RECURSIVE if recursive else 0, attributes)


def set_attributes_of(mount: int, attributes: int) -> None:
    """Set attributes of a mount that is open."""
    _setattr(mount, b"", AT_EMPTY_PATH, attributes)


def _setattr(directory: int, path: bytes, flags: int, attributes: int, clear: int = 0, propagation: int = 0) -> None:
    value = struct.pack("=QQQQ", attributes, clear, propagation, 0)
    _call(_MOUNT_SETATTR, "mount attributes", directory, path, flags, value, len(value))


def mount_overlay(target: str, options: str, *, name: str = "overlay", attributes: int = NODEV) -> None:
    """mount(2) of an overlay that mount tables call `name`; relative names in `options` start at the working
    directory."""
    # The flags of mount(2) for these attributes have the same numbers.
    flags = ctypes.c_ulong(attributes)
    result = _libc.mount(os.fsencode(name), os.fsencode(target), b"overlay", flags, os.fsencode(options))
    _checked(int(result), "overlay")


def unmount(path: str, *, lazy: bool = False) -> None:
    """umount2(2) of what is seen at a path that is no link; `lazy` leaves it to those who still use it."""
    flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0)
    _checked(int(_libc.umount2(os.fsencode(path), ctypes.c_int(flags))), path)


def stop_propagation() -> None:
    """From now on no mount of this process is seen elsewhere, nor the other way round."""
    flags = ctypes.c_ulong(_MS_REC | _MS_PRIVATE)
    _checked(int(_libc.mount(None, b"/", None, flags, None)), "propagation of /")


def make_root(path: str) -> None:
    """Make the mount at `path` the root of this process's mount namespace, and the one before unreachable."""
    os.chdir(path)
    _checked(int(_libc.pivot_root(b".", b".")), "root")
    _checked(int(_libc.umount2(b".", ctypes.c_int(_MNT_DETACH))), "old root")


def unshare(flags: int) -> None:
    """unshare(2)."""
    _checked(int(_libc.unshare(ctypes.c_int(flags))), "namespaces")


def fork_into(flags: int) -> tuple[int, int]:
    """Fork into new namespaces (clone3(2)); only for a process of a single thread.

    Returns (pid, pidfd) to the parent, (0, -1) to the child.
    """
    pidfd = ctypes.c_int(-1)
    where = ctypes.addressof(pidfd)
    args = ctypes.create_string_buffer(struct.pack("=QQQQQQQQ", flags | _CLONE_PIDFD, where, 0, 0, _SIGCHLD, 0, 0, 0))
    result = int(_libc_with_gil.syscall(ctypes.c_long(_CLONE3), args, ctypes.c_long(64)))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "namespaces")
    return result, (pidfd.value if result else -1)


def die_with_parent(signal: int) -> None:
    """Have the kernel send `signal` to this process when the thread that forked it ends."""
    _checked(int(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal), 0, 0, 0)), "parent death signal")


def close_from(first: int, last: int = 2**31 - 1) -> None:
    """Close every descriptor from `first` to `last`."""
    _call(_CLOSE_RANGE, "descriptors", first, last, 0)


def set_hostname(name: str) -> None:
    """sethostname(2)."""
    raw = name.encode()
    _checked(int(_libc.sethostname(raw, ctypes.c_size_t(len(raw)))), "host name")
