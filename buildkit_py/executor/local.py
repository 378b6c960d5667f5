"""The executor of this machine: sources into the store, file steps from metadata, processes in a sandbox."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from buildkit_py.errors import InfrastructureError
from buildkit_py.executor.workshop import Workshop
from buildkit_py.graph.codec import decode_op
from buildkit_py.graph.op import EXEC_STEPS, FILE_STEPS, ExecStep, FileStep, ImageSource, Source
from buildkit_py.protocol import LogEvent, StepResult, StepTask

if TYPE_CHECKING:
    from buildkit_py.executor.execs import ExecSteps
    from buildkit_py.executor.sandbox.groups import Groups


class LocalExecutor:
    """Implements `Executor`. Made cheaply: the sandbox is started when a step must really run."""

    def __init__(self, shop: Workshop, *, runtime: str = "auto", snapshotter: str = "auto") -> None:
        self._shop = shop
        self._runtime = runtime
        self._wanted = snapshotter
        self._lock = threading.Lock()
        self._cancels: dict[str, threading.Event] = {}
        self._attempts: Counter[str] = Counter()
        self._stack = ExitStack()
        self._execs: ExecSteps | None = None

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def prepare(self, op: Mapping[str, Any]) -> None:
        """Read the secrets, and start the sandbox if the op needs it; on the main thread, since it forks."""
        self._shop.secrets.read(self._shop.secret_ids)
        if op["type"] in ("run", "host") and self._execs is None:
            self._execs = self._start()

    def execute(self, task: StepTask, log: Callable[[LogEvent], None]) -> StepResult:
        """Run one task to its end."""
        return self._dispatch(task, log, self._cancelled(task.key))

    def cancel(self, key: str) -> None:
        """Stop the task of that key; one that has not begun yet will end at once."""
        self._cancelled(key).set()

    def _cancelled(self, key: str) -> threading.Event:
        with self._lock:
            return self._cancels.setdefault(key, threading.Event())

    def _dispatch(self, task: StepTask, log: Callable[[LogEvent], None], cancelled: threading.Event) -> StepResult:
        op = decode_op(task.op)
        if isinstance(op, FILE_STEPS):
            return self._file(task, op, cancelled)
        if isinstance(op, EXEC_STEPS):
            return self._exec(task, op, log, cancelled)
        return self._source(task, op, log, cancelled)

    def _source(
        self, task: StepTask, op: Source, log: Callable[[LogEvent], None], cancelled: threading.Event
    ) -> StepResult:
        from buildkit_py.executor.source import fetch_source

        def tell(done: int, total: int | None) -> None:
            data = str(done) if total is None else f"{done}/{total}"
            log(LogEvent(key=task.key, attempt=0, seq=done, stream="progress", data=data))

        if task.names_only and isinstance(op, ImageSource):
            return StepResult(key=task.key, content_id=self._shop.images.outline(self._shop, op, cancelled, tell))
        return StepResult(key=task.key, content_id=fetch_source(self._shop, op, task.epoch, cancelled, tell))

    def _file(self, task: StepTask, op: FileStep, cancelled: threading.Event) -> StepResult:
        from buildkit_py.executor.files import run_file_step

        return run_file_step(self._shop, task, op, cancelled)

    def _exec(
        self, task: StepTask, op: ExecStep, log: Callable[[LogEvent], None], cancelled: threading.Event
    ) -> StepResult:
        if self._execs is None:
            raise InfrastructureError("the sandbox was not prepared")
        with self._lock:
            attempt = self._attempts[task.key]
            self._attempts[task.key] += 1
        return self._execs.run(task, op, log, cancelled, attempt)

    def _start(self) -> ExecSteps:
        from buildkit_py.executor.execs import ExecSteps
        from buildkit_py.executor.sandbox import Runner, pick_runtime
        from buildkit_py.executor.snapshotter import pick_snapshotter

        state: Path = self._shop.store.root / "run"
        # This process may have to leave its group for that, and those that it forks should be where it is.
        groups = self._stack.enter_context(closing(self._groups())) if self._shop.controllers else None
        runner = self._stack.enter_context(Runner(pick_runtime(self._runtime), state))
        area = self._stack.enter_context(self._shop.store.snapshots.area())
        snapshotter = pick_snapshotter(self._wanted, runner, area.work, self._shop.note)
        return ExecSteps(shop=self._shop, runner=runner, snapshotter=snapshotter, groups=groups)

    def _groups(self) -> Groups:
        from buildkit_py.executor.sandbox.groups import Groups

        return Groups(self._shop.controllers)
