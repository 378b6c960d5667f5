"""What a build is made from, where that is no directory yet: standard input, archives and repositories elsewhere.

    -                          a build file, or a tar archive of the directory (plain, gzip, bzip2, xz, zstd)
    https://…/x.git#REF:DIR    a git repository; also git@host:…, ssh://…, git://…, github.com/…
    https://…                  a tar archive of the directory, or a build file

Each becomes a private directory below the store, that is gone when the block ends. Further directories by name come the
same way.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

from buildkit_py.address import shown
from buildkit_py.dataclass import dataclass, field, replace
from buildkit_py.digest import Digest
from buildkit_py.engine.buildfile import MAX_BYTES, NAMES, decoded
from buildkit_py.errors import SourceInputError, UsageError
from buildkit_py.giturl import is_repository
from buildkit_py.layer.openat import open_beneath
from buildkit_py.registry.source import OfferedLayout

if TYPE_CHECKING:
    from buildkit_py.engine.options import BuildOptions
    from buildkit_py.store import Store

_HTTP = ("http://", "https://")
_LAYOUT, _IMAGE, _LOCAL = "oci-layout://", "docker-image://", "local"
_STDIN = "-"
_UNUSUAL = re.compile(r"[^A-Za-z0-9._/-]")
_CHUNK = 1 << 20
_Place = Path | OfferedLayout | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a client names, as it names it. `file` is a path, or `-` for standard input; inside of what is fetched,
    a relative one. `keep_git` keeps the history of a repository."""

    context: str
    file: str | None = None
    named: Mapping[str, str] = field(default_factory=dict)
    keep_git: bool = False


@contextmanager
def gathered(
    store: Store, options: BuildOptions, wanted: Wanted, stdin: Callable[[], BinaryIO]
) -> Iterator[BuildOptions]:
    """The same request with directories that are there. `stdin` gives standard input, which is read once at the most.

    Raises `SourceInputError` for what can't be had, `UsageError` for what makes no sense.
    """
    with store.lease(), ExitStack() as stack:
        yield _Gatherer(store, stack, stdin, wanted).gather(options)


