"""What a build that had nothing to do looked at, for its receipt (`buildkit_py.receipt`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from buildkit_py.engine.buildfile import NAMES
from buildkit_py.executor.tools import HOST_PATH
from buildkit_py.graph.op import GitSource, Host, HttpSource, ImageSource
from buildkit_py.platform import Platform
from buildkit_py.receipt import MOST_NAMES, YOUNG_NS, Evidence, digest_of, rows, stamp, text_stamp

if TYPE_CHECKING:
    from buildkit_py.engine.options import BuildOptions, BuildResult
    from buildkit_py.graph.definition import Definition
    from buildkit_py.layer.context import ContextTree
    from buildkit_py.store import Store

_LOCAL = ("oci:", "oci-archive:")


def evidence(
    store: Store,
    options: BuildOptions,
    definition: Definition,
    result: BuildResult,
    *,
    read: Iterable[str],
    trees: Iterable[ContextTree],
    began: int,
) -> Evidence | None:
    """None where the same command could do something another time. `began` is the build's start, in nanoseconds."""
    if result.ran or not _settled(options) or not all(map(_still, _ops(definition))):
        return None
    if any(target.outputs or target.platform != str(Platform.host()) for target in definition.targets):
        return None
    texts = {path: text_stamp(path) for path in {*read, *_looked_for(options), *_programs(definition)}}
    seen = dict(_seen(trees, began - YOUNG_NS))
    if any(_young(path, began - YOUNG_NS) for path in texts) or any(names is None for names in seen.values()):
        return None
    found = {place: names for place, names in seen.items() if names is not None}
    if sum(len(names) for _, names in found.values()) > MOST_NAMES:
        return None
    uses = sorted(store.owner.noted)
    return Evidence(trees=found, texts=texts, uses=uses, rows=rows(store, uses))


def _settled(options: BuildOptions) -> bool:
    """Whether a request asks for nothing that is done, or given from outside, each time."""
    given = options.secrets or options.ssh or options.layouts or options.outputs or options.graph or options.cache_to
    anew = options.no_cache or options.refresh or options.pull or options.push or options.settings.fresh
    return not given and not anew and options.text is None and not options.temporary


def _ops(definition: Definition) -> Iterator[object]:
    return (vertex.op for vertex in definition.vertices.values())


def _still(op: object) -> bool:
    """Whether what an op stands for can only change in ways that a receipt sees."""
    return not isinstance(op, HttpSource | GitSource) and not (
        isinstance(op, ImageSource) and op.ref.startswith(_LOCAL)
    )


def _looked_for(options: BuildOptions) -> Iterator[str]:
    """Where a build file, and its lock, may be."""
    if options.file is not None:
        yield str(options.file.absolute())
        yield f"{options.file.absolute()}.lock"
    else:
        yield from (str((options.context / name).absolute()) for name in (*NAMES, "dockerfile"))
        yield from (str((options.context / f"{name}.lock").absolute()) for name in NAMES)


def _programs(definition: Definition) -> Iterator[str]:
    """Where the programs of the machine are looked for."""
    for op in _ops(definition):
        if isinstance(op, Host):
            yield from (f"{directory}/{tool.name}" for tool in op.tools for directory in HOST_PATH)


def _young(path: str, limit: int) -> bool:
    try:
        return any(max(each.st_mtime_ns, each.st_ctime_ns) >= limit for each in (os.lstat(path), os.stat(path)))  # noqa: PTH116
    except OSError:
        return False


def _seen(trees: Iterable[ContextTree], limit: int) -> Iterator[tuple[str, tuple[str, list[str]] | None]]:
    """The directories of contexts with what was looked at in each; None for one in which something is young.

    Two looks at one directory by different rules are two trees; what is looked at is then the sum.
    """
    together: dict[str, dict[str, os.stat_result]] = {}
    for tree in trees:
        for directory, names in tree.seen():
            together.setdefault(directory, {}).update(names)
    for directory, found in together.items():
        if any(max(each.st_mtime_ns, each.st_ctime_ns) >= limit for each in found.values()):
            yield directory, None
        else:
            own = found.pop("")
            yield directory, (digest_of([stamp(own), *map(stamp, found.values())]), list(found))
