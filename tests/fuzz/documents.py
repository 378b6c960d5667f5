"""Targets that are documents of a build and of images: graphs, manifests, records of caches, layouts, diffs."""

from __future__ import annotations

import io
import json
import shutil
from typing import Any, BinaryIO

from buildkit_py import canonical
from buildkit_py.digest import Digest
from buildkit_py.errors import SourceInputError
from buildkit_py.graph import (
    CacheMount,
    Copy,
    GraphBuilder,
    ImageSource,
    LocalSource,
    Run,
    SecretMount,
    Symlink,
    Test,
    TestItem,
    Write,
)
from buildkit_py.graph.resolver import ImageConfig
from buildkit_py.graph.wire import decode
from buildkit_py.image.config import from_document, to_document
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.incoming import parse_diff
from buildkit_py.oci import (
    Descriptor,
    Index,
    chain_id,
    choose,
    parse_config,
    parse_document,
    read_config,
    read_document,
)
from buildkit_py.oci.media_types import DOCKER_INDEX, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from buildkit_py.platform import Platform
from buildkit_py.registry.blobs import BlobStream
from buildkit_py.registry.dockerarchive import DockerArchiveReader, archived_images
from buildkit_py.registry.layout import ArchiveFiles, LayoutReader
from buildkit_py.sharing.record import Record, parse
from buildkit_py.source import Span
from buildkit_py.store import Store
from tests.fuzz.contract import Target, Unfit, attempt
from tests.fuzz.scratch import scratch
from tests.support.images import make_image, make_index
from tests.support.layouts import Entry as Member
from tests.support.layouts import layer

PLATFORM = Platform.parse("linux/amd64")
_KEY = "sha256:" + "1" * 64
_CONFIG = {
    "Env": ["PATH=/bin", "A="], "User": "1:2", "Entrypoint": ["/a"], "Cmd": [], "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/v": {}}, "WorkingDir": "/w", "Labels": {"l": "v"}, "StopSignal": "SIGINT", "StopTimeout": 3,
    "Healthcheck": {"Test": ["CMD", "a"], "Interval": 1000000000, "Retries": 3}, "OnBuild": ["RUN a"],
    "Shell": ["/bin/sh", "-c"], "ArgsEscaped": True,
}  # fmt: skip
_IMAGE = make_image(b"one", b"two", config=_CONFIG)


def _graph(data: bytes) -> None:
    """What was decoded is encoded and decoded again unchanged, with the same digest."""
    found = decode(data)
    again = decode(found.to_json())
    assert again == found and again.digest == found.digest


def _graph_seeds() -> list[bytes]:
    span = Span(file="Buildfile", line=1, column=1, end_line=1, end_column=5)
    graph = GraphBuilder()
    base = graph.add(ImageSource(ref="docker.io/library/alpine:3", platform="linux/amd64"), span=span)
    local = graph.add(LocalSource(name="context", ignore=("*.log",)))
    mounts = (CacheMount(id="c", target="/c"), SecretMount(id="s", target="/s"))
    run = graph.add(Run(args=("/bin/sh", "-c", "x"), env=(("A", "b"),), mounts=mounts), span=span, base=base)
    copy = graph.add(Copy(sources=("a", "b/*"), dest="/x/", owner="1:2", mode="0644"), inputs={"from": local}, base=run)
    tip = graph.add(Symlink(path="/l", target="../x"), base=graph.add(Write(path="/f", text="t\n"), base=copy))
    item = TestItem(kind="file", path="/f", span=span)
    config = ImageConfig(env=(("A", "b"),), healthcheck={"test": ["CMD", "a"], "retries": 2}, labels={"l": "v"})
    graph.target(
        "a", base=base, layers=[("one", run), ("two", tip)], config=config, tests=[Test(name="t", items=(item,))]
    )
    small = GraphBuilder()
    small.target("b", base=small.add(ImageSource(ref="oci:dir", platform="linux/amd64")))
    return [small.build().to_json(), graph.build().to_json()]


def _resealed(data: bytes) -> None:
    """The same for vertices whose digests are made right, so that what they say is looked at."""
    known: dict[str, str] = {}
    try:
        plain = _loaded(data)
        for vertex in plain["vertices"]:
            inputs = {role: known.get(digest, digest) for role, digest in vertex["inputs"].items()}
            made = str(canonical.digest({"op": vertex["op"], "inputs": inputs}))
            known[vertex["digest"]] = made
            vertex.update(inputs=inputs, digest=made)
        text = json.dumps(plain)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Unfit from None
    for old, new in known.items():
        text = text.replace(old, new) if isinstance(old, str) and len(old) == len(new) else text
    _graph(text.encode())


