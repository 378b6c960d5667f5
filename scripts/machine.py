"""Makes a Debian or Ubuntu machine ready for `make demo` or `make test`: finds what is missing, says why, installs it.

    python3 scripts/machine.py demo | test

Only root installs; for anyone else the answer is what to type, and exit code 1 before anything was changed. Runs on a
machine that has Python and nothing else, so it imports the standard library alone.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


def program(name: str) -> Callable[[], bool]:
    """Whether a program is on the path, those for administrators included."""
    return lambda: shutil.which(name, path=PATH) is not None


def file(pattern: str) -> Callable[[], bool]:
    """Whether a file is there; `pattern` may hold wildcards."""
    return lambda: any(Path("/").glob(pattern.lstrip("/")))


def static(path: str) -> Callable[[], bool]:
    """Whether a program is there and needs no dynamic loader."""
    return lambda: Path(path).exists() and b"/ld-linux" not in Path(path).read_bytes()[:4096]


def module(name: str) -> Callable[[], bool]:
    """Whether this Python has a module."""
    return lambda: importlib.util.find_spec(name) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A Debian package, how to see that it is there, and what it is for."""

    package: str
    present: Callable[[], bool]
    why: str


DEMO = (
    Need(package="python3-venv", present=module("ensurepip"), why="makes the virtual environment .venv"),
    Need(package="ca-certificates", present=file("/etc/ssl/certs/ca-certificates.crt"), why="secure downloads"),
    Need(package="runc", present=program("runc"), why="starts the steps of a build, and the finished image"),
    Need(package="mmdebstrap", present=program("mmdebstrap"), why="the host tool that makes a Debian system"),
    Need(
        package="debian-archive-keyring",
        present=file("/usr/share/keyrings/debian-archive-keyring.gpg"),
        why="checks the signatures of Debian's packages",
    ),
    Need(package="skopeo", present=program("skopeo"), why="reads the finished image as other tools do"),
    Need(package="umoci", present=program("umoci"), why="unpacks the finished image as other tools do"),
)
TEST = (
    *DEMO,
    Need(package="crun", present=program("crun"), why="the second runtime that the tests run steps with"),
    Need(package="uidmap", present=program("newuidmap"), why="builds as an ordinary user"),
    Need(package="buildah", present=program("buildah"), why="reads images and builds Dockerfiles, as a referee"),
    Need(package="docker.io", present=program("dockerd"), why="builds Dockerfiles with BuildKit, as a referee"),
    Need(package="docker-registry", present=program("docker-registry"), why="the registry that tests pull from"),
    Need(package="busybox-static", present=static("/bin/busybox"), why="the smallest base image of the tests"),
    Need(package="dnf", present=program("dnf"), why="the host tool that makes an RPM system"),
    Need(package="createrepo-c", present=program("createrepo_c"), why="the RPM repository of the tests"),
    Need(package="rpm", present=program("rpmbuild"), why="the packages in that repository"),
    Need(package="gcc", present=program("gcc"), why="compiles the static C example"),
    Need(package="libc6-dev", present=file("/usr/lib/*/libc.a"), why="links the static C example"),
    Need(package="git", present=program("git"), why="the repositories that `git` steps read"),
    Need(package="openssh-client", present=program("ssh-agent"), why="the agent that `with ssh` forwards"),
    Need(package="gnupg", present=program("gpg"), why="makes the OpenPGP signatures that a trust policy demands"),
    Need(package="gpgv", present=program("gpgv"), why="checks them"),
    Need(package="openssl", present=program("openssl"), why="checks signatures and certificates, as a referee"),
    Need(package="btrfs-progs", present=program("mkfs.btrfs"), why="makes a file system that shares blocks"),
    Need(package="xfsprogs", present=program("mkfs.xfs"), why="makes another one"),
    Need(package="systemd", present=program("systemd-analyze"), why="checks the units of services, and runs them"),
    Need(package="strace", present=program("strace"), why="kills builds at chosen system calls"),
)
GROUPS = {"demo": DEMO, "test": TEST}


def main(arguments: list[str]) -> int:
    """Install what a group lacks; the exit code says whether the machine is ready."""
    group = arguments[0]
    missing = [need for need in GROUPS[group] if not need.present()]
    if not missing:
        return _may_run(group)
    print(f"`make {group}` needs {len(missing)} package{'s' * (len(missing) > 1)} that this machine lacks:")
    for need in missing:
        print(f"  {need.package:<24}{need.why}")
    sys.stdout.flush()
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return _explain([need.package for need in missing])
    return _install(missing)


def _explain(packages: list[str]) -> int:
    if shutil.which("apt-get") is None:
        print("This is not a Debian or Ubuntu machine: install the programs of these packages, then try again.")
    else:
        print(f"Only root can install them. Type this, then try again:\n  sudo apt-get install {' '.join(packages)}")
    return 1


_NEEDS_ROOT = {
    "demo": "starts the image that it builds, by runc",
    "test": "mounts file systems and gives files away (`make unit` runs what needs less)",
}


def _may_run(group: str) -> int:
    """Say before anything begins that it would fail half-way."""
    if os.geteuid() == 0:
        return 0
    print(f"`make {group}` {_NEEDS_ROOT[group]}: run it as root, as with `sudo make {group}`.")
    return 1


def _install(missing: list[Need]) -> int:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *(need.package for need in missing)]
    for command in (["apt-get", "update", "-qq"], install):
        print(f"+ {' '.join(command)}", flush=True)
        if code := subprocess.run(command, env=environment, stdin=subprocess.DEVNULL).returncode:
            print(f"{command[0]} {command[1]} failed with exit code {code}: its messages stand above")
            return 1
    importlib.invalidate_caches()
    absent = [need.package for need in missing if not need.present()]
    if absent:
        print(f"installed, but what was looked for is still not there: {', '.join(absent)}")
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
