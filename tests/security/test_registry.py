"""What a registry or a layout says of an image: one meaning or none, digests that are digests, names that stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.errors import IntegrityError
from buildkit_py.oci import parse_document
from buildkit_py.oci.media_types import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from buildkit_py.platform import Platform
from buildkit_py.reference import Reference
from buildkit_py.registry.pull import fetch_layers, fetch_metadata
from tests.support import layouts
from tests.support.clients import make_client
from tests.support.command import Pybuild
from tests.support.faulty_registry import FaultyRegistry, faulty_registry
from tests.support.images import make_image, make_index
from tests.support.memory_blobs import MemoryStore

IMAGE = make_image(b"one layer", platform=str(Platform.host()))
PLAIN: dict[str, Any] = json.loads(IMAGE.manifest)
INDEX: dict[str, Any] = json.loads(make_index(IMAGE)[0])
BOTH = {"manifests": INDEX["manifests"]}
CONFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "both": (PLAIN | BOTH, OCI_MANIFEST),
    "both, called an index": (PLAIN | BOTH | {"mediaType": OCI_INDEX}, OCI_INDEX),
    "both, in another case": (PLAIN | {"Manifests": INDEX["manifests"]}, OCI_MANIFEST),
    "an index with layers": (INDEX | {"layers": PLAIN["layers"]}, OCI_INDEX),
    "an index with a configuration": (INDEX | {"Config": PLAIN["config"]}, OCI_INDEX),
    "a manifest served as an index": (PLAIN, OCI_INDEX),
    "an index served as a manifest": (INDEX, OCI_MANIFEST),
    "a manifest that calls itself an index": (PLAIN | {"mediaType": OCI_INDEX}, OCI_MANIFEST),
    "another family": (PLAIN, DOCKER_MANIFEST),
    "an index of another family": (INDEX, DOCKER_INDEX),
    "no type at all": ({key: value for key, value in PLAIN.items() if key != "mediaType"}, OCI_INDEX),
    "the layers twice, in another case": (PLAIN | {"Layers": []}, OCI_MANIFEST),
}


@pytest.fixture
def server() -> Iterator[FaultyRegistry]:
    with faulty_registry() as server:
        server.put(IMAGE.config)
        server.put(b"one layer")
        yield server


def with_registry(pybuild: Pybuild, directory: Path, *names: str) -> Pybuild:
    """The command, which speaks plain HTTP with these registries."""
    (directory / "r.toml").write_text("".join(f'[registry."{name}"]\nplain_http = true\n' for name in names))
    return pybuild.having(PYBUILD_REGISTRIES=str(directory / "r.toml"))


@pytest.mark.parametrize("name", CONFUSED)
def test_documents_that_mean_two_things(server: FaultyRegistry, name: str) -> None:
    """CVE-2021-41190: manifest and index at once, or a media type that disagrees with the body or its carrier."""
    plain, media_type = CONFUSED[name]
    raw = json.dumps(plain).encode()
    server.add_manifest("a/b", "1", raw, media_type)
    with pytest.raises(IntegrityError):
        make_client(server.name).manifest(Reference.parse(f"{server.name}/a/b:1"))
    with pytest.raises(IntegrityError):
        parse_document(raw, media_type)


def test_a_document_that_means_two_things_is_nowhere_taken(
    pybuild: Pybuild, server: FaultyRegistry, tmp_path: Path
) -> None:
    """CVE-2021-41190: pulled, built upon, copied, loaded."""
    taken_nowhere(pybuild, server, tmp_path)


def taken_nowhere(pybuild: Pybuild, server: FaultyRegistry, tmp_path: Path) -> None:
    """The test, for its proof."""
    pybuild = with_registry(pybuild, tmp_path, server.name)
    raw = json.dumps(PLAIN | BOTH).encode()
    server.add_manifest("a/b", "1", raw, OCI_MANIFEST)
    layouts.write_layout(tmp_path / "layout", [layouts.layer([layouts.folder("d")])])
    index = json.loads((tmp_path / "layout/index.json").read_bytes())
    manifest = json.loads(layouts.blob(tmp_path / "layout", index["manifests"][0]["digest"]).read_bytes())
    index["manifests"][0] |= layouts.put_document(tmp_path / "layout", manifest | {"manifests": []})
    (tmp_path / "layout/index.json").write_text(json.dumps(index))
    (tmp_path / "Dockerfile").write_text(f"FROM {server.name}/a/b:1\nLABEL a=b\n")
    for words in (
        ("pull", f"{server.name}/a/b:1"),
        ("build", "-t", "x", str(tmp_path)),
        ("copy", "oci:layout", "x"),
        ("copy", f"docker://{server.name}/a/b:1", "oci:there"),
        ("inspect", "oci:layout"),
    ):
        result = pybuild(*words, cwd=tmp_path)
        assert result.code == 11, (words, result.output)
        assert "at once; it is not to be trusted" in result.stderr
    assert pybuild.ok("ls").stdout == "no images\n"
    assert not (tmp_path / "there/index.json").exists()


DIGESTS = (
    *("sha256:../../../../etc/passwd", "sha256:", "sha256", "", "../x:00", "sha256:" + "a" * 63, "sha256:" + "a" * 65),
    *("sha256:" + "A" * 64, "sha256:" + "g" * 64, f"sha256:{'a' * 64}\n", f"sha256:{'a' * 64}?x", f"SHA256:{'a' * 64}"),
    *(
        f"sha256:{'a' * 64}/../x",
        f"md5:{'a' * 32}",
        f"sha512:{'a' * 64}",
        f" sha256:{'a' * 64}",
        "sha256:" + "\uff10" * 64,
    ),
)


def _told_in(place: str) -> list[str]:
    """Those that can be said there: a header has no space around it and no other letters."""
    return [each for each in DIGESTS if place != "header" or (each.isascii() and each == each.strip() and each)]


@pytest.mark.parametrize(
    ("place", "digest"),
    [(place, digest) for place in ("config", "layer", "manifest", "header") for digest in _told_in(place)],
)
def test_no_path_or_url_is_made_of_what_is_no_digest(server: FaultyRegistry, place: str, digest: str) -> None:
    """CVE-2024-3727: in a manifest, an index, or the header beside one; only what named the image was ever asked."""
    manifest, index = json.loads(json.dumps(PLAIN)), json.loads(json.dumps(INDEX))
    if place == "config":
        manifest["config"]["digest"] = digest
    elif place == "layer":
        manifest["layers"][0]["digest"] = digest
    elif place == "manifest":
        index["manifests"][0]["digest"] = digest
    raw, media_type = (index, OCI_INDEX) if place == "manifest" else (manifest, OCI_MANIFEST)
    server.add_manifest("a/b", "1", json.dumps(raw).encode(), media_type)
    if place == "header":
        server.faults.append(
            lambda handler: (
                handler.command == "HEAD"
                and (handler.reply(200, b"x", Content_Type=OCI_MANIFEST, Docker_Content_Digest=digest), True)[1]
            )
        )
    client, ref = make_client(server.name), Reference.parse(f"{server.name}/a/b:1")
    with pytest.raises(IntegrityError, match="digest"):
        if place == "header":
            client.resolve(ref)
        store = MemoryStore()
        fetch_layers(fetch_metadata(client.reader(ref), Platform.host(), store), store)
    assert {item.path for item in server.requests} == {"/v2/a/b/manifests/1"}


def test_digests_of_people_and_archives(pybuild: Pybuild, tmp_path: Path) -> None:
    """CVE-2024-3727: in a name, in an `index.json`, in a graph: never a path."""
    layouts.write_layout(tmp_path / "layout", [])
    index = json.loads((tmp_path / "layout/index.json").read_bytes())
    index["manifests"][0]["digest"] = "sha256:../../canary"
    (tmp_path / "layout/index.json").write_text(json.dumps(index))
    (tmp_path / "canary").write_bytes(IMAGE.manifest)
    result = pybuild("copy", "oci:layout", "x", cwd=tmp_path)
    assert result.code == 11 and "digest" in result.stderr
    for name in ("docker://a/b@sha256:../../canary", f"docker://a/b@sha256:{'A' * 64}"):
        result = pybuild("inspect", name, cwd=tmp_path)
        assert result.code in (2, 11) and "digest" in result.stderr, result.output


def test_foreign_addresses_of_layers_are_not_asked(server: FaultyRegistry) -> None:
    """A manifest may name a host of its own for a layer, with whatever media type: the registry alone is asked."""
    with faulty_registry() as other:
        other.put(b"one layer")
        manifest = json.loads(json.dumps(PLAIN))
        manifest["layers"][0]["urls"] = [f"http://{other.name}/layer", "file:///etc/passwd"]
        manifest["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar"
        server.add_manifest("a/b", "1", json.dumps(manifest).encode(), OCI_MANIFEST)
        store, client = MemoryStore(), make_client(server.name, other.name)
        reader = client.reader(Reference.parse(f"{server.name}/a/b:1"))
        fetch_layers(fetch_metadata(reader, Platform.host(), store), store)
        assert not other.requests
        assert server.asked("GET", "/blobs/")


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_a_name_never_moves_silently(
    pybuild: Pybuild, server: FaultyRegistry, tmp_path: Path, quiet: tuple[str, ...]
) -> None:
    """Whatever brings an image in says what had its name before, with `-q` on standard error."""
    pybuild = with_registry(pybuild, tmp_path, server.name)
    name = f"{server.name}/a/b:1"
    layers = [layouts.layer([layouts.folder(each)]) for each in "abcd"]
    layouts.write_layout(tmp_path / "layout", layers[:1], tag=name)
    document = json.loads((tmp_path / "layout/index.json").read_bytes())["manifests"][0]
    server.blobs |= {f"sha256:{each.name}": each.read_bytes() for each in (tmp_path / "layout/blobs/sha256").iterdir()}
    server.add_manifest("a/b", "1", server.blobs[document["digest"]], document["mediaType"])
    pybuild.ok("import", "-q", "-", name, stdin=layers[1])
    pybuild.ok("import", "-q", "-", "other", stdin=layers[2])
    pybuild.ok("save", "other", "-o", "other.tar", "--format", "oci-archive", cwd=tmp_path)
    steps = (
        ("import", *quiet, "-", name),
        ("pull", *quiet, name),
        ("import", *quiet, "-", "other"),
        ("load", *quiet, "-i", "other.tar"),
        ("copy", *quiet, "oci:layout", "other"),
    )
    for words in steps if quiet else steps[2:4]:
        before = pybuild.ok("ls", "-q", words[-1] if words[0] != "load" else "other").stdout.strip()
        result = pybuild.ok(*words, cwd=tmp_path, stdin=layers[3])
        hidden = before.removeprefix("sha256:")[:12]
        assert hidden in (result.stderr if quiet else result.output), (words, result.output)
        again = pybuild.ok(*words, cwd=tmp_path, stdin=layers[3])
        assert hidden not in again.output


def test_a_base_moves_no_name(pybuild: Pybuild, tmp_path: Path) -> None:
    """What a build reads has names of its own, which are not those of the store."""
    layouts.write_layout(tmp_path / "layout", [layouts.layer([layouts.folder("d")])], tag="other")
    before = pybuild.ok("import", "-q", "-", "other", stdin=layouts.layer([layouts.folder("e")])).stdout
    (tmp_path / "Buildfile").write_text('buildfile 1\nimage a {\nfrom "oci:layout:other"\ncopy ./Buildfile to /b\n}\n')
    pybuild.ok("build", "-q", "-t", "mine", ".", cwd=tmp_path)
    assert pybuild.ok("ls", "-q", "other").stdout == before
