"""Other media types, and layers that are compressed otherwise."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
import zstandard

from buildkit_py.errors import IntegrityError, OutputError, UsageError
from buildkit_py.oci.media_types import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
)
from buildkit_py.registry.retry import Retry
from buildkit_py.transfer.plan import Wishes
from buildkit_py.transfer.to_layout import LayoutDestination
from tests.support.images import digest_of, make_image
from tests.support.transfers import IMAGE, LARGE, SMALL, Pair, hold


def manifest(pair: Pair, target: str = "v2") -> Any:
    return json.loads(pair.target.manifests["copy/app", target][0])


def types(document: Any) -> tuple[Any, ...]:
    return (document["mediaType"], document["config"]["mediaType"], *(row["mediaType"] for row in document["layers"]))


def packed(pair: Pair, *, diff_id: str | None = None) -> dict[str, Any]:
    """Put an image of one gzip layer into the first registry, as `team/app:gz`; its manifest."""
    layer = gzip.compress(LARGE, 1, mtime=0)
    plain = json.loads(IMAGE.manifest)
    config = json.loads(IMAGE.config)
    config["rootfs"]["diff_ids"] = [diff_id or digest_of(LARGE)]
    raw = json.dumps(config).encode()
    plain["config"] |= {"digest": pair.source.put(raw), "size": len(raw)}
    plain["layers"] = [{"mediaType": OCI_LAYER_GZIP, "digest": pair.source.put(layer), "size": len(layer)}]
    plain["annotations"] = {"kept": "yes"}
    pair.source.add_manifest("team/app", "gz", json.dumps(plain).encode(), OCI_MANIFEST)
    return plain  # type: ignore[no-any-return]


def test_to_docker_and_back(pair: Pair) -> None:
    report = pair.copy(wishes=Wishes(format="docker"))
    assert types(manifest(pair)) == (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LAYER)
    assert report.converted == {str(IMAGE.descriptor.digest): report.digest}
    assert pair.target.manifests["copy/app", "v2"][1] == DOCKER_MANIFEST
    assert pair.target.blobs[digest_of(LARGE)] == LARGE
    hold(pair.source, IMAGE)
    pair.source.manifests["team/app", "v1"] = pair.target.manifests["copy/app", "v2"]
    pair.copy(wishes=Wishes(format="oci"))
    assert types(manifest(pair)) == (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER, OCI_LAYER)
    assert manifest(pair) == json.loads(IMAGE.manifest)


def test_what_has_the_format_keeps_its_bytes(pair: Pair) -> None:
    assert pair.copy(wishes=Wishes(format="oci", compress="none", preserve=True)).converted == {}
    assert pair.target.manifests["copy/app", "v2"][0] == IMAGE.manifest


def test_an_index_in_another_format(indexed: Pair) -> None:
    wishes = Wishes(every=True, format="docker")
    report = indexed.copy(source=f"docker://{indexed.source.name}/team/app:all", wishes=wishes)
    index = manifest(indexed)
    assert index["mediaType"] == DOCKER_INDEX
    assert [row["mediaType"] for row in index["manifests"]] == [DOCKER_MANIFEST] * 2
    assert [row["platform"]["architecture"] for row in index["manifests"]] == ["amd64", "arm64"]
    for row in index["manifests"]:
        assert manifest(indexed, row["digest"])["mediaType"] == DOCKER_MANIFEST
    assert len(report.converted) == 3
    assert OCI_INDEX not in json.dumps(index)


@pytest.mark.parametrize("wishes", [Wishes(format="docker", preserve=True), Wishes(compress="gzip", preserve=True)])
def test_digests_that_must_stay(pair: Pair, wishes: Wishes) -> None:
    with pytest.raises(UsageError, match="without another digest"):
        pair.copy(wishes=wishes)
    assert not pair.target.requests
    assert not pair.source.asked("GET", "/blobs/")


@pytest.mark.parametrize(
    ("how", "media_type"), [("zstd", OCI_LAYER_ZSTD), ("none", OCI_LAYER), ("gzip", OCI_LAYER_GZIP)]
)
def test_compressed_otherwise(pair: Pair, how: Any, media_type: str) -> None:
    before = packed(pair)
    report = pair.copy(source=f"docker://{pair.source.name}/team/app:gz", wishes=Wishes(compress=how))
    after = manifest(pair)
    (row,) = after["layers"]
    blob = pair.target.blobs[row["digest"]]
    unpacked = {
        "zstd": lambda: zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True).read(),
        "gzip": lambda: gzip.decompress(blob),
        "none": lambda: blob,
    }[how]()
    assert unpacked == LARGE
    assert (row["mediaType"], row["size"]) == (media_type, len(blob))
    assert after["config"] == before["config"]
    assert after["annotations"] == {"kept": "yes"}
    assert (report.converted == {}) == (how == "gzip")


def test_compressing_is_the_same_every_time(pair: Pair, tmp_path: Path) -> None:
    wishes = Wishes(compress="zstd")
    first = pair.copy(wishes=wishes)
    again = pair.copy(LayoutDestination(tmp_path / "out", None, Retry()), wishes=wishes)
    assert first.digest == again.digest
    assert pair.copy(wishes=wishes).copied == ()


def test_a_layer_that_unpacks_to_something_else(pair: Pair) -> None:
    packed(pair, diff_id=digest_of(SMALL))
    with pytest.raises(IntegrityError, match="configuration does not name"):
        pair.copy(source=f"docker://{pair.source.name}/team/app:gz", wishes=Wishes(compress="zstd"))
    assert not pair.target.manifests


def test_a_layer_that_is_damaged(pair: Pair) -> None:
    before = packed(pair)
    digest = before["layers"][0]["digest"]
    pair.source.blobs[digest] = pair.source.blobs[digest][:-9] + b"\0" * 9
    with pytest.raises(IntegrityError):
        pair.copy(source=f"docker://{pair.source.name}/team/app:gz", wishes=Wishes(compress="none"))
    assert not pair.target.manifests


def test_docker_has_no_zstd(pair: Pair) -> None:
    with pytest.raises(UsageError, match="no layers of zstd"):
        pair.copy(wishes=Wishes(format="docker", compress="zstd"))
    image = make_image(zstandard.compress(LARGE), types=(OCI_MANIFEST, OCI_CONFIG, OCI_LAYER_ZSTD))
    hold(pair.source, image, tag="zstd")
    with pytest.raises(UsageError, match="format `docker`") as caught:
        pair.copy(source=f"docker://{pair.source.name}/team/app:zstd", wishes=Wishes(format="docker"))
    assert caught.value.hint == "add --compress gzip"
    assert not pair.target.requests


def test_docker_layers_become_gzip_layers_of_docker(pair: Pair) -> None:
    image = make_image(LARGE, types=(DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER))
    hold(pair.source, image, tag="plain")
    source = f"docker://{pair.source.name}/team/app:plain"
    pair.copy(source=source, wishes=Wishes(compress="gzip"))
    assert types(manifest(pair)) == (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER_GZIP)
    pair.copy(source=source, wishes=Wishes(compress="zstd", format="oci"))
    assert types(manifest(pair)) == (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER_ZSTD)


class Full(io.BytesIO):
    """A file on a disk that is full."""

    def __init__(self, **_: object) -> None:
        super().__init__()

    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_no_room_for_a_layer_in_between(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    with pytest.raises(OutputError, match="can't be kept in /nonexistent") as caught:
        pair.copy(wishes=Wishes(compress="gzip"))
    assert "TMPDIR" in str(caught.value.hint)
    monkeypatch.setattr("buildkit_py.transfer.copy.TemporaryFile", Full)
    with pytest.raises(OutputError, match="No space left"):
        pair.copy(wishes=Wishes(compress="gzip"))
    assert not pair.target.manifests
