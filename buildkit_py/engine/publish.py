"""After every step and test: assemble the images, name them in the store, and write what they are to be written to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.engine.buildfile import project_of
from buildkit_py.engine.lines import lines_of
from buildkit_py.engine.options import BuildOptions, ImageResult, LayerResult
from buildkit_py.engine.outputs import OutputWriter
from buildkit_py.events import ImageDone, LayerDone, Note
from buildkit_py.graph.definition import ImageTarget
from buildkit_py.graph.op import ImageSource
from buildkit_py.image.assemble import BaseImage, NewLayer, assemble, assemble_index
from buildkit_py.solver.build import layers_of
from buildkit_py.solver.layers import LayerNode

if TYPE_CHECKING:
    from buildkit_py.engine.options import Annotation
    from buildkit_py.executor.source.image import Images
    from buildkit_py.image.assemble import Assembled
    from buildkit_py.oci import Descriptor
    from buildkit_py.solver.nodes import Node
    from buildkit_py.solver.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What was published: every image, and by name the digest and the descriptor of what names it."""

    images: tuple[ImageResult, ...]
    digests: Mapping[str, str]
    descriptors: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """An assembled image and what it was made of."""

    target: ImageTarget
    base: BaseImage | None
    nodes: Sequence[LayerNode]
    assembled: Assembled


class Publisher:
    """Publishes what one solved session made. Nothing is named or written before every image is assembled."""

    def __init__(self, session: Session, images: Images, options: BuildOptions, nodes: Sequence[Node]) -> None:
        self._session = session
        self._images = images
        self._store = session.store
        self._options = options
        self._layers = {node.id: node for node in nodes if isinstance(node, LayerNode)}
        self._tags = tuple(dict.fromkeys(options.tags))
        self._done: list[ImageDone] = []

    def publish(self, without: Collection[str] = ()) -> Published:
        """Assemble, name, write all images but those called as in `without`."""
        by_name: dict[str, list[ImageTarget]] = {}
        for target in self._session.definition.targets:
            if target.name not in without:
                by_name.setdefault(target.name, []).append(target)
        results: list[ImageResult] = []
        whole: dict[str, Descriptor] = {}
        for name, targets in by_name.items():
            made = [self._assemble(target) for target in targets]
            results += [self._result(each) for each in made]
            whole[name] = self._join(name, [each.assembled for each in made])
        # All names or none: a build that fails here has named nothing.
        with self._store.transaction():
            for name, descriptor in whole.items():
                self._name(name, descriptor)
        # Who hears of an image is told names that it has.
        for event in self._done:
            self._session.emit(replace(event, at=self._session.now()))
        writer = OutputWriter(self._session, self._images, self._options)
        for name, targets in by_name.items():
            writer.write(name, targets, whole[name])
        return Published(
            images=tuple(results),
            digests={name: str(descriptor.digest) for name, descriptor in whole.items()},
            descriptors={name: descriptor.to_plain() for name, descriptor in whole.items()},
        )

    def _assemble(self, target: ImageTarget) -> _Made:
        base = self._base(target)
        nodes = list(self._nodes_of(target))
        layers = [NewLayer(name=node.name, blob=node.blob) for node in nodes if node.blob is not None]
        target = _wished(target, self._options)
        assembled = assemble(self._store, target, base, layers, epoch=self._session.options.epoch)
        lines = lines_of(self._store, self._session.definition, target, base, nodes)
        self._store.lines.put(assembled.config, {**project_of(self._options), "lines": lines})
        return _Made(target=target, base=base, nodes=nodes, assembled=assembled)

    def _base(self, target: ImageTarget) -> BaseImage | None:
        op = self._session.definition.vertices[target.base].op
        if not isinstance(op, ImageSource):
            return None
        return BaseImage.of(*self._images.documents(op))

    def _nodes_of(self, target: ImageTarget) -> Iterator[LayerNode]:
        for node in layers_of(self._session, target):
            found = self._layers[node.id]
            # Equal layers are one node; each image still calls its own by the name that it gave.
            node.blob, node.reused = found.blob, found.reused
            yield node

    def _result(self, made: _Made) -> ImageResult:
        target, base, assembled = made.target, made.base, made.assembled
        below = [
            LayerResult(name="base", digest=str(each.digest), size=each.size, reused=True, from_base=True)
            for each in (base.layers if base else ())
        ]
        own = [
            LayerResult(name=node.name, digest=node.blob.digest, size=node.blob.size, reused=node.reused)
            for node in made.nodes
            if node.blob is not None
        ]
        for layer in (*below, *own):
            self._session.emit(
                LayerDone(
                    at=self._session.now(),
                    image=target.name,
                    platform=target.platform,
                    name=layer.name,
                    digest=layer.digest,
                    size=layer.size,
                    reused=layer.reused,
                    from_base=layer.from_base,
                )
            )
        digest = str(assembled.descriptor.digest)
        self._note(target.name, target.platform, digest, assembled.size)
        return ImageResult(
            name=target.name,
            platform=target.platform,
            digest=digest,
            size=assembled.size,
            layers=(*below, *own),
            config=assembled.config,
        )

    def _join(self, name: str, images: Sequence[Assembled]) -> Descriptor:
        if len(images) == 1:
            return images[0].descriptor
        asked = self._options.annotations
        described = [
            replace(image.descriptor, annotations={**image.descriptor.annotations, **_descriptor(asked, image)})
            for image in images
        ]
        whole = {item.key: item.value for item in asked if item.kind == "index"}
        index = assemble_index(self._store, described, annotations=whole)
        self._note(name, None, str(index.descriptor.digest), index.size)
        return index.descriptor

    def _note(self, name: str, platform: str | None, digest: str, size: int) -> None:
        self._done.append(ImageDone(at=0, image=name, platform=platform, digest=digest, size=size, names=self._tags))

    def _name(self, name: str, descriptor: Descriptor) -> None:
        for tag in self._tags:
            self._store.images.put(tag, descriptor.to_plain())
        if name not in self._tags and not self._store.images.put(name, descriptor.to_plain(), given=False):
            text = f"the name {name!r} stays with the image that it was given to; -t {name} gives it to this one"
            self._session.emit(Note(at=self._session.now(), text=text))


def _wished(target: ImageTarget, options: BuildOptions) -> ImageTarget:
    """The target with the labels and annotations that the client wants of every image."""
    labels = {**target.config.labels, **options.settings.labels}
    wanted = {
        item.key: item.value
        for item in options.annotations
        if item.kind == "manifest" and item.platform in (None, target.platform)
    }
    return replace(target, config=replace(target.config, labels=labels), annotations={**target.annotations, **wanted})


def _descriptor(asked: Sequence[Annotation], image: Assembled) -> dict[str, str]:
    """The annotations of an image's entry in the index."""
    platform = str(image.descriptor.platform)
    return {
        item.key: item.value
        for item in asked
        if item.kind == "manifest-descriptor" and item.platform in (None, platform)
    }
