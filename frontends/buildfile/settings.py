"""Settings of the image: what each statement changes in its configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from buildkit_py.source import Span
from frontends.buildfile import syntax, values
from frontends.buildfile.commands import UNSET
from frontends.buildfile.evaluate import Evaluator
from frontends.buildfile.expand import Action
from frontends.buildfile.state import Config, State


def _parts(state: State, action: Action) -> tuple[syntax.Command, Evaluator, Config]:
    assert isinstance(action.node, syntax.Command)
    return action.node, action.scope.evaluator(state.environment), state.config


def _expression(operand: syntax.Operand) -> syntax.Expression:
    assert not isinstance(operand, syntax.Reference)
    return operand


def _env(state: State, action: Action) -> None:
    node, evaluator, config = _parts(state, action)
    assert node.kind is not None
    config.env[node.kind.text] = evaluator.string(_expression(node.operands[0]))


def _user(state: State, action: Action) -> None:
    node, evaluator, config = _parts(state, action)
    config.user = evaluator.word(node.operands[0], values.owner)


def _workdir(state: State, action: Action) -> None:
    node, evaluator, config = _parts(state, action)
    path = evaluator.word(node.operands[0], values.path)
    config.workdir = path.rstrip("/") or "/"


def _entrypoint(state: State, action: Action) -> None:
    node, evaluator, config = _parts(state, action)
    config.entrypoint = evaluator.list(_expression(node.operands[0]))
    if not config.command_is_own:
        config.command = None


def _command(state: State, action: Action) -> None:
    node, evaluator, config = _parts(state, action)
    config.command = evaluator.list(_expression(node.operands[0]))
    config.command_is_own = True


def _expose(state: State, action: Action) -> None:
    node, evaluator, config = _parts(state, action)
    for operand in node.operands:
        config.expose.update(dict.fromkeys(values.ports(evaluator.word(operand, values.port), operand.span)))


def _volume(state: State, action: Action) -> None:
    node, evaluator, config = _parts(state, action)
    config.volumes.update(dict.fromkeys(evaluator.word(operand, _volume_path) for operand in node.operands))


def _volume_path(text: str, span: Span) -> str:
    return values.path(text, span).rstrip("/") or "/"


def _label(state: State, action: Action) -> None:
    node, evaluator, config = _parts(state, action)
    key, value = node.operands
    config.labels[evaluator.word(key, values.filled)] = evaluator.string(_expression(value))


def _stop_signal(state: State, action: Action) -> None:
    node, evaluator, config = _parts(state, action)
    config.stop_signal = evaluator.word(node.operands[0], values.signal)


def _healthcheck(state: State, action: Action) -> None:
    node, evaluator, config = _parts(state, action)
    if not node.operands:
        config.healthcheck = {"test": ["NONE"]}
        return
    made: dict[str, object] = {"test": ["CMD", *evaluator.list(_expression(node.operands[0]))]}
    for option in node.options:
        text, span = evaluator.string(_expression(option.values[0])), option.values[0].span
        name = option.name.text
        if name == "retries":
            made["retries"] = int(values.count(text, span))
        else:
            made[name] = values.nanoseconds(text, span)
    config.healthcheck = made


def _unset(state: State, action: Action) -> None:
    node, evaluator, config = _parts(state, action)
    assert node.kind is not None
    kind = node.kind.text
    check = UNSET[kind]
    if check is None:
        setattr(config, kind, _EMPTY[kind])
        return
    known: dict[str, Any] = getattr(config, {"volume": "volumes", "label": "labels"}.get(kind, kind))
    if not node.operands:
        known.clear()
    for operand in node.operands:
        name = evaluator.word(operand, _volume_path if kind == "volume" else check)
        for each in values.ports(name, operand.span) if kind == "expose" else (name,):
            known.pop(each, None)


_EMPTY: dict[str, object] = {
    "entrypoint": None,
    "command": None,
    "user": "",
    "workdir": "",
    "stop_signal": None,
    "healthcheck": None,
}

SETTINGS: dict[str, Callable[[State, Action], None]] = {
    "env": _env,
    "user": _user,
    "workdir": _workdir,
    "entrypoint": _entrypoint,
    "command": _command,
    "expose": _expose,
    "volume": _volume,
    "label": _label,
    "stop_signal": _stop_signal,
    "healthcheck": _healthcheck,
    "unset": _unset,
}
