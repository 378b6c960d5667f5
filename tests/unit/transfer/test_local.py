"""Layouts, archives, directories and the store, as sources and as destinations."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from buildkit_py.errors import IntegrityError, OutputError, RegistryError, SourceInputError
from buildkit_py.image.staging import new_file
from buildkit_py.image.view import inspect_document
from buildkit_py.platform import Platform
from buildkit_py.registry.blobs import ImageReader
from buildkit_py.registry.retry import Retry
from buildkit_py.registry.source import open_reader
from buildkit_py.store import Store
from buildkit_py.transfer.copy import copy
from buildkit_py.transfer.destination import Destination
from buildkit_py.transfer.local import PARTIAL
from buildkit_py.transfer.look import look
from buildkit_py.transfer.plan import Wishes, read_root
from buildkit_py.transfer.to_archive import DockerArchive, OciArchive
from buildkit_py.transfer.to_directory import DirectoryDestination
from buildkit_py.transfer.to_layout import LayoutDestination
from buildkit_py.transfer.to_store import StoreDestination
from tests.support.clients import make_client
from tests.support.faulty_registry import Handler, on, times
from tests.support.images import digest_of, make_image, make_index
from tests.support.transfers import ARM, IMAGE, LARGE, SMALL, Pair, hold

RETRY = Retry(sleep=lambda _: None)
OTHER = make_image(b"another", platform="linux/amd64")


def reader(text: str, directory: Path) -> ImageReader:
    return open_reader(text, make_client(), directory=directory)


def digest(text: str, directory: Path) -> str:
    return str(read_root(reader(text, directory))[1].digest)


def layout(directory: Path, name: str | None = None) -> LayoutDestination:
    return LayoutDestination(directory, name, RETRY)


def test_a_layout(pair: Pair, tmp_path: Path) -> None:
    report = pair.copy(layout(tmp_path / "out", "app:1"))
    assert digest("oci:out:app:1", tmp_path) == report.digest == str(IMAGE.descriptor.digest)
    assert json.loads((tmp_path / "out/oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["blobs", "index.json", "oci-layout"]
    pair.source.requests.clear()
    again = pair.copy(layout(tmp_path / "out", "app:1"))
    assert (len(again.existing), again.bytes) == (3, 0)
    assert not pair.source.asked("GET", "/blobs/")


def test_a_layout_is_added_to(pair: Pair, tmp_path: Path) -> None:
    hold(pair.source, OTHER, tag="other")
    pair.copy(layout(tmp_path / "out", "one"))
    index = json.loads((tmp_path / "out/index.json").read_bytes())
    index["manifests"][0]["vendor"] = {"kept": 1}
    (tmp_path / "out/index.json").write_text(json.dumps(index))
    other = f"docker://{pair.source.name}/team/app:other"
    pair.copy(layout(tmp_path / "out", "two"), source=other)
    assert digest("oci:out:one", tmp_path) == str(IMAGE.descriptor.digest)
    assert digest("oci:out:two", tmp_path) == str(OTHER.descriptor.digest)
    assert json.loads((tmp_path / "out/index.json").read_bytes())["manifests"][0]["vendor"] == {"kept": 1}
    report = pair.copy(layout(tmp_path / "out", "one"), source=other)
    assert report.replaced == str(IMAGE.descriptor.digest)
    assert digest("oci:out:one", tmp_path) == digest("oci:out:two", tmp_path)


def test_an_image_without_a_name_takes_the_place_of_the_one_before(pair: Pair, tmp_path: Path) -> None:
    hold(pair.source, OTHER, tag="other")
    pair.copy(layout(tmp_path / "out"))
    pair.copy(layout(tmp_path / "out"), source=f"docker://{pair.source.name}/team/app:other")
    assert digest("oci:out", tmp_path) == str(OTHER.descriptor.digest)


def test_what_is_no_layout_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").touch()
    with pytest.raises(OutputError, match="no OCI layout"):
        layout(tmp_path / "out")
    with pytest.raises(OutputError, match="no image of `dir:`"):
        DirectoryDestination(tmp_path / "out", RETRY)
    assert os.listdir(tmp_path / "out") == ["precious"]


@pytest.mark.parametrize("kind", ["oci", "dir"])
def test_what_was_fetched_is_taken_up_again(pair: Pair, tmp_path: Path, kind: str) -> None:
    def cut(handler: Handler) -> None:
        handler.reply(200, LARGE[:400_000], Content_Length=len(LARGE))
        handler.close_connection = True

    def destination() -> Destination:
        return layout(tmp_path / "out") if kind == "oci" else DirectoryDestination(tmp_path / "out", RETRY)

    pair.source.faults += [times(1, on("GET", digest_of(LARGE), cut))]
    pair.source.faults += [times(1, on("GET", digest_of(LARGE), lambda handler: handler.reply(404)))]
    with pytest.raises(RegistryError):
        pair.copy(destination())
    assert not (tmp_path / "out/index.json").exists()
    assert not (tmp_path / "out/manifest.json").exists()
    pair.source.faults.clear()
    pair.source.requests.clear()
    pair.copy(destination())
    asked = [item.headers.get("Range") for item in pair.source.asked("GET", digest_of(LARGE))]
    assert len(asked) == 1 and 0 < int(str(asked[0]).removeprefix("bytes=").rstrip("-")) <= 400_000
    assert not (tmp_path / "out" / PARTIAL).exists()
    assert digest(f"{kind}:out", tmp_path) == str(IMAGE.descriptor.digest)


def test_a_blob_of_the_wrong_size_is_mended(pair: Pair, tmp_path: Path) -> None:
    pair.copy(layout(tmp_path / "out"))
    (tmp_path / "out/blobs/sha256" / digest_of(LARGE).partition(":")[2]).write_bytes(b"cut")
    assert pair.copy(layout(tmp_path / "out")).copied == (digest_of(LARGE),)


@pytest.mark.parametrize("kind", ["oci", "dir"])
def test_wrong_bytes_get_no_name(pair: Pair, tmp_path: Path, kind: str) -> None:
    pair.source.faults.append(on("GET", digest_of(SMALL), lambda handler: handler.reply(200, b"wrong layer")))
    with pytest.raises(IntegrityError, match="not the promised"):
        pair.copy(layout(tmp_path / "out") if kind == "oci" else DirectoryDestination(tmp_path / "out", RETRY))
    assert not list((tmp_path / "out").rglob(digest_of(SMALL).partition(":")[2]))


def test_a_directory(indexed: Pair, tmp_path: Path) -> None:
    source = f"docker://{indexed.source.name}/team/app:all"
    report = indexed.copy(DirectoryDestination(tmp_path / "out", RETRY), source=source, wishes=Wishes(every=True))
    assert digest("dir:out", tmp_path) == report.digest
    back = indexed.copy(source=f"dir:{tmp_path}/out", wishes=Wishes(every=True))
    assert (back.digest, len(back.copied)) == (report.digest, 5)
    indexed.copy(DirectoryDestination(tmp_path / "out", RETRY))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    hexes = {digest_of(data).partition(":")[2] for data in (SMALL, LARGE, IMAGE.config)}
    assert names == {"version", "manifest.json", *hexes}


def test_two_images_into_one_directory_at_once(pair: Pair, tmp_path: Path) -> None:
    hold(pair.source, OTHER, tag="other")
    first = DirectoryDestination(tmp_path / "out", RETRY)

    def meanwhile(_: object) -> tuple[str, ...]:
        pair.copy(DirectoryDestination(tmp_path / "out", RETRY), source=f"docker://{pair.source.name}/team/app:other")
        return ()

    # Its blobs are there, and its manifest is still to come, when the other copy ends.
    with pytest.raises(OutputError, match="meanwhile"):
        pair.copy(first, carry=meanwhile)
    assert digest("dir:out", tmp_path) == str(OTHER.descriptor.digest)
    pair.copy(layout(tmp_path / "again"), source=f"dir:{tmp_path}/out")


def test_an_oci_archive(indexed: Pair, tmp_path: Path) -> None:
    source = f"docker://{indexed.source.name}/team/app:all"
    with OciArchive(new_file(tmp_path / "a.tar"), ["app:1"], RETRY, room=tmp_path) as archive:
        report = indexed.copy(archive, source=source, wishes=Wishes(every=True))
    assert digest("oci-archive:a.tar:app:1", tmp_path) == report.digest
    assert indexed.copy(source=f"oci-archive:{tmp_path}/a.tar", wishes=Wishes(every=True)).digest == report.digest


def test_an_archive_that_fails_leaves_the_old_one(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"")
    pair.source.faults.append(on("GET", digest_of(SMALL), lambda handler: handler.reply(200, b"wrong layer")))
    with (
        pytest.raises(IntegrityError),
        OciArchive(new_file(tmp_path / "a.tar"), (), RETRY, room=tmp_path) as archive,
    ):
        pair.copy(archive)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    assert (tmp_path / "a.tar").read_bytes() == b""


def test_a_docker_archive(pair: Pair, tmp_path: Path) -> None:
    with DockerArchive(new_file(tmp_path / "d.tar"), ["app:1"], RETRY, room=tmp_path) as archive:
        pair.copy(archive)
    with tarfile.open(tmp_path / "d.tar") as tar:
        (row,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert row["RepoTags"] == ["docker.io/library/app:1"]
        assert [tar.extractfile(name).read() for name in row["Layers"]] == [SMALL, LARGE]  # type: ignore[union-attr]
    made = read_root(reader("docker-archive:d.tar", tmp_path))
    assert made == read_root(reader("docker-archive:d.tar:app:1", tmp_path))
    report = pair.copy(source=f"docker-archive:{tmp_path}/d.tar")
    assert {digest_of(SMALL), digest_of(LARGE), digest_of(IMAGE.config)} == set(report.copied)


def test_a_docker_archive_holds_one_platform(indexed: Pair, tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="one platform"),
        DockerArchive(new_file(tmp_path / "d.tar"), (), RETRY, room=tmp_path) as archive,
    ):
        indexed.copy(archive, source=f"docker://{indexed.source.name}/team/app:all", wishes=Wishes(every=True))
    assert not (tmp_path / "d.tar").exists()


def saved(path: Path, *, links: bool = True, layer: bytes = LARGE) -> Path:
    """A Docker archive as older daemons write it: a directory a layer, equal layers as links, two images."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(SMALL), digest_of(LARGE)]},
        }
    ).encode()
    rows = [
        {"Config": "c.json", "RepoTags": ["old:1", "old:2"], "Layers": ["a/layer.tar", "b/layer.tar"]},
        {"Config": "c.json", "RepoTags": None, "Layers": ["a/layer.tar", "c/layer.tar"]},
    ]
    with tarfile.open(path, "w") as tar:
        for name, data in (("a/layer.tar", SMALL), ("b/layer.tar", layer), ("c.json", config)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo("c/layer.tar")
        info.type, info.linkname = tarfile.SYMTYPE, "../b/layer.tar"
        tar.addfile(info)
        data = json.dumps(rows).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return path


def test_an_archive_of_an_older_daemon(pair: Pair, tmp_path: Path) -> None:
    saved(tmp_path / "old.tar")
    first = digest("docker-archive:old.tar:old:2", tmp_path)
    assert first == digest("docker-archive:old.tar:@0", tmp_path) == digest("docker-archive:old.tar:@1", tmp_path)
    report = pair.copy(source=f"docker-archive:{tmp_path}/old.tar:@1")
    assert pair.target.blobs[digest_of(LARGE)] == LARGE
    assert report.digest == first
    with pytest.raises(SourceInputError, match="holds 2 images") as caught:
        digest("docker-archive:old.tar", tmp_path)
    assert "old:1, @1" in str(caught.value.hint)
    with pytest.raises(SourceInputError, match="no image of that name"):
        digest("docker-archive:old.tar:new", tmp_path)


def test_compressed_layers_of_an_archive_keep_their_digests(pair: Pair, tmp_path: Path) -> None:
    packed = gzip.compress(LARGE, 1, mtime=0)
    saved(tmp_path / "old.tar", layer=packed)
    pair.copy(source=f"docker-archive:{tmp_path}/old.tar:@0")
    assert pair.target.blobs[digest_of(packed)] == packed


def test_a_layer_that_is_not_what_the_configuration_says(pair: Pair, tmp_path: Path) -> None:
    saved(tmp_path / "old.tar", layer=b"something else")
    with pytest.raises(IntegrityError):
        pair.copy(source=f"docker-archive:{tmp_path}/old.tar:@0")
    assert not pair.target.manifests


@pytest.mark.parametrize(
    "text", [b"{}", b"[1]", b'[{"Config": 1, "Layers": []}]', b'[{"Config": "c", "Layers": "x"}]', b"x"]
)
def test_an_archive_that_makes_no_sense(tmp_path: Path, text: bytes) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    with pytest.raises((IntegrityError, SourceInputError)):
        digest("docker-archive:bad.tar", tmp_path)


def test_the_store(pair: Pair, tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store, store.lease():
        report = pair.copy(StoreDestination(store, "app:1", RETRY))
        assert store.images.get("app:1") == {
            "mediaType": IMAGE.descriptor.media_type,
            "digest": report.digest,
            "size": len(IMAGE.manifest),
        }
        assert report.replaced is None
        hold(pair.source, OTHER, tag="other")
        moved = pair.copy(StoreDestination(store, "app:1", RETRY), source=f"docker://{pair.source.name}/team/app:other")
        assert moved.replaced == report.digest
        assert store.check() == []


def test_the_store_takes_images_alone(pair: Pair, tmp_path: Path) -> None:
    artifact = make_image(
        b"chart",
        types=("application/vnd.oci.image.manifest.v1+json", "application/vnd.example.chart+json", "text/plain"),
    )
    hold(pair.source, artifact, tag="chart")
    with Store.open(tmp_path / "store") as store:
        with pytest.raises(RegistryError, match="not a container image but an artifact"):
            pair.copy(StoreDestination(store, "x", RETRY), source=f"docker://{pair.source.name}/team/app:chart")
        assert not pair.source.asked("GET", "/blobs/")
        assert store.images.list() == []


def test_a_configuration_that_does_not_fit_its_manifest(pair: Pair, tmp_path: Path) -> None:
    plain = json.loads(IMAGE.manifest)
    del plain["layers"][0]
    pair.source.add_manifest("team/app", "v1", json.dumps(plain).encode(), plain["mediaType"])
    with Store.open(tmp_path / "store") as store, pytest.raises(IntegrityError, match="1 layers, but"):
        pair.copy(StoreDestination(store, "x", RETRY))


def test_an_index_in_the_store(indexed: Pair, tmp_path: Path) -> None:
    source = f"docker://{indexed.source.name}/team/app:all"
    with Store.open(tmp_path / "store") as store, store.lease():
        indexed.copy(StoreDestination(store, "all", RETRY), source=source, wishes=Wishes(every=True))
        assert store.check() == []
        from buildkit_py.executor.source.image import Images
        from buildkit_py.transfer.from_store import StoreReader

        stored = StoreReader(store, "all", Images(store, tmp_path))
        made = layout(tmp_path / "out")
        arm = copy(stored, made, Wishes(platform=Platform.parse("arm64")), called="out")
        assert arm.digest == str(ARM.descriptor.digest)


@pytest.mark.parametrize("kind", [OciArchive, DockerArchive])
def test_an_archive_of_the_same_image_stays(pair: Pair, tmp_path: Path, kind: type[OciArchive]) -> None:
    file = tmp_path / "a.tar"

    def written(name: str, source: str | None = None) -> tuple[int, int]:
        with kind(new_file(file), [name], RETRY, room=tmp_path, old=file) as archive:
            report = pair.copy(archive, source=source)
        return len(report.existing), len(report.copied)

    hold(pair.source, OTHER, tag="other")
    assert written("app:1") == (0, 3)
    before = file.stat()
    pair.source.requests.clear()
    assert written("app:1") == (3, 0)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not pair.source.asked("GET", "/blobs/")
    assert written("app:2") == (0, 3)
    assert written("app:2", f"docker://{pair.source.name}/team/app:other") == (0, 2)
    assert file.stat().st_size < before.st_size
    file.write_bytes(file.read_bytes()[:2000])
    assert written("app:2", f"docker://{pair.source.name}/team/app:other") == (0, 2)


@pytest.mark.parametrize(("kind", "name"), [("oci", "index.json"), ("oci", "blobs"), ("dir", "manifest.json")])
def test_nothing_is_written_through_a_link(pair: Pair, tmp_path: Path, kind: str, name: str) -> None:
    out, precious = tmp_path / "out", tmp_path / "precious"
    out.mkdir()
    precious.mkdir() if name == "blobs" else precious.write_text('{"schemaVersion": 2, "manifests": []}')
    (out / ("oci-layout" if kind == "oci" else "version")).touch()
    (out / name).symlink_to(precious)
    before = precious.stat().st_mtime_ns
    with pytest.raises(OutputError, match="is a link"):
        pair.copy(layout(out) if kind == "oci" else DirectoryDestination(out, RETRY))
    assert precious.stat().st_mtime_ns == before
    assert not pair.source.asked("GET", "/blobs/")


def test_what_a_killed_process_left_is_tidied_away(pair: Pair, tmp_path: Path) -> None:
    pair.copy(layout(tmp_path / "out"))
    left = tmp_path / "out" / PARTIAL
    left.mkdir()
    whole, unfinished = (digest_of(data).replace(":", "-") for data in (SMALL, b"of another image"))
    for name in (whole, f"{whole}.lock", unfinished, f"{unfinished}.lock"):
        (left / name).touch()
    pair.copy(layout(tmp_path / "out"))
    assert [path.name for path in left.iterdir()] == [unfinished]


def test_an_index_with_an_attestation(pair: Pair, tmp_path: Path) -> None:
    types = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json")
    attestation = make_image(b"{}", platform="unknown/unknown", types=(*types, "application/vnd.in-toto+json"))
    hold(pair.source, attestation, tag="attestation")
    raw, descriptor = make_index(IMAGE, attestation)
    pair.source.add_manifest("team/app", "attested", raw, descriptor.media_type)
    source = f"docker://{pair.source.name}/team/app:attested"
    with Store.open(tmp_path / "store") as store, store.lease():
        pair.copy(StoreDestination(store, "app", RETRY), source=source, wishes=Wishes(every=True))
        assert store.check() == []
        platforms = [image["platform"] for image in inspect_document(store, "app")["images"]]
        assert platforms == ["linux/amd64", "unknown/unknown"]
    assert look(reader_of(pair, source))["images"][1]["layers"][0]["media_type"] == "application/vnd.in-toto+json"
    one = pair.copy(layout(tmp_path / "out"), source=source, wishes=Wishes(platform=Platform.parse("amd64")))
    assert one.offered == ("linux/amd64",)
    with (
        pytest.raises(OutputError, match="one platform"),
        DockerArchive(new_file(tmp_path / "d.tar"), (), RETRY, room=tmp_path) as archive,
    ):
        pair.copy(archive, source=source, wishes=Wishes(every=True))


def reader_of(pair: Pair, source: str) -> ImageReader:
    return open_reader(source, pair.client, directory=Path())


def test_looking_at_an_artifact(pair: Pair) -> None:
    kind = "application/vnd.example.chart+json"
    artifact = make_image(b"chart", types=("application/vnd.oci.image.manifest.v1+json", kind, "text/plain"))
    hold(pair.source, artifact, tag="chart")
    shown = look(reader_of(pair, f"docker://{pair.source.name}/team/app:chart"))
    (image,) = shown["images"]
    assert (image["artifact_type"], image["config"], image["layers"][0]["size"]) == (kind, {}, 5)
    assert not pair.source.asked("GET", "/blobs/")