class _Gatherer:
    def __init__(self, store: Store, stack: ExitStack, stdin: Callable[[], BinaryIO], wanted: Wanted) -> None:
        self._store = store
        self._stack = stack
        self._stdin = stdin
        self._wanted = wanted

    def gather(self, options: BuildOptions) -> BuildOptions:
        return self._file(self._context(options), self._wanted.context)

    def _context(self, options: BuildOptions) -> BuildOptions:
        """The directory of the build, and the further ones."""
        places = {name: self._named(name, place) for name, place in self._wanted.named.items()}
        return replace(
            options,
            contexts={name: place for name, place in places.items() if isinstance(place, Path)},
            layouts={_plain(name): place for name, place in places.items() if isinstance(place, OfferedLayout)},
            settings=replace(options.settings, contexts={name: _spec(name, place) for name, place in places.items()}),
        )

    def _file(self, options: BuildOptions, context: str) -> BuildOptions:
        """The build file, together with the directory that it may come from."""
        if context == _STDIN:
            return self._from_archive_or_text(options, self._spooled(self._stdin()), _STDIN)
        if Path(context).is_dir():
            return self._beside(replace(options, context=Path(context)))
        if is_repository(context):
            return self._inside(options, self._cloned(context))
        if context.startswith(_HTTP):
            return self._from_archive_or_text(options, self._fetched(context), context)
        raise SourceInputError(
            f"{shown(context)} is not a directory", hint="name one, or a URL, or - for standard input"
        )

    def _beside(self, options: BuildOptions) -> BuildOptions:
        """The build file of a directory that was there before."""
        file = self._wanted.file
        if file != _STDIN and not (file or "").startswith(_HTTP):
            return options
        if options.lock or options.locked:
            raise UsageError("a lock file is kept beside a build file, and there is none here", hint="name it with -f")
        if file is None or file == _STDIN:
            return replace(options, lock=False, file=Path(_STDIN), text=decoded(_limited(self._stdin()), _STDIN))
        return replace(options, lock=False, file=Path(_name_of(file)), text=self._text(self._fetched(file), file))

    def _inside(self, options: BuildOptions, directory: Path) -> BuildOptions:
        """The build file of a directory that was fetched: none of its links leads out of it."""
        options = replace(options, context=directory, temporary=True)
        file = self._wanted.file
        if file == _STDIN:
            text = decoded(_limited(self._stdin()), _STDIN)
            return replace(options, file=directory / _STDIN, text=text)
        if file is not None and Path(file).is_absolute():
            return options
        names: tuple[str, ...] = (file,) if file is not None else (*NAMES, "dockerfile")
        for name in names:
            found = _read_beneath(directory, name)
            if found is not None:
                return replace(options, file=directory / name, text=found)
        hint = "name it with -f, as a path inside" if file is None else "-f names a path inside of what is built"
        raise SourceInputError(f"{shown(self._wanted.context)} holds no {file or ' and no '.join(NAMES)}", hint=hint)

    def _from_archive_or_text(self, options: BuildOptions, spool: Path, what: str) -> BuildOptions:
        if is_archive(spool):
            return self._inside(options, self._unpacked(spool, what))
        if self._wanted.file is not None:
            raise UsageError(
                f"-f names a build file, and {shown(what)} is one too",
                hint="leave out -f, or give an archive of the directory",
            )
        text = self._text(spool, what)
        directory = self._area()
        name = _STDIN if what == _STDIN else _name_of(what)
        return replace(options, context=directory, temporary=True, file=directory / name, text=text)

    def _text(self, spool: Path, what: str) -> str:
        with spool.open("rb") as file:
            return decoded(_limited(file), what if what == _STDIN else _name_of(what))

    def _named(self, name: str, place: str) -> _Place:
        """A directory, a layout, or a text that the frontend reads itself."""
        if place.startswith(_IMAGE):
            return place
        if place.startswith(_LAYOUT):
            return _layout(name, place.removeprefix(_LAYOUT))
        if Path(place).is_dir():
            return Path(place)
        if is_repository(place):
            return self._cloned(place)
        if place.startswith(_HTTP):
            return self._downloaded(place)
        raise SourceInputError(f"the context {name!r} can't be read: {shown(place)} is not a directory")

    def _downloaded(self, url: str) -> Path:
        spool = self._fetched(url)
        if is_archive(spool):
            return self._unpacked(spool, url)
        directory = self._area()
        shutil.copyfile(spool, directory / _name_of(url))
        return directory

    def _area(self) -> Path:
        return self._stack.enter_context(self._store.snapshots.area()).fs

    def _spooled(self, source: BinaryIO) -> Path:
        """Standard input as a file: what it is can be told only from its beginning."""
        path = self._area() / "stdin"
        with path.open("xb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
        return path

    def _fetched(self, url: str) -> Path:
        from buildkit_py.executor.source.http import fetch

        _path_of(url)  # what is no URL at all is refused here
        digest, _ = fetch(self._store, url)
        with self._store.blobs.open(digest) as blob:
            return self._spooled(blob)

    def _unpacked(self, spool: Path, what: str) -> Path:
        from buildkit_py.engine.unpacking import unpack_into

        directory = self._area()
        unpack_into(spool, directory, what)
        return directory

    def _cloned(self, url: str) -> Path:
        from buildkit_py.engine.repository import check_out

        directory = self._area()
        check_out(self._store, url, directory, keep_git=self._wanted.keep_git)
        return directory


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError as error:
        raise SourceInputError(f"{shown(url)} is not a URL: {error}") from None


def is_archive(path: Path) -> bool:
    """Whether a file is a tar, compressed or not, as far as its beginning tells."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")):
        return True
    return len(head) == 512 and (head == bytes(512) or _has_checksum(head))


def _has_checksum(head: bytes) -> bool:
    """Whether a block is the header of a tar: the sum of its bytes stands in it, the sum itself read as blanks."""
    field = head[148:156].strip(b" \0")
    plain = head[:148] + b" " * 8 + head[156:]
    return bool(re.fullmatch(rb"[0-7]+", field)) and int(field, 8) == sum(plain)


def _limited(source: BinaryIO) -> bytes:
    data = source.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise SourceInputError(f"it has more than {MAX_BYTES} bytes: that is no build file")
    return data


def _read_beneath(directory: Path, name: str) -> str | None:
    """The text of a file, None where there is none; a path that leaves the directory, by links too, is refused."""
    try:
        with open_beneath(directory, name) as file:
            return decoded(_limited(file), name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SourceInputError(f"{name} can't be read: {error.strerror}") from None


def _name_of(url: str) -> str:
    """What a file that came from a URL is called."""
    name = unquote(_path_of(url)).rpartition("/")[2]
    return name if name not in ("", ".", "..") and "\0" not in name and len(os.fsencode(name)) < 256 else "Dockerfile"


def _layout(name: str, text: str) -> OfferedLayout:
    """The layout that `PATH[:NAME][@DIGEST]` names."""
    rest, _, digest = text.partition("@")
    path, _, tag = rest.rpartition(":") if ":" in rest.rpartition("/")[2] else (rest, "", "")
    if not (Path(path) / "index.json").is_file():
        raise SourceInputError(f"the context {name!r} can't be read: {path} is not an OCI layout")
    return OfferedLayout(path=Path(path), name=tag or None, digest=str(Digest.parse(digest)) if digest else None)


def _plain(name: str) -> str:
    """What a graph calls a layout: no path of this machine."""
    return _UNUSUAL.sub("-", name)


def _spec(name: str, place: _Place) -> str:
    """What the settings say of a named context."""
    if isinstance(place, OfferedLayout):
        return f"{_LAYOUT}{_plain(name)}"
    return _LOCAL if isinstance(place, Path) else place
