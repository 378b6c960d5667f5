"""A recipe under way: the tree so far, its layers, its configuration, and the directories known to be there."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass, field
from buildkit_py.graph import ImageConfig, Mkdir, Op, Output
from buildkit_py.platform import Platform
from buildkit_py.source import Span
from frontends.buildfile.expand import Action, LayerUse
from frontends.buildfile.model import Recipe
from frontends.buildfile.text import fault
from frontends.buildfile.words import did_you_mean

if TYPE_CHECKING:
    from frontends.buildfile.lower import Lowering

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(slots=True, kw_only=True)
class Config:
    """An image configuration that settings change."""

    env: dict[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = ""
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    command_is_own: bool = False
    expose: dict[str, None] = field(default_factory=dict)
    volumes: dict[str, None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    stop_signal: str | None = None
    healthcheck: dict[str, object] | None = None

    @classmethod
    def of(cls, base: ImageConfig) -> Config:
        """A copy of what a base declares."""
        return cls(
            env=dict(base.env),
            user=base.user,
            workdir=base.workdir,
            entrypoint=base.entrypoint,
            command=base.command,
            expose=dict.fromkeys(base.expose),
            volumes=dict.fromkeys(base.volumes),
            labels=dict(base.labels),
            stop_signal=base.stop_signal,
            healthcheck=dict(base.healthcheck) if base.healthcheck is not None else None,
        )

    def frozen(self) -> ImageConfig:
        """As the graph holds it."""
        return ImageConfig(
            env=tuple(self.env.items()),
            user=self.user,
            workdir=self.workdir,
            entrypoint=self.entrypoint,
            command=self.command,
            expose=tuple(self.expose),
            volumes=tuple(self.volumes),
            labels=dict(self.labels),
            stop_signal=self.stop_signal,
            healthcheck=self.healthcheck,
        )


@dataclass(slots=True, kw_only=True)
class State:
    """`tip` is the vertex of the tree so far, empty before `from`."""

    lowering: Lowering
    recipe: Recipe
    platform: Platform
    base: str = ""
    tip: str = ""
    layers: list[tuple[str, str]] = field(default_factory=list)
    config: Config = field(default_factory=Config)
    annotations: dict[str, str] = field(default_factory=dict)
    directories: set[str] = field(default_factory=lambda: {"/"})
    tests: list[Action] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    layer: LayerUse | None = None
    layer_open: bool = False
    layer_names: dict[str, int] = field(default_factory=dict)

    # --- the tree

    def step(self, action: Action, op: Op, **inputs: str) -> None:
        """Put a step on the tree, in the layer that the action belongs to."""
        self.enter_layer(action)
        self.tip = self.lowering.graph.add(op, span=action.node.span, inputs={"base": self.tip, **inputs})

    def enter_layer(self, action: Action) -> None:
        number = action.layer.number if action.layer else 0
        current = self.layer.number if self.layer else 0
        if self.layer_open and number == current:
            return
        self.close_layer()
        if action.layer is not None:
            self.check_layer_name(action.layer)
        self.layer, self.layer_open = action.layer, True

    def check_layer_name(self, layer: LayerUse) -> None:
        if layer.name in self.layer_names:
            raise fault(
                f'there is already a layer "{layer.name}" in {self.recipe.kind} `{self.recipe.name}`',
                layer.node.name.span,
                hint="give it another name, or put the steps into one block",
            )
        self.layer_names[layer.name] = layer.number

    def close_layer(self) -> None:
        """End the layer that is open, if it has steps."""
        if self.layer_open:
            self.layers.append((self.layer.name if self.layer else self.free_name(), self.tip))
            self.layer_open = False

    def free_name(self) -> str:
        taken = {name for name, _ in self.layers} | set(self.layer_names)
        name, number = self.recipe.name, 1
        while name in taken:
            number += 1
            name = f"{self.recipe.name}-{number}"
        return name

    # --- directories

    def learn(self, path: str) -> None:
        """Note that a directory is there, and those that it is in."""
        path = posixpath.normpath(path)
        while path not in self.directories:
            self.directories.add(path)
            path = posixpath.dirname(path)

    def learn_file(self, path: str) -> None:
        """Note the directory that a file is in; with a final `/` the path is the directory."""
        self.learn(path if path.endswith("/") else posixpath.dirname(path))

    def forget(self, path: str) -> None:
        """Note that something may be gone."""
        prefix = posixpath.normpath(path)
        if any(char in prefix for char in "*?["):
            prefix = posixpath.dirname(prefix[: min(prefix.find(char) for char in "*?[" if char in prefix)] + "x")
        kept = {name for name in self.directories if name != prefix and not name.startswith(prefix.rstrip("/") + "/")}
        self.directories = kept | {"/"}

    def ensure_workdir(self, action: Action) -> str:
        """The working directory for a step, made if it is not known to be there."""
        path = self.config.workdir or "/"
        if path not in self.directories:
            owner = self.config.user or "0:0"
            self.step(action, Mkdir(path=path, owner=owner, keep_existing=True))
            self.learn(path)
        return path

    # --- the environment

    def environment(self, name: str, span: Span) -> str:
        """The value of `env.NAME`."""
        if name in self.config.env:
            return self.config.env[name]
        if name == "PATH":
            return DEFAULT_PATH
        hint = did_you_mean(name, set(self.config.env)) or f'set it before: `env {name} = "…"`'
        raise fault(f"no variable `{name}` is set here", span, hint=hint)
