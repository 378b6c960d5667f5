"""Build checks that need the text alone: where each warns, and where it does not."""

import pytest

from tests.support.dockerfile_checks import found, lines

EXPERIMENTAL = "# check=experimental=InvalidDefinitionDescription\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM scratch AS Base\n", [1]),
        ("FROM scratch AS a\nFROM scratch AS buildER\n", [2]),
        ("FROM scratch \\\n  AS \\\n  BASE\n", [1]),
        ("\n\n# hello\nfrom scratch as A-1.x_B\n", [4]),
        ("FROM scratch AS A\nFROM scratch AS B\n", [1, 2]),
        ("FROM scratch AS base\n", []),
        ("FROM scratch\n", []),
        ("FROM scratch AS a1-b.c_d\n", []),
        ("ARG Name=scratch\nFROM $Name AS name\n", []),
        ("# check=skip=StageNameCasing\nFROM scratch AS Base\n", []),
    ],
)
def test_stage_name_casing(text: str, expected: list[int]) -> None:
    assert lines("StageNameCasing", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM scratch as base\n", [1]),
        ("from scratch AS base\n", [1]),
        ("FROM scratch As base\n", [1]),
        ("FROM scratch AS a\nFROM scratch aS b\nFROM scratch as c\n", [2, 3]),
        ("from scratch \\\n As base\n", [1]),
        ("FROM scratch AS base\n", []),
        ("from scratch as base\n", []),
        ("FROM scratch\n", []),
        ("From scratch as base\n", []),
        ("fRom scratch AS base\n", []),
    ],
)
def test_from_as_casing(text: str, expected: list[int]) -> None:
    assert lines("FromAsCasing", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM scratch\nCOPY a \\\n\n  b\n", [4]),
        ("FROM scratch\nENV a=1 \\\n\n\n b=2 \\\n c=3\nLABEL x=y\n", [6]),
        ("FROM scratch\nENV a=1 \\\n   \t \n b=2\n", [4]),
        ("FROM alpine\nRUN <<E \\\n\n && true\nbody\nE\n", [4]),
        ("FROM scratch\nENV a=1 \\\n\n b=2\nENV c=1 \\\n\n d=2\n", [4, 7]),
        ("FROM scratch\nCOPY a \\\n  b\n", []),
        ("FROM scratch\nCOPY a \\\n# why\n  b\n", []),
        ("FROM scratch\nCOPY a b\n\n\nCOPY c d\n", []),
        ("FROM scratch\nCOPY <<E /x\n\n\nE\n", []),
        ("# check=skip=NoEmptyContinuation\nFROM scratch\nCOPY a \\\n\n  b\n", []),
    ],
)
def test_no_empty_continuation(text: str, expected: list[int]) -> None:
    assert lines("NoEmptyContinuation", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("From scratch\nFROM scratch\n", [1]),
        ("FROM scratch\ncopy a b\nCOPY c d\n", [2]),
        ("from scratch\nCOPY a b\ncopy c d\n", [2]),
        ("from scratch\nCOPY a b\nCOPY c d\nLabel x=y\n", [1, 4]),
        ("FROM scratch\ncopy a b\n", [2]),
        ("frOM scratch\nfrom scratch\n", [1]),
        ("FROM scratch\nONBUILD copy a b\nonbuild COPY a b\n", [3]),
        ("FROM scratch\n# check=skip=ConsistentInstructionCasing\ncopy a b\n", [3]),
        ("FROM scratch\nCOPY a b\n", []),
        ("from scratch\ncopy a b\n", []),
        ("arg x=1\nFROM scratch\nCOPY a b\n", []),
        ("FROM alpine\nRUN <<E\nenv\nE\n", []),
        ("FROM scratch\nHEALTHCHECK cmd x\nONBUILD copy a b\n", []),
    ],
)
def test_consistent_instruction_casing(text: str, expected: list[int]) -> None:
    assert lines("ConsistentInstructionCasing", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM scratch AS b\nFROM scratch AS b\n", [2]),
        ("FROM scratch AS b\nFROM scratch AS B\n", [2]),
        ("FROM scratch AS b\nFROM scratch AS c\nFROM scratch AS b\nFROM scratch AS b\n", [3, 4]),
        ("FROM scratch AS b\n\nFROM scratch \\\n  AS b\n", [3]),
        ("FROM scratch AS b\nFROM b AS b\n", [2]),
        ("FROM scratch AS b1\nFROM scratch AS b2\n", []),
        ("FROM scratch\nFROM scratch\n", []),
        ("FROM alpine AS alpine\n", []),
        ("FROM scratch AS a\nFROM a\n", []),
        ("# check=skip=DuplicateStageName\nFROM scratch AS b\nFROM scratch AS b\n", []),
    ],
)
def test_duplicate_stage_name(text: str, expected: list[int]) -> None:
    assert lines("DuplicateStageName", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM alpine AS scratch\n", [1]),
        ("FROM scratch AS scratch\nFROM scratch AS context\n", [1, 2]),
        ("FROM alpine AS Context\n", [1]),
        ("FROM alpine AS x\n\nFROM x AS SCRATCH\n", [3]),
        ("FROM scratch\nFROM scratch AS a\n", []),
        ("FROM alpine AS contexts\n", []),
        ("FROM alpine AS stage\n", []),
        ("FROM alpine\nLABEL context=scratch\n", []),
    ],
)
def test_reserved_stage_name(text: str, expected: list[int]) -> None:
    assert lines("ReservedStageName", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM scratch\nMAINTAINER me@example.org\n", [2]),
        ("FROM scratch\nmaintainer me\n", [2]),
        ("FROM scratch AS unused\nMAINTAINER a\nFROM scratch\nMAINTAINER b\n", [2, 4]),
        ("FROM scratch\nMAINTAINER a \\\n b\n", [2]),
        ("FROM scratch\nLABEL org.opencontainers.image.authors=me\n", []),
        ("FROM scratch\nLABEL maintainer=me\n", []),
        ("FROM scratch\n# check=skip=MaintainerDeprecated\nMAINTAINER me\n", []),
        ("# MAINTAINER me\nFROM scratch\n", []),
    ],
)
def test_maintainer_deprecated(text: str, expected: list[int]) -> None:
    assert lines("MaintainerDeprecated", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# a comment\nFROM scratch AS base\n", [3]),
        ("# Base is it\nFROM scratch AS base\n", [3]),
        ("FROM scratch\n# how many\nARG COUNT=1\n", [4]),
        ("# bar is bar\nARG foo=1\nFROM scratch\n", [3]),
        ("# foo is foo\n# but this is last\nARG foo=1\nFROM scratch\n", [4]),
        ("# none of them\nARG foo=1 bar=2\nFROM scratch\n", [3]),
        ("# base is it\nFROM scratch AS base\n", []),
        ("# base is it\nFROM scratch AS Base\n", []),
        ("# whatever\nFROM scratch\n", []),
        ("# whatever\n#\nFROM scratch AS base\n", []),
        ("# bar is the second\nARG foo=1 bar=2\nFROM scratch\n", []),
        ("FROM scratch\n# whatever\nENV a=1\n", []),
        ("FROM scratch AS base\nARG foo=1\n", []),
    ],
)
def test_invalid_definition_description(text: str, expected: list[int]) -> None:
    assert lines("InvalidDefinitionDescription", EXPERIMENTAL + text) == expected
    assert lines("InvalidDefinitionDescription", text) == []


def test_every_warning_of_a_text_is_placed_and_helps() -> None:
    text = "From scratch as Scratch\nFROM scratch as scratch\nMAINTAINER me\nENV a=1 \\\n\n b=2\n"
    warnings = found(text)
    assert len(warnings) >= 6
    assert all(item.hint and item.span and item.span.column >= 1 and item.rule for item in warnings)
    assert [item.span for item in warnings] == sorted(item.span for item in warnings if item.span)
