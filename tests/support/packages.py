"""Small package repositories for loopback, written by hand: Python wheels, npm packages, RPMs.

Each function fills a directory that `httpd.serve` offers, and every archive has the same bytes on every machine.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import cache

_THEN = (1980, 1, 1, 0, 0, 0)


# --- Python: the simple index of PEP 503


def wheel(directory: Path, name: str, version: str, source: str) -> Path:
    """Add a pure wheel with one module `name.py` to a simple index in `directory`; returns its file."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = "".join(f"{path},sha256={_urlsafe(text.encode())},{len(text.encode())}\n" for path, text in files.items())
    files[f"{info}/RECORD"] = f"{rows}{info}/RECORD,,\n"
    page = directory / "simple" / name
    page.mkdir(parents=True, exist_ok=True)
    target = page / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, _THEN), text)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    link = f'<a href="{target.name}#sha256={digest}">{target.name}</a>\n'
    with (page / "index.html").open("a") as index:
        index.write(link)
    return target


def _urlsafe(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


# --- npm


def npm_package(directory: Path, url: str, name: str, version: str, files: Mapping[str, str]) -> str:
    """Add a package to an npm registry served from `directory` at `url`; returns its integrity for a lock file.

    The archive is stored rather than compressed, so that no version of zlib changes the integrity.
    """
    manifest: dict[str, Any] = {"name": name, "version": version, "main": "index.js"}
    contents = {f"package/{path}": text for path, text in files.items()}
    data = _tgz({"package/package.json": json.dumps(manifest), **contents})
    integrity = f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"
    place = directory / name
    (place / "-").mkdir(parents=True)
    (place / "-" / f"{name}-{version}.tgz").write_bytes(data)
    dist = {"tarball": f"{url}/{name}/-/{name}-{version}.tgz", "integrity": integrity}
    packument = {"name": name, "dist-tags": {"latest": version}, "versions": {version: {**manifest, "dist": dist}}}
    (place / "index.html").write_text(json.dumps(packument))
    return integrity


def _tgz(files: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(out.getvalue(), 0, mtime=0)


# --- RPM

_SPEC = """\
Name: {name}
Version: {version}
Release: 1
Summary: {name} of the tests
License: Apache-2.0
AutoReqProv: no
{relations}
%description
{name} of the tests.
%install
mkdir -p %{{buildroot}}
cp -a {tree}/. %{{buildroot}}/
{scripts}
%files
{files}
"""


def rpm(directory: Path, name: str, version: str, tree: Path, *, relations: str = "", post: str = "") -> None:
    """Build an RPM into `directory` that installs what is in `tree`.

    `relations` are lines of its spec, as `Requires: other`; `post` is its script after the installation.
    """
    rows = [_row(path, tree) for path in sorted(tree.rglob("*"))]
    spec = _SPEC.format(
        name=name,
        version=version,
        tree=tree,
        relations=relations,
        scripts=f"%post\n{post}" if post else "",
        files="\n".join(rows),
    )
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / f"{name}.spec"
        file.write_text(spec)
        defines = [f"_topdir {scratch}", f"_rpmdir {directory}", "__os_install_post %{nil}", "debug_package %{nil}"]
        cache.run("rpmbuild", "-bb", "--quiet", *(word for each in defines for word in ("--define", each)), file)


def _row(path: Path, tree: Path) -> str:
    """A line of `%files`: a directory is named without what it holds."""
    folder = path.is_dir() and not path.is_symlink()
    return f"{'%dir ' if folder else ''}/{path.relative_to(tree)}"


def rpm_index(directory: Path) -> None:
    """Make a directory of RPMs a repository."""
    cache.run("createrepo_c", "--quiet", directory)
