"""What `pybuild diff` tells people: a line a difference, marked by `+`, `-` or `~`; what is too much is counted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from buildkit_py.graph.title import clip, printable_line
from buildkit_py.progress.text import clean, count, short_digest, size, table

_MARKS = {"added": "+", "removed": "-", "changed": "~"}
_PLACES = {"both": "=", "repacked": "≈", "before": "-", "after": "+"}
_MOST = 40
_VALUE = 70

Row = dict[str, Any]


def render(document: Row, *, whole: bool) -> str:
    """The whole text. Unless it is to be `whole`, values are cut, directories that came or went are one line, and so
    many files are shown."""
    parts = [f"{_side(document['before'], '-')}{_side(document['after'], '+')}"]
    if "config" in document:
        parts.append(_configs(document["config"], whole=whole))
    if "layers" in document:
        parts.append(_layers(document["layers"], whole=whole))
    if "files" in document:
        parts.append(_files(document["files"], whole=whole))
    return "\n".join(parts)


def _side(image: Row, mark: str) -> str:
    return f"{mark} {clean(image['name'])}  {image['platform']}  {short_digest(image['digest'])}\n"


def _configs(rows: Sequence[Row], *, whole: bool) -> str:
    if not rows:
        return "configuration: the same\n"
    lines = [(_MARKS[row["change"]], _name(row), _change(row, whole=whole)) for row in rows]
    return f"configuration: {count(len(rows), 'difference')}\n{table(lines, indent='  ')}"


def _name(row: Row) -> str:
    return clean(f"{row['field']} {row['key']}" if row["key"] is not None else row["field"])


def _change(row: Row, *, whole: bool) -> str:
    if row["field"] == "history":
        before, after = row["before"] or [], row["after"] or []
        went, came = (sum(line not in other for line in mine) for mine, other in ((before, after), (after, before)))
        return f"{count(went, 'line')} went, {came} came; `pybuild history` shows them"
    return " → ".join(_value(row[side], whole=whole) for side in ("before", "after") if row[side] is not None)


def _value(value: Any, *, whole: bool) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable_line(text) if whole else clip(text, _VALUE)


def _layers(rows: Sequence[Row], *, whole: bool) -> str:
    words = {
        "both": "in both",
        "repacked": "in both under other compressions",
        "before": "only in the first",
        "after": "only in the second",
    }
    parts = []
    for place, word in words.items():
        sizes = [row["size"] for row in rows if row["in"] == place]
        parts += [f"{len(sizes)} {word} ({size(sum(sizes))})"] if sizes else []
    shown = rows if whole else [row for row in rows if row["in"] != "both"]
    lines = [
        (
            _PLACES[row["in"]],
            row["digest"] if whole else short_digest(row["digest"]),
            size(row["size"]),
            printable_line(row["by"]) if whole else clip(row["by"], _VALUE),
        )
        for row in shown
    ]
    return f"layers: {', '.join(parts) or 'none'}\n{table(lines, right=frozenset({2}), indent='  ')}"


def _files(rows: Sequence[Row], *, whole: bool) -> str:
    if not rows:
        return "files: the same\n"
    counts = [(kind, sum(row["change"] == kind for row in rows)) for kind in _MARKS]
    told = ", ".join(f"{number} {kind}" for kind, number in counts if number)
    lines = list(_lines(rows, whole=whole))
    shown = lines if whole else lines[:_MOST]
    rest = len(lines) - len(shown)
    more = f"  … and {count(rest, 'line')} more; --all shows them, --json too\n" if rest else ""
    return f"files: {told}, {_signed(sum(row['bytes'] for row in rows))}\n{table(shown, indent='  ')}{more}"


def _lines(rows: Sequence[Row], *, whole: bool) -> Iterator[tuple[str, str, str]]:
    """Rows by path; of a directory that came or went as a whole one line, unless it is to be `whole`."""
    place = 0
    while place < len(rows):
        row, inside = rows[place], 1
        path, change = row["path"], row["change"]
        if not whole and change != "changed" and _is_directory(row) and path != "/":
            while place + inside < len(rows) and rows[place + inside]["path"].startswith(f"{path}/"):
                inside += 1
        told = rows[place : place + inside]
        if inside > 1 and all(each["change"] == change for each in told):
            yield _MARKS[change], f"{_path(path)}/", f"{inside - 1} in it, {_signed(_sum(told))}"
            place += inside
        else:
            yield _MARKS[change], _path(path) + ("/" if _is_directory(row) and path != "/" else ""), _what(row)
            place += 1


def _sum(rows: Sequence[Row]) -> int:
    return sum(row["bytes"] for row in rows)


def _is_directory(row: Row) -> bool:
    return bool((row["after"] or row["before"])["type"] == "dir")


def _what(row: Row) -> str:
    """What changed of a file, or what came or went."""
    before, after = row["before"], row["after"]
    if before is None or after is None:
        found = after or before
        if found["type"] == "symlink":
            return f"→ {_path(found['target'] or '')}"
        return _signed(row["bytes"]) if found["type"] == "file" else found["type"]
    told = []
    for name in row["what"]:
        if name == "content":
            told.append(f"content {_signed(row['bytes'])}" if row["bytes"] else "content, of the same size")
        elif name in ("type", "mode", "owner", "target"):
            told.append(f"{name} {_path(str(before[name]))} → {_path(str(after[name]))}")
        else:
            told.append(name)
    return ", ".join(told)


def _path(text: str) -> str:
    """A path on one line: what can't be printed is escaped as in Python."""
    if text.isprintable():
        return text
    odd = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return "".join(odd)


def _signed(number: int) -> str:
    return f"-{size(-number)}" if number < 0 else f"+{size(number)}"
