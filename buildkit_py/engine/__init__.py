"""The composition root: where frontends, solver, executor, images and the store are put together.

with Engine(store_root) as engine:
    result = engine.build(BuildOptions(context=Path(".")), emit=print)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from buildkit_py.dataclass import replace
from buildkit_py.engine.buildfile import BuildFile, find_build_file
from buildkit_py.engine.compile import Compiler, Texts
from buildkit_py.engine.options import BuildOptions, BuildResult, ImageResult, LayerResult
from buildkit_py.engine.resolver import EngineResolver
from buildkit_py.errors import GraphError, SourceInputError
from buildkit_py.events import Note, Warned
from buildkit_py.graph.definition import Definition
from buildkit_py.graph.op import ImageSource
from buildkit_py.graph.pin import is_pinned, pin
from buildkit_py.paths import store_path
from buildkit_py.platform import Platform
from buildkit_py.store import Store

if TYPE_CHECKING:
    from buildkit_py.engine.asking import Answer, Describe, Question
    from buildkit_py.events import Emit
    from buildkit_py.executor.source.image import Images
    from buildkit_py.graph.resolver import ResolvedImage
    from buildkit_py.receipt import Evidence

__all__ = ["BuildOptions", "BuildResult", "Engine", "ImageResult", "LayerResult"]


class Engine:
    """One store, opened, and `others` that are only read. Builds may follow each other; each is complete in itself.

    `record` is what the last one left in the list of builds, `evidence` what it looked at if it had nothing to do.
    """

    def __init__(self, store_root: Path | None = None, *, others: Sequence[Path] = ()) -> None:
        self._root = store_root or store_path()
        self._others = others
        self._store: Store | None = None
        self._readers: dict[object, Images] = {}
        self._files: dict[str, str] = {}
        self.texts = Texts()
        self.evidence: Evidence | None = None
        self.record: Mapping[str, Any] = {}

    def __enter__(self) -> Engine:
        if os.geteuid() != 0:
            # Trees hold files of many users: an ordinary one can keep them only in a namespace of its own.
            from buildkit_py.executor.sandbox.rootless import enter_user_namespace

            enter_user_namespace()
        self._store = Store.open(self._root, others=self._others)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is not None:
            self._store.close()

    @property
    def store(self) -> Store:
        """The open store."""
        assert self._store is not None, "an Engine is used in a `with` block"
        return self._store

    def on_quota(self, tell: Callable[[str], None]) -> None:
        """Have what must go for the store's quota told in plain words; without this it goes in silence."""
        self.store.space.tell = tell

    def definition(self, options: BuildOptions, emit: Emit) -> Definition:
        """The pinned graph of a request; nothing is run."""
        if not options.context.is_dir():
            raise SourceInputError(f"{options.context} is not a directory")
        self._read_policy(options)
        with self.store.lease():
            return self._definition(options, emit)

    def _definition(self, options: BuildOptions, emit: Emit) -> Definition:
        if options.graph is not None:
            return self._decode(options, options.graph)
        file = find_build_file(options)
        if file.note:
            emit(Note(at=0, text=file.note))
        resolver = self._resolver(options, file)
        self._files = resolver.files
        try:
            return Compiler(self.store, resolver, self.texts).compile(options, file)
        finally:
            for name, text in resolver.texts.items():
                self.texts.files[options.shown(options.context / name)] = text

    def build(self, options: BuildOptions, emit: Emit) -> BuildResult:
        """Build what a request asks for; raises the first failure after everything that could be done was done."""
        from buildkit_py.engine.evidence import Looks
        from buildkit_py.engine.run import BuildRun

        with self.store.lease():
            started, looks = time.monotonic(), Looks.begin(self.store, options)
            definition = self.definition(options, emit)
            warnings = tuple(dict.fromkeys(definition.warnings))
            for warning in warnings:
                emit(Warned(at=0, diagnostic=warning))
            self._know_images(options, definition)
            self.evidence = None
            run = BuildRun(self.store, self._images(options), options, definition, emit, started)
            result = replace(run.run(), warnings=warnings)
            self.record = run.record
            if not result.ran and (run.cache is None or not run.cache.used):
                # What a receipt rests on, where the build had nothing to do.
                read = {**self._files, **self._images(options).policy_files}
                self.evidence = looks.evidence(definition, read=read, trees=run.contexts.opened())
            return result

    def update(self, options: BuildOptions, names: Sequence[str]) -> list[tuple[str, str | None, str | None]]:
        """Ask anew for what the lock file pins (all, or `names`), and write it. Returns rows: name, old, new."""
        from buildkit_py.engine.update import update

        self._read_policy(options)
        with self.store.lease():
            file = find_build_file(options)
            return update(self._resolver(options, file), options, file, names)

    def ask(self, options: BuildOptions, question: Question) -> Answer:
        """What the frontend tells about a build file; nothing is run, and no lock file is obeyed or written."""
        from buildkit_py.engine.asking import Unbuilt, ask
        from buildkit_py.engine.unlocked import UnlockedResolver

        with self.store.lease():
            file = find_build_file(options)
            self.texts.files[file.shown] = file.text
            resolver = UnlockedResolver(self._resolver(options, file), self.store, pull=options.pull)
            return ask(options, file, question, Unbuilt(resolver.image, resolver))

    def bases(self, options: BuildOptions) -> Describe:
        """What says of an image what it declares; no lock file is obeyed, and no layer is fetched."""
        from buildkit_py.engine.unlocked import UnlockedResolver

        resolver = UnlockedResolver(self._resolver_at(options, options.context / "lock"), self.store, pull=options.pull)

        def describe(ref: str, platform: Platform) -> ResolvedImage:
            with self.store.lease():
                return resolver.image(ref, platform)

        return describe

    def _resolver(self, options: BuildOptions, file: BuildFile) -> EngineResolver:
        return self._resolver_at(options, file.lock_path, file.path)

    def _resolver_at(self, options: BuildOptions, lock_path: Path, build_file: Path | None = None) -> EngineResolver:
        return EngineResolver(
            self.store,
            lambda: self._images(options),
            options.context,
            lock_path,
            locked=options.locked,
            build_file=build_file,
            contexts=options.contexts,
            layouts=options.layouts,
        )

    def _images(self, options: BuildOptions) -> Images:
        """One reader of images a context, so that connections and tokens are shared."""
        place = (options.context, options.policy, *options.layouts.items())
        if place not in self._readers:
            from buildkit_py.executor.source.image import Images

            self._readers[place] = Images(self.store, options.context, options.layouts, options.policy)
        return self._readers[place]

    def _read_policy(self, options: BuildOptions) -> None:
        """Who names a policy means it to hold, so one that can't be read is refused even if no image is asked of it.
        What was read is among `policy_files`, and so in a receipt."""
        if options.policy is not None:
            _ = self._images(options).gate

    def _decode(self, options: BuildOptions, path: Path) -> Definition:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SourceInputError(f"{path} can't be read: {error.strerror}") from None
        try:
            definition = Definition.from_json(data)
        except GraphError as error:
            raise GraphError(f"{path}: {error.message}", hint=error.hint, span=error.span) from None
        if all(is_pinned(vertex.op) for vertex in definition.vertices.values()):
            return definition
        resolver = self._resolver_at(options, path.with_name(f"{path.name}.lock"))
        pinned = pin(definition, resolver.locked())
        resolver.save_lock()
        return pinned

    def _know_images(self, options: BuildOptions, definition: Definition) -> None:
        """Make sure that the store knows what each image consists of; its layers stay where they are. Each is held
        against the trust policy of today, however long it has been known."""
        for vertex in definition.vertices.values():
            op = vertex.op
            if not isinstance(op, ImageSource):
                continue
            if op.digest is None or self.store.memo.get("base", op.digest) is None:
                self._images(options).describe(op.ref, Platform.parse(op.platform), op.digest)
            else:
                self._images(options).admit(op.ref, op.digest)
