"""The key of a step: named parts, digested canonically.

The parts are kept with the result, so that "why did this run again?" is a comparison of two records. Part names:

    engine              `KEY_VERSION`: what the ops mean
    op.FIELD            each field of the op but `env`, `mounts` and `tools`; the platform of a process is never empty
    env.NAME            each variable of the step's environment
    mount.TARGET        each mount as data, without what it shows
    mounts              the targets of the mounts, in their order
    secret.ID, ssh.ID   whether what a step can do without was given: `given` or `absent`
    input.ROLE          content id of an input tree
    select.ROLE         digest of exactly what a copy, an unpack or a bind mount selects of an input
    tool.NAME           identity of a program of the build machine
    epoch               the time that files get

A secret's value is in no part; its id and where it is mounted are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from buildkit_py import canonical
from buildkit_py.dataclass import dataclass
from buildkit_py.graph.codec import encode
from buildkit_py.graph.op import ExecStep, Op, SecretMount, SshMount
from buildkit_py.platform import Platform

KEY_VERSION = 2
"""What the ops mean. Raised by hand when the same op over the same inputs would give another tree than before."""

_SPLIT = ("env", "mounts", "tools", "type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The digest of a step's parts, and the parts."""

    digest: str
    parts: Mapping[str, Any]


def shared_key(kind: str, name: str) -> str:
    """The key under which machines share something that a store knows as `name` (the digits of a digest)."""
    return str(canonical.digest({"engine": KEY_VERSION, kind: name}))


def key_of(
    op: Op,
    *,
    inputs: Mapping[str, str],
    selections: Mapping[str, str],
    tools: Mapping[str, str],
    epoch: int,
    given: Collection[str] = (),
) -> Key:
    """Make the key of an op whose inputs are known. `given` are the secrets and agents of this build: `secret.ID`,
    `ssh.ID`."""
    plain = encode(op)
    parts: dict[str, Any] = {"engine": KEY_VERSION, "op.type": plain["type"], "epoch": epoch}
    parts.update((f"op.{name}", value) for name, value in plain.items() if name not in _SPLIT)
    if isinstance(op, ExecStep):
        parts.update(_process_parts(op, plain, given))
    parts.update((f"input.{role}", value) for role, value in inputs.items())
    parts.update((f"select.{role}", value) for role, value in selections.items())
    parts.update((f"tool.{name}", value) for name, value in tools.items())
    return Key(digest=str(canonical.digest(parts)), parts=parts)


def _process_parts(op: ExecStep, plain: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """What only a process has: its environment, its mounts, the machine that it is for."""
    parts: dict[str, Any] = {"op.platform": op.platform or str(Platform.host())}
    parts.update((f"env.{name}", value) for name, value in op.env)
    if op.mounts:
        parts["mounts"] = [mount.target for mount in op.mounts]
    for number, (mount, data) in enumerate(zip(op.mounts, plain.get("mounts", ()), strict=True)):
        parts[f"mount.{mount.target or number}"] = data
        if isinstance(mount, SecretMount | SshMount) and not mount.required:
            name = f"{mount.kind}.{mount.id}"
            parts[name] = "given" if name in given else "absent"
    return parts
