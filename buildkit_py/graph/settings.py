"""What a client says about a whole build besides its build file: data that every frontend is given, and may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from buildkit_py.dataclass import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Wishes of the command line.

    `labels` and `annotations` are added to the images. `network` is that of steps that name none; `hosts` are further
    lines of their /etc/hosts (name, address), `limits` their resource limits (name, soft, hard), `shm_size` the bytes
    of their /dev/shm. `contexts` maps names to what stands for them: `local` (a directory that the client offers under
    that name), or a text with a scheme: `docker-image://REF`, `oci-layout://NAME` (a layout that the client offers).
    `fresh` names stages whose steps run although their results are known. `allow` holds what the client grants
    (`network.host`, `security.insecure`). `layers` says where layers end: as the build file does (empty), `stage`,
    `squash`, or the text of a plan. `check` asks for what can be said about the build file alone: every stage is looked
    at, reachable or not.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    network: Literal["default", "none", "host"] = "default"
    hosts: tuple[tuple[str, str], ...] = ()
    limits: tuple[tuple[str, int, int], ...] = ()
    shm_size: int | None = None
    contexts: Mapping[str, str] = field(default_factory=dict)
    fresh: tuple[str, ...] = ()
    allow: frozenset[str] = frozenset()
    layers: str = ""
    check: bool = False
