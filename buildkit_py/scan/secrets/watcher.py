"""Watches the files of every layer for secrets."""

from __future__ import annotations

from collections.abc import Iterator

from buildkit_py.dataclass import dataclass
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.tree import Tree, printable
from buildkit_py.scan.model import Finding
from buildkit_py.scan.reading import ReadImage
from buildkit_py.scan.secrets.named import LIMIT, Read, reader
from buildkit_py.scan.secrets.text import MAX_FOUND, Search
from buildkit_py.scan.secrets.values import Secret, in_tests, milder

MAX_FINDINGS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    layer: int
    path: str
    digest: str
    line: int | None
    secret: Secret


class SecretWatcher:
    """Searches all text; `findings` says at the end what became of the files."""

    def __init__(self) -> None:
        self._found: list[_Found] = []
        self.notes: list[str] = []

    def tap(self, layer: int, entry: Entry) -> _Tap | None:
        """Every file is looked into."""
        return _Tap(self, layer, entry.path)

    def laid(self, layer: int, tree: Tree) -> None:
        """Nothing more is to be known of a layer."""

    def keep(self, found: _Found) -> None:
        """Remember one, within bounds."""
        if len(self._found) < MAX_FINDINGS:
            self._found.append(found)
        elif not self.notes:
            self.notes.append(f"only the first {MAX_FINDINGS} secrets are told")

    def findings(self, read: ReadImage) -> Iterator[Finding]:
        """Everything that was found, with what a container of the image sees of it."""
        for each in self._found:
            fate = read.fate(each.layer, each.path, each.digest)
            secret = milder(each.secret) if in_tests(each.path) else each.secret
            yield Finding(
                rule=secret.rule,
                severity=secret.severity,
                message=secret.message,
                place=printable(fate.path),
                layer=each.layer,
                state=fate.state,
                line=each.line,
                shown=secret.shown,
                fingerprint=secret.fingerprint,
                gone=fate.gone,
            )


class _Tap:
    """Searches one file as text, and reads it whole where its name says how."""

    def __init__(self, watcher: SecretWatcher, layer: int, path: str) -> None:
        self._watcher = watcher
        self._layer = layer
        self._path = path
        self._search = Search()
        self._read: Read | None = reader(path)
        self._data = b""

    def feed(self, block: bytes) -> None:
        """The next bytes."""
        self._search.feed(block)
        if self._read is not None:
            self._data += block
            if len(self._data) > LIMIT:
                self._read, self._data = None, b""

    def end(self, digest: str) -> None:
        """That was all."""
        self._search.finish()
        found = list(self._search.found)
        known = {line for line, _ in found}
        for secret in self._read(self._data) if self._read is not None else ():
            line = self._data.count(b"\n", 0, secret.at) + 1
            if line not in known:
                found.append((line, secret))
        for line, secret in found[:MAX_FOUND]:
            self._watcher.keep(_Found(layer=self._layer, path=self._path, digest=digest, line=line, secret=secret))
