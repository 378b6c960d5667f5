"""What a command is given of the world: streams, environment, the engine and the store; tests give others."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

from buildkit_py.errors import NotFoundError, OutputError, UsageError

if TYPE_CHECKING:
    from buildkit_py.engine import Engine
    from buildkit_py.store import Store


class Shell:
    """`out` takes results, `err` everything else.

    `sources` are texts of build files by the name that spans use; those not in it are looked for in `folders`.
    `told` holds the ids of errors that a person has been told of. `words` are those after the command's name.
    """

    def __init__(
        self,
        out: TextIO | None = None,
        err: TextIO | None = None,
        environ: Mapping[str, str] | None = None,
        stdin: TextIO | None = None,
    ) -> None:
        self.out = out if out is not None else sys.stdout
        self.err = err if err is not None else sys.stderr
        self.environ = environ if environ is not None else os.environ
        self.stdin = stdin if stdin is not None else sys.stdin
        self.sources: dict[str, str] = {}
        self.folders: list[str] = ["."]
        self.told: set[int] = set()
        self.words: Sequence[str] = ()
        self._warned: set[str] = set()

    @property
    def bytes_in(self) -> BinaryIO:
        """Standard input as bytes."""
        return cast("BinaryIO", getattr(self.stdin, "buffer", sys.stdin.buffer))

    def check_piped_in(self, how: str = "") -> None:
        """Raise `UsageError` where standard input is a terminal, which gives no archive; `how` a file is named."""
        if self.stdin.isatty():
            raise UsageError("standard input is a terminal, and no archive", hint=f"send one, or name a file{how}")

    def check_piped_out(self) -> None:
        """Raise `UsageError` where standard output is a terminal, which shows no archive."""
        if self.out.isatty():
            raise UsageError("standard output is a terminal", hint="write -o FILE, or send it into a pipe")

    def engine(self, root: str | None) -> Engine:
        """The engine over the store at `root`, or over the default one; to be entered with `with`."""
        from buildkit_py.engine import Engine

        return Engine(Path(root) if root else None, others=self._others())

    def store(self, root: str | None, *, make: bool = True, removing: bool = False) -> Store:
        """The store at `root`, or the default one; to be entered with `with`. `removing` as of `Store.open`.

        Without `make`, one that was named and is not there is a `NotFoundError`.
        """
        from buildkit_py.store import Store

        path = self.store_path(root)
        if root and not make and not path.exists():
            raise NotFoundError(f"there is no store at {root}", hint="`pybuild store path` says where yours is")
        if os.geteuid() != 0:
            # Much in an ordinary user's store belongs to numbers that are theirs only in a namespace of their own.
            from buildkit_py.executor.sandbox.rootless import enter_user_namespace

            enter_user_namespace()
        store = Store.open(path, others=self._others(), removing=removing)
        store.space.tell = lambda text: self.complain(f"note: {text}\n")
        return store

    def _others(self) -> list[Path]:
        """The additional stores that can be read; of each other one a warning is written, once."""
        from buildkit_py.paths import additional_stores

        places = additional_stores(self.environ)
        if not places:
            return []
        from buildkit_py.store.additional import usable

        found, problems = usable(places)
        for problem in problems:
            if problem not in self._warned:
                self._warned.add(problem)
                self.complain(f"warning: {problem}\n")
        return found

    def store_path(self, root: str | None) -> Path:
        """Where the store is that an option names, or the default one."""
        from buildkit_py.paths import store_path

        return Path(root) if root else store_path(self.environ)

    def state_directory(self) -> Path:
        """Where reports of internal errors go: below $XDG_STATE_HOME, else `~/.local/state`."""
        home = self.environ.get("XDG_STATE_HOME") or f"{self.environ.get('HOME') or '/'}/.local/state"
        return Path(home) / "pybuild"

    def print(self, text: str = "") -> None:
        """Write one result and a line end; what the stream can't encode is escaped."""
        self.write(f"{text}\n")

    def write(self, text: str) -> None:
        """Write text as it is; a terminal is given nothing that it would obey."""
        if not text.isprintable() and self.out.isatty():
            from buildkit_py.source import visible

            # What an image says of itself, in JSON or by a template, is for programs: only here does a person see it.
            text = "\n".join(map(visible, text.split("\n")))
        encoding = getattr(self.out, "encoding", None) or "utf-8"
        with _written():
            self.out.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def flush(self) -> None:
        """Have all results written. Raises `OutputError`, as `write` does, where that can't be."""
        with _written():
            self.out.flush()

    def complain(self, text: str) -> None:
        """Write to `err`; a stream that nobody reads is no reason to fail."""
        encoding = getattr(self.err, "encoding", None) or "utf-8"
        try:
            self.err.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self.err.flush()
        except (OSError, ValueError):
            return


@contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output can't be written: {error.strerror or error}") from error
