"""What a selection consists of, in short: path → mark, so that two of them tell which files made a difference.

A mark is the type, the mode, and how the digest begins (or a link's target). It holds no more than the selection's own
digest does: what that leaves out is left out here. Of several sources each has its name before its paths.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from buildkit_py.solver.selection import Selection, Selector

_DIGITS = 16
_HEAD = len("sha256:")


def files_of(selector: Selector, selection: Selection) -> dict[str, str]:
    """The files that a selector took."""
    items = json.loads(selection.text)
    if selector.contents == "always":
        return dict(_picked(list(zip(selection.names, items, strict=True))))
    return {row[0] or ".": _mark(row) for row in items}


def _picked(found: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    for name, item in found:
        if isinstance(item, str):
            yield name, item.partition(":")[2][:_DIGITS]
        elif isinstance(item, dict):
            yield name, _mark(item["file"])
        else:
            above = f"{name}/" if len(found) > 1 and name else ""
            yield from ((f"{above}{row[0]}", _mark(row)) for row in item)


def _mark(row: list[Any]) -> str:
    _, kind, mode, uid, gid, more = row[:6]
    if kind == "file" and not (uid or gid):
        return f"file {mode:o} {more['digest'][_HEAD : _HEAD + _DIGITS]}"
    digest = str(more.get("digest") or "").partition(":")[2][:_DIGITS]
    words = [kind, f"{mode:o}", digest or more.get("target") or "", f"{uid}:{gid}" if uid or gid else ""]
    return " ".join(str(word) for word in words if word)
