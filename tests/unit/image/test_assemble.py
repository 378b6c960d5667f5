"""Assembling images: documents, history, bases, indexes."""

import json
import os
import time
from dataclasses import replace

import pytest

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.graph.definition import HistoryLine
from buildkit_py.graph.resolver import ImageConfig
from buildkit_py.image.assemble import BaseImage, assemble_index, rfc3339
from buildkit_py.image.stored import StoredImage, closure, one_image
from buildkit_py.oci import Descriptor, History, parse_config, parse_document
from buildkit_py.oci.media_types import (
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
)
from buildkit_py.platform import Platform

GZIPPED = Descriptor(media_type=DOCKER_LAYER_GZIP, digest=Digest.of(b"one"), size=3)
PLAIN = Descriptor(media_type=DOCKER_LAYER, digest=Digest.of(b"two"), size=3)
DIFFS = (Digest.of(b"1"), Digest.of(b"2"))


def test_the_documents_are_what_the_specification_asks_for(store, layer, image) -> None:
    new = layer("app", {"a": b"a"})
    descriptor = image(new, config=ImageConfig(user="app"), epoch=86_400, annotations={"k": "v"})
    manifest = json.loads(store.blobs.read(str(descriptor.digest)))
    assert manifest == {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": manifest["config"]["digest"],
            "size": len(store.blobs.read(manifest["config"]["digest"])),
        },
        "layers": [{"mediaType": OCI_LAYER_GZIP, "digest": new.blob.digest, "size": new.blob.size}],
        "annotations": {"k": "v"},
    }
    assert json.loads(store.blobs.read(manifest["config"]["digest"])) == {
        "created": "1970-01-02T00:00:00Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {"User": "app"},
        "rootfs": {"type": "layers", "diff_ids": [new.blob.diff_id]},
        "history": [{"created": "1970-01-02T00:00:00Z", "created_by": "pybuild: layer app"}],
    }
    assert descriptor.platform == Platform.parse("linux/amd64")
    assert parse_document(store.blobs.read(str(descriptor.digest)), OCI_MANIFEST).digest == descriptor.digest


def test_nothing_of_the_machine_enters_an_image(store, layer, image, monkeypatch: pytest.MonkeyPatch) -> None:
    new = layer("app", {"a": b"a"})
    first = image(new, config=ImageConfig(labels={"b": "1", "a": "2"}))
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: 1e9)
    monkeypatch.setattr(os, "uname", lambda: None)
    try:
        assert image(new, config=ImageConfig(labels={"a": "2", "b": "1"})) == first
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_base_brings_layers_and_history_and_oci_types(store, layer, image) -> None:
    history = (
        History(created="2020-01-01T00:00:00Z", created_by="ADD x"),
        History(created_by="ENV y", empty_layer=True),
        History(created_by="RUN z", author="me", comment="c"),
    )
    base = BaseImage(layers=(GZIPPED, PLAIN), diff_ids=DIFFS, history=history)
    stored = StoredImage.load(store, image(layer("app", {"a": b"a"}), base=base))
    assert [item.media_type for item in stored.layers] == [OCI_LAYER_GZIP, OCI_LAYER, OCI_LAYER_GZIP]
    assert [item.digest for item in stored.layers[:2]] == [GZIPPED.digest, PLAIN.digest]
    assert stored.config.diff_ids[:2] == DIFFS
    assert stored.config.history[:3] == history
    assert len(stored.config.history) == 4


def test_a_target_tells_its_own_history_after_the_base(store, layer, image) -> None:
    base = BaseImage(layers=(GZIPPED,), diff_ids=DIFFS[:1], history=(History(created_by="ADD x"),))
    lines = (
        HistoryLine(text="ENV a=1", comment="c", empty=True),
        HistoryLine(text="RUN x", comment="c"),
        HistoryLine(text="CMD y", empty=True),
    )
    config = ImageConfig(author="me")
    made = StoredImage.load(
        store, image(layer("app", {"a": b"a"}), base=base, history=lines, config=config, epoch=86_400)
    ).config
    day = "1970-01-02T00:00:00Z"
    assert made.history == (
        History(created_by="ADD x"),
        History(created=day, created_by="ENV a=1", comment="c", empty_layer=True),
        History(created=day, created_by="RUN x", comment="c"),
        History(created=day, created_by="CMD y", empty_layer=True),
    )
    assert made.author == "me"


@pytest.mark.parametrize("lines", [0, 1, 3])
def test_a_history_that_does_not_fit_the_layers_is_replaced(store, layer, image, lines: int) -> None:
    history = (History(created_by="x"),) * lines
    base = BaseImage(layers=(GZIPPED, PLAIN), diff_ids=DIFFS, history=history)
    made = StoredImage.load(store, image(layer("app", {"a": b"a"}), base=base)).config.history
    assert [line.created_by for line in made] == [
        f"pybuild: base layer {GZIPPED.digest}",
        f"pybuild: base layer {PLAIN.digest}",
        "pybuild: layer app",
    ]


def test_a_base_that_contradicts_itself_is_refused(store, image) -> None:
    stored = StoredImage.load(store, image())
    assert BaseImage.of(stored.manifest, stored.config).layers == stored.layers
    with pytest.raises(IntegrityError, match="1 layers, but its configuration has 2 diff ids"):
        BaseImage.of(stored.manifest, replace(stored.config, diff_ids=DIFFS))


def test_a_base_layer_of_an_unknown_type_is_refused(image) -> None:
    odd = replace(GZIPPED, media_type="application/x-squashfs")
    with pytest.raises(IntegrityError, match="application/x-squashfs"):
        image(base=BaseImage(layers=(odd,), diff_ids=DIFFS[:1]))


def test_an_index_is_sorted_and_chosen_from(store, layer, image) -> None:
    arm = image(layer("a", {"a": b"arm"}), platform="linux/arm64")
    amd = image(layer("a", {"a": b"amd"}), platform="linux/amd64")
    made = assemble_index(store, [arm, amd])
    assert made == assemble_index(store, [amd, arm])
    assert made.descriptor.media_type == OCI_INDEX
    assert made.size == sum(item.size for item in closure(store, made.descriptor))
    assert len(closure(store, made.descriptor)) == 7
    for platform, expected in (("linux/arm64", arm), ("linux/amd64", amd)):
        assert one_image(store, made.descriptor, Platform.parse(platform)).descriptor == expected
    with pytest.raises(IntegrityError, match="is an index"):
        StoredImage.load(store, made.descriptor)


def test_a_layer_that_is_there_twice_is_counted_once(store, layer, image) -> None:
    same = layer("a", {"a": b"a"})
    stored = StoredImage.load(store, image(same, same))
    assert len(stored.layers) == 2
    assert len(stored.blobs) == 3


def test_arm_has_its_variant(store, image) -> None:
    raw = StoredImage.load(store, image(platform="linux/arm/v7")).config.raw
    assert json.loads(raw)["variant"] == "v7"
    assert parse_config(raw).platform == Platform.parse("linux/arm/v7")


@pytest.mark.parametrize(
    ("epoch", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1_700_000_000, "2023-11-14T22:13:20Z"), (-1, "1969-12-31T23:59:59Z")],
)
def test_times_are_utc(epoch: int, text: str) -> None:
    assert rfc3339(epoch) == text
