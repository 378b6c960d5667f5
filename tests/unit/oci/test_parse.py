from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.errors import IntegrityError
from buildkit_py.oci import (
    MAX_DOCUMENT,
    Descriptor,
    Index,
    Manifest,
    check_bytes,
    parse_config,
    parse_document,
    parse_index,
    read_config,
    read_document,
)
from buildkit_py.oci.media_types import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    layer_compression,
)
from tests.support.images import make_image, make_index, plain_descriptor

IMAGE = make_image(b"one", b"two", config={"Env": ["A=1", "B=x=y"], "Labels": {"l": "v"}})


def manifest(**changes: Any) -> bytes:
    plain = {**json.loads(IMAGE.manifest), **changes}
    return json.dumps({name: value for name, value in plain.items() if value is not ...}).encode()


def config(**changes: Any) -> bytes:
    return json.dumps({**json.loads(IMAGE.config), **changes}).encode()


def test_manifest_keeps_its_bytes() -> None:
    parsed = parse_document(IMAGE.manifest, OCI_MANIFEST)
    assert isinstance(parsed, Manifest)
    assert parsed.raw == IMAGE.manifest
    assert parsed.descriptor.digest == IMAGE.descriptor.digest
    assert [layer.size for layer in parsed.layers] == [3, 3]
    assert read_document(IMAGE.manifest) == parsed


def test_index_keeps_platforms() -> None:
    raw, _ = make_index(IMAGE, make_image(b"x", platform="linux/arm64"))
    parsed = parse_document(raw, OCI_INDEX)
    assert isinstance(parsed, Index)
    assert [str(item.platform) for item in parsed.manifests] == ["linux/amd64", "linux/arm64"]
    assert read_document(raw) == parsed


def test_oci_body_may_lack_its_media_type() -> None:
    assert isinstance(parse_document(manifest(mediaType=...), OCI_MANIFEST), Manifest)
    assert isinstance(parse_document(manifest(mediaType=...)), Manifest)


