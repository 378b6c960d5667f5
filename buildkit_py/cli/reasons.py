"""Why steps ran, as text for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from buildkit_py.graph.title import clip
from buildkit_py.progress.text import clean, count, short_digest

if TYPE_CHECKING:
    from buildkit_py.engine.why import Change, Files, Reason, Why

_SHOWN = 10
_VALUE = 160
_SAID = {
    "first": "ran: no earlier build of this directory and build file is known, or its record was removed",
    "new": "ran: no earlier build had this step",
    "forgotten": "ran, and nothing changed: its result was removed from the store",
    "failed": "ran, and nothing changed: it did not succeed before",
    "no-cache": "ran because of --no-cache",
    "refresh": "ran because of --refresh",
    "always": "ran because it is to run in every build, or because of --no-cache-filter",
    "bytes": "ran: its result is known, but its files were not in the store, and a step needed them",
    "cached": "did not run: its result was known",
    "skipped": "did not run: what it needs failed",
    "unknown": "ran: what it was before is not kept any more",
    "layer": "a layer is written where none of the same changes is in the store",
    "check": "a check is made where it has not held for the same files before",
    "output": "outputs are written in every build",
    "changed": "ran again",
}
_PARTS = {
    "op.args": "its command", "op.text": "its text", "op.sources": "what it takes", "op.dest": "where it goes",
    "op.cwd": "its directory", "op.user": "its user", "op.platform": "the platform", "op.network": "its network",
    "op.exclude": "what it leaves out", "op.owner": "the owner", "op.mode": "the mode", "op.type": "what it does",
    "epoch": "the time that files get", "engine": "what steps mean, by the version of pybuild",
    "mounts": "the order of its mounts", "pin": "its digest",
}  # fmt: skip
_GROUPS = {
    "env": "the variable {}",
    "mount": "the mount {}",
    "secret": "the secret {}",
    "ssh": "the ssh agent {}",
    "tool": "the program {}",
    "op": "its {}",
}


def as_text(why: Why, steps: Sequence[str]) -> str:
    """One block a step."""
    return "\n".join("".join(f"{line}\n" for line in _block(why, why.reason(step), steps)) for step in steps)


def _block(why: Why, reason: Reason, told: Sequence[str]) -> Iterator[str]:
    yield _head(reason)
    compared = f" (compared with the build {reason.build})" if reason.build and reason.changes else ""
    yield f"    {_SAID[reason.verdict]}{compared}"
    yield from (f"    {line}" for line in _changes(why, reason))
    roots = why.roots(reason)
    if not roots:
        return
    yield "    because of"
    for root in roots:
        yield f"      {_head(root)}"
        if root.id not in told:
            yield from (f"          {line}" for line in _root(why, root))


def _root(why: Why, root: Reason) -> Iterator[str]:
    lines = list(_changes(why, root))
    if not lines:
        yield f"{_SAID[root.verdict]}; what it made is not what it was"
    yield from lines


def _head(reason: Reason) -> str:
    node = reason.node
    number = f"#{node['number']}  " if "number" in node else ""
    place = f"  ({clean(node['at'])})" if "at" in node else ""
    return f"{number}{clip(node.get('title', reason.id), 100)}{place}"


def _changes(why: Why, reason: Reason) -> Iterator[str]:
    if reason.title_before is not None and "key" not in reason.node:
        yield f"it was: {clip(reason.title_before, 100)}"
    for change in reason.changes:
        if change.step is not None or change.part.startswith("select."):
            yield from _input(why, change)
        else:
            yield from _values(_named(change.part), change.old, change.new)


def _input(why: Why, change: Change) -> Iterator[str]:
    """A change of what comes from another step, or from the client's directory."""
    role = change.part.partition(".")[2]
    node = why.record["nodes"][change.step] if change.step is not None else {}
    source = f"#{node['number']} {node['title']}" if "number" in node else node.get("title", "what it takes")
    what = "what it stands on" if change.part == "input.base" else f"what it takes from {clip(source, 60)}"
    if change.part.startswith("select.") and role != "from":
        what = f"the files of its mount {clean(role)}"
    if node.get("kind") == "local":
        what = f"the files of its mount {clean(role)}" if role != "from" else "the files that it takes"
    shown = f": {clip(source, 60)}" if change.part == "input.base" else ""
    yield f"{what} changed{shown}" + ("" if change.files is None else f": {_summed(change.files)}")
    if change.files is not None:
        yield from _files(change.files)
    elif node.get("kind") == "local" and change.old and change.new:
        yield "  which of them is not known: one of the two lists is not kept"


