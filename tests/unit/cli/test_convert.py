"""`pybuild convert`: where it reads and writes, and what it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def here(cli: Any) -> Path:
    place = Path.cwd()
    (place / "Dockerfile").write_text("FROM busybox AS a\nFROM scratch\nCOPY x /y/\n")
    (place / "x").mkdir()
    return place


def test_it_writes_standard_output_and_looks_into_the_context(cli: Any) -> None:
    assert cli("convert") == 0
    assert cli.out.startswith("buildfile 1\n\nimage app {\n")
    assert "    copy ./x/ to /y/ mode keep\n" in cli.out
    assert "Dockerfile:1:1: note: nothing of app needs this stage" in cli.err


def test_it_writes_a_file_that_is_not_there(cli: Any, here: Path) -> None:
    assert cli("convert", "-o", "Buildfile", "--target", "a") == 0
    assert (here / "Buildfile").read_text() == 'buildfile 1\n\nimage a {\n    from "busybox"\n}\n'
    assert "wrote Buildfile\n" in cli.err
    assert cli("convert", "-o", "Buildfile") == 15
    assert "Buildfile is there already" in cli.err


def test_what_has_no_equivalent_is_an_error_unless_forced(cli: Any, here: Path) -> None:
    (here / "Dockerfile").write_text("FROM busybox\nONBUILD RUN x\nUSER 5\n")
    assert cli("convert", "-o", "Buildfile") == 1
    assert not (here / "Buildfile").exists()
    assert "Dockerfile:2:1: error: ONBUILD RUN has no equivalent" in cli.err
    assert "--force writes the rest" in cli.err
    assert cli("convert", "-o", "Buildfile", "--force") == 0
    assert "    # Dockerfile:2: ONBUILD RUN has no equivalent" in (here / "Buildfile").read_text()


def test_what_can_not_be_converted(cli: Any, here: Path) -> None:
    (here / "Buildfile").write_text("buildfile 1\n")
    assert cli("convert", "Buildfile") == 2
    assert "is a Buildfile already" in cli.err
    (here / "Dockerfile").write_text("FROM\n")
    assert cli("convert") == 3
    assert cli("convert", "nope") == 14
