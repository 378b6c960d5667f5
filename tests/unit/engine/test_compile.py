"""When a build file is compiled again, and when the remembered graph is taken."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import buildkit_py.engine.compile as compiling
from buildkit_py.engine import BuildOptions, Engine
from buildkit_py.errors import NotFoundError, SourceInputError
from buildkit_py.graph.definition import Definition

FILE = """buildfile 1
import ./lib/one.build as one
param who: string = "you"
image app {
    from scratch
    one.greet()
    write /who who
}
"""


class Frontends:
    """The real ones, counted."""

    def __init__(self) -> None:
        self.compiled = 0
        self._load = compiling.load_frontend

    def __call__(self, name: str) -> Any:
        self.compiled += 1
        return self._load(name)


@pytest.fixture
def frontends(monkeypatch: pytest.MonkeyPatch) -> Frontends:
    counted = Frontends()
    monkeypatch.setattr(compiling, "load_frontend", counted)
    return counted


@pytest.fixture
def options(tmp_path: Path) -> BuildOptions:
    context = tmp_path / "context"
    (context / "lib").mkdir(parents=True)
    (context / "Buildfile").write_text(FILE)
    (context / "lib" / "one.build").write_text('buildfile 1\ndef greet() { write /hello "hello" }\n')
    return BuildOptions(context=context)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "store") as engine:
        yield engine


def define(engine: Engine, options: BuildOptions) -> Definition:
    return engine.definition(options, lambda event: None)


def test_what_was_compiled_is_remembered(engine: Engine, options: BuildOptions, frontends: Frontends) -> None:
    first = define(engine, options)
    again = define(engine, options)
    assert frontends.compiled == 1
    assert again == first
    assert again.spans == first.spans


def edit(name: str, before: str, after: str) -> Callable[[BuildOptions], BuildOptions]:
    def change(options: BuildOptions) -> BuildOptions:
        file = options.context / name
        file.write_text(file.read_text().replace(before, after))
        return options

    return change


def lock(options: BuildOptions) -> BuildOptions:
    (options.context / "Buildfile.lock").write_text("version = 1\n")
    return options


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(edit("Buildfile", "you", "me"), id="file"),
        pytest.param(edit("lib/one.build", "hello", "bye"), id="import"),
        pytest.param(lambda options: replace(options, params={"who": "me"}), id="param"),
        pytest.param(lambda options: replace(options, platforms=("linux/s390x",)), id="platform"),
        pytest.param(lambda options: replace(options, targets=("app",)), id="target"),
        pytest.param(lambda options: replace(options, epoch=5), id="epoch"),
        pytest.param(lock, id="lock"),
    ],
)
def test_what_a_graph_is_made_of_makes_another(
    engine: Engine,
    options: BuildOptions,
    frontends: Frontends,
    change: Callable[[BuildOptions], BuildOptions],
) -> None:
    define(engine, options)
    define(engine, change(options))
    assert frontends.compiled == 2


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda options: replace(options, no_cache=True, jobs=3, tags=("x",), runtime="crun"), id="how"),
        pytest.param(lambda options: os.utime(options.context / "Buildfile", (1, 1)) or options, id="time"),
        pytest.param(lambda options: (options.context / "other").touch() or options, id="files"),
    ],
)
def test_anything_else_does_not(
    engine: Engine,
    options: BuildOptions,
    frontends: Frontends,
    change: Callable[[BuildOptions], BuildOptions],
) -> None:
    first = define(engine, options)
    assert define(engine, change(options)) == first
    assert frontends.compiled == 1


def test_positions_are_told_from_where_the_reader_stands(
    engine: Engine, options: BuildOptions, frontends: Frontends, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown() -> set[str]:
        return {span.file for span in define(engine, options).spans.values()}

    monkeypatch.chdir(options.context)
    assert shown() == {"Buildfile", "lib/one.build"}
    monkeypatch.chdir(options.context / "lib")
    assert shown() == {"../Buildfile", "one.build"}
    assert frontends.compiled == 1


def test_an_import_that_vanished_is_missed(engine: Engine, options: BuildOptions) -> None:
    define(engine, options)
    (options.context / "lib" / "one.build").unlink()
    with pytest.raises(Exception, match=r"lib/one\.build"):
        define(engine, options)


def test_a_directory_without_a_build_file(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(SourceInputError, match="no Buildfile") as caught:
        define(engine, BuildOptions(context=tmp_path))
    assert caught.value.hint is not None
    with pytest.raises(SourceInputError, match="not a directory"):
        define(engine, BuildOptions(context=tmp_path / "nothing"))


def test_a_buildfile_wins_and_says_so(engine: Engine, options: BuildOptions) -> None:
    (options.context / "Dockerfile").write_text("FROM scratch\n")
    notes: list[Any] = []
    engine.definition(options, notes.append)
    assert ["both a Buildfile and a Dockerfile" in note.text for note in notes] == [True]


def test_a_frontend_that_came_along_is_found_without_asking_the_metadata_of_all_packages() -> None:
    code = (
        "import sys; from buildkit_py.engine.compile import load_frontend;"
        "print(load_frontend('dockerfile').__name__, 'importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "frontends.dockerfile False\n"


@pytest.mark.parametrize("name", ["nobody", "no/body", "", "dockerfile.nobody"])
def test_a_frontend_that_nobody_has(name: str) -> None:
    with pytest.raises(NotFoundError, match="no frontend called"):
        compiling.load_frontend(name)
