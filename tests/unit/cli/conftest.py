"""A command line with streams, an environment and an engine of the test's own."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from buildkit_py.cli.run import run
from buildkit_py.cli.shell import Shell

Build = Callable[[Any, Any], Any]


class FakeEngine:
    """Answers as it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.texts = SimpleNamespace(files={})
        self.evidence = None
        self.asked: list[Any] = []
        self.roots: list[str | None] = []
        self.on_build: Build | None = None
        self.on_definition: Build | None = None
        self.on_update: Callable[[Any, Sequence[str]], Any] | None = None

    def on_quota(self, tell: Any) -> None:
        """No store, no quota."""

    def build(self, options: Any, emit: Any) -> Any:
        self.asked.append(options)
        assert self.on_build is not None
        return self.on_build(options, emit)

    def definition(self, options: Any, emit: Any) -> Any:
        self.asked.append(options)
        assert self.on_definition is not None
        return self.on_definition(options, emit)

    def update(self, options: Any, names: Sequence[str]) -> Any:
        self.asked.append(options)
        assert self.on_update is not None
        return self.on_update(options, names)


class FakeShell(Shell):
    """A shell over strings."""

    def __init__(self, environ: Mapping[str, str], stdin: str, engine: FakeEngine) -> None:
        super().__init__(
            io.StringIO(),
            io.StringIO(),
            environ,
            io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8", "surrogateescape"))),
        )
        self._engine = engine

    def written(self) -> tuple[str, str]:
        """What went to standard output and to standard error."""
        assert isinstance(self.out, io.StringIO)
        assert isinstance(self.err, io.StringIO)
        return self.out.getvalue(), self.err.getvalue()

    @contextmanager
    def engine(self, root: str | None) -> Iterator[Any]:  # type: ignore[override]
        self._engine.roots.append(root)
        yield self._engine


class Cli:
    """Runs command lines and keeps what the last one wrote."""

    def __init__(self, home: Path) -> None:
        self.environ = {"HOME": str(home)}
        self.engine = FakeEngine()
        self.out = ""
        self.err = ""

    def __call__(self, *words: str, stdin: str = "") -> int:
        shell = FakeShell(self.environ, stdin, self.engine)
        code = run(words, shell)
        self.out, self.err = shell.written()
        return code


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A command line in an empty working directory."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return Cli(tmp_path / "home")
