"""What frontends tell about build files, twice in one process: a module must not take the place of a function."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from buildkit_py.engine import BuildOptions, Engine
from buildkit_py.errors import SourceError

BUILDFILE = """buildfile 1
# whom to greet
param who: string = "you"
image app {
    from scratch
    write /who who
}
"""
DOCKERFILE = """# base is where all begin
FROM scratch AS base
ARG V=1
FROM base AS Last
ADD https://example.org/x /x
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "store") as engine:
        yield engine


def test_a_dockerfile(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    options = BuildOptions(context=tmp_path, params={"V": "2"}, targets=("base",))
    for _ in range(2):
        found = engine.ask(BuildOptions(context=tmp_path), "check")
        assert [(item.rule, item.span.line) for item in found.value if item.span] == [("StageNameCasing", 4)]
        assert found.rules["StageNameCasing"].url.endswith("/stage-name-casing/")
        outline = engine.ask(options, "outline").value
        assert [(item.name, item.value) for item in outline.args] == [("V", "2")]
        assert [item.name for item in engine.ask(options, "targets").value] == ["base", "last"]


def test_a_buildfile(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Buildfile").write_text(BUILDFILE)
    options = BuildOptions(context=tmp_path)
    assert engine.ask(options, "check").value == []
    assert [item.name for item in engine.ask(options, "outline").value.params] == ["who"]
    assert [item.name for item in engine.ask(options, "targets").value] == ["app"]
    assert not (tmp_path / "Buildfile.lock").exists()


def test_a_file_that_is_wrong(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nRUNN x\n")
    found = engine.ask(BuildOptions(context=tmp_path), "check")
    assert [item.severity for item in found.value] == ["error"]
    with pytest.raises(SourceError):
        engine.ask(BuildOptions(context=tmp_path), "outline")
