"""Trees as lines of text, for tests that are tables.

    d/ 711 7:8      a directory (755, 0:0 where nothing else is said)
    d/f 4755 1:2    a file (644) that holds `x`, or what is written after `=`: `d/f =text`
    d/ln -> ../a    a symbolic link
    d/g => d/f      another name of a file
    pipe |          a pipe          null c1:3   a device
    gone !          a removal
    f {name=text}   attributes

Directories above are 755, 0:0 unless they have a line of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from buildkit_py.digest import Digest
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tree import ROOT, ChainTree, ancestors

_LINE = re.compile(
    r"(?P<path>\S+?)(?P<slash>/)?"
    r"(?: -> (?P<link>\S+)| => (?P<same>\S+)| (?P<kind>[|!]|[cb]\d+:\d+))?"
    r"(?: (?P<mode>[0-7]{3,4}))?(?: (?P<uid>\d+):(?P<gid>\d+))?(?: \{(?P<name>[^=]+)=(?P<value>[^}]*)\})?"
    r"(?: =(?P<text>.*))?\Z",
    re.DOTALL,
)
_DEFAULTS = {"dir": 0o755, "symlink": 0o777, "whiteout": 0}


def entry(line: str) -> Entry:
    """The entry of a line; one that is another name of a file knows nothing of it yet."""
    found = _LINE.match(line)
    assert found, line
    made = Entry(path=found["path"], type="file")
    if found["slash"]:
        made = replace(made, type="dir")
    elif found["link"]:
        made = replace(made, type="symlink", target=found["link"])
    elif found["same"]:
        made = replace(made, type="hardlink", target=found["same"])
    elif found["kind"]:
        made = _special(made, found["kind"])
    else:
        data = (found["text"] or "x").encode()
        made = replace(made, size=len(data), digest=str(Digest.of(data)))
    mode = int(found["mode"], 8) if found["mode"] else _DEFAULTS.get(made.type, 0o644)
    xattrs = ((found["name"], found["value"].encode()),) if found["name"] else ()
    return replace(made, mode=mode, uid=int(found["uid"] or 0), gid=int(found["gid"] or 0), xattrs=xattrs)


def _special(made: Entry, kind: str) -> Entry:
    if kind in "|!":
        return replace(made, type="fifo" if kind == "|" else "whiteout")
    major, minor = map(int, kind[1:].split(":"))
    return replace(made, type="char" if kind[0] == "c" else "block", device=(major, minor))


def entries(lines: Iterable[str]) -> list[Entry]:
    """The entries of lines, sorted, with the directories above them and the root."""
    found = {made.path: made for made in map(entry, lines)}
    for path, made in list(found.items()):
        if made.type == "hardlink":
            found[path] = replace(found[made.target or ""], path=path, type="hardlink", target=made.target)
        for place in ancestors(path):
            found.setdefault(place, Entry(path=place, type="dir", mode=0o755))
    found.setdefault("", ROOT)
    return sorted(found.values(), key=lambda each: each.path)


class TextTree(ChainTree):
    """A tree of lines, whose files hold what the lines say."""

    def __init__(self, *lines: str) -> None:
        super().__init__([(Path("/nowhere"), Diff.of(entries(lines)))])
        found = {line.partition(" ")[0]: line.partition(" =")[2] or "x" for line in lines}
        names = [line.partition(" => ") for line in lines if " => " in line]
        self._texts = found | {name: found[first] for name, _, first in names}

    def open(self, path: str) -> BinaryIO:
        """What the line says."""
        return BytesIO(self._texts[path].encode())
