"""What crosses between the scheduler and whatever drives a step: data in, data out.

Nine rules every executor keeps:

1. `execute(task, emit) -> StepResult`; both sides survive a round trip through JSON.
2. Content ids and descriptors cross; local paths and open files do not.
3. A remote result is durable and published when it is returned; a local one before anything refers to it.
4. A failed step is a value (`exit` is not 0); a failure of the machinery is an `InfrastructureError`, and may be
   retried.
5. `cancel` is idempotent, may come at any time, and means "I no longer want it".
6. Tasks run at least once: running twice, or a result that comes late, must do no harm.
7. Log events may repeat or be missing.
8. Capabilities are data (`requires`); a router picks an executor for each step.
9. Secrets are ids, resolved beside the sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from buildkit_py.dataclass import dataclass, field

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInput:
    """One input tree. A local source travels as its `op`, and `content_id` names what is selected of it.

    `layers` are the descriptors of published layers that an executor elsewhere makes the tree of; empty for a local
    one, which finds the tree in its store.
    """

    role: str
    content_id: str
    op: Mapping[str, Any] | None = None
    layers: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTask:
    """One step that is ready: its key, its op as canonical JSON, and its inputs by content.

    `epoch` is the time (seconds) that files get. `limits` are the most that the step may use (names and units as in
    `graph.resources`), of its op and of whoever asks for it. `discard` means that only success matters: no tree is
    kept. Without `whole` it is enough to say what the tree consists of; its bytes are asked for by a second task of the
    same key, if anybody needs them. Of a source with `names_only`, what is where in its tree is enough.
    """

    key: str
    op: Mapping[str, Any]
    inputs: tuple[TaskInput, ...]
    platform: str
    epoch: int = 0
    requires: tuple[str, ...] = ()
    limits: Mapping[str, int | str] = field(default_factory=dict)
    secret_ids: tuple[str, ...] = ()
    discard: bool = False
    whole: bool = True
    names_only: bool = False
    v: int = VERSION

    def to_plain(self) -> dict[str, Any]:
        """As a JSON value."""
        return {
            "v": self.v,
            "key": self.key,
            "op": dict(self.op),
            "inputs": [
                {"role": item.role, "content_id": item.content_id, "op": item.op, "layers": list(item.layers)}
                for item in self.inputs
            ],
            "platform": self.platform,
            "epoch": self.epoch,
            "requires": list(self.requires),
            "limits": dict(self.limits),
            "secret_ids": list(self.secret_ids),
            "discard": self.discard,
            "whole": self.whole,
            "names_only": self.names_only,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> StepTask:
        """From a JSON value that `to_plain` made."""
        return cls(
            **{
                **plain,
                "inputs": tuple(TaskInput(**{**item, "layers": tuple(item["layers"])}) for item in plain["inputs"]),
                "requires": tuple(plain["requires"]),
                "secret_ids": tuple(plain["secret_ids"]),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step made. `diff` names the diff over the base tree, None where the tree is unchanged or the step failed.

    `exit` is the process's status (0 for file operations), `tail` its last lines, `times` seconds by phase, `hit` how
    the work was spared: `key`, `diff` (computed again with the same result) or None. `met` names the limit of the task
    that the step failed by: `timeout`, `memory` or `pids`.
    """

    key: str
    content_id: str | None
    diff: str | None = None
    exit: int = 0
    error: str | None = None
    tail: tuple[str, ...] = ()
    worker: str = "local"
    times: Mapping[str, float] = field(default_factory=dict)
    hit: str | None = None
    met: str | None = None
    v: int = VERSION

    def to_plain(self) -> dict[str, Any]:
        """As a JSON value."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> StepResult:
        """From a JSON value that `to_plain` made; what else stands in it is left alone."""
        known = {name: plain[name] for name in cls.__slots__ if name in plain}
        return cls(**{**known, "tail": tuple(plain.get("tail", ()))})


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """A piece of a step's output, already redacted; `seq` counts within one `attempt`.

    `stream` is `stdout`, `stderr`, or `progress`: then `data` is the bytes done, `/`, and the bytes in all if known.
    """

    key: str
    attempt: int
    seq: int
    stream: str
    data: str
    v: int = VERSION


class Executor(Protocol):
    """Drives steps. Thread-safe: several tasks may be under way at once."""

    def prepare(self, op: Mapping[str, Any]) -> None:
        """Called on the main thread before a step of this op is first executed: the time to fork what it needs."""

    def execute(self, task: StepTask, log: Callable[[LogEvent], None]) -> StepResult:
        """Run one task to its end. Raises `InfrastructureError`, `Cancelled`, or a typed error of the step's input."""

    def cancel(self, key: str) -> None:
        """Stop the task of that key, if it is still under way."""


class InputMissing(Exception):  # noqa: N818 - a request, not a fault
    """An executor asks for the bytes of the inputs with these roles before it can go on, or only for their names."""

    def __init__(self, *roles: str, names_only: bool = False) -> None:
        super().__init__(*roles)
        self.roles = roles
        self.names_only = names_only
