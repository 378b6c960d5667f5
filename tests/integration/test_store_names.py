"""Which names of the store FROM and COPY --from see, and what is said where they see none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Pybuild, Result


@pytest.fixture
def build(pybuild: Pybuild, tmp_path: Path, registry: object) -> Callable[..., Result]:
    """Builds a Dockerfile, whose images come from the store and an empty registry."""
    directory = tmp_path / "context"
    directory.mkdir()

    def run(text: str, *words: str) -> Result:
        (directory / "Dockerfile").write_text(text)
        return pybuild("build", "--progress", "plain", *words, ".", cwd=directory)

    return run


NODE = "FROM scratch AS node-of-mine\nLABEL who=mine\n"


def test_from_sees_only_names_that_were_given(build: Callable[..., Result], pybuild: Pybuild) -> None:
    assert build(NODE).code == 0
    assert "node-of-mine" in pybuild.ok("ls").stdout
    refused = build("FROM node-of-mine\n")
    assert refused.code == 10, refused.output
    assert "build it with -t node-of-mine" in refused.stderr
    assert build(NODE, "-t", "node-of-mine").code == 0
    assert build("FROM node-of-mine\n").code == 0


def test_a_build_without_tags_takes_no_tag_away(build: Callable[..., Result], pybuild: Pybuild) -> None:
    assert build(NODE, "-t", "node-of-mine").code == 0
    done = build(NODE.replace("who=mine", "who=other"))
    assert "-t node-of-mine gives it to this one" in done.stderr, done.output
    assert "who=mine" in pybuild.ok("inspect", "node-of-mine").stdout.replace(" ", "").replace('"', "")


def test_an_output_store_is_a_name_that_was_given(build: Callable[..., Result]) -> None:
    assert build(NODE, "-o", "store:thing-of-mine:1").code == 0
    assert build("FROM thing-of-mine:1\n").code == 0


def test_a_tag_that_the_store_has_not_is_answered_with_those_that_it_has(build: Callable[..., Result]) -> None:
    assert build(NODE, "-t", "bb-of-mine:1", "-t", "bb-of-mine:1.1").code == 0
    refused = build("FROM bb-of-mine:2\n")
    assert refused.code == 10, refused.output
    assert "the store has bb-of-mine:1, bb-of-mine:1.1" in refused.stderr


def test_a_lock_file_takes_nothing_of_the_store(build: Callable[..., Result]) -> None:
    assert build(NODE, "-t", "locked-of-mine").code == 0
    refused = build("FROM locked-of-mine\n", "--lock")
    assert refused.code == 10, refused.output
    assert "the store has an image of that name, but" in refused.stderr


@pytest.mark.parametrize("step", ["COPY --from=biuld /x /", "RUN --mount=from=biuld,target=/m true"])
def test_a_slip_in_the_name_of_a_stage_is_told(build: Callable[..., Result], step: str) -> None:
    refused = build(f"FROM scratch AS build\nFROM scratch\n{step}\n")
    assert refused.code == 10, refused.output
    assert "did you mean the stage `build`?" in refused.stderr
    assert "did you mean" not in build("FROM scratch AS build\nFROM build:2\n").stderr
