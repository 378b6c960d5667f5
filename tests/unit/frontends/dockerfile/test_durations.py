"""Durations and counts of HEALTHCHECK."""

import pytest

from frontends.dockerfile import syntax
from tests.support.dockerfile_parse import complaint, one


def interval(text: str) -> int | None:
    node = one(f"HEALTHCHECK --interval={text} CMD a")
    assert isinstance(node, syntax.Healthcheck)
    return node.interval


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("", None),
        ("0", 0),
        ("-0", 0),
        ("0s", 0),
        ("1ms", 10**6),
        ("1000us", 10**6),
        ("1000µs", 10**6),
        ("1000μs", 10**6),
        ("1000000ns", 10**6),
        ("1s", 10**9),
        ("+1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", 10**9),
        ("1m30s", 90 * 10**9),
        ("1h1m1s1ms", 3_661_001_000_000),
        ("30s1m", 90 * 10**9),
        ("0.1234567891s", 123_456_789),
        ("0001s", 10**9),
        ("2562047h", 2562047 * 3600 * 10**9),
    ],
)
def test_durations(text: str, nanoseconds: int | None) -> None:
    assert interval(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["1", "s", "1x", "1 s", "1s ", ".", ".s", "1.2.3s", "1S", "--1s", "1s-1s", "\uff19s", "3000000h"]
)
def test_no_durations(text: str) -> None:
    assert complaint(
        f'HEALTHCHECK "--interval={text}" CMD a' if " " in text else f"HEALTHCHECK --interval={text} CMD a"
    )


@pytest.mark.parametrize("text", ["1us", "999us", "-1s", "1ns"])
def test_too_short(text: str) -> None:
    assert complaint(f"HEALTHCHECK --timeout={text} CMD a") == f"--timeout is too short: {text}"


@pytest.mark.parametrize(("text", "count"), [("", None), ("0", 0), ("3", 3), ("+3", 3), ("2147483647", 2147483647)])
def test_retries(text: str, count: int | None) -> None:
    node = one(f"HEALTHCHECK --retries={text} CMD a")
    assert isinstance(node, syntax.Healthcheck)
    assert node.retries == count


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "2147483648", "1_0", "9" * 5000, "³"])
def test_no_retries(text: str) -> None:
    assert complaint(f"HEALTHCHECK --retries={text} CMD a") == f"--retries is not a count: {text}"
