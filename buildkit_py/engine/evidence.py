"""What a build that had nothing to do looked at, for its receipt (`buildkit_py.receipt`)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from stat import S_ISDIR
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.engine.buildfile import NAMES
from buildkit_py.executor.tools import HOST_PATH
from buildkit_py.graph.op import ExecStep, GitSource, Host, HttpSource, ImageSource
from buildkit_py.platform import Platform
from buildkit_py.receipt import MOST_NAMES, YOUNG_NS, Evidence, Stamp, changed, digest_of, rows, text_stamp
from buildkit_py.reference import is_local

if TYPE_CHECKING:
    from buildkit_py.engine.options import BuildOptions
    from buildkit_py.graph.definition import Definition, ImageTarget
    from buildkit_py.layer.context import ContextTree
    from buildkit_py.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What a build is about to look at: stamps of the places where it looks for its own files, from before it does, and
    what nobody else may have changed in the store until its end."""

    store: Store
    options: BuildOptions
    began: int
    version: int
    texts: Mapping[str, str]

    @classmethod
    def begin(cls, store: Store, options: BuildOptions) -> Looks:
        """Before anything is read."""
        texts = {path: text_stamp(path) for path in _looked_for(options)}
        return cls(store=store, options=options, began=time.time_ns(), version=store.index.version, texts=texts)

    def evidence(
        self, definition: Definition, *, read: Mapping[str, str], trees: Iterable[ContextTree]
    ) -> Evidence | None:
        """None where the same command could do something another time."""
        if not (_settled(self.options) and all(map(_still, _ops(definition))) and all(map(_plain, definition.targets))):
            return None
        limit = self.began - YOUNG_NS
        texts = {**self.texts, **read, **{path: text_stamp(path) for path in _programs(definition)}}
        seen = dict(_seen(trees, limit))
        found = {place: names for place, names in seen.items() if names is not None}
        many = sum(len(names) for _, names in found.values()) > MOST_NAMES
        if many or len(found) < len(seen) or any(_young(path, limit) for path in texts):
            return None
        uses = sorted(self.store.owner.noted)
        state = rows(self.store, uses)
        # What was found at the end is what was found on the way only if nobody wrote meanwhile.
        unchanged = self.store.index.version == self.version
        return Evidence(trees=found, texts=texts, uses=uses, rows=state) if unchanged else None


def _settled(options: BuildOptions) -> bool:
    """Whether a request asks for nothing that is done, or given from outside, each time."""
    given = options.secrets or options.ssh or options.layouts or options.outputs or options.graph or options.cache_to
    anew = options.no_cache or options.refresh or options.pull or options.push or options.settings.fresh
    return not given and not anew and options.text is None and not options.temporary


def _ops(definition: Definition) -> Iterator[object]:
    return (vertex.op for vertex in definition.vertices.values())


def _still(op: object) -> bool:
    """Whether what an op stands for can only change in ways that a receipt sees."""
    if isinstance(op, ExecStep):
        return op.platform in ("", str(Platform.host()))
    return not isinstance(op, HttpSource | GitSource) and not (isinstance(op, ImageSource) and is_local(op.ref))


def _plain(target: ImageTarget) -> bool:
    return not target.outputs and target.platform == str(Platform.host())


def _looked_for(options: BuildOptions) -> Iterator[str]:
    """Where a build file, and its lock, may be, and the directories that are offered."""
    yield from (str(place.absolute()) for place in (options.context, *options.contexts.values()))
    if options.file is not None:
        yield str(options.file.absolute())
        yield f"{options.file.absolute()}.lock"
    else:
        yield from (str((options.context / name).absolute()) for name in (*NAMES, "dockerfile"))
        yield from (str((options.context / f"{name}.lock").absolute()) for name in (*NAMES, "dockerfile"))


def _programs(definition: Definition) -> Iterator[str]:
    """Where the programs of the machine are looked for."""
    for op in _ops(definition):
        if isinstance(op, Host):
            yield from (f"{directory}/{tool.name}" for tool in op.tools for directory in HOST_PATH)


def _young(path: str, limit: int) -> bool:
    """Whether a file could have changed since it was stamped; of directories only their place counts."""
    try:
        if S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116
            return False
        return any(max(each.st_mtime_ns, each.st_ctime_ns) >= limit for each in (os.lstat(path), os.stat(path)))  # noqa: PTH116
    except OSError:
        return False


def _seen(trees: Iterable[ContextTree], limit: int) -> Iterator[tuple[str, tuple[str, list[str]] | None]]:
    """The directories of contexts with what was looked at in each; None for one in which something is young.

    Two looks at one directory by different rules are two trees; what is looked at is then the sum.
    """
    together: dict[str, dict[str, Stamp]] = {}
    for tree in trees:
        for directory, names in tree.seen():
            together.setdefault(directory, {}).update(names)
    for directory, found in together.items():
        if any(max(changed(each)) >= limit for each in found.values()):
            yield directory, None
        else:
            own = found.pop("")
            yield directory, (digest_of([own, *found.values()]), list(found))
