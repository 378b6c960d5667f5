"""The image that a stage is making: its configuration, its environment while it is built, its layers and history."""

from __future__ import annotations

from collections.abc import Mapping

from buildkit_py.dataclass import dataclass, field, replace
from buildkit_py.graph import HistoryLine, ImageConfig
from buildkit_py.platform import Platform
from buildkit_py.source import Span

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMMENT = "buildkit.dockerfile.v0"
"""What tools look for in a history to see that a Dockerfile made it."""


@dataclass(slots=True, kw_only=True)
class Config:
    """An image configuration that instructions change."""

    env: dict[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = ""
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    expose: dict[str, None] = field(default_factory=dict)
    volumes: dict[str, None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    stop_signal: str | None = None
    healthcheck: Mapping[str, object] | None = None
    shell: tuple[str, ...] | None = None
    on_build: tuple[str, ...] = ()
    stop_timeout: int | None = None
    args_escaped: bool = False
    author: str = ""

    @classmethod
    def of(cls, base: ImageConfig) -> Config:
        """A copy of what a base declares, its triggers too."""
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
            healthcheck=base.healthcheck,
            shell=base.shell,
            on_build=base.on_build,
            stop_timeout=base.stop_timeout,
            args_escaped=base.args_escaped,
            author=base.author,
        )

    def copy(self) -> Config:
        """What a stage that stands on this one begins with; triggers do not pass on."""
        return replace(
            self,
            env=dict(self.env),
            expose=dict(self.expose),
            volumes=dict(self.volumes),
            labels=dict(self.labels),
            on_build=(),
        )

    def frozen(self, labels: Mapping[str, str]) -> ImageConfig:
        """As the graph holds it, with labels of the command line on top. Empty lists say nothing in this format."""
        return ImageConfig(
            env=tuple(self.env.items()),
            user=self.user,
            workdir=self.workdir,
            entrypoint=self.entrypoint or None,
            command=self.command or None,
            expose=tuple(self.expose),
            volumes=tuple(self.volumes),
            labels={**self.labels, **labels},
            stop_signal=self.stop_signal,
            healthcheck=self.healthcheck,
            shell=self.shell or None,
            on_build=self.on_build,
            stop_timeout=self.stop_timeout,
            args_escaped=self.args_escaped,
            author=self.author,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer as the Dockerfile has it: the instruction (of stage number `stage`) that makes it, and its tip."""

    name: str
    tip: str
    stage: int
    span: Span


@dataclass(slots=True, kw_only=True)
class Image:
    """What a stage has made so far.

    `base` and `tip` are vertices; `base_is_known` is false where nobody could say what the base declares. `env` is what
    expansion and RUN see: the configuration's variables and the values of arguments, whichever was set last. `args` are
    the declared arguments, in the order of their first declaration, None for one without a value. `workdir_is_there`
    says that a vertex below the tip has made the working directory, or that it is the root.
    """

    platform: Platform
    base: str
    tip: str
    config: Config
    env: dict[str, str] = field(default_factory=dict)
    args: dict[str, str | None] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    history: list[HistoryLine] = field(default_factory=list)
    workdir_set: bool = False
    workdir_is_there: bool = False
    base_is_known: bool = True

    def child(self) -> Image:
        """What a stage begins with that stands on this one."""
        return replace(
            self,
            config=self.config.copy(),
            env=dict(self.env),
            args=dict(self.args),
            layers=list(self.layers),
            history=list(self.history),
        )

    def begin(self) -> None:
        """Have the environment say what the configuration says, and see that there is a PATH."""
        if "PATH" not in self.config.env and self.platform.os != "windows":
            self.config.env["PATH"] = DEFAULT_PATH
        self.env.update(self.config.env)

    def note(self, text: str, span: Span) -> None:
        """A line of history for an instruction that makes no layer."""
        self.history.append(HistoryLine(text=text, comment=COMMENT, empty=True, span=span))

    def layer(self, text: str, tip: str, stage: int, span: Span) -> None:
        """A layer, and its line of history."""
        self.tip = tip
        self.layers.append(Layer(name=_name(text), tip=tip, stage=stage, span=span))
        self.history.append(HistoryLine(text=text, comment=COMMENT, span=span))


def _name(text: str) -> str:
    """The name of a layer: its instruction on one line that is not too long."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= 100 else f"{line[:99]}…"
