"""Steps as nodes: a key from what is known of the inputs, a look-up, and, if that misses, a task for the executor."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Literal

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import Cancelled, PybuildError, StepError, TestError
from buildkit_py.graph.codec import encode
from buildkit_py.graph.definition import Vertex
from buildkit_py.graph.op import WHOLE, Chmod, Chown, ExecStep, Host, LocalSource, Op, Run, SecretMount, SshMount
from buildkit_py.graph.title import title
from buildkit_py.protocol import InputMissing, StepResult, StepTask, TaskInput
from buildkit_py.solver.demands import limit_met, limits, requires
from buildkit_py.solver.key import Key, key_of, shared_key
from buildkit_py.solver.nodes import Identity, InputNeeded
from buildkit_py.solver.selection import Selection, Selector, selectors_of
from buildkit_py.solver.session import Session
from buildkit_py.source import Span

if TYPE_CHECKING:
    from buildkit_py.layer.entry import Entry
    from buildkit_py.layer.tree import Tree

_NOT_FOUND = 127
_SHELLS = ("sh", "ash", "bash", "dash")
Cause = Literal["key", "tree", "bytes", "no-cache", "refresh", "always"]
"""Why a step runs: no result is known of its key; the store has forgotten the tree of the result; the result is known,
but its bytes are wanted and not here; or it is to run whatever is known."""


@dataclass(slots=True)
class StepNode:
    """One file or exec step. `test` names the test block that runs it, where nobody uses its tree; `cause` says why it
    has to run, if it does."""

    session: Session
    vertex: Vertex
    span: Span | None
    test: str | None = None
    inputs: tuple[str, ...] = field(init=False)
    eager: tuple[str, ...] = field(init=False)
    slow: bool = field(init=False)
    reads: bool = field(init=False)
    id: str = field(init=False)
    kind: str = field(init=False)
    title: str = field(init=False)
    key: Key | None = None
    cause: Cause = "key"
    _contents: Mapping[str, str] = field(default_factory=dict)
    _selections: Mapping[str, str] = field(default_factory=dict)
    _selected: dict[str, Selection] = field(default_factory=dict)
    _fresh: bool = False
    _settled: bool = False
    """Whether the plan knows the result: what it then asks for are the bytes."""
    _apart: bool = False
    """Whether the plan has left out what it is made from, as its bytes may come from elsewhere."""

    def __post_init__(self) -> None:
        op = self.vertex.op
        self.id, self.kind, self.title = self.vertex.digest, op.type, title(op, origin=self._origin())
        self.inputs = tuple(self.vertex.inputs.values())
        # A file step looks at its base only where it must; a process needs whole trees, and who gives a file another
        # owner or mode keeps its bytes.
        lazy = () if isinstance(op, ExecStep | Chmod | Chown) else ("base",)
        needed = (digest for role, digest in self.vertex.inputs.items() if role not in lazy)
        self.eager = tuple(each for digest in needed for each in self.session.stacks.whole(digest))
        self.reads = any(self._local(role) for role in self.vertex.inputs)
        self.slow = self.reads or self.session.cache is not None

    def identify(self) -> Identity:
        """Compute the key and look for its result."""
        self.key = self._make_key()
        forced = self._forced()
        known = self._find(self.key) if forced is None else None
        if known is None:
            self.cause = forced or self.cause
            return Identity(known=False)
        self.cause = "bytes"
        self._selected.clear()
        self._learn(known.content_id)
        self._settled = True
        self._apart = self.session.cache is not None
        return Identity(known=True, available=self._available(known.content_id), spared=True, apart=self._apart)

    def look_ahead(self, stop: threading.Event) -> None:
        """Read the local files that it selects: the stat cache knows them then, and is asked again in any case."""
        for selector in self._selectors():
            source = self._local(selector.role)
            if source is not None and self.key is None:
                # Whatever is wrong, `identify` will say it.
                with suppress(Exception):
                    selector.select(_Watched(self.session.contexts.apart(source), stop))

    def prepare(self) -> None:
        """Let the executor get ready."""
        self.session.executor.prepare(encode(self.vertex.op))

    def produce(self) -> Identity:
        """Have the executor do it, unless another process has done it meanwhile."""
        before = self.session.content.get(self.id)
        key = self._require_key()
        with self.session.alone(self, f"step-{key.digest}"):
            known = None if self._forced() else self._find(key)
            if known is not None and (self._available(known.content_id) or not self._settled):
                self._learn(known.content_id)
                if not self._settled:
                    self.session.spared(self, "key")
            elif not self._restored(key, known):
                self._run(key)
        self._settled = True
        content = self.session.content.get(self.id)
        return Identity(known=True, available=self._available(content), changed=before not in (None, content))

    def _run(self, key: Key) -> None:
        """Have the executor do it: the whole step, or what lacks of it."""
        task = self._task(key)
        # Laying down files that a known diff names is no step: that is what was spared.
        counted = self._fresh or (self._settled and not isinstance(self.vertex.op, ExecStep))
        if not counted:
            self._keep_listings()
        try:
            result = self.session.supply(task, self) if counted else self.session.run(task, self)
        except InputMissing as missing:
            raise InputNeeded(*self._nodes_for(missing)) from None
        if not counted or result.content_id != self.session.content.get(self.id):
            self._accept(key, result)

    def cancel(self) -> None:
        """Stop the task, if it is under way."""
        if self.key is not None:
            self.session.executor.cancel(self.key.digest)

    def _find(self, key: Key) -> StepResult | None:
        """The result that is remembered of a key, if it can still be used."""
        known = self.session.store.results.get(key.digest)
        result = StepResult.from_plain(known) if known is not None else None
        if result is not None and self._usable(result.content_id):
            return result
        shared = self._ask(key)
        if shared is not None:
            return shared
        if self.cause != "bytes":
            self.cause = "key" if result is None else "tree"
        return None

    def _ask(self, key: Key) -> StepResult | None:
        """The result that other machines know of a key."""
        cache, store = self.session.cache, self.session.store
        base = None if self._discard else self._contents["base"]
        result = cache.step(key.digest, base) if cache is not None else None
        if result is None:
            return None
        if base is not None and result.diff is not None:
            store.trees.put(str(result.content_id), base, result.diff)
        store.results.put(key.digest, result.to_plain(), dict(key.parts), self.session.options.build)
        return result

    def _restored(self, key: Key, known: StepResult | None) -> bool:
        """Have the bytes of a known result brought from where it came from. Where they can't be had, what makes them is
        asked for."""
        cache, began = self.session.cache, self.session.now()
        if cache is not None and known is not None and self._settled:
            epoch, cancel = self.session.options.epoch, self.session.stopping.is_set
            if cache.restore(key.digest, known, epoch, tell=partial(self.session.moved, self), cancel=cancel):
                self.session.took(self, {"transfer": self.session.now() - began})
                return True
        if self._apart:
            self._apart = False
            raise InputNeeded(*self.eager)
        return False

    def _accept(self, key: Key, result: StepResult) -> None:
        if result.exit != 0:
            raise self._failure(result)
        self.session.store.results.put(key.digest, result.to_plain(), dict(key.parts), self.session.options.build)
        self._fresh = True
        self._learn(result.content_id)

    def _failure(self, result: StepResult) -> PybuildError:
        message = f"ended with exit code: {result.exit}" + (f" ({result.error})" if result.error else "")
        if result.met is not None:
            message = limit_met(result.met, self.vertex.op, self.session.options.limits)
        if self.test is not None:
            text = f"{self.title}: test {self.test!r} failed: {message}"
            return TestError(text, span=self.span, tail=result.tail)
        return StepError(
            f"{self.title}: {message}",
            hint=self.session.definition.hinted(self.id, self._remedy(result)),
            span=self.span,
            step_exit=result.exit,
            tail=result.tail,
        )

    def _remedy(self, result: StepResult) -> str | None:
        """What to do where the program could not be started."""
        op = self.vertex.op
        if not result.error or result.exit != _NOT_FOUND or not isinstance(op, Run):
            return None
        shell = op.args[0].rpartition("/")[2] in _SHELLS
        without = ", or write the command as a list, which needs no shell" if shell else ""
        return f"start from an image that has {op.args[0]}, or copy it in before{without}"

    @property
    def _discard(self) -> bool:
        return self.test is not None

    def _forced(self) -> Cause | None:
        """Why the step runs although its result may be known, until it has."""
        options = self.session.options
        if self._fresh:
            return None
        if options.no_cache:
            return "no-cache"
        if options.refresh and isinstance(self.vertex.op, ExecStep) and self.vertex.op.network != "none":
            return "refresh"
        return "always" if self.id in self.session.definition.fresh else None

    def _learn(self, content_id: str | None) -> None:
        if content_id is not None:
            self.session.content[self.id] = content_id

    def _usable(self, content_id: str | None) -> bool:
        """Whether what a result says is still known to the store, so that layers can be made of it."""
        if self._discard:
            return True
        return content_id is not None and self.session.trees.known(content_id, self._contents["base"])

    def _available(self, content_id: str | None) -> bool:
        """Whether the bytes that the step itself adds are there."""
        if self._discard:
            return True
        return content_id is not None and self.session.trees.holds(content_id, self._contents["base"])

    def _nodes_for(self, missing: InputMissing) -> list[str]:
        """The nodes that give an executor what it lacks."""
        stacks = self.session.stacks
        of = stacks.legible if missing.names_only else stacks.whole
        return [node for role in missing.roles for node in of(self.vertex.inputs[role])]

    def _origin(self) -> Op | None:
        source = self.vertex.inputs.get("from")
        return self.session.definition.vertices[source].op if source else None

    def _local(self, role: str) -> LocalSource | None:
        op = self.session.definition.vertices[self.vertex.inputs[role]].op
        return op if isinstance(op, LocalSource) else None

    def _require_key(self) -> Key:
        """The key of the inputs as they are now: one that had to be made again may have come out different."""
        if self.key is None or self._contents != self._contents_now():
            self.key = self._make_key()
        return self.key

    def _contents_now(self) -> dict[str, str]:
        return {role: self.session.content[digest] for role, digest in self.vertex.inputs.items()}

    def _selectors(self) -> list[Selector]:
        local = {role: source for role in self.vertex.inputs if (source := self._local(role)) is not None}
        return selectors_of(self.vertex.op, local, [role for role, source in local.items() if not source.special])

    def _keep_listings(self) -> None:
        """Keep what the selections consist of, to tell later which files made the step run again."""
        for selector in self._selectors():
            digest, tree = self._selections[selector.name], self._tree_of(selector)
            listings = self.session.store.listings
            if tree is not None and not listings.has(digest):
                from buildkit_py.solver.listing import files_of

                selection = self._selected.pop(selector.name, None) or selector.select(tree)
                listings.put(digest, files_of(selector, selection))

    def _tree_of(self, selector: Selector) -> Tree | None:
        source = self._local(selector.role)
        if source is not None:
            return self.session.contexts.tree(source)
        content_id = self._contents[selector.role]
        return self.session.trees.tree(content_id) if self.session.trees.complete(content_id) else None

    def _make_key(self) -> Key:
        op = self.vertex.op
        selectors = self._selectors()
        # Read once: the key and the task must speak of the same trees, whatever other threads learn meanwhile.
        self.key = None
        self._contents = self._contents_now()
        self._selected.clear()
        self._selections = {selector.name: self._located(selector) for selector in selectors}
        partly = {selector.role for selector in selectors} - WHOLE
        return key_of(
            op,
            inputs={role: content for role, content in self._contents.items() if role not in partly},
            selections=self._selections,
            tools=self._tools(),
            epoch=self.session.options.epoch,
            given=self.session.options.given,
        )

    def _tools(self) -> dict[str, str]:
        """Identities of the programs of this machine that the step uses."""
        op = self.vertex.op
        if not isinstance(op, Host) or "tools" in self.vertex.inputs:
            return {}
        return {tool.name: self.session.tools.identity(tool) for tool in op.tools}

    def _located(self, selector: Selector) -> str:
        try:
            return self._select(selector)
        except PybuildError as error:
            error.span = error.span or self.span
            raise

    def _select(self, selector: Selector) -> str:
        source = self._local(selector.role)
        if source is not None:
            return self._look(selector, self.session.contexts.tree(source))
        content_id = self._contents[selector.role]
        memo_key = selector.memo_key(content_id)
        known = self.session.store.memo.get("selection", memo_key) or self._shared_selection(memo_key)
        if known is None:
            if not self.session.trees.complete(content_id):
                raise InputNeeded(*self.session.stacks.whole(self.vertex.inputs[selector.role]))
            known = self._look(selector, self.session.trees.tree(content_id))
            self.session.store.memo.put("selection", memo_key, known)
        return str(known)

    def _shared_selection(self, memo_key: str) -> str | None:
        """What another machine found to be selected; no tree need be here."""
        cache = self.session.cache
        known = cache.selection(shared_key("selection", memo_key)) if cache is not None else None
        if known is not None:
            self.session.store.memo.put("selection", memo_key, known)
        return known

    def shared_selections(self) -> dict[str, str]:
        """The keys by which machines share what it selects of trees, and what that was when it was last looked at."""
        return {
            shared_key("selection", selector.memo_key(self._contents[selector.role])): self._selections[selector.name]
            for selector in self._selectors()
            if self._local(selector.role) is None and selector.name in self._selections
        }

    def _look(self, selector: Selector, tree: Tree) -> str:
        """The digest of what is selected; what it is stays at hand until it is known whether the step runs."""
        selection = self._selected[selector.name] = selector.select(tree)
        return selection.digest

    def _task(self, key: Key) -> StepTask:
        op = self.vertex.op
        mounts = op.mounts if isinstance(op, ExecStep) else ()
        platform = op.platform if isinstance(op, ExecStep) else ""
        return StepTask(
            key=key.digest,
            op=encode(op),
            inputs=tuple(self._input(role) for role in self.vertex.inputs),
            platform=platform,
            epoch=self.session.options.epoch,
            requires=requires(op),
            limits=limits(op, self.session.options.limits),
            secret_ids=tuple(mount.id for mount in mounts if isinstance(mount, SecretMount | SshMount)),
            discard=self._discard,
            whole=self._settled or isinstance(op, ExecStep),
        )

    def _input(self, role: str) -> TaskInput:
        source = self._local(role)
        if source is not None:
            return TaskInput(role=role, content_id=self._selections.get(role, ""), op=encode(source))
        return TaskInput(role=role, content_id=self._contents[role])


class _Watched:
    """A tree that raises `Cancelled` once nobody wants to know."""

    def __init__(self, tree: Tree, stop: threading.Event) -> None:
        self._tree = tree
        self._stop = stop
        self.children = tree.children
        self.open = tree.open

    def lookup(self, path: str) -> Entry | None:
        """As the tree has it."""
        if self._stop.is_set():
            raise Cancelled("nobody waits for it")
        return self._tree.lookup(path)
