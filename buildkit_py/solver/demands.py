"""What a step asks of whoever runs it: labels that an executor must offer, and the limits that it is held to."""

from __future__ import annotations

from collections.abc import Mapping

from buildkit_py.graph.op import ExecStep, Op


def requires(op: Op) -> tuple[str, ...]:
    """What an executor must offer to take the step, as labels."""
    if not isinstance(op, ExecStep):
        return ()
    labels = [f"cap:{name}" for name in op.capabilities]
    if op.platform:
        labels.append(op.platform)
    if op.network != "none":
        labels.append("network")
    return tuple(labels)


def limits(op: Op, client: Mapping[str, int | str]) -> Mapping[str, int | str]:
    """What a step may use: by its op, and by what the client says of every step."""
    if not isinstance(op, ExecStep) or not (client or limited(op)):
        return {}
    from buildkit_py.graph.resources import declared, tighter

    return tighter(declared(op), client)


def limited(op: ExecStep) -> bool:
    """Whether a step has limits of its own."""
    return any(value is not None for value in (op.timeout, op.memory, op.pids, op.cpus))


def limit_met(name: str, op: Op, client: Mapping[str, int | str]) -> str:
    """What is told of a step that failed by a limit."""
    from buildkit_py.graph.resources import told

    assert isinstance(op, ExecStep)
    return told(name, op, client)
