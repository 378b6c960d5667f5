"""One scan: the layers are read, and what watched them is asked what it saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SourceInputError
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.tree import Tree, resolve
from buildkit_py.scan.files import PASSWD_LIMIT, FileFindings, users_of
from buildkit_py.scan.ignore import Accepted, split
from buildkit_py.scan.libraries import library
from buildkit_py.scan.model import Finding, Package, Report, worst_first
from buildkit_py.scan.origin import layers_of
from buildkit_py.scan.packages.spool import Kept
from buildkit_py.scan.packages.watcher import PackageWatcher
from buildkit_py.scan.reading import ReadImage, Tap, Watcher, read_image
from buildkit_py.scan.secrets.config import config_findings
from buildkit_py.scan.secrets.watcher import SecretWatcher

if TYPE_CHECKING:
    from buildkit_py.image.stored import StoredImage
    from buildkit_py.scan.osv.advisories import Advisories


_MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """What is looked for: packages always, `findings` too unless only they are wanted. `osv` are advisories,
    `accepted` says which findings are known."""

    findings: bool = True
    osv: Advisories | None = None
    accepted: Sequence[Accepted] = ()


def scan(
    image: StoredImage, name: str, options: ScanOptions, begin: Callable[[int], None] = lambda number: None
) -> Report:
    """Scan an image whose blobs are in the store; `begin` is told the number of each layer before it is read.

    Nothing of it is executed, mounted or laid down. Raises `IntegrityError` for layers that can't be read, and
    `MissingToolError` where a library is not installed.
    """
    library("packageurl")
    with image.store.snapshots.area() as area:
        packages, secrets, users = PackageWatcher(area.fs), SecretWatcher(), _Users()
        watchers: list[Watcher] = [packages, *((secrets, users) if options.findings else ())]
        read = read_image(image, watchers, begin)
        installed = tuple(sorted(packages.packages(read), key=_order))
    notes = [*packages.notes, *secrets.notes]
    findings: list[Finding] = []
    if options.findings:
        files = FileFindings(read, users.known(read.tree))
        findings = [*secrets.findings(read), *config_findings(image.config), *files]
        notes += files.notes
    if options.osv is not None:
        findings += _vulnerabilities(options.osv, installed, packages, read, notes)
    left, ignored, idle = split(worst_first(findings), options.accepted)
    notes += [f"nothing is ignored by: {each}" for each in idle]
    return Report(
        name=name,
        digest=str(image.descriptor.digest),
        platform=str(image.platform or ""),
        created=image.config.created,
        layers=layers_of(image),
        packages=installed,
        findings=tuple(left),
        ignored=tuple(ignored),
        notes=tuple(notes),
    )


def _order(package: Package) -> tuple[str, ...]:
    return (package.kind, package.name, package.version, package.path)


def _vulnerabilities(
    advisories: Advisories, installed: Sequence[Package], packages: PackageWatcher, read: ReadImage, notes: list[str]
) -> Iterator[Finding]:
    from buildkit_py.scan.osv.match import vulnerabilities

    yield from vulnerabilities(advisories, installed, packages.distribution(read.tree))
    notes += advisories.problems[:_MAX_PROBLEMS]
    if len(advisories.problems) > _MAX_PROBLEMS:
        notes.append(f"{len(advisories.problems) - _MAX_PROBLEMS} more advisories were not read, or not compared")
    if not advisories.count:
        notes.append(f"{advisories.directory} holds no advisory: no vulnerability was looked for")


class _Users:
    """Keeps the ids of each `etc/passwd`."""

    def __init__(self) -> None:
        self._ids: dict[str, frozenset[int]] = {}

    def tap(self, layer: int, entry: Entry) -> Tap | None:
        """What takes the file."""
        if entry.path not in ("etc/passwd", "usr/lib/passwd"):
            return None
        return Kept(PASSWD_LIMIT, lambda digest, data: self._ids.__setitem__(digest, users_of(data)))

    def laid(self, layer: int, tree: Tree) -> None:
        """Nothing more is to be known of a layer."""

    def known(self, tree: Tree) -> frozenset[int] | None:
        """The ids that the merged tree's file knows; None where there is none that can be read."""
        try:
            entry = tree.lookup(resolve(tree, "etc/passwd"))
        except SourceInputError:
            return None
        return self._ids.get(entry.digest or "") if entry is not None else None
