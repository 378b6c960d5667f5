"""A small Debian repository on loopback: the packages that base images and examples need, fetched once a machine.

dists/<suite>/Release
dists/<suite>/main/binary-<architecture>/Packages
pool/<package>_<version>_<architecture>.deb
"""

from __future__ import annotations

import hashlib
import inspect
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import cache, httpd

_RELEASE = platform.freedesktop_os_release()
SUITE = _RELEASE.get("VERSION_CODENAME", "bookworm")
COMPONENTS = "main,universe" if _RELEASE.get("ID") == "ubuntu" else "main"
PACKAGES = ("ca-certificates", "python3-minimal", "python3-venv", "python3-pip")


def recipe() -> str:
    """What the packages were chosen by."""
    return inspect.getsource(sys.modules[__name__]) + SUITE


@contextmanager
def serve(*, password: str | None = None) -> Iterator[str]:
    """Serve it, to anybody or by `user:password` only; gives the line of `sources.list` that names it."""
    with httpd.serve(cache.once("debian-repository", recipe(), _make), password=password) as served:
        yield f"deb [trusted=yes] {served.url} {SUITE} main"


def _make(directory: Path) -> None:
    pool = directory / "pool"
    pool.mkdir()
    _download(directory)
    (directory / "archives").rename(directory / "fetched")
    stanzas = [_stanza(deb, pool) for deb in sorted((directory / "fetched").glob("*.deb"))]
    architecture = cache.run("dpkg", "--print-architecture").strip()
    dist = directory / "dists" / SUITE
    packages = dist / "main" / f"binary-{architecture}" / "Packages"
    packages.parent.mkdir(parents=True)
    packages.write_text("\n".join(stanzas))
    data = packages.read_bytes()
    row = f" {hashlib.sha256(data).hexdigest()} {len(data)} {packages.relative_to(dist)}\n"
    head = f"Suite: {SUITE}\nCodename: {SUITE}\nComponents: main\nArchitectures: {architecture}\n"
    (dist / "Release").write_text(f"{head}SHA256:\n{row}")


def _download(directory: Path) -> None:
    """Let mmdebstrap install the packages into nowhere, and keep what it fetched, as the machine's apt is set up."""
    keep = ("--skip=essential/unlink,cleanup/apt,download/empty", "--aptopt=APT::Keep-Downloaded-Packages true")
    chosen = (f"--components={COMPONENTS}", f"--include={','.join(PACKAGES)}", "--variant=minbase")
    hook = f"--customize-hook=copy-out /var/cache/apt/archives {directory}"
    cache.run("mmdebstrap", "--quiet", *chosen, *keep, hook, SUITE, "/dev/null")


def _stanza(deb: Path, pool: Path) -> str:
    """The entry of one package, whose file moves into the pool under a name that needs no quoting."""
    name = deb.name.replace("%3a", "-")
    control = cache.run("dpkg-deb", "--field", deb).strip()
    data = deb.read_bytes()
    deb.rename(pool / name)
    return f"{control}\nFilename: pool/{name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
