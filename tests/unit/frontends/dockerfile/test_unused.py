"""What a command line says that a Dockerfile does not heed."""

from __future__ import annotations

import pytest

from buildkit_py.graph import ImageConfig, Settings
from tests.support.dockerfiles import compiled

TEXT = """
    ARG BASE=base
    FROM ${BASE} AS build
    ARG VERSION
    ONBUILD ARG LATER
    FROM build
"""


def warnings(text: str = TEXT, **options: object) -> list[tuple[str, str | None]]:
    return [(each.message, each.hint) for each in compiled(text, **options).warnings]  # type: ignore[arg-type]


def test_an_argument_that_nothing_declares() -> None:
    assert warnings(args={"VERSOIN": "3"}) == [
        ("the build argument VERSOIN is given, and no ARG declares it", "did you mean VERSION?")
    ]


@pytest.mark.parametrize(
    "name",
    ["BASE", "VERSION", "LATER", "HTTP_PROXY", "no_proxy", "SOURCE_DATE_EPOCH", "TARGETARCH", "BUILDKIT_INLINE_CACHE"],
)
def test_arguments_that_mean_something(name: str) -> None:
    assert warnings(args={name: "base"}) == []


def test_an_argument_that_a_trigger_of_the_base_declares() -> None:
    images = {"docker.io/library/triggers:latest": ImageConfig(on_build=("ARG THERE",))}
    assert warnings("FROM triggers\n", args={"THERE": "1"}, images=images) == []


def test_a_stage_that_is_to_be_made_anew_and_is_not_there() -> None:
    assert warnings(settings=Settings(fresh=("biuld", "BUILD"))) == [
        ("--no-cache-filter names 'biuld', which no stage is called", "did you mean build?")
    ]
