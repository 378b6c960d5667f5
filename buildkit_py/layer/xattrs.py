"""Extended attributes that belong to a file: which ones snapshots and layers keep.

Kept are `security.capability`, POSIX access lists and `user.*`, on files and directories alone. What overlayfs notes
for itself, labels of the machine's security modules and everything else below `trusted.` and `security.` says
something about a machine and not about a file.
"""

from __future__ import annotations

import errno
import os

from buildkit_py.errors import IntegrityError, SandboxError, StepError

CAPABILITY = "security.capability"
_KEPT = (CAPABILITY, "system.posix_acl_access", "system.posix_acl_default")
_OVERLAY = ("trusted.overlay.", "user.overlay.")
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_UNWANTED = ("redirect", "metacopy")
_IMPOSSIBLE = (errno.EINVAL, errno.ERANGE, errno.E2BIG)

Xattrs = tuple[tuple[str, bytes], ...]


def is_kept(name: str) -> bool:
    """Whether an attribute of this name is part of a file. One with `=` in its name fits in no layer, one with a NUL
    in no file."""
    if "=" in name or "\0" in name:
        return False
    return name in _KEPT or (name.startswith("user.") and not name.startswith(_OVERLAY))


def kept(fd: int) -> Xattrs:
    """The sorted attributes of an open file or directory that belong to it; raises `OSError`."""
    names = _names(fd)
    return tuple((name, os.getxattr(fd, name)) for name in sorted(names) if is_kept(name)) if names else ()


def is_opaque(fd: int) -> bool:
    """Whether an open directory of an overlay's upper directory hides what is below it; raises `OSError`.

    Raises `StepError` where the overlay was mounted so that its upper directory does not hold all that changed.
    """
    opaque = False
    for name in _names(fd):
        if name in _OPAQUE:
            # "x" says that whiteouts may be files with an attribute: no kernel makes those by itself.
            opaque = os.getxattr(fd, name) == b"y"
        elif name.startswith(_OVERLAY) and name.rpartition(".")[2] in _UNWANTED:
            raise StepError(
                "overlayfs moved a directory by reference, which a layer can't hold",
                hint="load the module overlay with redirect_dir=off metacopy=off, or use --snapshotter copy",
            )
    return opaque


def forget_overlay(fd: int) -> None:
    """Take away what overlayfs notes for itself; raises `OSError`."""
    for name in _names(fd):
        if name.startswith(_OVERLAY):
            os.removexattr(fd, name)


def forget_overlay_of(directory: int, name: str) -> None:
    """The same for a link, a pipe or a device in an open directory, which is not opened itself."""
    place = f"/proc/self/fd/{directory}/{name}"
    for each in os.listxattr(place, follow_symlinks=False):
        if each.startswith(_OVERLAY):
            os.removexattr(place, each, follow_symlinks=False)


def dress(fd: int, xattrs: Xattrs) -> None:
    """Set attributes; raises `OSError`, `SandboxError` where the kernel refuses what only root may set, and
    `IntegrityError` for what can't be one."""
    for name, value in xattrs:
        try:
            os.setxattr(fd, name, value)
        except PermissionError:
            raise SandboxError(f"the attribute {name} can't be set by this user", hint="build as root") from None
        except OSError as error:
            if error.errno in _IMPOSSIBLE:
                raise IntegrityError(
                    f"a file has an attribute that Linux does not know or has no room for: {name[:100]!r}"
                ) from None
            raise


def _names(fd: int) -> list[str]:
    try:
        return os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise
