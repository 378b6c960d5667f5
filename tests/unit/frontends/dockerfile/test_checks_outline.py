"""Targets and outlines."""

import pytest

from buildkit_py.errors import SourceError
from frontends.dockerfile.offers import Outline, outline, targets
from frontends.dockerfile.parser import parse

ARGUMENTS = """ARG inherited=box
ARG inherited2=box2
ARG unused=abc${inherited2}
# sfx is a suffix
ARG sfx="usy${inherited}"

FROM b${sfx} AS first
# this is not assigned to anything
ARG FOO=123
# BAR is a number
ARG BAR=456
RUN true

FROM alpine${unused} AS second
ARG BAZ
RUN true

FROM scratch AS third
ARG ABC=a

# target defines build target
FROM third AS target
COPY --from=first /etc/passwd /

FROM second
"""

MOUNTS = """
FROM busybox AS first
RUN --mount=type=secret,target=/etc/passwd,required=true --mount=type=ssh true

FROM alpine AS second
RUN --mount=type=secret,id=unused --mount=type=ssh,id=ssh2 true

FROM scratch AS third
ARG BAR
RUN --mount=type=secret,id=second${BAR} --mount=type=cache,target=/c/ true

FROM third AS target
COPY --from=first /foo /
RUN --mount=type=ssh,id=ssh3,required --mount=type=cache,id=shared,target=/d true

FROM second
"""


def of(text: str, target: str | None = None, **given: str) -> Outline:
    return outline(parse(text, "Dockerfile"), target, given)


def args(text: str, target: str | None = None, **given: str) -> list[tuple[str, str]]:
    return [(each.name, each.value) for each in of(text, target, **given).args]


def test_arguments_of_a_target() -> None:
    found = of(ARGUMENTS, "target", BAR="678")
    assert (found.name, found.description) == ("target", "defines build target")
    assert [(each.name, each.value, each.description, each.location.line) for each in found.args] == [
        ("inherited", "box", "", 1),
        ("sfx", "usybox", "is a suffix", 5),
        ("FOO", "123", "", 9),
        ("BAR", "678", "is a number", 11),
        ("ABC", "a", "", 19),
    ]


def test_the_last_stage_is_the_target_by_default() -> None:
    found = of(ARGUMENTS)
    assert found.name == ""
    assert [each.name for each in found.args] == ["inherited2", "unused", "BAZ"]


def test_secrets_sockets_and_caches() -> None:
    found = of(MOUNTS, "target", BAR="678")
    assert [(each.name, each.required, each.location.line) for each in found.secrets] == [
        ("passwd", True, 3),
        ("second678", False, 10),
    ]
    assert [(each.name, each.required, each.location.line) for each in found.ssh] == [
        ("default", False, 3),
        ("ssh3", True, 14),
    ]
    assert [(each.id, each.location.line) for each in found.caches] == [("/c", 10), ("shared", 14)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ARG a=1\nARG a=${a}2\nFROM x${a}\n", [("a", "12")]),
        ("ARG b=0\nARG a=$b\nARG a=${a}2\nFROM x${a}\n", [("b", "0"), ("a", "02")]),
        ("ARG a=1\nFROM scratch\nARG a\n", [("a", "1")]),
        ("ARG a=1\nFROM scratch\nARG a=2\n", [("a", "2")]),
        ("ARG a\nFROM scratch\nARG a\n", [("a", "")]),
        ("ARG a=1\nFROM scratch\n", []),
        ("FROM --platform=$BUILDPLATFORM scratch\nARG TARGETARCH\n", []),
        ("FROM scratch\nENV x=1\nARG a=$x b=${a}2\n", [("a", "1"), ("b", "12")]),
        ("FROM scratch AS p\nARG a=1\nENV e=$a\nFROM p\nARG b=$e\n", [("a", "1"), ("b", "1")]),
        ("FROM scratch AS p\nONBUILD ARG a=1\nFROM p\n", [("a", "1")]),
        ("FROM scratch AS p\nARG a=1\nFROM scratch\nRUN --mount=type=bind,from=p,target=/p true\n", [("a", "1")]),
    ],
)
def test_values(text: str, expected: list[tuple[str, str]]) -> None:
    assert args(text) == expected


def test_a_stage_that_a_context_stands_in_for_takes_nothing() -> None:
    file = parse("ARG v=1\nFROM alpine:$v AS base\nARG a=1\nFROM base\nARG b=2\n", "Dockerfile")
    found = outline(file, None, {}, contexts={"base": "local"})
    assert [each.name for each in found.args] == ["b"]


def test_a_target_that_is_not_there() -> None:
    with pytest.raises(SourceError) as caught:
        of(ARGUMENTS, "targte")
    assert caught.value.diagnostics[0].hint == "did you mean target?"


def test_targets() -> None:
    text = "# Base is it\n# base is the base\nFROM alpine:$v AS Base\n\nFROM --platform=$BUILDPLATFORM base\n"
    first, second = targets(parse(text, "Dockerfile"))
    assert (first.name, first.description, first.default) == ("base", "is the base", False)
    assert (first.base, first.platform, first.location.line) == ("alpine:$v", "", 3)
    assert (second.name, second.description, second.default) == ("", "", True)
    assert (second.base, second.platform, second.location.line) == ("base", "$BUILDPLATFORM", 5)
