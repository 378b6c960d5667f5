import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.cli.commands import COMMANDS, load
from buildkit_py.cli.help import OVERVIEW, TOPICS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_overview_and_explains_itself(cli: Any, name: str) -> None:
    assert f"  {name} " in OVERVIEW
    assert COMMANDS[name][1] in OVERVIEW
    assert cli(name, "--help") == 0
    by_option = cli.out
    assert cli("help", name) == 0
    assert cli.out == by_option
    assert by_option.startswith(f"usage: pybuild {name} ")
    assert "examples:\n  " in by_option
    assert "-h, --help" in by_option
    assert cli.err == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_command_parse(name: str) -> None:
    import shlex

    command = load(name)
    for line in command.parser().epilog.splitlines()[1:]:  # type: ignore[union-attr]
        words = shlex.split(line.strip().split("  ")[0].replace("<(", "").replace(")", ""))
        start = words.index("pybuild")
        rest = words[start + 2 :]
        for stop in ("|", ">", "<"):
            if stop in rest:
                rest = rest[: rest.index(stop)]
        assert words[start + 1] == name
        command.parser().parse(rest)


@pytest.mark.parametrize("words", [("help",), ("--help",), ("-h",)])
def test_help_is_the_overview(cli: Any, words: tuple[str, ...]) -> None:
    assert cli(*words) == 0
    assert cli.out == OVERVIEW


@pytest.mark.parametrize("topic", TOPICS)
def test_topics(cli: Any, topic: str) -> None:
    assert cli("help", topic) == 0
    assert cli.out == TOPICS[topic]


def test_help_for_what_is_not_there(cli: Any) -> None:
    assert cli("help", "inspct") == 2
    assert "did you mean 'inspect'?" in cli.err


def test_lines_of_help_fit_a_terminal() -> None:
    for text in (OVERVIEW, *TOPICS.values()):
        assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_knows_commands_and_options(cli: Any, shell: str) -> None:
    assert cli("completion", shell) == 0
    assert "prune" in cli.out
    assert "older-than" in cli.out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=cli.out, text=True, check=True)


def test_bash_completes(cli: Any) -> None:
    cli("completion", "bash")
    ask = cli.out + 'COMP_WORDS=(pybuild build --keep); COMP_CWORD=2; _pybuild; echo "${COMPREPLY[@]}"'
    assert subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout == "--keep-going\n"
    ask = cli.out + 'COMP_WORDS=(pybuild insp); COMP_CWORD=1; _pybuild; echo "${COMPREPLY[@]}"'
    assert subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout == "inspect\n"


def test_the_manual_names_every_command_and_option() -> None:
    manual = (Path(__file__).parents[3] / "docs/cli.md").read_text()
    for name in COMMANDS:
        assert f"## `pybuild {name}" in manual
        parser = load(name).parser()
        for option in {*parser.options(), *parser._option_string_actions}:
            assert f"`{option}" in manual, f"{name} {option}"


def test_help_and_manual_have_one_order() -> None:
    manual = (Path(__file__).parents[3] / "docs/cli.md").read_text()
    shown = [line.split()[0] for line in OVERVIEW.splitlines() if line.startswith("  ") and "pybuild " not in line[:11]]
    sections = [line.split()[2].rstrip("`") for line in manual.splitlines() if line.startswith("## `pybuild ")]
    assert [name for name in shown if name in COMMANDS] == list(COMMANDS)
    assert sections == [name for name in shown if name != "help"]


def test_every_table_of_the_manual_has_a_head() -> None:
    lines = (Path(__file__).parents[3] / "docs/cli.md").read_text().splitlines()
    for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
        if line.startswith("| ") and not before:
            assert after.startswith("|---"), line


def test_help_and_completions_offer_nothing_that_has_no_effect(cli: Any) -> None:
    for words in (("build", "--help"), ("completion", "bash")):
        assert cli(*words) == 0
        assert "--cgroup-parent" not in cli.out


def test_the_manual_holds_the_exit_codes_as_help_shows_them() -> None:
    manual = (Path(__file__).parents[3] / "docs/cli.md").read_text()
    for text in TOPICS.values():
        assert text.partition("\n\n")[2] in manual


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes(cli: Any) -> None:
    cli("completion", "fish")
    ask = cli.out + "complete -C 'pybuild insp'; complete -C 'pybuild build --keep'"
    done = subprocess.run(["fish", "-N", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["inspect\tshow an image: configuration, layers, digests", "--keep-going"]


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_knows_what_to_offer(cli: Any) -> None:
    cli("completion", "zsh")
    # The functions of zsh's completion system, which only work in an editor, print what they are given.
    fakes = (
        "compdef() {}; _describe() { print -l -- ${(P)2} }; compadd() { print -l -- $@ }; _files() { print files }\n"
    )
    ask = (
        fakes
        + cli.out
        + "words=(pybuild ''); CURRENT=2; _pybuild\nwords=(pybuild build --n); CURRENT=3; PREFIX=--n; _pybuild"
    )
    shown = subprocess.run(["zsh", "-f", "-c", ask], capture_output=True, text=True, check=True).stdout.splitlines()
    assert "df:show what the store's space is used for" in shown
    assert "--no-cache" in shown
