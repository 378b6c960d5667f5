from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, RegistryError
from buildkit_py.oci import Descriptor, chain_ids
from buildkit_py.oci.media_types import OCI_INDEX, OCI_MANIFEST
from buildkit_py.platform import Platform
from buildkit_py.reference import Reference
from buildkit_py.registry.blobs import ImageReader
from buildkit_py.registry.pull import fetch_layers, fetch_metadata, stored_image
from tests.support.clients import make_client
from tests.support.faulty_registry import FaultyRegistry, faulty_registry
from tests.support.images import MadeImage, make_image, make_index
from tests.support.memory_blobs import MemoryStore

IMAGE = make_image(b"one", b"two", platform="linux/arm/v6")
ARM = Platform.parse("linux/arm/v7")


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as server:
        hold(server, IMAGE)
        yield server


def hold(server: FaultyRegistry, image: MadeImage) -> None:
    server.add_manifest("a", "1", image.manifest, image.descriptor.media_type)
    for data in (*image.layers, image.config):
        server.put(data)


def reader(registry: FaultyRegistry, rest: str = "a:1") -> ImageReader:
    return make_client(registry.name).reader(Reference.parse(f"{registry.name}/{rest}"))


def changed(registry: FaultyRegistry, **changes: Any) -> None:
    raw = json.dumps({**json.loads(IMAGE.manifest), **changes}).encode()
    registry.add_manifest("a", "1", raw, OCI_MANIFEST)


def test_metadata_then_layers(registry: FaultyRegistry) -> None:
    store = MemoryStore()
    pulled = fetch_metadata(reader(registry), ARM, store)
    assert pulled.root == Descriptor.of(IMAGE.manifest, OCI_MANIFEST)
    assert pulled.chain_ids == chain_ids(pulled.diff_ids)
    assert set(store.blobs.data.values()) == {IMAGE.manifest, IMAGE.config}
    fetch_layers(pulled, store, only={pulled.layers[1].digest})
    assert not store.blobs.has(str(pulled.layers[0].digest))
    fetch_layers(pulled, store)
    assert set(store.blobs.data.values()) == {IMAGE.manifest, IMAGE.config, b"one", b"two"}


def test_stored_image_asks_nobody(registry: FaultyRegistry) -> None:
    store = MemoryStore()
    pulled = fetch_metadata(reader(registry), ARM, store)
    registry.requests.clear()
    assert stored_image(reader(registry), str(pulled.digest), store) == pulled
    assert stored_image(reader(registry), str(Digest.of(b"")), store) is None
    assert fetch_metadata(reader(registry), ARM, store, pinned=pulled.digest) == pulled
    assert not registry.requests


def test_pinned_digest_wins_over_the_tag(registry: FaultyRegistry) -> None:
    hold(registry, make_image(b"newer", platform="linux/arm/v6"))
    pulled = fetch_metadata(reader(registry), ARM, MemoryStore(), pinned=IMAGE.descriptor.digest)
    assert pulled.manifest.raw == IMAGE.manifest


def test_index_of_an_index(registry: FaultyRegistry) -> None:
    inner, descriptor = make_index(IMAGE)
    registry.add_manifest("a", "inner", inner, OCI_INDEX)
    outer = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor.to_plain()]}).encode()
    registry.add_manifest("a", "1", outer, OCI_INDEX)
    assert fetch_metadata(reader(registry), ARM, MemoryStore()).digest == IMAGE.descriptor.digest


def test_wrong_platform(registry: FaultyRegistry) -> None:
    with pytest.raises(RegistryError, match="is for linux/arm/v6, not for linux/amd64"):
        fetch_metadata(reader(registry), Platform.parse("linux/amd64"), MemoryStore())


def test_artifact(registry: FaultyRegistry) -> None:
    config = {**json.loads(IMAGE.manifest)["config"], "mediaType": "application/vnd.example.chart+json"}
    changed(registry, config=config)
    with pytest.raises(RegistryError, match=r"an artifact of type 'application/vnd\.example\.chart\+json'"):
        fetch_metadata(reader(registry), ARM, MemoryStore())


def test_unknown_layer_type(registry: FaultyRegistry) -> None:
    layers = [{**layer, "mediaType": "text/plain"} for layer in json.loads(IMAGE.manifest)["layers"]]
    changed(registry, layers=layers)
    with pytest.raises(IntegrityError, match="unknown media type"):
        fetch_metadata(reader(registry), ARM, MemoryStore())


def test_layers_and_diff_ids_disagree(registry: FaultyRegistry) -> None:
    changed(registry, layers=json.loads(IMAGE.manifest)["layers"][:1])
    with pytest.raises(IntegrityError, match="has 1 layers, but its configuration lists 2"):
        fetch_metadata(reader(registry), ARM, MemoryStore())


@pytest.mark.parametrize("change", [{"size": 1}, {"size": 5 << 20}])
def test_config_of_another_size(registry: FaultyRegistry, change: dict[str, int]) -> None:
    changed(registry, config={**json.loads(IMAGE.manifest)["config"], **change})
    with pytest.raises((IntegrityError, RegistryError)):
        fetch_metadata(reader(registry), ARM, MemoryStore())


def test_child_of_another_type(registry: FaultyRegistry) -> None:
    raw = make_index(IMAGE)[0].replace(OCI_MANIFEST.encode(), b"application/vnd.docker.distribution.manifest.v2+json")
    registry.add_manifest("a", "1", raw, OCI_INDEX)
    with pytest.raises(IntegrityError, match="is listed as"):
        fetch_metadata(reader(registry), ARM, MemoryStore())