def _manifest(data: bytes) -> None:
    """What its carrier calls it changes nothing but whether it is taken."""
    for media_type in (None, OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX, "text/plain"):
        document = attempt(parse_document, data, media_type)
        if document is not None:
            assert read_document(data, document.media_type) == document
            if isinstance(document, Index):
                choose(document, PLATFORM)


def _manifest_seeds() -> list[bytes]:
    docker = make_image(b"x", types=(DOCKER_MANIFEST, OCI_CONFIG, "application/vnd.docker.image.rootfs.diff.tar.gzip"))
    plain = json.loads(_IMAGE.manifest)
    subject = {**plain["config"], "annotations": {"a": "b"}, "platform": {"os": "linux", "architecture": "arm"}}
    artifact = {**plain, "artifactType": "a/b", "subject": subject, "annotations": {"a": "b"}}
    index, _ = make_index(_IMAGE, make_image(b"x", platform="linux/arm64"))
    return [_IMAGE.manifest, docker.manifest, json.dumps(artifact).encode(), index]


def _config(data: bytes) -> None:
    """Everything that is read of a configuration, and that a build inherits of it."""
    found = parse_config(data)
    assert read_config(data) == found
    made = from_document(found)
    json.dumps(to_document(made))
    chain_id(found.diff_ids)


def _config_seeds() -> list[bytes]:
    plain = json.loads(_IMAGE.config)
    lines = [{"created": "2026-01-01T00:00:00Z", "created_by": "a", "empty_layer": True}, {"comment": "c"}]
    return [_IMAGE.config, json.dumps({**plain, "history": lines, "author": "a", "variant": "v2"}).encode()]


def _record(data: bytes) -> None:
    def never(descriptor: Descriptor) -> bytes:
        raise SourceInputError("it is not there")

    for kind in ("step", "selection", "check", "layer", "names"):
        attempt(parse, data, kind, _KEY, never)


def _record_seeds() -> list[bytes]:
    digest = "sha256:" + "2" * 64
    diff = Descriptor(media_type="application/vnd.pybuild.diff.v1+jsonl", digest=Digest.parse(digest), size=9)
    blob = Descriptor.of(b"x", "application/vnd.oci.image.layer.v1.tar+gzip")
    records = (
        Record(kind="step", key=_KEY, facts={"content_id": digest, "diff": digest}, diffs=(diff,), layers=(blob,)),
        Record(kind="selection", key=_KEY, facts={"selection": digest}),
        Record(kind="layer", key=_KEY, facts={"diff_id": digest}, layers=(blob,)),
        Record(kind="names", key=_KEY, facts={"content_id": digest}, diffs=(diff, diff)),
    )
    return [record.manifest for record in records]


def _loaded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Unfit from None


def _canonical(value: Any) -> bytes:
    try:
        return canonical.dumps(value)
    except (ValueError, RecursionError):
        raise Unfit from None


def _facts(data: bytes) -> None:
    """The configuration of a record in a manifest that is right for it."""
    config = _canonical(_loaded(data))
    about = Descriptor.of(config, "application/vnd.pybuild.cache.record.v1+json").to_plain()
    empty = Descriptor.of(b"{}", "application/vnd.oci.empty.v1+json").to_plain()
    plain = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": about, "layers": [empty]}
    for kind in ("step", "selection", "check"):
        attempt(parse, json.dumps(plain).encode(), kind, _KEY, lambda descriptor: config)


def _fact_seeds() -> list[bytes]:
    digest = "sha256:" + "2" * 64
    kinds = ({"content_id": digest, "diff": digest}, {"content_id": None, "diff": None}, {"selection": digest}, {})
    names = ("step", "step", "selection", "check")
    plain = ({"v": 1, "kind": kind, "key": _KEY, **more} for kind, more in zip(names, kinds, strict=True))
    return [json.dumps(each).encode() for each in plain]


def _diff(data: bytes) -> None:
    found = parse_diff(data)
    assert Diff.decode(found.encoded) == found


def _rows(data: bytes) -> None:
    """Rows of JSON in the one form that a diff has."""
    plain = _loaded(data)
    _diff(b"".join(_canonical(row) + b"\n" for row in (plain if isinstance(plain, list) else [plain])))


