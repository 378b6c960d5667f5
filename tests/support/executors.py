"""An executor as it could be on another machine: everything crosses as JSON, nothing is sure to happen just once."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import TracebackType
from typing import Any

from buildkit_py.errors import InfrastructureError
from buildkit_py.executor.local import LocalExecutor
from buildkit_py.executor.workshop import Workshop
from buildkit_py.protocol import InputMissing, LogEvent, StepResult, StepTask


@dataclass(slots=True, kw_only=True)
class Network:
    """What goes wrong: each task is done `times`, its first `lost` results never arrive, the others come `late`.

    `late` is in seconds. `events` says how often each log event arrives. `crossed` keeps everything that was sent,
    `tried` counts by key.
    """

    times: int = 1
    lost: int = 0
    late: float = 0.0
    events: int = 1
    crossed: list[str] = field(default_factory=list)
    tried: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, plain: Mapping[str, Any]) -> Any:
        """What arrives of a JSON value."""
        text = json.dumps(plain)
        with self.lock:
            self.crossed.append(text)
        return json.loads(text)

    def executor(self, shop: Workshop, *, runtime: str, snapshotter: str) -> RemoteExecutor:
        """An executor at the other end; made with the arguments of `LocalExecutor`."""
        return RemoteExecutor(LocalExecutor(shop, runtime=runtime, snapshotter=snapshotter), self)


@dataclass(frozen=True, slots=True)
class RemoteExecutor:
    """Implements `Executor` by another one that is reached through a network."""

    inner: LocalExecutor
    network: Network

    def __enter__(self) -> RemoteExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.inner.__exit__(kind, error, trace)

    def prepare(self, op: Mapping[str, Any]) -> None:
        """Nothing crosses."""
        self.inner.prepare(op)

    def execute(self, task: StepTask, log: Callable[[LogEvent], None]) -> StepResult:
        """Do it as often as the network says."""
        arrived = StepTask.from_plain(self.network.send(task.to_plain()))
        assert arrived == task
        try:
            results = [self.inner.execute(arrived, self._logger(log)) for _ in range(self.network.times)]
        except InputMissing as missing:
            raise InputMissing(*self.network.send({"roles": list(missing.roles)})["roles"]) from None
        with self.network.lock:
            self.network.tried[task.key] += 1
            lost = self.network.tried[task.key] <= self.network.lost
        if lost:
            raise InfrastructureError("the connection broke after the work was done")
        time.sleep(self.network.late)
        return StepResult.from_plain(self.network.send(results[-1].to_plain()))

    def cancel(self, key: str) -> None:
        """Sent twice, and too late at times."""
        self.inner.cancel(key)
        self.inner.cancel(key)

    def _logger(self, log: Callable[[LogEvent], None]) -> Callable[[LogEvent], None]:
        def pass_on(event: LogEvent) -> None:
            plain = self.network.send({item.name: getattr(event, item.name) for item in fields(event)})
            for _ in range(self.network.events):
                log(LogEvent(**plain))

        return pass_on
