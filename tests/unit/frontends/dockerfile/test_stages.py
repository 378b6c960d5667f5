"""Stages: which are built, how they are named, and what they may use."""

from __future__ import annotations

import pytest

from buildkit_py.graph import ImageConfig, ImageSource, LocalSource, Settings
from tests.support.dockerfiles import compiled, config, faults, history, ops


def test_the_last_stage_is_built() -> None:
    made = compiled("FROM scratch AS a\nENV A=1\nFROM scratch AS b\nENV B=1\n")
    assert history(made) == ["- ENV B=1"]
    assert made.targets[0].name == "b"


def test_a_target_is_named_whatever_its_case() -> None:
    assert history(compiled("FROM scratch AS a\nENV A=1\nFROM scratch\n", target="A")) == ["- ENV A=1"]


@pytest.mark.parametrize("target", ["0", "stage-0", "bb"])
def test_an_unknown_target_is_refused(target: str) -> None:
    (fault,) = faults("FROM scratch AS b\nFROM scratch\n", target=target)
    assert repr(target) in fault.message


def test_the_last_of_equal_names_wins() -> None:
    made = compiled("FROM scratch AS a\nENV A=1\nFROM scratch AS a\nENV A=2\nFROM a\n")
    assert dict(config(made).env)["A"] == "2"


def test_only_stages_that_are_needed_are_resolved() -> None:
    made = compiled("FROM nowhere AS unused\nFROM base\n", images={})
    assert [op.ref for op in ops(made, "image") if isinstance(op, ImageSource)] == ["docker.io/library/base:latest"]


def test_a_stage_of_another_platform() -> None:
    made = compiled(
        "FROM --platform=$BUILDPLATFORM base AS b\nRUN x\nFROM base\nCOPY --from=b /x /\n", platform="linux/arm64"
    )
    platforms = {op.platform for op in ops(made, "image") if isinstance(op, ImageSource)}
    assert "linux/arm64" in platforms
    assert len(platforms) >= 1
    assert made.targets[0].platform == "linux/arm64"


def test_a_base_may_be_an_argument() -> None:
    made = compiled("ARG B=base\nFROM ${B}\n")
    assert [op.ref for op in ops(made, "image") if isinstance(op, ImageSource)] == ["docker.io/library/base:latest"]
    other = {"docker.io/library/other:1": ImageConfig()}
    made = compiled("ARG B=base\nFROM ${B}\n", args={"B": "other:1"}, images=other)
    assert [op.ref for op in ops(made, "image") if isinstance(op, ImageSource)] == ["docker.io/library/other:1"]


@pytest.mark.parametrize("head", ["", "ARG V\n", "ARG V=\n"])
def test_a_tag_that_came_out_empty_names_the_argument(head: str) -> None:
    (fault,) = faults(f"{head}FROM base:$V\n")
    assert (fault.hint or "").startswith("$V is empty here; give a value with --build-arg V=…")
    (fault,) = faults("ARG VERSION=1\nFROM base:$VERSOIN\n")
    assert fault.hint == "$VERSOIN is empty here; did you mean $VERSION?"


def test_a_named_context_stands_for_an_image() -> None:
    made = compiled("FROM golang:1\n", settings=Settings(contexts={"golang:1": "docker-image://base"}))
    assert [op.ref for op in ops(made, "image") if isinstance(op, ImageSource)] == ["docker.io/library/base:latest"]


def test_a_named_context_stands_for_a_stage() -> None:
    text = "FROM scratch AS deps\nRUN never\nFROM base\nCOPY --from=deps /a /\n"
    made = compiled(text, settings=Settings(contexts={"deps": "local"}))
    assert [op.name for op in ops(made, "local") if isinstance(op, LocalSource)] == ["deps"]
    assert ops(made, "run") == []


def test_a_mount_from_a_number_is_an_image() -> None:
    made = compiled("FROM base AS a\nFROM base\nRUN --mount=from=0,target=/x y\n", images={})
    assert "docker.io/library/0:latest" in {op.ref for op in ops(made, "image") if isinstance(op, ImageSource)}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("FROM a AS b\nFROM ${NONE}\n", 2, "empty"),
        ("FROM scratch AS a\nCOPY --from=b x /\nFROM scratch AS b\n", 2, "below"),
        ("FROM scratch AS a\nCOPY --from=a x /\n", 2, "itself"),
        ("FROM --platform=nonsense/x/y/z scratch\n", 1, "platform"),
        ("FROM UPPER\n", 1, "lower case"),
        ('ARG X="${Y:?no Y}"\nFROM scratch\n', 1, "no Y"),
    ],
)
def test_wrong_stages(text: str, line: int, words: str) -> None:
    found = faults(text)
    assert words in f"{found[0].message} {found[0].hint}"
    assert found[0].span is not None
    assert found[0].span.line == line


def test_fresh_stages_run_whatever_is_known() -> None:
    text = "FROM base AS a\nRUN x\nFROM a\nRUN y\n"
    assert compiled(text).fresh == ()
    made = compiled(text, settings=Settings(fresh=("a",)))
    assert [made.vertices[digest].op.args[-1] for digest in made.fresh if made.vertices[digest].op.type == "run"] == [  # type: ignore[union-attr]
        "x"
    ]


def test_labels_of_the_command_line_come_last() -> None:
    made = compiled("FROM scratch\nLABEL a=1 b=2\n", settings=Settings(labels={"b": "3"}, annotations={"x": "y"}))
    assert config(made).labels == {"a": "1", "b": "3"}
    assert made.targets[0].annotations == {"x": "y"}
