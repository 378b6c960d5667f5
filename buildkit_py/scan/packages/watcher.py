"""Watches the files of every layer for what describes packages."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from buildkit_py.errors import IntegrityError, SourceInputError
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.tree import Tree, join, printable, resolve
from buildkit_py.scan.model import Package
from buildkit_py.scan.packages import golang, system
from buildkit_py.scan.packages.language import LIMIT, Described, describer, may_describe
from buildkit_py.scan.packages.names import purl_of
from buildkit_py.scan.packages.rpm import rpm
from buildkit_py.scan.packages.spool import Kept, Spool, Spooled
from buildkit_py.scan.packages.system import Distribution, Installed
from buildkit_py.scan.reading import ReadImage, Tap

_OS_RELEASES = ("etc/os-release", "usr/lib/os-release")
_OS_RELEASE_LIMIT = 1 << 16
_STATUS, _STATUS_D = "var/lib/dpkg/status", "var/lib/dpkg/status.d"
_INFO = "var/lib/dpkg/info"
_APK = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
_RPM = tuple(f"{place}/rpmdb.sqlite" for place in ("usr/lib/sysimage/rpm", "var/lib/rpm", "usr/share/rpm"))
_OTHER_RPM = ("var/lib/rpm/Packages", "var/lib/rpm/Packages.db", "usr/lib/sysimage/rpm/Packages.db")
_TEXT_LIMIT = 32 << 20
MAX_PACKAGES = 100_000
"""The most of one database; no distribution has as many."""
MAX_IN_ALL = 50_000
"""The most of one image: a few lines in a layer can describe any number."""
_DATABASE_LIMIT = 1 << 30
_DATABASE = re.compile(
    r"(?:var/lib/dpkg/status(?:\.d/[^/]+)?|(?:usr/)?lib/apk/db/installed|"
    r"(?:usr/lib/sysimage|var/lib|usr/share)/rpm/rpmdb\.sqlite(?:-wal)?)\Z"
)
_COPYRIGHT = re.compile(r"usr/share/doc/[^/]+/copyright\Z")
_LIST = re.compile(r"var/lib/dpkg/info/([^/:]+)(?::[^/:]+)?\.list\Z")
_LIST_LIMIT = 32 << 20


class PackageWatcher:
    """Keeps what it needs of each file by its digest; what the merged tree has at the end counts. Databases are kept in
    the directory `spool`, which must be empty."""

    def __init__(self, spool: Path) -> None:
        self._spool = Spool(spool)
        self._databases: dict[str, Path] = {}
        self._read: dict[Hashable, tuple[Installed, ...]] = {}
        self._described: dict[str, tuple[Described, ...]] = {}
        self._programs: dict[str, str] = {}
        self._licences: dict[str, tuple[str, ...]] = {}
        self._lists: dict[str, tuple[str, ...]] = {}
        self._releases: dict[str, Distribution] = {}
        self._databases_before: list[tuple[str, tuple[Installed, ...]]] = []
        self._since: dict[Installed, tuple[int, str]] = {}
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> list[str]:
        """What could not be read."""
        return list(self._notes)

    def tap(self, layer: int, entry: Entry) -> Tap | None:
        """What takes the bytes of a file that describes packages."""
        path = entry.path
        if _DATABASE.match(path):
            limit = _DATABASE_LIMIT if "/rpm/" in path else _TEXT_LIMIT
            return Spooled(self._spool, limit, self._databases.__setitem__)
        if path in _OS_RELEASES:
            return Kept(_OS_RELEASE_LIMIT, self._keep(self._releases, system.os_release))
        if _COPYRIGHT.match(path):
            return Kept(system.COPYRIGHT_LIMIT, self._keep(self._licences, system.copyright_licences))
        if _LIST.match(path):
            return Kept(_LIST_LIMIT, self._keep(self._lists, _descriptions))
        describe = describer(path)
        if describe is not None:
            return Kept(LIMIT, self._keep(self._described, describe), cut=True)
        return (
            golang.Program(self._spool, lambda digest, made: self._program(path, digest, made))
            if entry.mode & 0o111
            else None
        )

    def _keep(self, kept: dict[str, Any], read: Callable[[bytes], Any]) -> Callable[[str, bytes], None]:
        def keep(digest: str, data: bytes) -> None:
            if digest not in kept:
                kept[digest] = read(data)

        return keep

    def _program(self, path: str, digest: str, made: tuple[Described, ...]) -> None:
        self._programs[path] = digest
        self._described[digest] = made

    def laid(self, layer: int, tree: Tree) -> None:
        """Note which packages of the distribution are there now, and since when."""
        databases = list(self._installed(tree))
        if databases == self._databases_before:
            return
        self._databases_before = databases
        now: dict[Installed, str] = {}
        for path, installed in databases:
            for each in installed:
                now.setdefault(each, path)
        self._since = {each: (self._since.get(each, (layer, ""))[0], path) for each, path in now.items()}

    def _installed(self, tree: Tree) -> Iterator[tuple[str, tuple[Installed, ...]]]:
        below = (join(_STATUS_D, name) for name in _names(tree, _STATUS_D) if not name.endswith(".md5sums"))
        for path in (_STATUS, *below):
            yield from self._texts(tree, path, system.dpkg)
        for path in _existing(tree, _APK):
            yield from self._texts(tree, path, system.apk)
        for path in _existing(tree, _RPM):
            yield from self._database(tree, path)
        for path in _existing(tree, _OTHER_RPM):
            self._note(f"/{path} was not read: of RPM's databases only those of SQLite are")

    def _texts(
        self, tree: Tree, path: str, parse: Callable[[bytes], Iterable[Installed]]
    ) -> Iterator[tuple[str, tuple[Installed, ...]]]:
        found = self._place(tree, path)
        if found is not None:
            digest, place = found
            if digest not in self._read:
                self._read[digest] = self._whole(path, parse(place.read_bytes()))
            yield path, self._read[digest]

    def _database(self, tree: Tree, path: str) -> Iterator[tuple[str, tuple[Installed, ...]]]:
        found = self._place(tree, path)
        if found is None:
            return
        log = tree.lookup(f"{_real(tree, path)}-wal")
        beside = self._databases.get(log.digest or "") if log is not None and log.size else None
        key = (found[0], log.digest if log is not None and beside else None)
        if key not in self._read:
            self._read[key] = self._whole(path, rpm(self._spool.together(found[1], beside)))
        yield path, self._read[key]

    def _place(self, tree: Tree, path: str) -> tuple[str, Path] | None:
        """The digest of a database, and where its bytes are."""
        real = _real(tree, path)
        entry = tree.lookup(real) if real is not None else None
        if entry is None or entry.type not in ("file", "hardlink") or entry.digest is None:
            return None
        place = self._databases.get(entry.digest)
        if place is None:
            self._note(f"/{path} was not read: it is too large, or leads to /{printable(entry.path)}")
            return None
        return entry.digest, place

    def _whole(self, path: str, packages: Iterable[Installed]) -> tuple[Installed, ...]:
        try:
            found = tuple(islice(packages, MAX_PACKAGES + 1))
        except IntegrityError as error:
            self._note(f"/{path} was not read: {error.message}")
            return ()
        if len(found) > MAX_PACKAGES:
            self._note(f"of /{path} only the first {MAX_PACKAGES} packages were read")
        return found[:MAX_PACKAGES]

    def _note_nameless(self, path: str) -> None:
        self._note(f"/{printable(path)} has a package without a name that can be one, which is left out")

    def _note(self, text: str) -> None:
        self._notes[text] = None

    def distribution(self, tree: Tree) -> Distribution:
        """What the merged tree's os-release says."""
        for path in _existing(tree, _OS_RELEASES):
            entry = tree.lookup(_real(tree, path) or path)
            if entry is not None and entry.digest in self._releases:
                return self._releases[entry.digest]
        return Distribution()

    def packages(self, read: ReadImage) -> Iterator[Package]:
        """Everything that is installed in the merged tree, within bounds."""
        found = self._packages(read)
        yield from islice(found, MAX_IN_ALL)
        if next(found, None) is not None:
            self._note(f"only the first {MAX_IN_ALL} packages are told")

    def _packages(self, read: ReadImage) -> Iterator[Package]:
        distribution = self.distribution(read.tree)
        owners = {_real(read.tree, path): owner for path, owner in self._owners(read.tree)}
        for each, (layer, path) in self._since.items():
            purl = purl_of(each, distribution)
            if purl is None:
                self._note_nameless(path)
                continue
            yield Package(
                kind=each.kind,
                name=each.name,
                version=f"{each.epoch}:{each.version}" if each.epoch else each.version,
                purl=purl,
                path=path,
                layer=layer,
                licences=each.licences or self._debian_licences(read.tree, each),
                architecture=each.architecture,
                source=each.source,
            )
        for path in read.paths():
            if describer(path) is not None or path in self._programs:
                yield from self._languages(read, path, owners.get(path))

    def _languages(self, read: ReadImage, path: str, owner: str | None) -> Iterator[Package]:
        entry = read.tree.lookup(path)
        if entry is None or entry.type not in ("file", "hardlink"):
            return
        for each in self._described.get(entry.digest or "", ()):
            purl = purl_of(each)
            if purl is None:
                self._note_nameless(path)
                continue
            yield Package(
                kind=each.kind,
                name=each.name,
                version=each.version,
                purl=purl,
                path=printable(path),
                layer=read.layer(path),
                licences=each.licences,
                owner=owner,
            )

    def _debian_licences(self, tree: Tree, package: Installed) -> tuple[str, ...]:
        path = _real(tree, f"usr/share/doc/{package.name}/copyright") if package.kind == "deb" else None
        entry = tree.lookup(path) if path is not None else None
        return self._licences.get(entry.digest or "", ()) if entry is not None else ()

    def _owners(self, tree: Tree) -> Iterator[tuple[str, str]]:
        """The paths that describe packages, and the package of the distribution that brought each."""
        for each in self._since:
            yield from ((path, each.name) for path in each.describing)
        for name in _names(tree, _INFO):
            match = _LIST.match(join(_INFO, name))
            entry = tree.lookup(join(_real(tree, _INFO) or _INFO, name))
            if match is not None and entry is not None:
                for path in self._lists.get(entry.digest or "", ()):
                    yield path, match[1]


def _descriptions(data: bytes) -> tuple[str, ...]:
    """The paths in a list of a package's files that may describe packages themselves."""
    paths = (os.fsdecode(line).lstrip("/") for line in data.splitlines())
    return tuple(path for path in paths if may_describe(path))


def _real(tree: Tree, path: str) -> str | None:
    """Where a path leads inside the tree; None where links go round in circles."""
    try:
        return resolve(tree, path)
    except SourceInputError:
        return None


def _names(tree: Tree, directory: str) -> list[str]:
    real = _real(tree, directory)
    return list(tree.children(real)) if real is not None else []


def _existing(tree: Tree, paths: Iterable[str]) -> list[str]:
    """Those of some paths that are there, each file once."""
    found: dict[str, str] = {}
    for path in paths:
        real = _real(tree, path)
        if real is not None and tree.lookup(real) is not None:
            found.setdefault(real, path)
    return list(found.values())
