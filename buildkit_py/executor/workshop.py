"""What the parts of the local executor share: the store, the trees in it, and how a task's inputs become trees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, BinaryIO

from buildkit_py.dataclass import dataclass, field
from buildkit_py.graph.codec import decode_op
from buildkit_py.graph.op import LocalSource
from buildkit_py.protocol import InputMissing, StepTask, TaskInput

if TYPE_CHECKING:
    from buildkit_py.executor.secrets import SecretStore, SshSpec
    from buildkit_py.executor.source.image import Images
    from buildkit_py.layer.contexts import Contexts
    from buildkit_py.layer.draft import Draft
    from buildkit_py.layer.entry import Entry
    from buildkit_py.layer.stored import StoredTrees
    from buildkit_py.layer.tree import Tree
    from buildkit_py.source import Span
    from buildkit_py.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Everything that outlives one step."""

    store: Store
    trees: StoredTrees
    contexts: Contexts
    images: Images
    secrets: SecretStore
    ssh: tuple[SshSpec, ...]
    note: Callable[[str], None]
    secret_ids: Mapping[str, Span | None] = field(default_factory=dict)
    """The secrets that some step of the build mounts, and where: none of them may be in anything that is kept."""
    proxies: Mapping[str, str] = field(default_factory=dict)
    """The client's proxy variables, for steps that ask for them."""
    controllers: frozenset[str] = frozenset()
    """The controllers of control groups that some step's limits need."""
    drafts: dict[str, Draft] = field(default_factory=dict)
    """What file steps came to whose bytes nobody has asked for yet, by the keys of their tasks."""

    def tree(self, given: TaskInput) -> Tree:
        """The tree of an input; one that the store does not know enough of raises `InputMissing` at a look."""
        source = local_source(given)
        if source is not None:
            return self.contexts.tree(source)
        return LazyTree(self.trees, given)


def local_source(given: TaskInput) -> LocalSource | None:
    """The local source that an input is, if it is one."""
    if given.op is None:
        return None
    op = decode_op(given.op)
    return op if isinstance(op, LocalSource) else None


def input_of(task: StepTask, role: str) -> TaskInput:
    """The input of a role, which the graph guarantees to be there."""
    return next(given for given in task.inputs if given.role == role)


class LazyTree:
    """A tree of the store that is looked at when somebody asks; its bytes need not be there before a file is opened."""

    def __init__(self, trees: StoredTrees, given: TaskInput) -> None:
        self._trees = trees
        self._given = given

    def lookup(self, path: str) -> Entry | None:
        """The entry of that name."""
        return self._outline().lookup(path)

    def children(self, path: str) -> Iterable[str]:
        """The names in a directory."""
        return self._outline().children(path)

    def open(self, path: str) -> BinaryIO:
        """The content of a file."""
        if not self._trees.complete(self._given.content_id):
            raise InputMissing(self._given.role)
        return self._outline().open(path)

    def _outline(self) -> Tree:
        if not self._trees.described(self._given.content_id):
            raise InputMissing(self._given.role, names_only=True)
        return self._trees.tree(self._given.content_id)
