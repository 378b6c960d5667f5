"""Where images go besides the store: checked before anything runs, written when every image is assembled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass, field
from buildkit_py.engine.options import STDOUT, Destination
from buildkit_py.engine.phases import PUSH
from buildkit_py.errors import OutputError, PybuildError, UsageError
from buildkit_py.events import Finished, Note, OutputDone, Progress, Started
from buildkit_py.executor.source.meter import Meter
from buildkit_py.graph.definition import ImageTarget, Output
from buildkit_py.graph.op import ImageSource
from buildkit_py.image.stored import closure, one_image
from buildkit_py.reference import Reference, is_local

if TYPE_CHECKING:
    from buildkit_py.engine.options import BuildOptions
    from buildkit_py.executor.source.image import Images
    from buildkit_py.graph.definition import Definition
    from buildkit_py.oci import Descriptor
    from buildkit_py.solver.session import Session

_PATHS = ("archive", "layout", "docker", "rootfs")
_FILES = ("archive", "docker", "tar")
_CONFINED = "a build file writes only below its directory; `-o` on the command line may name any path"


def check_outputs(definition: Definition, options: BuildOptions) -> None:
    """Refuse what could not be written in the end; raises `UsageError` and `OutputError`."""
    _check_push(definition, options)
    _check_annotations(definition, options)
    names = {target.name for target in definition.targets}
    if len(names) > 1 and (options.tags or options.outputs):
        raise UsageError(
            f"--tag and --output need one image, and this builds {len(names)}: {', '.join(sorted(names))}",
            hint="choose one with --target",
        )
    for output in options.outputs:
        _check_reference(output)
        _check_place(options.context / output.value, output)
    owners: dict[tuple[str, str], str] = {}
    for target in definition.targets:
        for output in target.outputs:
            place = str(_declared_place(options.context, output)) if output.kind in _PATHS else output.value
            owner = owners.setdefault((output.kind if output.kind not in _PATHS else "path", place), target.name)
            if owner != target.name:
                raise OutputError(
                    f"the images {owner!r} and {target.name!r} are both to be written to {output.value}",
                    span=output.span,
                )


def _check_push(definition: Definition, options: BuildOptions) -> None:
    """Refuse to push to nowhere, and by a tag that no registry could take."""
    declared = [output for target in definition.targets for output in target.outputs]
    if not options.push or any(output.kind == "registry" for output in (*declared, *options.outputs)):
        return
    if not options.tags:
        raise UsageError("--push, and nothing says where to", hint="name it with -t, as -t registry.example/app:1")
    for tag in options.tags:
        Reference.parse(tag)


def _check_annotations(definition: Definition, options: BuildOptions) -> None:
    """Refuse annotations of an index where there will be none."""
    several = len({target.platform for target in definition.targets}) > 1
    for item in options.annotations:
        if item.kind != "manifest" and not several:
            raise UsageError(
                f"--annotation {item.kind}:{item.key}: an image for one platform has no index",
                hint="leave out the prefix, or build for several platforms",
            )


def _declared_place(context: Path, output: Output) -> Path:
    path = confined(context, output)
    _check_place(path, output)
    return path


def _check_place(path: Path, output: Output | Destination) -> None:
    """Refuse to replace a file that is no output, with the line that would."""
    if output.value == STDOUT:
        return
    if output.kind in _FILES or (output.kind == "rootfs" and path.suffix == ".tar"):
        from buildkit_py.image.staging import check_replaceable

        try:
            check_replaceable(path)
        except OutputError as error:
            raise OutputError(error.message, hint=error.hint, span=output.span) from None


def confined(context: Path, output: Output) -> Path:
    """The path of an output that a build file declares; what leads out of the directory, by links too, is refused."""
    lexical = PurePosixPath(output.value)
    try:
        root = context.resolve()
        path = (root / lexical).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise OutputError(f"the output {output.value!r} can't be written: {error}", span=output.span) from None
    if lexical.is_absolute() or ".." in lexical.parts or path == root or not path.is_relative_to(root):
        raise OutputError(
            f"the output {output.value!r} is not below the directory of the build", hint=_CONFINED, span=output.span
        )
    return path


def _check_reference(output: Output | Destination) -> None:
    if output.kind == "registry":
        try:
            Reference.parse(output.value)
        except UsageError as error:
            raise OutputError(error.message, hint=error.hint, span=output.span) from None


def _shown(output: Output | Destination) -> str:
    return "standard output" if output.value == STDOUT else output.value


@dataclass(slots=True)
class OutputWriter:
    """Writes the outputs of one build."""

    session: Session
    images: Images
    options: BuildOptions
    _count: int = field(default=0, init=False)

    def write(self, name: str, targets: Sequence[ImageTarget], descriptor: Descriptor) -> None:
        """Write an image, or the index of its platforms, to all places that are declared or asked for."""
        declared = dict.fromkeys(output for target in targets for output in target.outputs)
        wanted = (*declared, *self.options.outputs)
        for output in (*wanted, *self._tags(wanted)):
            own = isinstance(output, Output) and output in declared
            skipped = "needs --push" if output.kind == "registry" and not self._pushes(output) else None
            if output.kind == "store":
                # A name that a build file chooses is no name that FROM of another build sees.
                named = self.session.store.images.put(output.value, descriptor.to_plain(), given=not own)
                skipped = None if named else f"the name was given to another image; -t {output.value} gives it to this"
            elif skipped is None:
                if isinstance(output, Output) and own and output.kind in _PATHS:
                    # Looked at again: an output before this one may have left links in the directory.
                    confined(self.options.context, output)
                self._write_one(self.options.tags or (name,), output, descriptor)
            self.session.emit(
                OutputDone(
                    at=self.session.now(),
                    image=name,
                    kind=output.kind,
                    value=_shown(output),
                    skipped=skipped,
                    platform=self._only_platform(output, descriptor),
                )
            )

    def _pushes(self, output: Output | Destination) -> bool:
        return self.options.push or (isinstance(output, Destination) and output.push)

    def _tags(self, wanted: Sequence[Output | Destination]) -> Iterator[Destination]:
        """The tags as places to push to, where nothing else says where to."""
        if self.options.push and not any(output.kind == "registry" for output in wanted):
            for tag in self.options.tags:
                yield Destination(kind="registry", value=str(Reference.parse(tag)))

    def _only_platform(self, output: Output | Destination, descriptor: Descriptor) -> str | None:
        """The platform that was written, where the image has several and an output of its kind holds one."""
        if output.kind not in ("docker", "rootfs"):
            return None
        image = one_image(self.session.store, descriptor)
        return str(image.platform) if image.descriptor != descriptor else None

    def _write_one(self, names: Sequence[str], output: Output | Destination, descriptor: Descriptor) -> None:
        with self._reported(output) as meter:
            if output.kind == "registry":
                self._push(output.value, descriptor, meter)
                return
            from buildkit_py.image.outputs import write_output

            self._bring(descriptor, meter)
            write_output(
                self.session.store,
                output.kind,
                output.value,
                descriptor,
                name=names[0],
                also=names[1:],
                directory=self.options.context,
                epoch=self.session.options.epoch,
                durable=self.options.fsync_output,
            )

    @contextmanager
    def _reported(self, output: Output | Destination) -> Iterator[Meter]:
        """Say that an output begins and how it ends."""
        self._count += 1
        name = f"output-{self._count}"
        title = f"{PUSH if output.kind == 'registry' else output.kind} {_shown(output)}"
        now, emit = self.session.now, self.session.emit
        emit(Started(at=now(), id=name, title=title, kind="output", span=output.span))
        try:
            yield Meter(lambda done, total: emit(Progress(at=now(), id=name, done=done, total=total)))
        except PybuildError as error:
            error.span = error.span or output.span
            emit(Finished(at=now(), id=name, outcome="failed", error=error.message))
            raise
        emit(Finished(at=now(), id=name, outcome="done"))

    def _bring(self, descriptor: Descriptor, meter: Meter) -> None:
        """Fetch the layers of bases that no step needed, now that their bytes are."""
        store = self.session.store
        missing = [blob for blob in closure(store, descriptor) if not store.blobs.has(str(blob.digest))]
        if missing:
            self.images.fetch(missing, progress=meter, origins=self._origins())

    def _origins(self) -> dict[str, str]:
        """Where this build says that the layers of its bases are, by their digests."""
        return {
            str(layer.digest): op.ref
            for op in (vertex.op for vertex in self.session.definition.vertices.values())
            if isinstance(op, ImageSource)
            for layer in self.images.documents(op)[0].layers
        }

    def _left_behind(self, descriptor: Descriptor) -> dict[str, str]:
        """Where layers are that came from a shared cache by name alone, by their digests."""
        store = self.session.store
        missing = (str(blob.digest) for blob in closure(store, descriptor) if not store.blobs.has(str(blob.digest)))
        known = ((digest, store.memo.get("origin", digest)) for digest in missing)
        return {digest: str(origin) for digest, origin in known if origin is not None}

    def _push(self, value: str, descriptor: Descriptor, meter: Meter) -> None:
        origins = {**self._left_behind(descriptor), **self._origins()}
        report = self.images.client.push(
            Reference.parse(value),
            descriptor,
            self.session.store.blobs,
            origins={digest: Reference.parse(ref) for digest, ref in origins.items() if not is_local(ref)},
            bring=lambda missing: self.images.fetch([missing], origins=origins),
            progress=meter,
        )
        self.images.remember(report.uploaded, report.reference)
        self.session.emit(Note(at=self.session.now(), text=str(report)))
