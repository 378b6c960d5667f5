"""The file that a build is described in: where it is, what it holds, and which kind of build file it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SourceError, SourceInputError
from buildkit_py.layer.openat import open_beneath
from buildkit_py.source import Diagnostic, Span

if TYPE_CHECKING:
    from buildkit_py.engine.options import BuildOptions

NAMES = {"Buildfile": "buildfile", "Dockerfile": "dockerfile", "Containerfile": "dockerfile"}
"""The names that are looked for, in this order, and the frontend that reads each."""
OWN, OTHER = "buildfile", "dockerfile"
OWN_SUFFIX = ".build"
_BEGINNINGS = frozenset({"image", "stage", "param", "secret", "def", "import"})
"""The words that begin a statement at the top of pybuild's own language. No instruction of the other is called so."""
MAX_BYTES = 16 * 1024 * 1024
_WRITE_ONE = "write a Buildfile: see `pybuild help`"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFile:
    """A build file and the frontend that can read it.

    Frontends know files by their paths below the context, people by `shown`.
    """

    path: Path
    frontend: str
    text: str
    shown: str
    note: str | None = None

    @property
    def lock_path(self) -> Path:
        """Where its lock file is."""
        return self.path.with_name(f"{self.path.name}.lock")


def find_build_file(options: BuildOptions) -> BuildFile:
    """The build file of a request; raises `SourceInputError` that says what to write where there is none."""
    if options.text is not None:
        path = options.file or Path("-")
        text = options.text
        return BuildFile(path=path, frontend=frontend_of(path.name, text), text=text, shown=options.shown(path))
    if options.file is not None:
        return _read(options, options.file, None)
    found = [name for name in NAMES if (options.context / name).is_file()]
    if not found:
        # Other tools find this spelling too.
        found = [name for name in ("dockerfile",) if (options.context / name).is_file()]
    if not found:
        where = options.shown(options.context)
        raise SourceInputError(
            f"there is no Buildfile in {where}, and no {' or '.join(list(NAMES)[1:])}",
            hint=f"name one with -f, or {_WRITE_ONE}",
        )
    both = f"both a {found[0]} and a {found[1]} are here: the {found[0]} is built" if len(found) > 1 else None
    return _read(options, options.context / found[0], both)


def project_of(options: BuildOptions) -> dict[str, str]:
    """What tells builds of one directory and one build file from all others: `context` and `file`. Of a directory that
    was fetched, only the name of the file is known."""
    found = (name for name in (*NAMES, "dockerfile") if (options.context / name).is_file())
    path = options.graph or options.file or options.context / next(found, "Buildfile")
    if options.temporary:
        return {"context": "", "file": options.shown(path)}
    return {"context": str(options.context.absolute()), "file": str(path.absolute())}


def frontend_of(name: str, text: str) -> str:
    """The frontend for a file: its name says so, or else its text.

    pybuild's own language says what it is in its first statement. Where that is forgotten, the file begins with one of
    its words and a name, and its own frontend says what is missing; anything else is of the other kind.
    """
    for known, frontend in NAMES.items():
        if name == known or name.startswith(f"{known}.") or name.lower().endswith(f".{known.lower()}"):
            return frontend
    words = _first_words(text)
    own = words[:1] == [OWN] or (len(words) > 1 and words[0] in _BEGINNINGS)
    return OWN if own or name.endswith(OWN_SUFFIX) else OTHER


def _first_words(text: str) -> list[str]:
    for line in text.splitlines():
        if line.strip() and not line.lstrip("\ufeff \t").startswith("#"):
            return line.split()
    return []


def _read(options: BuildOptions, path: Path, note: str | None) -> BuildFile:
    shown = options.shown(path)
    try:
        with _open(options.context, path) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SourceInputError(f"{shown} can't be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise SourceInputError(f"{shown} has more than {MAX_BYTES} bytes: that is no build file")
    text = decoded(data, shown)
    return BuildFile(path=path, frontend=frontend_of(path.name, text), text=text, shown=shown, note=note)


def _open(context: Path, path: Path) -> BinaryIO:
    """Open a build file. One that lies in the context came with it, so no link of the context may lead out; any other
    path is the client's own."""
    if ".." not in path.parts and path.absolute().is_relative_to(context.absolute()):
        return open_beneath(context, str(path.absolute().relative_to(context.absolute())))
    return path.open("rb")


def decoded(data: bytes, name: str) -> str:
    """The text of a build file; raises `SourceError` at the first byte that is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        span = Span(name, line, column, line, column + 1)
        message = f"not UTF-8 text: byte 0x{data[error.start]:02x}"
        raise SourceError([Diagnostic(message=message, span=span, hint="save the file as UTF-8")]) from None
