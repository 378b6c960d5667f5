"""Docker archives and plain directories as sources, made by hand and by chance."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildkit_py.errors import IntegrityError, PybuildError, SourceInputError
from buildkit_py.oci import Manifest
from buildkit_py.platform import Platform
from buildkit_py.registry.blobs import ImageReader
from buildkit_py.registry.pull import fetch_layers, fetch_metadata
from buildkit_py.registry.retry import Retry
from buildkit_py.registry.source import open_reader
from tests.support.clients import make_client
from tests.support.images import digest_of, make_image
from tests.support.memory_blobs import MemoryStore

AMD = make_image(b"one layer", b"another")
PLATFORM = Platform.parse("linux/amd64")
Row = dict[str, object]
ROW: Row = {"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["a/layer.tar", "b.tar"]}
FILES = {"c.json": AMD.config, "a/layer.tar": AMD.layers[0], "b.tar": AMD.layers[1]}


def archive(
    path: Path, rows: object = (ROW,), *, files: dict[str, bytes] | None = None, links: dict[str, str] | None = None
) -> Path:
    """A Docker archive; `rows` are its `manifest.json`."""
    held = {**(FILES if files is None else files), "manifest.json": json.dumps(rows).encode()}
    with tarfile.open(path, "w") as tar:
        for name, data in held.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return path


def reader(name: str, directory: Path) -> ImageReader:
    return open_reader(name, make_client(), directory=directory)


def pull(name: str, directory: Path) -> MemoryStore:
    store = MemoryStore()
    pulled = fetch_metadata(reader(name, directory), PLATFORM, store)
    fetch_layers(pulled, store, retry=Retry(sleep=lambda _: None))
    return store


def test_an_archive(tmp_path: Path) -> None:
    archive(tmp_path / "a.tar")
    store = pull("docker-archive:a.tar:app:1", tmp_path)
    raw, descriptor = reader("docker-archive:a.tar", tmp_path).root()
    assert {digest_of(data) for data in (*AMD.layers, AMD.config, raw)} == set(store.blobs.data)
    assert reader("docker-archive:a.tar", tmp_path).by_digest(descriptor.digest) == raw


@pytest.mark.parametrize("name", ["docker.io/library/app:1", "app:1", "@0"])
def test_names(tmp_path: Path, name: str) -> None:
    archive(tmp_path / "a.tar", [ROW, {**ROW, "RepoTags": []}])
    assert reader(f"docker-archive:a.tar:{name}", tmp_path).root()


@pytest.mark.parametrize("name", ["app", "@2", "@", "@x", "@-1", "Bad Name"])
def test_names_that_are_not_there(tmp_path: Path, name: str) -> None:
    archive(tmp_path / "a.tar", [ROW, {**ROW, "RepoTags": []}])
    with pytest.raises(SourceInputError, match="no image of that name"):
        reader(f"docker-archive:a.tar:{name}", tmp_path).root()


@pytest.mark.parametrize("target", ["b.tar", "./b.tar", "x/../b.tar"])
def test_links_inside(tmp_path: Path, target: str) -> None:
    files = {name: data for name, data in FILES.items() if name != "a/layer.tar"}
    archive(tmp_path / "a.tar", files=files, links={"a/layer.tar": f"../{target}"})
    with pytest.raises(IntegrityError):
        pull("docker-archive:a.tar", tmp_path)  # it is the other layer's bytes
    archive(tmp_path / "a.tar", [{**ROW, "Layers": ["a/layer.tar", "l.tar"]}], links={"l.tar": target})
    assert pull("docker-archive:a.tar", tmp_path)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "nothing", "b", "a/layer.tar"])
def test_links_that_lead_nowhere(tmp_path: Path, target: str) -> None:
    files = {name: data for name, data in FILES.items() if name != "b.tar"}
    archive(tmp_path / "a.tar", files={**files, "b/c": b""}, links={"b.tar": target if target != "b" else "b.tar"})
    with pytest.raises(PybuildError):
        pull("docker-archive:a.tar", tmp_path)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{**ROW, "Layers": ["b.tar"]}], "1 layers, but"),
        ([{**ROW, "Layers": ["../b.tar", "b.tar"]}], "has no member"),
        ([{**ROW, "Config": "none"}], "has no member"),
        ([{**ROW, "Config": None}], "not that of a Docker archive"),
        ([{**ROW, "Layers": "ab"}], "not that of a Docker archive"),
        ([{**ROW, "RepoTags": "ab"}], "not that of a Docker archive"),
        ([{**ROW, "Layers": ["b.tar"] * 2000}], "not that of a Docker archive"),
        ({"Config": "c"}, "not that of a Docker archive"),
        ([], "holds 0 images"),
        (3, "not that of a Docker archive"),
    ],
)
def test_what_makes_no_sense(tmp_path: Path, rows: object, said: str) -> None:
    archive(tmp_path / "a.tar", rows)
    with pytest.raises(PybuildError, match=said):
        reader("docker-archive:a.tar", tmp_path).root()


@pytest.mark.parametrize("head", [b"BZh91AY", b"\xfd7zXZ\x00"])
def test_layers_that_no_image_may_have(tmp_path: Path, head: bytes) -> None:
    archive(tmp_path / "a.tar", files={**FILES, "b.tar": head + b"x" * 20})
    with pytest.raises(IntegrityError, match="which no image may have"):
        reader("docker-archive:a.tar", tmp_path).root()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_any_damage_is_a_typed_error(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(archive(tmp_path / "a.tar", links={"l.tar": "b.tar"}).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "a.tar").write_bytes(raw)
    try:
        store = pull("docker-archive:a.tar", tmp_path)
    except PybuildError:
        return
    assert all(digest_of(value) == digest for digest, value in store.blobs.data.items())


def directory(path: Path) -> Path:
    """The same image as `dir:` has it."""
    path.mkdir()
    for data in (*AMD.layers, AMD.config):
        (path / digest_of(data).partition(":")[2]).write_bytes(data)
    (path / "manifest.json").write_bytes(AMD.manifest)
    return path


def test_a_directory(tmp_path: Path) -> None:
    directory(tmp_path / "d")
    store = pull("dir:d", tmp_path)
    assert {digest_of(data) for data in (*AMD.layers, AMD.config, AMD.manifest)} == set(store.blobs.data)


def test_a_directory_with_a_link(tmp_path: Path) -> None:
    held = directory(tmp_path / "d") / digest_of(AMD.layers[0]).partition(":")[2]
    held.rename(tmp_path / "elsewhere")
    held.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceInputError, match="can't read"):
        pull("dir:d", tmp_path)


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SourceInputError, match="can't read") as caught:
        reader("dir:none", tmp_path).root()
    assert "manifest.json" in str(caught.value.hint)


@pytest.mark.parametrize("change", ["manifest.json", "config", "layer"])
def test_bytes_that_are_not_those_promised(tmp_path: Path, change: str) -> None:
    place = directory(tmp_path / "d")
    name = {"config": digest_of(AMD.config), "layer": digest_of(AMD.layers[0])}.get(change, change)
    file = place / name.rpartition(":")[2]
    file.write_bytes(bytes(len(file.read_bytes())))
    with pytest.raises(IntegrityError):
        pull("dir:d", tmp_path)


def test_the_manifest_is_the_one_of_the_specification(tmp_path: Path) -> None:
    archive(tmp_path / "a.tar")
    from buildkit_py.oci import parse_document

    document = parse_document(reader("docker-archive:a.tar", tmp_path).root()[0])
    assert isinstance(document, Manifest)
    assert [str(layer.digest) for layer in document.layers] == [digest_of(data) for data in AMD.layers]
    assert str(document.config.digest) == digest_of(AMD.config)
