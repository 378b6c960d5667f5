from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildkit_py.errors import IntegrityError, PybuildError, SourceInputError, UsageError
from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_LAYER
from buildkit_py.platform import Platform
from buildkit_py.registry.layout import Span
from buildkit_py.registry.pull import fetch_layers, fetch_metadata
from buildkit_py.registry.source import is_local, open_reader
from buildkit_py.registry.tarindex import index_members
from tests.support.clients import make_client
from tests.support.images import MadeImage, digest_of, make_image, make_index
from tests.support.memory_blobs import MemoryStore

AMD, ARM = make_image(b"layer " * 100), make_image(b"arm layer", platform="linux/arm64")
AMD64 = Platform.parse("linux/amd64")
Files = dict[str, bytes]


def layout(*images: MadeImage, names: tuple[str | None, ...] = ()) -> Files:
    """The files of a layout."""
    files: Files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    entries = []
    for number, image in enumerate(images):
        entry: dict[str, Any] = image.descriptor.to_plain()
        name = names[number] if number < len(names) else None
        if name:
            entry["annotations"] = {"org.opencontainers.image.ref.name": name}
        entries.append(entry)
        for data in (*image.layers, image.config, image.manifest):
            files[f"blobs/{digest_of(data).replace(':', '/')}"] = data
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return files


def as_directory(root: Path, files: Files) -> str:
    for name, data in files.items():
        (root / "image" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "image" / name).write_bytes(data)
    return "oci:image"


def as_archive(root: Path, files: Files, **options: Any) -> str:
    with tarfile.open(root / "image.tar", "w", **options) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return "oci-archive:image.tar"


BOTH = pytest.mark.parametrize("write", [as_directory, as_archive])


def pull(root: Path, name: str, platform: Platform = AMD64) -> MemoryStore:
    store = MemoryStore()
    pulled = fetch_metadata(open_reader(name, make_client(), directory=root), platform, store)
    fetch_layers(pulled, store)
    return store


@BOTH
def test_single_image(tmp_path: Path, write: Any) -> None:
    store = pull(tmp_path, write(tmp_path, layout(AMD)))
    assert set(store.blobs.data.values()) == {*AMD.layers, AMD.config, AMD.manifest}


@BOTH
def test_by_name(tmp_path: Path, write: Any) -> None:
    name = write(tmp_path, layout(AMD, ARM, names=("one", "two:tag")))
    assert ARM.config in pull(tmp_path, f"{name}:two:tag", Platform.parse("linux/arm64")).blobs.data.values()
    with pytest.raises(SourceInputError, match="holds 2 images") as caught:
        pull(tmp_path, name)
    assert "one, two:tag" in (caught.value.hint or "")
    with pytest.raises(SourceInputError, match="no single image of that name") as caught:
        pull(tmp_path, f"{name}:three")
    assert caught.value.hint == "it holds one, two:tag"


@BOTH
def test_unnamed_images_are_an_index(tmp_path: Path, write: Any) -> None:
    name = write(tmp_path, layout(AMD, ARM))
    assert ARM.config in pull(tmp_path, name, Platform.parse("linux/arm64")).blobs.data.values()


@BOTH
def test_index_inside(tmp_path: Path, write: Any) -> None:
    raw, descriptor = make_index(AMD, ARM)
    files = layout(AMD, ARM)
    files[f"blobs/sha256/{descriptor.digest.hex}"] = raw
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [descriptor.to_plain()]}).encode()
    assert AMD.config in pull(tmp_path, write(tmp_path, files)).blobs.data.values()


@BOTH
@pytest.mark.parametrize("which", [AMD.manifest, AMD.config, AMD.layers[0]], ids=["manifest", "config", "layer"])
def test_flipped_bit(tmp_path: Path, write: Any, which: bytes) -> None:
    files = layout(AMD)
    files[f"blobs/{digest_of(which).replace(':', '/')}"] = bytes([which[0] ^ 1]) + which[1:]
    with pytest.raises(IntegrityError):
        pull(tmp_path, write(tmp_path, files))


@BOTH
@pytest.mark.parametrize("missing", ["oci-layout", "index.json", f"blobs/{digest_of(AMD.config).replace(':', '/')}"])
def test_missing_file(tmp_path: Path, write: Any, missing: str) -> None:
    files = layout(AMD)
    del files[missing]
    with pytest.raises(SourceInputError, match="image"):
        pull(tmp_path, write(tmp_path, files))


@BOTH
@pytest.mark.parametrize("version", [b"{}", b"[]", b'{"imageLayoutVersion": "2.0.0"}'])
def test_wrong_version(tmp_path: Path, write: Any, version: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"no image layout of version 1\.0\.0"):
        pull(tmp_path, write(tmp_path, {**layout(AMD), "oci-layout": version}))


