from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buildkit_py.store import Store


@pytest.fixture
def root(tmp_path: Path) -> str:
    root = tmp_path / "store"
    Store.open(root).close()
    return str(root)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("mount", "--write"), 2, "needs an IMAGE"),
        (("mount", "nothing:1"), 16, "no image called 'nothing:1'"),
        (("mount", "a", "b", "c"), 2, "takes no further argument: 'c'"),
        (("umount",), 2, "name what to unmount"),
        (("umount", "--all", "x"), 2, "name what to unmount"),
        (("umount", "x"), 16, "nothing that is called 'x' is mounted"),
        (("umount", "/proc"), 16, "is no image of this store"),
        (("shell",), 2, "needs IMAGE"),
        (("shell", "nothing:1"), 16, "no image called 'nothing:1'"),
        (("shell", "--env", "=x", "a"), 2, "write --env NAME=VALUE"),
        (("shell", "--mount", "x", "a"), 2, "write --mount SOURCE:/TARGET"),
        (("shell", "--mount", "/nowhere:/x", "a"), 2, "there is no /nowhere"),
        (("shell", "--mount", "/:/x:rx", "a"), 2, "write --mount SOURCE:/TARGET"),
        (("shell", "--runtime", "docker", "a"), 2, "runc, crun, bwrap"),
    ],
)
def test_mistakes(cli: Any, root: str, words: tuple[str, ...], code: int, said: str) -> None:
    command, *rest = words
    assert cli(command, "--store", root, *rest) == code, cli.err
    assert said in cli.err


def test_nothing_is_mounted(cli: Any, root: str) -> None:
    assert cli("mount", "--store", root) == 0
    assert cli.out == "no images are mounted\n"
    assert cli("mount", "--store", root, "--json") == 0
    assert cli.out == "[]\n"
    assert cli("umount", "--store", root, "--all") == 0
    assert cli.out == ""


def test_words_after_the_image_are_its_command() -> None:
    from buildkit_py.cli.enter import SHELL

    parsed = SHELL.parser().parse(["--write", "-u", "app", "app:1", "ls", "-l", "--", "x"])
    assert (parsed.name, parsed.user, parsed.write, parsed.command) == ("app:1", "app", True, ["ls", "-l", "--", "x"])
    parsed = SHELL.parser().parse(["app:1", "--", "sh", "-c", "x", "--", "y"])
    assert parsed.command == ["sh", "-c", "x", "--", "y"]
