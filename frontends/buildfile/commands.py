"""The statements of the form `keyword operands options`, as a table: where each may stand, what its parts must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from buildkit_py.dataclass import dataclass, field
from frontends.buildfile import values
from frontends.buildfile.model import LIST, STRING, Type
from frontends.buildfile.values import Check

Category = Literal["base", "step", "layer", "setting", "image", "item"]
Part = Check | Type | None
"""A checked word, an expression of a type, or a reference to a stage, image or registry (None)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a statement is, and its operands (the last one repeats) and options."""

    category: Category
    operands: tuple[Part, ...] = ()
    options: Mapping[str, Part] = field(default_factory=dict)


_OWNED = {"owner": values.owner, "mode": values.mode}
COMMANDS: dict[str, Spec] = {
    "from": Spec(category="base", operands=(None,)),
    "copy": Spec(
        category="step",
        operands=(values.source,),
        options={
            "to": values.path,
            "from": None,
            "exclude": values.filled,
            "owner": values.owner,
            "mode": values.copied_mode,
        },
    ),
    "mkdir": Spec(category="step", operands=(values.path,), options=_OWNED),
    "write": Spec(category="step", operands=(values.path, STRING), options=_OWNED),
    "symlink": Spec(category="step", operands=(values.path,), options={"to": values.filled, "owner": values.owner}),
    "remove": Spec(category="step", operands=(values.path,)),
    "chmod": Spec(category="step", operands=(values.mode, values.path)),
    "chown": Spec(category="step", operands=(values.owner, values.path)),
    "unpack": Spec(
        category="step",
        operands=(values.filled,),
        options={
            "to": values.path,
            "from": None,
            "owner": values.owner,
            "strip": values.count,
            "digest": values.digest,
        },
    ),
    "fetch": Spec(
        category="step",
        operands=(values.url,),
        options={"to": values.path, "digest": values.digest, **_OWNED},
    ),
    "git": Spec(
        category="step",
        operands=(values.repository,),
        options={"at": values.revision, "to": values.path, "subdir": values.source, **_OWNED},
    ),
    "env": Spec(category="setting", operands=(STRING,)),
    "user": Spec(category="setting", operands=(values.owner,)),
    "workdir": Spec(category="setting", operands=(values.path,)),
    "entrypoint": Spec(category="setting", operands=(LIST,)),
    "command": Spec(category="setting", operands=(LIST,)),
    "expose": Spec(category="setting", operands=(values.port,)),
    "volume": Spec(category="setting", operands=(values.path,)),
    "label": Spec(category="setting", operands=(values.filled, STRING)),
    "stop_signal": Spec(category="setting", operands=(values.signal,)),
    "healthcheck": Spec(
        category="setting",
        operands=(LIST,),
        options={
            "interval": values.duration,
            "timeout": values.duration,
            "start_period": values.duration,
            "retries": values.count,
        },
    ),
    "unset": Spec(category="setting", operands=(values.filled,)),
    "platforms": Spec(category="image", operands=(values.platform,)),
    "annotation": Spec(category="image", operands=(values.filled, STRING)),
    "output": Spec(category="image", operands=(values.filled,)),
    "file": Spec(
        category="item",
        operands=(values.path,),
        options={"owner": values.owner, "mode": values.octal, "text": values.filled},
    ),
    "absent": Spec(category="item", operands=(values.path,)),
    "owner": Spec(category="item", operands=(values.path, values.owner)),
    "mode": Spec(category="item", operands=(values.path, values.octal)),
    "text": Spec(category="item", operands=(values.path, values.filled)),
}

OUTPUTS: dict[str, Check] = {
    "archive": values.place,
    "layout": values.place,
    "docker": values.place,
    "rootfs": values.place,
    "registry": values.pushed,
    "store": values.stored,
}
LOCAL_OUTPUTS = ("archive", "layout", "docker", "rootfs")

UNSET: dict[str, Check | None] = {
    "env": values.variable,
    "volume": values.path,
    "label": values.filled,
    "expose": values.port,
    "entrypoint": None,
    "command": None,
    "user": None,
    "workdir": None,
    "stop_signal": None,
    "healthcheck": None,
}
"""The settings that can be taken away; those with a check have names, and without a name all go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantSpec:
    """What a grant takes: arguments by position (the last one repeats if `many`), and by key."""

    form: str
    position: Check | None = None
    required: bool = False
    many: bool = False
    keys: Mapping[str, Check] = field(default_factory=dict)
    only: Literal["run", "host", ""] = ""


GRANTS: dict[str, GrantSpec] = {
    "network": GrantSpec(form="network"),
    "secret": GrantSpec(
        form="secret(token, env: TOKEN)",
        position=values.filled,
        required=True,
        keys={"env": values.variable, "target": values.path, "optional": values.truth},
    ),
    "ssh": GrantSpec(form="ssh", position=values.filled, keys={"optional": values.truth}),
    "cache": GrantSpec(
        form="cache(/root/.cache)",
        position=values.path,
        required=True,
        keys={"id": values.filled, "sharing": values.sharing},
    ),
    "mount": GrantSpec(
        form="mount(./tests, at: /tests)",
        position=values.source,
        required=True,
        keys={"at": values.path, "from": values.filled, "writable": values.truth},
    ),
    "tmpfs": GrantSpec(form="tmpfs(/tmp, size: 64m)", position=values.path, required=True, keys={"size": values.size}),
    "tool": GrantSpec(
        form="tool(mmdebstrap)",
        position=values.program,
        required=True,
        many=True,
        keys={"package": values.filled},
        only="host",
    ),
    "tools": GrantSpec(form='tools("debian:12")', position=values.image, required=True, only="host"),
    "capability": GrantSpec(form="capability(NET_RAW)", position=values.capability, required=True, many=True),
    "timeout": GrantSpec(form="timeout(10m)", position=values.timeout, required=True),
    "memory": GrantSpec(form="memory(512m)", position=values.memory, required=True),
    "pids": GrantSpec(form="pids(200)", position=values.pids, required=True),
    "cpus": GrantSpec(form="cpus(1.5)", position=values.cpus, required=True),
}