@pytest.mark.parametrize(
    ("raw", "media_type", "words"),
    [
        (manifest(manifests=[]), OCI_MANIFEST, "at once"),
        (manifest(Manifests=[]), OCI_MANIFEST, "at once"),
        (make_index(IMAGE)[0].replace(b'"manifests"', b'"layers": [], "manifests"'), OCI_INDEX, "at once"),
        (make_index(IMAGE)[0].replace(b'"manifests"', b'"Layers": [], "manifests"'), OCI_INDEX, "at once"),
        (IMAGE.manifest, DOCKER_MANIFEST, "its body says"),
        (manifest(mediaType=OCI_INDEX), None, "has the fields of a manifest"),
        (manifest(mediaType=...), OCI_INDEX, "has the fields of a manifest"),
        (manifest(mediaType=...), DOCKER_MANIFEST, "does not say so"),
        (manifest(mediaType=[]), None, "no text"),
        (manifest(mediaType={}), None, "no text"),
        (manifest(mediaType="text/html"), None, "not an image manifest"),
        (IMAGE.manifest, "text/html", "not an image manifest"),
        (manifest(schemaVersion=1), None, "schema 1"),
        (IMAGE.manifest, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
        (manifest(schemaVersion=3), OCI_MANIFEST, "schemaVersion"),
        (manifest(schemaVersion="2"), OCI_MANIFEST, "schemaVersion"),
        (manifest(config=...), OCI_MANIFEST, "neither"),
        (manifest(layers=...), OCI_MANIFEST, "layers"),
        (manifest(layers=[plain_descriptor(b"", OCI_LAYER)] * 2000), OCI_MANIFEST, "layers"),
        (manifest(layers=[{**plain_descriptor(b"", OCI_LAYER), "size": -1}]), OCI_MANIFEST, "size"),
        (manifest(layers=[{**plain_descriptor(b"", OCI_LAYER), "size": 1 << 60}]), OCI_MANIFEST, "size"),
        (manifest(layers=[{**plain_descriptor(b"", OCI_LAYER), "size": 1.0}]), OCI_MANIFEST, "size"),
        (manifest(layers=[{**plain_descriptor(b"", OCI_LAYER), "size": True}]), OCI_MANIFEST, "size"),
        (manifest(layers=[{**plain_descriptor(b"", OCI_LAYER), "digest": "sha256:../../x"}]), OCI_MANIFEST, "digest"),
        (manifest(layers=[{**plain_descriptor(b"", OCI_LAYER), "Digest": "x"}]), OCI_MANIFEST, "which is not 'digest'"),
        (manifest(layers=[{**plain_descriptor(b"", OCI_LAYER), "mediaType": "a b\nc"}]), OCI_MANIFEST, "mediaType"),
        (manifest(Config={}), OCI_MANIFEST, "which is not 'config'"),
        (b'{"schemaVersion": 2, "schemaVersion": 2}', OCI_MANIFEST, "twice"),
        (b"[]", OCI_MANIFEST, "not a JSON object"),
        (b"", OCI_MANIFEST, "not JSON"),
        (b"\xff", OCI_MANIFEST, "not JSON"),
        (b'{"a": NaN}', OCI_MANIFEST, "not JSON"),
        (b"[" * 100_000, OCI_MANIFEST, "not JSON"),
        (b" " * (MAX_DOCUMENT + 1), OCI_MANIFEST, "too large"),
    ],
)
def test_refused_document(raw: bytes, media_type: str | None, words: str) -> None:
    with pytest.raises(IntegrityError, match=words):
        parse_document(raw, media_type)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_bytes_parse_or_raise_integrity_error(raw: bytes) -> None:
    for parse in (parse_document, parse_config, parse_index):
        with pytest.raises(IntegrityError):
            parse(raw)


@given(
    st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "annotations", "subject"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
)
def test_any_field_parses_or_raises_integrity_error(field: str, value: Any) -> None:
    for media_type in (OCI_MANIFEST, None):
        try:
            parsed = parse_document(manifest(**{field: value}), media_type)
        except IntegrityError:
            continue
        assert read_document(parsed.raw, media_type) == parsed


def test_docker_list() -> None:
    plain = {"schemaVersion": 2, "mediaType": DOCKER_INDEX, "manifests": [IMAGE.descriptor.to_plain()]}
    assert isinstance(parse_document(json.dumps(plain).encode(), DOCKER_INDEX), Index)


def test_config_accessors() -> None:
    raw = config(
        config={
            "Env": ["A=1", "B=x=y", "=bad"],
            "User": "app",
            "WorkingDir": "/w",
            "Entrypoint": [],
            "Cmd": None,
            "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
            "Volumes": {"/v": {}},
            "Labels": None,
            "StopSignal": "SIGTERM",
            "Healthcheck": {"Test": ["NONE"]},
            "OnBuild": ["RUN x"],
            "Shell": ["/bin/bash"],
        },
        history=[{"created_by": "x", "empty_layer": True}],
        created="2020-01-01T00:00:00Z",
    )
    parsed = parse_config(raw)
    assert parsed.env == (("A", "1"), ("B", "x=y"))
    assert (parsed.user, parsed.workdir, parsed.entrypoint, parsed.command) == ("app", "/w", (), None)
    assert parsed.exposed_ports == ("443/tcp", "80/tcp")
    assert (parsed.volumes, dict(parsed.labels), parsed.stop_signal) == (("/v",), {}, "SIGTERM")
    assert (parsed.on_build, parsed.shell) == (("RUN x",), ("/bin/bash",))
    assert parsed.history[0].empty_layer
    assert str(parsed.platform) == "linux/amd64"
    assert read_config(raw) == parsed


@pytest.mark.parametrize(
    "changes",
    [
        {"rootfs": {"type": "layers", "diff_ids": ["sha256:xyz"]}},
        {"rootfs": {"type": "other", "diff_ids": []}},
        {"rootfs": None},
        {"config": {"Env": "A=1"}},
        {"config": {"Env": [1]}},
        {"config": {"env": ["A=1"]}},
        {"config": {"User": 0}},
        {"config": {"Labels": {"a": 1}}},
        {"os": 5},
        {"history": [{"empty_layer": "yes"}]},
        {"history": [{"empty_layer": 1}]},
        {"config": {"StopTimeout": 3.0}},
        {"config": {"StopTimeout": "3"}},
        {"config": {"StopTimeout": True}},
    ],
)
def test_refused_config(changes: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="image configuration is malformed"):
        parse_config(config(**changes))


@pytest.mark.parametrize(("size", "loaded"), [("3", "False False\n"), ("-3", "True False\n")])
def test_checking_loads_no_models_and_nothing_for_what_is_well_formed(size: str, loaded: str) -> None:
    code = f"""
import sys
from buildkit_py.oci import wire
blob = {{"mediaType": "a/b", "digest": "sha256:" + "a" * 64, "size": {size}}}
try:
    wire.check(wire.MANIFEST, {{"schemaVersion": 2, "config": blob, "layers": []}}, "manifest")
except Exception:
    pass
print("pydantic_core" in sys.modules, "pydantic" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == loaded


def test_config_of_another_type_is_refused() -> None:
    with pytest.raises(IntegrityError, match="not an image configuration"):
        parse_config(IMAGE.config, "application/vnd.example+json")


def test_check_bytes() -> None:
    descriptor = Descriptor.of(b"data", OCI_CONFIG)
    check_bytes(b"data", descriptor, "it")
    with pytest.raises(IntegrityError, match="it has 5 bytes"):
        check_bytes(b"data!", descriptor, "it")
    with pytest.raises(IntegrityError, match="does not match"):
        check_bytes(b"datA", descriptor, "it")


def test_layer_compression() -> None:
    assert layer_compression(OCI_LAYER) == "none"
    assert layer_compression(OCI_LAYER + "+zstd") == "zstd"
    assert layer_compression("application/vnd.docker.image.rootfs.diff.tar.gzip") == "gzip"
    assert layer_compression(OCI_CONFIG) is None
