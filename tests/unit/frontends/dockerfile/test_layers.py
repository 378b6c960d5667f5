"""Where layers end: `--layers stage`, `--squash`, and plans."""

from __future__ import annotations

import pytest

from buildkit_py.errors import UsageError
from buildkit_py.graph import Settings
from frontends.dockerfile.layers import Range, read_plan
from tests.support.dockerfiles import compiled, history

TEXT = """
    FROM base AS one
    RUN a
    RUN b
    FROM one
    ENV X=1
    COPY c /
    COPY d /
    RUN e
"""


def _layers(choice: str) -> list[str]:
    (target,) = compiled(TEXT, settings=Settings(layers=choice)).targets
    return [layer.name for layer in target.layers]


def _lines(choice: str) -> list[str]:
    return [line.split()[0] for line in history(compiled(TEXT, settings=Settings(layers=choice)))]


def test_every_instruction_is_a_layer() -> None:
    assert _layers("") == [
        "RUN /bin/sh -c a # buildkit",
        "RUN /bin/sh -c b # buildkit",
        "COPY c / # buildkit",
        "COPY d / # buildkit",
        "RUN /bin/sh -c e # buildkit",
    ]


def test_one_layer_a_stage() -> None:
    assert _layers("stage") == ["stage 0", "stage 1"]
    assert _lines("stage") == ["-", "RUN", "-", "-", "-", "RUN"]


def test_one_layer_in_all() -> None:
    assert _layers("squash") == ["squashed"]
    assert _lines("squash") == ["-", "-", "-", "-", "-", "RUN"]


def test_a_plan_says_which_lines_share_a_layer() -> None:
    plan = '[[layer]]\nname = "files"\nlines = [6, 7]\n'
    assert _layers(plan) == [
        "RUN /bin/sh -c a # buildkit",
        "RUN /bin/sh -c b # buildkit",
        "files",
        "RUN /bin/sh -c e # buildkit",
    ]
    assert _lines(plan) == ["RUN", "RUN", "-", "-", "COPY", "RUN"]


def test_layers_change_no_step() -> None:
    assert set(compiled(TEXT).vertices) == set(compiled(TEXT, settings=Settings(layers="squash")).vertices)


def test_plans_are_sorted_by_line() -> None:
    text = '[[layer]]\nname = "b"\nlines = [5, 6]\n[[layer]]\nname = "a"\nlines = [1, 4]\n'
    assert read_plan(text) == [Range(name="a", first=1, last=4), Range(name="b", first=5, last=6)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names none"),
        ("x = 1", "names none"),
        ("[[layer]]\n", "name and lines"),
        ('[[layer]]\nname = ""\nlines = [1, 2]', "not a name"),
        ('[[layer]]\nname = "a"\nlines = [1]', "two line numbers"),
        ('[[layer]]\nname = "a"\nlines = [true, 2]', "two line numbers"),
        ('[[layer]]\nname = "a"\nlines = [3, 2]', "from 3 to 2"),
        ('[[layer]]\nname = "a"\nlines = [1, 3]\n[[layer]]\nname = "b"\nlines = [3, 4]', "overlap"),
        ("[[layer", "not TOML"),
    ],
)
def test_wrong_plans(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_plan(text)


def test_a_plan_that_names_lines_without_instructions_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no instruction begins on lines 40 to 50, the layer 'x'"):
        _layers('[[layer]]\nname = "x"\nlines = [40, 50]\n')


def test_a_plan_that_names_lines_without_a_layer_is_warned_of() -> None:
    plan = '[[layer]]\nname = "x"\nlines = [5, 5]\n'
    made = compiled(TEXT, settings=Settings(layers=plan))
    assert [warning.message for warning in made.warnings] == [
        "nothing on lines 5 to 5, the layer 'x' of the plan, makes a layer of this image"
    ]
