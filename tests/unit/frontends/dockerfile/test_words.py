"""What Go's formatter prints."""

from __future__ import annotations

import pytest

from frontends.dockerfile.words import go_duration, go_quote, go_quote_all, go_quote_number


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", '""'), ("a b", '"a b"'), ('a"b\\', r'"a\"b\\"'), ("\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        ("\x00\x1b\x7f", r'"\x00\x1b\x7f"'), ("ü한☺", '"ü한☺"'), ("\x80\xa0\xad", r'"\u0080\u00a0\u00ad"'),
        ("\u200b\u2028\ufeff", r'"\u200b\u2028\ufeff"'), ("\U0001f680", '"🚀"'), ("\U000e0001", r'"\U000e0001"'),
        ("\udcff\udc80", r'"\xff\x80"'), ("\ufffd", '"\ufffd"'), ("'`$", "\"'`$\""), ("\U0010ffff", r'"\U0010ffff"'),
    ],
)  # fmt: skip
def test_quote(text: str, quoted: str) -> None:
    assert go_quote(text) == quoted


def test_quote_all() -> None:
    assert go_quote_all(["a", "b c", '"']) == r'["a" "b c" "\""]'
    assert go_quote_all([]) == "[]"


@pytest.mark.parametrize(
    ("number", "quoted"),
    [
        (0, r"'\x00'"), (3, r"'\x03'"), (10, r"'\n'"), (34, "'\"'"), (39, r"'\''"), (65, "'A'"), (92, r"'\\'"),
        (0x20AC, "'€'"), (0xD800, "'\ufffd'"), (0x110000, "'\ufffd'"), (-1, "'\ufffd'"), (0xE000, r"'\ue000'"),
    ],
)  # fmt: skip
def test_quote_number(number: int, quoted: str) -> None:
    assert go_quote_number(number) == quoted


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"), (1, "1ns"), (999, "999ns"), (1_000, "1µs"), (1_500, "1.5µs"), (2_200_000, "2.2ms"), (10**9, "1s"),
        (1_000_000_001, "1.000000001s"), (30 * 10**9, "30s"), (90 * 10**9, "1m30s"), (3600 * 10**9, "1h0m0s"),
        (3661 * 10**9 + 5 * 10**8, "1h1m1.5s"), (60 * 10**9, "1m0s"), (100 * 3600 * 10**9, "100h0m0s"),
        (-1_500_000, "-1.5ms"), (5 * 60 * 10**9 + 1_000_000, "5m0.001s"),
    ],
)  # fmt: skip
def test_duration(nanoseconds: int, text: str) -> None:
    assert go_duration(nanoseconds) == text
