"""File steps: a diff computed from metadata; its bytes are laid down as a snapshot only if somebody asks for them."""

from __future__ import annotations

import time
from threading import Event

from buildkit_py.dataclass import dataclass, field
from buildkit_py.executor.leaks import refuse_secrets_of_draft
from buildkit_py.executor.workshop import Workshop, input_of, local_source
from buildkit_py.graph.op import Copy, FileStep, Unpack
from buildkit_py.layer.draft import Draft, materialise
from buildkit_py.layer.entry import content_id
from buildkit_py.layer.fileops import apply_op
from buildkit_py.protocol import StepResult, StepTask
from buildkit_py.store.snapshots import Area


def run_file_step(shop: Workshop, task: StepTask, op: FileStep, cancelled: Event) -> StepResult:
    """Do one file step."""
    return _FileStep(shop=shop, task=task, op=op, cancelled=cancelled).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileStep:
    shop: Workshop
    task: StepTask
    op: FileStep
    cancelled: Event
    times: dict[str, float] = field(default_factory=dict)
    """Seconds, by what they went into."""

    def run(self) -> StepResult:
        if self.task.whole or self._spools:
            with self.shop.store.snapshots.area() as area:
                draft = self._draft(area)
                return self._result(draft, known=not self._lay(draft, area))
        draft = self.shop.drafts[self.task.key] = self._draft(None)
        return self._result(draft, known=bool(draft.diff) and not self.shop.trees.offer(draft))

    @property
    def _spools(self) -> bool:
        """Whether the bytes come out of an archive, so that they are somewhere only while it is unpacked."""
        return isinstance(self.op, Unpack) or (isinstance(self.op, Copy) and self.op.unpack)

    def _draft(self, area: Area | None) -> Draft:
        known = self.shop.drafts.get(self.task.key)
        if known is not None:
            return known
        began, base = time.monotonic(), input_of(self.task, "base")
        origin = next((given for given in self.task.inputs if given.role == "from"), None)
        source = self.shop.tree(origin) if origin is not None else None
        draft = apply_op(self.op, self.shop.tree(base), source, spool=area.work if area is not None else None)
        copied = origin is not None and local_source(origin) is not None
        refuse_secrets_of_draft(self.shop.secrets, draft, self.cancelled, copied=copied)
        self.times["run"] = time.monotonic() - began
        return draft

    def _lay(self, draft: Draft, area: Area) -> bool:
        """Make the snapshot; False where there is one, or nothing to be in it."""
        if not draft.diff or self.shop.store.snapshots.has(draft.diff.digest):
            return False
        began = time.monotonic()
        size = materialise(draft, area.fs, self.task.epoch)
        self.shop.store.snapshots.commit(area, draft.diff.digest, draft.diff.encoded, size)
        self.times["write"] = time.monotonic() - began
        return True

    def _result(self, draft: Draft, *, known: bool) -> StepResult:
        parent = input_of(self.task, "base").content_id
        result = content_id(parent, draft.diff)
        if not draft.diff:
            return StepResult(key=self.task.key, content_id=result)
        self.shop.trees.learn(draft.diff)
        self.shop.store.trees.put(result, parent, draft.diff.digest)
        return StepResult(
            key=self.task.key,
            content_id=result,
            diff=draft.diff.digest,
            hit="diff" if known else None,
            times=self.times,
        )
