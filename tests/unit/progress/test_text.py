import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.progress.text import clean, count, duration, short_digest, size, table


@pytest.mark.parametrize(
    ("count_", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (45_100_000, "45.1 MB")],
)
def test_sizes(count_: int, text: str) -> None:
    assert size(count_) == text


@given(st.integers(0, 10**18))
def test_sizes_are_short(number: int) -> None:
    assert len(size(number)) <= len("999.9 kB") + 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0.0 s"), (0.04, "0.0 s"), (59.94, "59.9 s"), (59.95, "1 min 00 s"), (123.0, "2 min 03 s"),
        (3599.4, "59 min 59 s"), (3599.6, "1 h 00 min"), (7384.0, "2 h 03 min"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("dirty", "text"),
    [
        ("plain ünïcode 日本", "plain ünïcode 日本"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07after", "after"),
        ("\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b(Bx\x1b7", "x"),
        ("10%\r50%\r100%\r", "100%"),
        ("a\tb", "a\tb"),
        ("bell\x07 nul\x00 c1\x9b31m", "bell� nul� c1�31m"),
        ("unfinished \x1b]52;c;", "unfinished "),
        ("lone \udcff", "lone �"),
    ],
)
def test_clean_leaves_nothing_that_a_terminal_would_obey(dirty: str, text: str) -> None:
    assert clean(dirty) == text


@given(st.text())
def test_clean_text_is_printable(line: str) -> None:
    assert all(char.isprintable() or char == "\t" for char in clean(line))


def test_a_table_is_aligned() -> None:
    assert table([("a", "1"), ("long", "22")], right=frozenset({1}), indent="  ") == "  a      1\n  long  22\n"
    assert table([]) == ""


def test_small_words() -> None:
    assert (count(1, "step"), count(2, "step")) == ("1 step", "2 steps")
    assert short_digest("sha256:" + "ab" * 32) == "sha256:abababababab"
