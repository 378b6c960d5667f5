"""Run and host steps: a task becomes a sandbox, what the process leaves becomes a diff."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import SecretLeakError
from buildkit_py.executor.leaks import CacheWatch, refuse_secrets
from buildkit_py.executor.outfit import Outfitter
from buildkit_py.executor.redactor import Redactor
from buildkit_py.executor.secrets import SecretStore
from buildkit_py.executor.workshop import Workshop, input_of
from buildkit_py.graph.op import ExecStep, Run, SecretMount
from buildkit_py.graph.title import title
from buildkit_py.layer.entry import Diff, content_id
from buildkit_py.layer.openat import open_in
from buildkit_py.layer.upper import SYSTEM
from buildkit_py.protocol import LogEvent, StepResult, StepTask

if TYPE_CHECKING:
    from buildkit_py.executor.sandbox import Runner, RunResult, SandboxSpec
    from buildkit_py.executor.sandbox.groups import Groups
    from buildkit_py.executor.snapshotter import Snapshotter
    from buildkit_py.store.snapshots import Area

TAIL = 20
MAX_LINE = 64 * 1024
STREAMS = ("stdout", "stderr")
_KILLED = 137
"""The exit status of a step that met a limit and ended as if it had not."""


@dataclass(slots=True)
class LineLog:
    """Turns the bytes that a step prints into redacted lines, and keeps the last ones. One lock for both streams.

    A secret that another step is given meanwhile is redacted from then on: it may come by way of a cache.
    """

    key: str
    log: Callable[[LogEvent], None]
    secrets: SecretStore
    attempt: int = 0
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    _redactors: dict[str, Redactor] = field(default_factory=lambda: {name: Redactor() for name in STREAMS})
    _learned: int = 0
    _pending: dict[str, bytes] = field(default_factory=dict)
    _seq: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, stream: str, data: bytes) -> None:
        """Take a piece of output."""
        with self._lock:
            self._learn()
            self._take(stream, self._redactors[stream].write(data))

    def close(self) -> None:
        """Give out what has no line end."""
        with self._lock:
            for stream, redactor in self._redactors.items():
                self._take(stream, redactor.flush())
                if rest := self._pending.pop(stream, b""):
                    self._emit(stream, rest)

    def _learn(self) -> None:
        known = self.secrets.known()
        if len(known) > self._learned:
            self._learned = len(known)
            for redactor in self._redactors.values():
                redactor.learn(known.values())

    def _take(self, stream: str, data: bytes) -> None:
        *lines, rest = (self._pending.get(stream, b"") + data).split(b"\n")
        if len(rest) > MAX_LINE:
            lines, rest = [*lines, rest], b""
        self._pending[stream] = rest
        for line in lines:
            self._emit(stream, line)

    def _emit(self, stream: str, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        self.tail.append(text)
        self.log(LogEvent(key=self.key, attempt=self.attempt, seq=self._seq, stream=stream, data=text))
        self._seq += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecSteps:
    """Runs exec steps in a sandbox; without `groups` none has a limit that needs them."""

    shop: Workshop
    runner: Runner
    snapshotter: Snapshotter
    groups: Groups | None = None

    def run(
        self,
        task: StepTask,
        op: ExecStep,
        log: Callable[[LogEvent], None],
        cancelled: threading.Event,
        attempt: int,
    ) -> StepResult:
        """Run one step to its end; a process that fails is a result, not an exception. Tries count from 0."""
        base = input_of(task, "base").content_id
        tree = self.shop.trees.tree(base)
        with self.shop.store.snapshots.area() as area, ExitStack() as stack:
            view = self.snapshotter.view(self.shop.trees.directories(base), area, tree)
            outfitter = Outfitter(self.shop, task, area, stack, self.snapshotter, cancelled)
            spec = outfitter.spec(op, view.root, tree)
            lines = LineLog(task.key, log, self.shop.secrets, attempt)
            with self._watched(op, outfitter, area, cancelled):
                ran, met = self._run(task, spec, lines, cancelled)
            lines.close()
            if ran.exit != 0 or met or task.discard:
                return StepResult(
                    key=task.key,
                    content_id=None,
                    exit=ran.exit or (_KILLED if met else 0),
                    error=ran.refused or None,
                    met=met,
                    tail=tuple(lines.tail),
                    times=ran.times,
                )
            began = time.monotonic()
            attributes = op.xattrs if isinstance(op, Run) else "all"
            stubs = _stubs(op, ran.stubs)
            diff = view.collect(tree, stubs=stubs, epoch=task.epoch, attributes=attributes, cancelled=cancelled)
            refuse_secrets(self.shop.secrets, diff, lambda entry: open_in(area.fs, entry.path), cancelled)
            times = {**ran.times, "hash": time.monotonic() - began}
            return self._keep(task, base, diff, area, times)

    def _run(
        self, task: StepTask, spec: SandboxSpec, lines: LineLog, cancelled: threading.Event
    ) -> tuple[RunResult, str | None]:
        """Run the process within the limits of the task; also gives the one that it met, whatever it made of that."""
        timeout = task.limits.get("timeout")
        seconds = int(timeout) / 1000 if timeout is not None else None
        if self.groups is None:
            ran = self.runner.run(spec, lines.write, cancelled, seconds=seconds)
            return ran, "timeout" if ran.timed_out else None
        with self.groups.step(task.limits) as group:
            ran = self.runner.run(spec, lines.write, cancelled, seconds=seconds, entrances=group.entrances)
            return ran, "timeout" if ran.timed_out else group.met()

    @contextmanager
    def _watched(self, op: ExecStep, outfitter: Outfitter, area: Area, stopped: threading.Event) -> Iterator[None]:
        """A cache outlives the step: what a step that has secrets leaves in one is searched, however it ends."""
        given = any(isinstance(mount, SecretMount) for mount in op.mounts)
        if not outfitter.caches or not (given or (isinstance(op, Run) and op.proxy and self.shop.secrets.hidden)):
            yield
            return
        settle = self.shop.store.caches.doubt(outfitter.caches.values())
        watch = CacheWatch(outfitter.caches, area.path, stopped)
        leak: SecretLeakError | None = None
        try:
            yield
        finally:
            leak = watch.purge(self.shop.secrets, title(op))
            settle()
        if leak is not None:
            raise leak

    def _keep(self, task: StepTask, base: str, diff: Diff, area: Area, times: Mapping[str, float]) -> StepResult:
        result = content_id(base, diff)
        if diff:
            size = sum(entry.size for entry in diff.entries if entry.type == "file")
            self.shop.store.snapshots.commit(area, diff.digest, diff.encoded, size)
            self.shop.store.trees.put(result, base, diff.digest)
            self.shop.trees.learn(diff)
        return StepResult(key=task.key, content_id=result, diff=diff.digest if diff else None, times=times)


def _stubs(op: ExecStep, stubs: tuple[str, ...]) -> tuple[str, ...]:
    """The mount points that are no part of what the step leaves."""
    if isinstance(op, Run) and op.system_directories == "stay":
        return tuple(stub for stub in stubs if stub not in SYSTEM)
    return stubs
