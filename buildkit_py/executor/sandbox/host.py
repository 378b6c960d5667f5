"""What a host step sees: the machine's programs and a little of /etc, read-only, and the tree at /rootfs.

/usr /bin /sbin /lib*   the machine's, read-only          /rootfs   the tree that the step changes
/etc                    enumerated files, read-only       /dev /proc /sys   as in every sandbox
/root /home /run /tmp /var /srv /mnt   empty, in memory   anything else     absent
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from buildkit_py.dataclass import dataclass
from buildkit_py.executor.sandbox.spec import (
    BindMount,
    DirectoryRoot,
    FileMount,
    MemoryRoot,
    Mount,
    OverlayRoot,
    RootMount,
    TmpfsMount,
)

ROOTFS = "/rootfs"
"""The value of $ROOTFS."""

_PROGRAMS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_EMPTY = {"/home": 0o755, "/mnt": 0o755, "/root": 0o700, "/run": 0o755, "/srv": 0o755, "/tmp": 0o1777, "/var": 0o755}

_SHOWN = """
adduser.conf alternatives apt/keyrings apt/trusted.gpg apt/trusted.gpg.d ca-certificates ca-certificates.conf
debian_version deluser.conf dpkg/origins fedora-release gai.conf group host.conf ld.so.cache ld.so.conf ld.so.conf.d
locale.alias localtime login.defs lsb-release magic magic.mime mime.types networks nsswitch.conf os-release passwd
perl pki/ca-trust pki/rpm-gpg pki/tls/certs protocols redhat-release rpc services shells ssl/certs ssl/openssl.cnf
system-release terminfo timezone
"""

_CONFIGURATION = """
apt/apt.conf apt/apt.conf.d/* apt/preferences apt/preferences.d/* apt/sources.list apt/sources.list.d/* dnf/dnf.conf
dnf/plugins/* dnf/vars/* dpkg/dpkg.cfg dpkg/dpkg.cfg.d/* npmrc pip.conf rpm/macros rpm/macros.* yum.conf
yum.repos.d/*
"""

_CREDENTIAL = re.compile(
    rb"://[^\s/@]+@|(?:password|passwd|passphrase|username|login|token|secret|_auth|api_?key)\w*[\"']?\s*[=:\s]\s*\S",
    re.IGNORECASE,
)
_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class HostView:
    """The root and the mounts of a host step, to which a step's own mounts are added."""

    root: MemoryRoot
    mounts: tuple[Mount, ...]


def host_view(tree: OverlayRoot | DirectoryRoot, *, machine: Path = Path("/")) -> HostView:
    """The view of the machine whose files are at `machine`, with `tree` to be changed."""
    links = tuple((name, str((machine / name).readlink())) for name in _PROGRAMS if (machine / name).is_symlink())
    mounts: list[Mount] = [
        *(_bind(machine, name) for name in _PROGRAMS if _is_plain_directory(machine / name)),
        *(TmpfsMount(target=target, mode=mode) for target, mode in _EMPTY.items()),
        TmpfsMount(target="/var/tmp"),
        *(_bind(machine, f"etc/{name}") for name in _SHOWN.split() if (machine / "etc" / name).exists()),
        *_configuration(machine, _CONFIGURATION.split()),
        RootMount(root=tree, target=ROOTFS),
    ]
    return HostView(MemoryRoot(links=links), tuple(mounts))


def _bind(machine: Path, name: str) -> BindMount:
    return BindMount(source=str(machine), path=f"/{name}", target=f"/{name}")


def _is_plain_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _configuration(machine: Path, patterns: Iterable[str]) -> Iterator[FileMount]:
    """Copies of the package managers' files; one that seems to hold a credential is left out whole."""
    etc = machine / "etc"
    for path in sorted({path for pattern in patterns for path in etc.glob(pattern)}):
        data = _clean(path)
        if data is not None:
            yield FileMount(data=data, target=f"/etc/{path.relative_to(etc)}")


def _clean(path: Path) -> bytes | None:
    try:
        if not path.is_file() or path.stat().st_size > _LIMIT:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    return None if _CREDENTIAL.search(data) else data
