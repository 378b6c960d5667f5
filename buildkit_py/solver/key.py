"""The key of a step: named parts, digested canonically.

The parts are kept with the result, so that "why did this run again?" is a comparison of two records. Part names:

    op.FIELD            each field of the op but `env`, `mounts` and `tools`
    env.NAME            each variable of the step's environment
    mount.TARGET        each mount as data, without what it shows
    input.ROLE          content id of an input tree
    select.ROLE         digest of exactly what a copy, an unpack or a bind mount selects of an input
    tool.NAME           identity of a program of the build machine
    epoch               the time that files get

A secret's value is in no part; its id and where it is mounted are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from buildkit_py import canonical
from buildkit_py.graph.codec import encode
from buildkit_py.graph.op import Op

_SPLIT = ("env", "mounts", "tools", "type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The digest of a step's parts, and the parts."""

    digest: str
    parts: Mapping[str, Any]


def key_of(
    op: Op, *, inputs: Mapping[str, str], selections: Mapping[str, str], tools: Mapping[str, str], epoch: int
) -> Key:
    """Make the key of an op whose inputs are known."""
    plain = encode(op)
    parts: dict[str, Any] = {"op.type": plain["type"], "epoch": epoch}
    parts.update((f"op.{name}", value) for name, value in plain.items() if name not in _SPLIT)
    parts.update((f"env.{name}", value) for name, value in plain.get("env", ()))
    for number, mount in enumerate(plain.get("mounts", ())):
        parts[f"mount.{mount.get('target', number)}"] = mount
    parts.update((f"input.{role}", value) for role, value in inputs.items())
    parts.update((f"select.{role}", value) for role, value in selections.items())
    parts.update((f"tool.{name}", value) for name, value in tools.items())
    return Key(digest=str(canonical.digest(parts)), parts=parts)
