"""What a step may use beyond its own tree, in the words in which a Buildfile grants it: `network`, `cache(/c)`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from buildkit_py.graph.op import (
    BindMount,
    CacheMount,
    ExecStep,
    FileMount,
    Mount,
    Op,
    Run,
    SecretMount,
    SshMount,
    TmpfsMount,
)
from buildkit_py.graph.resources import declared, spelled
from buildkit_py.graph.title import printable_line

_BARE = re.compile(r"[\w./:@%+=~-]+", re.ASCII)


def granted(op: Op, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Each grant of a step, as printable text; what reaches farthest stands first.

    `labels` says where the inputs come from, by role. Nothing is cut: a grant must not hide behind a long one.
    """
    return tuple(printable_line(text) for text in _all(op, labels)) if isinstance(op, ExecStep) else ()


def _all(op: ExecStep, labels: Mapping[str, str]) -> Iterator[str]:
    if isinstance(op, Run) and op.security == "insecure":
        yield "security.insecure"
    if op.network == "host":
        yield "network"
    if op.capabilities:
        yield f"capability({', '.join(map(_word, op.capabilities))})"
    if not isinstance(op, Run):
        if op.tools:
            yield f"tool({', '.join(_word(tool.name) for tool in op.tools)})"
        if "tools" in labels:
            yield f"tools({labels['tools']})"
    for mount in op.mounts:
        # A script is what the step runs, and no more than its arguments are.
        if not isinstance(mount, FileMount):
            yield _MOUNTS[type(mount)](mount, labels)
    yield from (f"{name}({spelled(name, value)})" for name, value in declared(op).items())


def _call(name: str, first: str | None, **more: str | None) -> str:
    words = [_word(first)] if first is not None else []
    words += [f"{key}: {value}" for key, value in more.items() if value is not None]
    return f"{name}({', '.join(words)})" if words else name


def _word(text: str) -> str:
    """Bare where a Buildfile takes it so; in quotes no blank, comma or bracket of it passes for another grant."""
    if _BARE.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unless(usual: str | None, text: str | None) -> str | None:
    return None if text is None or text == usual else _word(text)


def _secret(mount: SecretMount) -> str:
    usual = None if mount.env else f"/run/secrets/{mount.id}"
    optional = None if mount.required else "true"
    return _call("secret", mount.id, env=_unless("", mount.env), target=_unless(usual, mount.target), optional=optional)


def _ssh(mount: SshMount) -> str:
    agent = None if mount.id == "default" else mount.id
    return _call("ssh", agent, optional=None if mount.required else "true")


def _cache(mount: CacheMount, labels: Mapping[str, str]) -> str:
    sharing = _unless("shared", mount.sharing)
    return _call("cache", mount.target, id=_unless(mount.target, mount.id), sharing=sharing, **_from(mount, labels))


def _bind(mount: BindMount, labels: Mapping[str, str]) -> str:
    source = mount.source
    if labels.get(mount.input) == "context":
        source = "./" + source.lstrip("/")
        labels = {}
    writable = None if mount.read_only else "true"
    return _call("mount", source, at=_word(mount.target), writable=writable, **_from(mount, labels))


def _from(mount: BindMount | CacheMount, labels: Mapping[str, str]) -> dict[str, str | None]:
    return {"from": labels.get(mount.input) if mount.input is not None else None}


def _tmpfs(mount: TmpfsMount) -> str:
    return _call("tmpfs", mount.target, size=None if mount.size is None else spelled("memory", mount.size))


_MOUNTS: dict[type[Mount], Callable[[Any, Mapping[str, str]], str]] = {
    BindMount: _bind,
    CacheMount: _cache,
    SecretMount: lambda mount, labels: _secret(mount),
    SshMount: lambda mount, labels: _ssh(mount),
    TmpfsMount: lambda mount, labels: _tmpfs(mount),
}
