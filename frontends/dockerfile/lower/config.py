"""Instructions that change the image's configuration and make no layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from frontends.dockerfile import syntax
from frontends.dockerfile.expose import read_ports
from frontends.dockerfile.faults import fault
from frontends.dockerfile.scope import NOT_IN_ENVIRONMENT
from frontends.dockerfile.signals import is_signal
from frontends.dockerfile.step_checks import on_arg, on_command, on_env, on_expose, on_label
from frontends.dockerfile.words import go_duration, go_quote_all

if TYPE_CHECKING:
    from frontends.dockerfile.lower.stage import StageLowering

DEFAULT_SHELL = ("/bin/sh", "-c")


def env(stage: StageLowering, node: syntax.Env) -> None:
    """ENV: every value is expanded before any is set."""
    pairs = [(stage.word(pair.name, pair.span), stage.word(pair.value or "", pair.span)) for pair in node.pairs]
    on_env(node, stage.checks, names=[name for name, _ in pairs])
    for pair, (name, value) in zip(node.pairs, pairs, strict=True):
        if not name:
            raise fault("ENV has a variable without a name", pair.span, hint="write ENV NAME=value")
        stage.image.config.env[name] = value
        stage.image.env[name] = value
    stage.image.note("ENV" + "".join(f" {name}={value}" for name, value in pairs), node.span)


def arg(stage: StageLowering, node: syntax.Arg) -> None:
    """ARG: one after the other, so that a value may use what stands before it on the line."""
    on_arg(node, stage.checks)
    shown = []
    for pair in node.pairs:
        value = _argument(stage, pair)
        stage.image.args[pair.name] = value
        if value is not None and pair.name not in NOT_IN_ENVIRONMENT:
            stage.image.env[pair.name] = value
        shown.append(pair.name if value is None else f"{pair.name}={value}")
    stage.image.note(f"ARG {' '.join(shown)}", node.span)


def _argument(stage: StageLowering, pair: syntax.Pair) -> str | None:
    given = stage.lowering.given
    if pair.name in given:
        return given[pair.name]
    if pair.value is None:
        return stage.lowering.globals.values.get(pair.name)
    return stage.word(pair.value, pair.span)


def label(stage: StageLowering, node: syntax.Label) -> None:
    """LABEL: names are expanded too."""
    on_label(node, stage.checks)
    pairs = [(stage.word(pair.name, pair.span), stage.word(pair.value or "", pair.span)) for pair in node.pairs]
    stage.image.config.labels.update(pairs)
    stage.image.note("LABEL" + "".join(f" {name}={value}" for name, value in pairs), node.span)


def command_line(stage: StageLowering, command: syntax.Command) -> tuple[str, ...]:
    """The words of a command; the shell form goes through the image's shell."""
    if command.form == "exec":
        return command.words
    return (*(stage.image.config.shell or DEFAULT_SHELL), " ".join(command.words))


def cmd(stage: StageLowering, node: syntax.Cmd) -> None:
    """CMD."""
    _look_at(stage, node)
    words = command_line(stage, node.command)
    stage.image.config.command = words
    stage.image.config.args_escaped = True
    stage.command_set = True
    stage.image.note(f"CMD {go_quote_all(words)}", node.span)


def _look_at(stage: StageLowering, node: syntax.Cmd | syntax.Entrypoint) -> None:
    stage.single.mark(node, stage.checks)
    on_command(node, stage.checks, has_shell=bool(stage.image.config.shell))


def entrypoint(stage: StageLowering, node: syntax.Entrypoint) -> None:
    """ENTRYPOINT: takes away a CMD that was not written in this stage."""
    _look_at(stage, node)
    words = command_line(stage, node.command)
    stage.image.config.entrypoint = words
    if not stage.command_set:
        stage.image.config.command = None
    stage.image.note(f"ENTRYPOINT {go_quote_all(words)}", node.span)


def shell(stage: StageLowering, node: syntax.Shell) -> None:
    """SHELL."""
    stage.image.config.shell = node.words
    stage.image.note(f"SHELL {_listed(node.words)}", node.span)


def user(stage: StageLowering, node: syntax.User) -> None:
    """USER."""
    stage.image.config.user = stage.word(node.user.text, node.user.span)
    stage.image.note(f"USER {stage.image.config.user}", node.span)


def expose(stage: StageLowering, node: syntax.Expose) -> None:
    """EXPOSE: a variable may hold several ports. The history has them in the order of the words as written, sorted."""
    words = [word for port in sorted(node.ports, key=lambda port: port.text) for word in stage.words(port)]
    ports = read_ports(words, node.span)
    on_expose(node, words, stage.checks)
    stage.image.config.expose.update(dict.fromkeys(ports.ports))
    stage.image.note(f"EXPOSE {_listed(ports.ports)}", node.span)


def volume(stage: StageLowering, node: syntax.Volume) -> None:
    """VOLUME: a note for who runs the image; no directory is made."""
    paths = [stage.word(path.text, path.span) for path in node.paths]
    for path, word in zip(paths, node.paths, strict=True):
        if not path:
            raise fault("VOLUME names an empty path", word.span, hint="write a path, as VOLUME /data")
    stage.image.config.volumes.update(dict.fromkeys(paths))
    stage.image.note(f"VOLUME {_listed(paths)}", node.span)


def stop_signal(stage: StageLowering, node: syntax.StopSignal) -> None:
    """STOPSIGNAL."""
    signal = stage.word(node.signal.text, node.signal.span)
    if not is_signal(signal):
        raise fault(f"no signal is called {signal!r}", node.signal.span, hint="write a name as SIGTERM, or a number")
    stage.image.config.stop_signal = signal
    stage.image.note(f"STOPSIGNAL {signal}", node.span)


def healthcheck(stage: StageLowering, node: syntax.Healthcheck) -> None:
    """HEALTHCHECK: a shell form is kept as text, whatever the image's shell is."""
    stage.single.mark(node, stage.checks)
    if node.command is None:
        test: tuple[str, ...] = ("NONE",)
    elif node.command.form == "shell":
        test = ("CMD-SHELL", " ".join(node.command.words))
    else:
        test = ("CMD", *node.command.words)
    times = {
        "interval": node.interval,
        "timeout": node.timeout,
        "start_period": node.start_period,
        "start_interval": node.start_interval,
    }
    numbers = {**times, "retries": node.retries}
    stage.image.config.healthcheck = {"test": test, **{name: value for name, value in numbers.items() if value}}
    labels = ("Interval", "Timeout", "StartPeriod", "StartInterval")
    shown = " ".join(f"{label}:{go_duration(value or 0)}" for label, value in zip(labels, times.values(), strict=True))
    stage.image.note(f"HEALTHCHECK {{Test:{_listed(test)} {shown} Retries:{node.retries or 0}}}", node.span)


def on_build(stage: StageLowering, node: syntax.OnBuild) -> None:
    """ONBUILD: kept for stages and images that stand on this one."""
    stage.image.config.on_build = (*stage.image.config.on_build, node.expression)
    stage.triggers.append(node.trigger)


def maintainer(stage: StageLowering, node: syntax.Maintainer) -> None:
    """MAINTAINER."""
    stage.image.config.author = node.maintainer.text
    stage.image.note(f"MAINTAINER {node.maintainer.text}", node.span)


def _listed(words: Iterable[str]) -> str:
    """Words as a history shows a list."""
    return f"[{' '.join(words)}]"
