"""One readable line for each op, as logs, views and drawings show it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from buildkit_py.graph.op import (
    Chmod,
    Copy,
    ExecStep,
    FileMount,
    FileStep,
    GitSource,
    Host,
    HttpSource,
    ImageSource,
    LocalSource,
    Merge,
    Mkdir,
    Op,
    Remove,
    Run,
    Scratch,
    Source,
    Symlink,
    Unpack,
    Write,
)
from buildkit_py.platform import Platform

_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"})
_SET_UP = re.compile(
    r"set(?:[ \t]+[-+](?:[A-Za-z]*o[ \t]+[a-z]+|[A-Za-z]+))+[ \t]*(?:;|&&|[ \t]#.*|\\?\Z)[ \t]*"
    r"|\(set -o pipefail\) 2>/dev/null && set -o pipefail\Z",
    re.ASCII,
)
"""How a script sets up its shell. Options alone match, so that nothing that does something can hide behind them."""


def title(op: Op, *, native: str | None = None, origin: Op | None = None) -> str:
    """What an op does in one printable line, however long: `run uv sync --frozen`. Who draws it cuts it.

    A platform is named only where it is not `native` (default: this machine's). `origin` is the op of the input
    `from`: paths of the build's directory begin with `./` then, and what comes from a URL is called by it.
    """
    if isinstance(op, Run | Host):
        text = _exec(op)
    elif isinstance(op, Scratch | ImageSource | LocalSource | HttpSource | GitSource):
        text = _source(op)
    else:
        text = _file(op, origin)
    platform = getattr(op, "platform", "")
    foreign = platform and platform != (native if native is not None else str(Platform.host()))
    suffix = f" [{platform}]" if foreign else ""
    return printable_line(text) + suffix


def clip(text: str, width: int) -> str:
    """`text` as one printable line of at most `width` characters; `…` stands for what is left out."""
    line = printable_line(text)
    return line if len(line) <= width else line[: max(0, width - 1)].rstrip() + "…"


def printable_line(text: str) -> str:
    """`text` as one line; what can't be printed is replaced."""
    line = " ".join(text.split())
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)


def _source(op: Source) -> str:
    if isinstance(op, Scratch):
        return "from scratch"
    if isinstance(op, ImageSource):
        return f"from {op.ref}"
    if isinstance(op, LocalSource):
        return f"read {op.name}"
    if isinstance(op, HttpSource):
        return f"fetch {op.url}"
    folder = f" {op.subdir}" if op.subdir else ""
    return f"git {op.url} {op.commit[:12]}{folder}"


def _file(op: FileStep, origin: Op | None) -> str:
    if isinstance(op, Copy | Unpack):
        return f"{op.type} {_taken(op.sources, origin)} → {op.dest}"
    if isinstance(op, Merge):
        return "merge onto /"
    if isinstance(op, Mkdir):
        return f"mkdir {op.path}"
    if isinstance(op, Write):
        return f"write {op.path}"
    if isinstance(op, Symlink):
        return f"symlink {op.path} → {op.target}"
    if isinstance(op, Remove):
        return f"remove {_some(op.paths)}"
    if isinstance(op, Chmod):
        return f"chmod {op.mode} {_some(op.paths)}"
    return f"chown {op.owner} {_some(op.paths)}"


def _taken(sources: tuple[str, ...], origin: Op | None) -> str:
    """The sources of a copy, as a person would write them."""
    if isinstance(origin, GitSource | HttpSource):
        return origin.url
    if isinstance(origin, LocalSource) and origin.name == "context":
        return _some(tuple("./" + source.removeprefix("./").lstrip("/") for source in sources))
    return _some(sources)


def _some(paths: tuple[str, ...], most: int = 3) -> str:
    shown = " ".join(paths[:most])
    return shown if len(paths) <= most else f"{shown} +{len(paths) - most}"


def _exec(op: ExecStep) -> str:
    script = _script(op)
    if script is None:
        return f"{op.type} {' '.join(op.args)}"
    lines = list(_telling(script)) or [op.args[0]]
    return f"{op.type} {lines[0]}{' …' if len(lines) > 1 else ''}"


def _telling(script: str) -> Iterator[str]:
    """The lines of a script that tell a person something: neither a comment nor the set-up of the shell, unless there
    is nothing else."""
    only, told = "", False
    for line in map(str.strip, script.split("\n")):
        rest = line
        while found := _SET_UP.match(rest):
            only, rest = only or (line if line.startswith("set") else ""), rest[found.end() :]
        if only and not told:
            rest = re.sub(r"\A(?:;|&&)[ \t]*", "", rest)
        rest = rest.removesuffix("\\").rstrip()
        if rest and not rest.startswith("#"):
            told = True
            yield rest
    if only and not told:
        yield only


def _script(op: ExecStep) -> str | None:
    """The text that an interpreter is given, by `sh -c` or as a file that only this step sees."""
    name = PurePosixPath(op.args[0]).name
    if name in _SHELLS:
        for index, word in enumerate(op.args[1:-1], start=1):
            if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
                return op.args[index + 1]
    texts = {mount.target: mount.text for mount in op.mounts if isinstance(mount, FileMount)}
    return next((texts[word] for word in op.args if word in texts), None)
