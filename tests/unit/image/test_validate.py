"""Checking whole images, and showing them."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from buildkit_py import canonical
from buildkit_py.errors import IntegrityError, NotFoundError, PybuildError
from buildkit_py.image.assemble import assemble_index
from buildkit_py.image.validate import validate
from buildkit_py.image.view import inspect_document
from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from buildkit_py.platform import Platform


@pytest.fixture
def altered(store, image) -> Callable[..., Descriptor]:
    """An image whose documents are changed before they are stored, with digests that fit."""

    def make(
        descriptor: Descriptor,
        manifest: Callable[[dict[str, Any]], object] = lambda plain: None,
        config: Callable[[dict[str, Any]], object] = lambda plain: None,
    ) -> Descriptor:
        document = json.loads(store.blobs.read(str(descriptor.digest)))
        settings = json.loads(store.blobs.read(document["config"]["digest"]))
        config(settings)
        raw = canonical.dumps(settings)
        store.blobs.put(raw)
        document["config"] = Descriptor.of(raw, OCI_CONFIG).to_plain()
        manifest(document)
        raw = canonical.dumps(document)
        store.blobs.put(raw)
        return Descriptor.of(raw, OCI_MANIFEST)

    return make


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_sound_image_passes(store, layer, image, compression: str) -> None:
    descriptor = image(layer("a", {"a": b"a"}, compression), layer("b", {}, compression))
    validate(store, descriptor)
    validate(store, assemble_index(store, [descriptor]).descriptor.to_plain())


@pytest.mark.parametrize(
    ("which", "change", "words"),
    [
        ("config", lambda plain: plain["rootfs"]["diff_ids"].pop(), "1 layers, but 0 diff ids"),
        ("config", lambda plain: plain["history"].append({"created_by": "x"}), "1 layers, but a history of 2"),
        ("config", lambda plain: plain.pop("os"), "no usable platform"),
        ("config", lambda plain: plain["rootfs"].update(diff_ids=[f"sha256:{'0' * 64}"]), "does not unpack to"),
        ("manifest", lambda plain: plain["layers"][0].update(mediaType="text/plain"), "no layer's"),
        ("manifest", lambda plain: plain["layers"][0].update(size=1), "does not match"),
        ("manifest", lambda plain: plain["layers"][0].update(mediaType=f"{'x/y'}+zstd"), "no layer's"),
        ("manifest", lambda plain: plain["config"].update(size=1), "bytes where its descriptor says 1"),
        ("manifest", lambda plain: plain["config"].update(mediaType="text/plain"), "not an image configuration"),
        ("manifest", lambda plain: plain.update(manifests=[]), "manifest and of an index at once"),
    ],
)
def test_each_contradiction_is_found(store, image, altered, which: str, change: Any, words: str) -> None:
    with pytest.raises(IntegrityError, match=words):
        validate(store, altered(image(), **{which: change}))


def test_an_empty_history_is_allowed(store, image, altered) -> None:
    validate(store, altered(image(), config=lambda plain: plain.pop("history")))


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data + b"x", lambda data: b"", lambda data: b"x" * len(data)]
)
def test_damaged_bytes_are_found(store, layer, image, altered, compression: str, damage: Any) -> None:
    new = layer("a", {"a": b"a" * 5000}, compression)
    descriptor = image(new)
    data = damage(store.blobs[new.blob.digest])
    store.blobs[new.blob.digest] = data
    with pytest.raises(IntegrityError):
        validate(store, descriptor)
    # The same with a descriptor that fits: then unpacking it is what fails.
    digest = store.blobs.put(data)
    with pytest.raises(IntegrityError):
        validate(store, altered(descriptor, lambda plain: plain["layers"][0].update(digest=digest, size=len(data))))


def test_a_second_gzip_member_belongs_to_the_layer(store, layer, image, altered) -> None:
    new = layer("a", {"a": b"a"})
    data = store.blobs[new.blob.digest] + gzip.compress(b"more")
    digest = store.blobs.put(data)
    with pytest.raises(IntegrityError, match="does not unpack to"):
        validate(store, altered(image(new), lambda plain: plain["layers"][0].update(digest=digest, size=len(data))))


def test_an_index_lies_about_a_platform(store, image) -> None:
    lying = replace(image(), platform=Platform.parse("linux/arm64"))
    with pytest.raises(IntegrityError, match=r"listed for linux/arm64, but made for linux/amd64"):
        validate(store, assemble_index(store, [lying]).descriptor)
    with pytest.raises(IntegrityError, match="holds no image"):
        validate(store, assemble_index(store, []).descriptor)


def test_inspect_shows_names_sizes_and_times(store, layer, image) -> None:
    one = image(layer("os", {"a": b"a"}), layer("app", {"b": b"b"}), epoch=86_400)
    store.images.put("acme/web:1", one.to_plain())
    shown = inspect_document(store, "acme/web:1")
    assert (shown["name"], shown["digest"], shown["media_type"]) == ("acme/web:1", str(one.digest), OCI_MANIFEST)
    (only,) = shown["images"]
    assert only["platform"] == "linux/amd64"
    assert only["created"] == "1970-01-02T00:00:00Z"
    assert [item["name"] for item in only["layers"]] == ["os", "app"]
    assert shown["size"] == only["size"] == sum(map(len, store.blobs.values()))
    assert canonical.dumps(shown)
    assert inspect_document(store, str(one.digest))["images"] == shown["images"]


def test_inspect_shows_every_platform(store, layer, image) -> None:
    platforms = ("linux/amd64", "linux/arm64")
    made = [image(layer(name, {name: b"x"}), platform=name) for name in platforms]
    store.images.put("web", assemble_index(store, made).descriptor.to_plain())
    shown = inspect_document(store, "web")
    assert shown["media_type"] == OCI_INDEX
    assert [item["platform"] for item in shown["images"]] == list(platforms)
    assert inspect_document(store, str(made[1].digest))["images"] == shown["images"][1:]


@pytest.mark.parametrize("name", ["no", f"sha256:{'0' * 64}", "sha256:x"])
def test_an_image_that_is_not_there(store, image, name: str) -> None:
    store.images.put("web", image().to_plain())
    with pytest.raises(NotFoundError, match="no image called") as caught:
        inspect_document(store, name)
    assert isinstance(caught.value, PybuildError)