def _summed(files: Files) -> str:
    named = {"changed": files.changed, "added": files.added, "removed": files.removed}
    said = ", ".join(f"{len(paths)} {word}" for word, paths in named.items() if paths)
    return said or "their order, or what they are called"


def _files(files: Files) -> Iterator[str]:
    marked = [
        (mark, path)
        for mark, paths in zip("~+-", (files.changed, files.added, files.removed), strict=True)
        for path in paths
    ]
    yield from (f"  {mark} {clean(path)}" for mark, path in marked[:_SHOWN])
    if len(marked) > _SHOWN:
        yield f"  and {count(len(marked) - _SHOWN, 'file')} more"


def _named(part: str) -> str:
    group, _, name = part.partition(".")
    return _PARTS.get(part) or _GROUPS.get(group, "{}").format(clean(name or part))


def _values(what: str, old: Any, new: Any) -> Iterator[str]:
    """The old and the new value; of texts of several lines only the lines that differ."""
    before, now = _texts(old), _texts(new)
    if old is None or new is None:
        how = "was not there before" if old is None else "is not there any more"
        yield f"{what} {how}: {_short((before if new is None else now)[0])}"
        return
    if len(before) == len(now) == 1:
        yield f"{what} changed"
        yield f"  - {_short(before[0])}"
        yield f"  + {_short(now[0])}"
        return
    import difflib

    lines = [line for line in difflib.ndiff(before, now) if line[:2] in ("- ", "+ ")]
    yield f"{what} changed"
    yield from (f"  {line[0]} {_short(line[2:])}" for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield f"  and {count(len(lines) - _SHOWN, 'line')} more"


def _texts(value: Any) -> list[str]:
    """A value as lines: a command as its last word where the others are those of a shell."""
    if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
        value = (
            value[-1] if len(value) > 1 and value[-2].startswith("-") and value[-2].endswith("c") else " ".join(value)
        )
    if isinstance(value, str):
        return value.split("\n") if value.strip() else [repr(value)]
    return [json.dumps(value, ensure_ascii=False)]


def _short(text: str) -> str:
    line = clip(clean(text), _VALUE)
    return short_digest(line) if line.startswith("sha256:") and len(line) == 71 else line


def as_plain(why: Why, steps: Sequence[str]) -> dict[str, Any]:
    """As a JSON value; `because` holds the steps that the changes come from."""
    return {
        "build": why.record["id"],
        "steps": [
            {**_plain(why, reason), "because": [_plain(why, root) for root in why.roots(reason)]}
            for reason in map(why.reason, steps)
        ],
    }


def _plain(why: Why, reason: Reason) -> dict[str, Any]:
    node = reason.node
    return {
        "number": node.get("number"),
        "title": node.get("title"),
        "at": node.get("at"),
        "verdict": reason.verdict,
        "compared_with": reason.build,
        "title_before": reason.title_before,
        "changes": [_plain_change(why, change) for change in reason.changes],
    }


def _plain_change(why: Why, change: Change) -> dict[str, Any]:
    node = why.record["nodes"][change.step] if change.step is not None else None
    step = {"number": node.get("number"), "title": node.get("title")} if node is not None else None
    files = asdict(change.files) if change.files is not None else None
    return {"part": change.part, "old": change.old, "new": change.new, "step": step, "files": files}