def _diff_seeds() -> list[bytes]:
    digest = f"sha256:{'a' * 64}"
    entries = (
        Entry(path="", type="dir", mode=0o755),
        Entry(path="a", type="dir", mode=0o755, xattrs=(("user.x", b"y"),)),
        Entry(path="a/f", type="file", mode=0o644, size=3, digest=digest),
        Entry(path="a/h", type="hardlink", mode=0o644, size=3, digest=digest, target="a/f"),
        Entry(path="a/l", type="symlink", mode=0o777, target="../f"),
        Entry(path="c", type="char", device=(1, 3)),
        Entry(path="p", type="fifo", mode=0o600, uid=5),
        Entry(path="w", type="whiteout"),
    )
    return [Diff.of(entries[:3]).encoded, Diff.of(entries).encoded]


def _row_seeds() -> list[bytes]:
    return [b"[%s]" % b",".join(data.splitlines()) for data in _diff_seeds()]


class _Memory:
    """The files of a layout that has one document everywhere."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(b'{"imageLayoutVersion": "1.0.0"}' if path == "oci-layout" else self._data)

    def blob(self, path: str, offset: int) -> BlobStream:
        raise SourceInputError("it is not there")


def _layout(data: bytes) -> None:
    for name in (None, "latest", "\x1b"):
        attempt(LayoutReader("oci:dir", _Memory(data), name).root)


def _layout_seeds() -> list[bytes]:
    plain = json.loads(make_index(_IMAGE, _IMAGE)[0])
    for row, name in zip(plain["manifests"], ("latest", "other"), strict=True):
        row["annotations"] = {"org.opencontainers.image.ref.name": name}
    return [json.dumps(plain).encode(), json.dumps({**plain, "manifests": plain["manifests"][:1]}).encode()]


def _docker_archive(data: bytes) -> None:
    """The table of contents of an archive, of which everything else is right."""
    file = scratch() / "archive.tar"
    members = [Member(name="manifest.json", data=data), Member(name="c.json", data=_IMAGE.config)]
    file.write_bytes(layer([*members, Member(name="l1", data=b"one"), Member(name="l2", data=b"two")]))
    files = ArchiveFiles(file, links=True)
    attempt(archived_images, files, "a.tar")
    for name in (None, "a:1", "@1", "\x1b"):
        attempt(DockerArchiveReader("a.tar", files, name).root)


def _docker_seeds() -> list[bytes]:
    one = {"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l1", "l2"]}
    two = {"Config": "./c.json", "RepoTags": None, "Layers": ["l1"]}
    return [json.dumps([one]).encode(), json.dumps([one, two]).encode()]


def _index_json(data: bytes) -> None:
    """A store whose index is lost finds the names of its images in index.json again, as far as they can be read."""
    root = scratch() / "store"
    shutil.rmtree(root, ignore_errors=True)
    with Store.open(root) as store:
        _IMAGE.store(store.blobs)
    (root / "index.db").unlink()
    (root / "index.json").write_bytes(data)
    with Store.open(root) as store:
        for record in store.images.everywhere():
            Descriptor.from_plain(record.descriptor)
            assert store.images.get(record.name) == record.descriptor and record.kind


def _index_json_seeds() -> list[bytes]:
    row: dict[str, Any] = {**_IMAGE.descriptor.to_plain(), "annotations": {"org.opencontainers.image.ref.name": "a"}}
    implied = {"org.opencontainers.image.ref.name": "b", "dev.pybuild.name.implied": "true"}
    plain = {"schemaVersion": 2, "manifests": [row, {**row, "annotations": implied}]}
    return [json.dumps(plain).encode()]


TARGETS: dict[str, Target] = {
    "graph": Target(run=_graph, seeds=_graph_seeds, form="json"),
    "graph-resealed": Target(run=_resealed, seeds=_graph_seeds, form="json"),
    "manifest": Target(run=_manifest, seeds=_manifest_seeds, form="json"),
    "config": Target(run=_config, seeds=_config_seeds, form="json"),
    "cache-record": Target(run=_record, seeds=_record_seeds, form="json"),
    "cache-facts": Target(run=_facts, seeds=_fact_seeds, form="json"),
    "diff": Target(run=_diff, seeds=_diff_seeds, form="text"),
    "diff-rows": Target(run=_rows, seeds=_row_seeds, form="json"),
    "layout-index": Target(run=_layout, seeds=_layout_seeds, form="json"),
    "docker-archive": Target(run=_docker_archive, seeds=_docker_seeds, form="json"),
    "store-index": Target(run=_index_json, seeds=_index_json_seeds, form="json", examples=30),
}