def test_neither_directory_nor_archive(tmp_path: Path) -> None:
    for name in ("oci:none", "oci-archive:none.tar"):
        with pytest.raises(SourceInputError, match="can't read"):
            pull(tmp_path, name)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SourceInputError, match="not a regular file"):
        pull(tmp_path, "oci-archive:fifo")


def test_links_in_a_layout_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(AMD.config)
    name = as_directory(tmp_path, layout(AMD))
    blob = tmp_path / "image" / "blobs" / digest_of(AMD.config).replace(":", "/")
    blob.unlink()
    blob.symlink_to(secret)
    with pytest.raises(SourceInputError, match="can't read"):
        pull(tmp_path, name)
    blob.unlink()
    blob.write_bytes(AMD.config)
    pull(tmp_path, name)
    (tmp_path / "image/blobs").rename(tmp_path / "elsewhere")
    (tmp_path / "image/blobs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceInputError, match="can't read"):
        pull(tmp_path, name)


@pytest.mark.parametrize("member", ["../x", "/x", "a/../../x"])
def test_member_outside(tmp_path: Path, member: str) -> None:
    with pytest.raises(IntegrityError, match="outside of its root"):
        pull(tmp_path, as_archive(tmp_path, {**layout(AMD), member: b""}))


def test_member_twice(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="two members"):
        pull(tmp_path, as_archive(tmp_path, {**layout(AMD), "./index.json": b"{}"}))


def test_links_in_an_archive_are_passed_over(tmp_path: Path) -> None:
    name = as_archive(tmp_path, {key: data for key, data in layout(AMD).items() if key != "index.json"})
    with tarfile.open(tmp_path / "image.tar", "a") as archive:
        member = tarfile.TarInfo("index.json")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(SourceInputError, match="has no member 'index"):
        pull(tmp_path, name)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names(tmp_path: Path, form: int) -> None:
    files = {**layout(AMD), "d/" * 100 + "f": b"x"}
    pull(tmp_path, as_archive(tmp_path, files, format=form))
    with (tmp_path / "image.tar").open("rb") as archive:
        assert "d/" * 100 + "f" in index_members(archive, "it")


def test_compressed_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "image.tar", "w:gz"):
        pass
    with pytest.raises(IntegrityError, match="compressed with gzip") as caught:
        pull(tmp_path, "oci-archive:image.tar")
    assert caught.value.hint == "decompress it first, with gzip -d"


def test_huge_extension_header(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 20
    (tmp_path / "image.tar").write_bytes(header.tobuf() + bytes(2 << 20))
    with pytest.raises(IntegrityError, match="extension header of 1048576 bytes"):
        pull(tmp_path, "oci-archive:image.tar")


def test_truncated_archive(tmp_path: Path) -> None:
    name = as_archive(tmp_path, layout(AMD))
    whole = (tmp_path / "image.tar").read_bytes()
    (tmp_path / "image.tar").write_bytes(whole[: len(AMD.config) + 600])
    with pytest.raises(PybuildError):
        pull(tmp_path, name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_damage_is_a_typed_error(tmp_path: Path, data: st.DataObject) -> None:
    name = as_archive(tmp_path, layout(AMD))
    raw = bytearray((tmp_path / "image.tar").read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "image.tar").write_bytes(raw)
    try:
        store = pull(tmp_path, name)
    except PybuildError:
        return
    assert all(digest_of(value) == digest for digest, value in store.blobs.data.items())


def test_span_reads_its_own_bytes_only(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    with Span((tmp_path / "f").open("rb"), 2, 5, 0) as span:
        assert [span.read(2), span.read(9), span.read(9)] == [b"23", b"4", b""]


@pytest.mark.parametrize("name", ["oci:", "oci:dir:", "oci-archive::x"])
def test_names_that_make_no_sense(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        open_reader(name, make_client(), directory=tmp_path)


def test_names(tmp_path: Path) -> None:
    client = make_client()
    assert open_reader("docker://alpine", client, directory=tmp_path).name == "docker.io/library/alpine:latest"
    assert open_reader("oci/app", client, directory=tmp_path).name == "docker.io/oci/app:latest"
    assert is_local("oci:x")
    assert not is_local("oci/x:1")


def test_resumed_layer(tmp_path: Path) -> None:
    reader = open_reader(as_archive(tmp_path, layout(AMD)), make_client(), directory=tmp_path)
    with reader.sources()[0](Descriptor.of(AMD.layers[0], OCI_LAYER), 10) as stream:
        assert (stream.offset, stream.read(1000)) == (10, AMD.layers[0][10:])
