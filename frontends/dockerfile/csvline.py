"""One line of comma-separated fields, as `--mount` takes them; a field in double quotes may hold commas, and `""`."""

from __future__ import annotations


class CsvError(Exception):
    """A text is no such line."""


def read_fields(text: str) -> list[str]:
    """The fields; raises `CsvError`."""
    text = text.removesuffix("\n")
    if not text:
        raise CsvError("there is nothing in it")
    found: list[str] = []
    place = 0
    while True:
        field, place = _quoted(text, place + 1) if text.startswith('"', place) else _plain(text, place)
        found.append(field)
        if place == len(text):
            return found
        place += 1


def _plain(text: str, start: int) -> tuple[str, int]:
    comma = text.find(",", start)
    end = comma if comma >= 0 else len(text)
    if '"' in text[start:end]:
        raise CsvError("a quote stands inside a field; it must surround all of it")
    return text[start:end], end


def _quoted(text: str, start: int) -> tuple[str, int]:
    found: list[str] = []
    while True:
        quote = text.find('"', start)
        if quote < 0:
            raise CsvError("a quote is not closed")
        found.append(text[start:quote])
        if not text.startswith('"', quote + 1):
            break
        found.append('"')
        start = quote + 2
    if quote + 1 < len(text) and text[quote + 1] != ",":
        raise CsvError("text stands behind a quoted field")
    return "".join(found), quote + 1
