"""Command lines as docker's clients take them."""

from __future__ import annotations

from typing import Any

import pytest

from buildkit_py.cli.build import BUILD
from buildkit_py.cli.parser import Namespace
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import UsageError


def parsed(*words: str) -> Namespace:
    return BUILD.parsed(words, Shell())


@pytest.mark.parametrize(
    "words",
    [
        ("-t", "app", "-q", "-f", "D", "dir"),
        ("dir", "-t", "app", "-q", "-f", "D"),
        ("-t", "app", "dir", "-q", "-f", "D"),
        ("--tag=app", "--quiet", "--file=D", "dir"),
        ("--tag", "app", "--file", "D", "--quiet=true", "dir"),
        ("-qt", "app", "-fD", "dir"),
        ("-qtapp", "-f=D", "dir"),
        ("-t=app", "-q=1", "-f", "D", "dir"),
        ("-q", "-t", "app", "-f", "D", "--", "dir"),
    ],
)
def test_options_stand_anywhere_in_any_form(words: tuple[str, ...]) -> None:
    found = parsed(*words)
    assert (found.tag, found.quiet, found.file, found.context) == (["app"], True, "D", "dir")


def test_a_switch_may_be_told_its_value() -> None:
    assert parsed("--push=true").push
    assert not parsed("--push=false").push
    assert not parsed("--push", "--push=0", ".").push
    assert parsed("--push=false", "--push").push
    with pytest.raises(UsageError, match="--push is true or false, not 'maybe'"):
        parsed("--push=maybe")


def test_an_option_takes_the_word_after_it() -> None:
    assert parsed("--memory-swap", "-1").memory_swap == "-1"
    assert parsed("--build-arg", "-x=1").build_arg == ["-x=1"]
    assert parsed("-t", "-x").tag == ["-x"]
    assert parsed("-f", "-", "-").file == "-"
    assert parsed("-f", "-", "-").context == "-"


def test_an_option_that_needs_no_value_takes_only_one_that_is_joined_to_it() -> None:
    assert parsed("dir").timings is None
    found = parsed("--timings", "dir")
    assert (found.timings, found.context) == ("", "dir")
    found = parsed("dir", "--timings=x.svg", "-q")
    assert (found.timings, found.context, found.quiet) == ("x.svg", "dir", True)


def test_an_option_without_its_value_is_refused() -> None:
    with pytest.raises(UsageError, match="expected one argument"):
        parsed("--tag")


@pytest.mark.parametrize("words", [("--tag", "--"), ("--tag=--",), ("-t", "--"), ("-f=--",)])
def test_the_end_of_the_options_is_no_value(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="ends the options"):
        parsed(*words)


@pytest.mark.parametrize(
    "words",
    [
        ("buildx", "build"),
        ("buildx", "b"),
        ("image", "build"),
        ("builder", "build"),
        ("--debug", "build"),
        ("-D", "buildx", "build"),
    ],
)
def test_other_ways_to_say_build(cli: Any, words: tuple[str, ...]) -> None:
    cli.engine.on_build = lambda options, emit: (_ for _ in ()).throw(UsageError("stop"))
    assert cli(*words, "-t", "app", ".") == 2
    assert cli.engine.asked[-1].tags == ("app",)


def test_what_is_no_build_is_no_command(cli: Any) -> None:
    assert cli("buildx", "ls") == 2
    assert "no such command: 'buildx'" in cli.err
