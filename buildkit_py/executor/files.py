"""File steps: a diff computed from metadata; its bytes are laid down as a snapshot only if no equal one is there."""

from __future__ import annotations

import time

from buildkit_py.executor.leaks import refuse_secrets
from buildkit_py.executor.workshop import Workshop, input_of, local_source
from buildkit_py.graph.op import FileStep
from buildkit_py.layer.draft import materialise
from buildkit_py.layer.entry import content_id
from buildkit_py.layer.fileops import apply_op
from buildkit_py.protocol import StepResult, StepTask


def run_file_step(shop: Workshop, task: StepTask, op: FileStep) -> StepResult:
    """Do one file step."""
    began = time.monotonic()
    base = input_of(task, "base")
    origin = next((given for given in task.inputs if given.role == "from"), None)
    source = shop.tree(origin) if origin is not None else None
    with shop.store.snapshots.area() as area:
        draft = apply_op(op, shop.tree(base), source, spool=area.work)
        applied = time.monotonic()
        result = content_id(base.content_id, draft.diff)
        if not draft.diff:
            return StepResult(key=task.key, content_id=result)
        copied = origin is not None and local_source(origin) is not None
        refuse_secrets(shop.secrets, draft.diff, lambda entry: draft.contents[entry.path](), copied=copied)
        known = shop.store.snapshots.has(draft.diff.digest)
        if not known:
            size = materialise(draft, area.fs, task.epoch)
            shop.store.snapshots.commit(area, draft.diff.digest, draft.diff.encoded, size)
    shop.store.trees.put(result, base.content_id, draft.diff.digest)
    return StepResult(
        key=task.key,
        content_id=result,
        diff=draft.diff.digest,
        hit="diff" if known else None,
        times={"run": applied - began, "write": time.monotonic() - applied},
    )
