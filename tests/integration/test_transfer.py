"""Moving images, with skopeo, umoci, buildah and Debian's registry as referees: digests agree both ways."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import bases
from tests.support.command import Pybuild
from tests.support.dockerd import serve_dockerd
from tests.support.layouts import ARCHITECTURE, FOREIGN, Entry, layer, write_index
from tests.support.registry import RegistryServer, available, serve_registry, write_config

pytestmark = [
    pytest.mark.skipif(not available(), reason="docker-registry is not installed"),
    pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed"),
]
TRANSPORTS = ("docker", "oci", "oci-archive", "docker-archive", "dir")


def run(*words: str | Path) -> bytes:
    done = subprocess.run([str(word) for word in words], capture_output=True)
    assert done.returncode == 0, f"{words}: {done.stderr.decode()}"
    return done.stdout


def skopeo_copy(source: str, target: str, *more: str) -> None:
    run("skopeo", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false", *more, source, target)


def skopeo_raw(name: str, *more: str) -> bytes:
    return run("skopeo", "inspect", "--raw", "--tls-verify=false", *more, name)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry with `library/base:1` of one platform and `library/two:1` of two."""
    with serve_registry(tmp_path_factory.mktemp("first"), access_log=True) as server:
        bases.push("tiny", server.name, "base", "1")
        made = tmp_path_factory.mktemp("two") / "layout"
        images = {name: ([layer([Entry(name=name, data=name.encode())])], {}) for name in (ARCHITECTURE, FOREIGN)}
        write_index(made, images)
        skopeo_copy(f"oci:{made}", f"docker://{server.name}/library/two:1", "--all")
        yield server


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with serve_registry(tmp_path_factory.mktemp("second"), access_log=True, delete=False) as server:
        yield server


@pytest.fixture
def pybuild(tmp_path: Path, first: RegistryServer, second: RegistryServer) -> Pybuild:
    (tmp_path / "home").mkdir()
    registries = write_config(tmp_path / "registries.toml", first.name, second.name)
    return Pybuild(home=tmp_path / "home", store=tmp_path / "store", registries=registries)


@pytest.fixture
def base(first: RegistryServer) -> str:
    return f"docker://{first.name}/library/base:1"


@pytest.fixture
def two(first: RegistryServer) -> str:
    return f"docker://{first.name}/library/two:1"


def place(kind: str, tmp_path: Path, registry: RegistryServer, who: str) -> str:
    """A new place of a kind, as both programs write it."""
    if kind == "docker":
        return f"docker://{registry.name}/{who}/{tmp_path.name.replace('_', '-').lower().strip('-')}:1"
    if kind == "dir":
        return f"dir:{tmp_path}/{who}"
    return f"{kind}:{tmp_path}/{who}{'.tar' if 'archive' in kind else ''}:example.org/app:1"


def digest(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def layers(raw: bytes) -> list[str]:
    return [row["digest"] for row in json.loads(raw)["layers"]]


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_what_skopeo_writes_is_read(
    pybuild: Pybuild, base: str, second: RegistryServer, tmp_path: Path, kind: str
) -> None:
    written = place(kind, tmp_path, second, "skopeo")
    skopeo_copy(base, written)
    told = json.loads(pybuild.ok("copy", "--json", written, f"oci:{tmp_path}/out:x").stdout)
    mine, theirs = skopeo_raw(f"oci:{tmp_path}/out:x"), skopeo_raw(written)
    assert digest(mine) == told["digest"]
    config = pybuild.ok("inspect", "--config", written).stdout
    assert config == run("skopeo", "inspect", "--config", "--raw", "--tls-verify=false", written).decode()
    assert json.loads(mine)["config"]["digest"] == json.loads(theirs)["config"]["digest"]
    assert layers(mine) == layers(theirs)
    if kind != "docker-archive":
        assert mine == theirs == pybuild.ok("inspect", "--raw", written).stdout.encode()
    run("skopeo", "copy", "--quiet", f"oci:{tmp_path}/out:x", f"dir:{tmp_path}/checked")


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_what_is_written_skopeo_reads(
    pybuild: Pybuild, base: str, second: RegistryServer, tmp_path: Path, kind: str
) -> None:
    written = place(kind, tmp_path, second, "pybuild")
    told = json.loads(pybuild.ok("copy", "--json", base, written).stdout)
    theirs = skopeo_raw(base)
    assert told["digest"] == digest(theirs)
    if kind != "docker-archive":
        assert skopeo_raw(written) == theirs
    assert run("skopeo", "inspect", "--config", "--tls-verify=false", written) == run(
        "skopeo", "inspect", "--config", "--tls-verify=false", base
    )
    # Copying makes skopeo check every digest.
    skopeo_copy(written, f"dir:{tmp_path}/checked")
    if kind != "docker-archive":
        assert layers((tmp_path / "checked/manifest.json").read_bytes()) == layers(theirs)
    again = json.loads(pybuild.ok("copy", "--json", written, "back").stdout)
    assert json.loads(pybuild.ok("inspect", "--json", "back").stdout)["digest"] == again["digest"]
    assert pybuild.ok("store", "check").stdout == "the store is whole\n"


@pytest.mark.parametrize("kind", ["docker", "oci", "oci-archive", "dir"])
def test_all_platforms(pybuild: Pybuild, two: str, second: RegistryServer, tmp_path: Path, kind: str) -> None:
    mine, theirs = (place(kind, tmp_path, second, who) for who in ("mine", "theirs"))
    pybuild.ok("copy", "--all", two, mine)
    skopeo_copy(two, theirs, "--all")
    assert skopeo_raw(mine) == skopeo_raw(theirs) == skopeo_raw(two)
    skopeo_copy(mine, f"dir:{tmp_path}/checked", "--all")
    told = json.loads(pybuild.ok("copy", "--all", "--json", theirs, "both").stdout)
    assert told["digest"] == digest(skopeo_raw(two))
    shown = json.loads(pybuild.ok("inspect", "--json", "both").stdout)
    assert {image["platform"] for image in shown["images"]} == {f"linux/{ARCHITECTURE}", f"linux/{FOREIGN}"}


def test_one_platform_is_taken_and_that_is_said(pybuild: Pybuild, two: str) -> None:
    result = pybuild.ok("copy", two, "one")
    assert f"linux/{ARCHITECTURE} was taken, --all takes all" in result.stderr
    other = pybuild.ok("copy", "-q", "--platform", f"linux/{FOREIGN}", two, "other").stdout.strip()
    assert other in json.dumps(json.loads(skopeo_raw(two))["manifests"])
    assert pybuild("copy", "--platform", "linux/s390x", two, "none").code == 16


def test_a_conversion_is_what_skopeo_makes_of_it(pybuild: Pybuild, base: str, tmp_path: Path) -> None:
    pybuild.ok("copy", "--format", "docker", base, f"dir:{tmp_path}/mine")
    run("skopeo", "copy", "-q", "--src-tls-verify=false", "--format", "v2s2", base, f"dir:{tmp_path}/theirs")
    mine, theirs = (json.loads((tmp_path / name / "manifest.json").read_bytes()) for name in ("mine", "theirs"))
    assert mine == theirs
    pybuild.ok("copy", "--format", "oci", f"dir:{tmp_path}/mine", f"oci:{tmp_path}/back:x")
    assert json.loads(skopeo_raw(f"oci:{tmp_path}/back:x")) == json.loads(skopeo_raw(base))


@pytest.mark.parametrize("how", ["zstd", "none"])
def test_what_is_compressed_otherwise_is_the_same_image(pybuild: Pybuild, base: str, tmp_path: Path, how: str) -> None:
    pybuild.ok("copy", "--compress", how, base, f"oci:{tmp_path}/out:x")
    # skopeo compares each layer with its diff id when it unpacks it.
    run("skopeo", "copy", "-q", "--dest-decompress", f"oci:{tmp_path}/out:x", f"dir:{tmp_path}/mine")
    run("skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-decompress", base, f"dir:{tmp_path}/theirs")
    mine, theirs = (layers((tmp_path / name / "manifest.json").read_bytes()) for name in ("mine", "theirs"))
    assert mine == theirs
    refused = pybuild("copy", "--compress", how, "--preserve-digests", base, f"oci:{tmp_path}/no:x")
    assert refused.code == 2
    assert not (tmp_path / "no" / "index.json").exists()


def test_umoci_reads_and_writes_the_same_layout(pybuild: Pybuild, base: str, tmp_path: Path) -> None:
    pybuild.ok("copy", base, f"oci:{tmp_path}/out:one")
    run("umoci", "tag", "--image", f"{tmp_path}/out:one", "two")
    run("umoci", "config", "--image", f"{tmp_path}/out:two", "--author", "umoci")
    pybuild.ok("copy", f"oci:{tmp_path}/out:two", f"oci:{tmp_path}/out:three")
    tags = run("umoci", "list", "--layout", f"{tmp_path}/out").decode().split()
    assert sorted(tags) == ["one", "three", "two"]
    run("umoci", "unpack", "--image", f"{tmp_path}/out:three", f"{tmp_path}/bundle")
    assert (tmp_path / "bundle/rootfs/bin/busybox").is_file()
    run("umoci", "gc", "--layout", f"{tmp_path}/out")
    assert skopeo_raw(f"oci:{tmp_path}/out:three") == skopeo_raw(f"oci:{tmp_path}/out:two")


@pytest.mark.skipif(not shutil.which("buildah"), reason="buildah is not installed")
@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive", "dir"])
def test_buildah_reads_and_writes_it(
    pybuild: Pybuild, base: str, second: RegistryServer, tmp_path: Path, kind: str
) -> None:
    mine, theirs = (place(kind, tmp_path, second, who) for who in ("mine", "theirs"))
    pybuild.ok("copy", base, mine)
    storage = ("--storage-driver", "vfs", "--root", f"{tmp_path}/root", "--runroot", f"{tmp_path}/run")
    image = run("buildah", *storage, "pull", "-q", mine).decode().strip()
    run("buildah", *storage, "push", "-q", image, theirs)
    pybuild.ok("copy", theirs, "from-buildah")
    config = json.loads(pybuild.ok("inspect", "--config", "from-buildah").stdout)
    assert config["rootfs"] == json.loads(pybuild.ok("inspect", "--config", base).stdout)["rootfs"]


def blobs(registry: RegistryServer, method: str, repository: str) -> list[str]:
    return [line for line in registry.asked(method, f"/{repository}/blobs/") if "/uploads/" not in line]


def test_the_second_time_no_blob_is_moved(
    pybuild: Pybuild, base: str, first: RegistryServer, second: RegistryServer
) -> None:
    target = f"docker://{second.name}/again/app:1"
    pybuild.ok("copy", base, target)
    read, sent = len(blobs(first, "GET", "library/base")), len(second.asked("PATCH"))
    posted = len(second.asked("POST", "/again/app/"))
    assert posted
    told = json.loads(pybuild.ok("copy", "--json", base, target).stdout)
    assert (told["copied"], told["mounted"], told["bytes"]) == ([], [], 0)
    assert len(told["existing"]) == 2
    assert (len(blobs(first, "GET", "library/base")), len(second.asked("PATCH"))) == (read, sent)
    assert len(second.asked("POST", "/again/app/")) == posted


def test_within_a_registry_blobs_are_mounted(pybuild: Pybuild, base: str, first: RegistryServer) -> None:
    read = len(blobs(first, "GET", "library/base"))
    told = json.loads(pybuild.ok("copy", "--json", base, f"docker://{first.name}/mounted/app:1").stdout)
    assert (len(told["mounted"]), told["copied"]) == (2, [])
    assert len(blobs(first, "GET", "library/base")) == read
    assert skopeo_raw(f"docker://{first.name}/mounted/app:1") == skopeo_raw(base)


def test_a_build_goes_to_a_registry_by_way_of_its_bases_registry(
    pybuild: Pybuild, first: RegistryServer, second: RegistryServer
) -> None:
    (pybuild.home / "Dockerfile").write_text(f"FROM {first.name}/library/base:1\nCOPY Dockerfile /d\n")
    pybuild.ok("build", "-q", "-t", "app:1", ".")
    told = json.loads(pybuild.ok("copy", "--json", "app:1", f"docker://{first.name}/built/app:1").stdout)
    assert len(told["mounted"]) == 1
    pybuild.ok("copy", "app:1", f"docker://{second.name}/built/app:1")
    assert skopeo_raw(f"docker://{second.name}/built/app:1") == pybuild.ok("inspect", "--raw", "app:1").stdout.encode()


def test_pull_and_the_names_of_the_store(pybuild: Pybuild, base: str, two: str) -> None:
    name = base.removeprefix("docker://")
    pulled = pybuild.ok("pull", "-q", name).stdout.strip()
    assert pybuild.ok("ls", "-q", name).stdout.strip() == pulled
    assert pybuild.ok("pull", base).stdout.splitlines()[-1] == pulled
    (pybuild.home / "Dockerfile").write_text(f"FROM {name}\nCOPY Dockerfile /d\n")
    pybuild.ok("build", "-q", "-t", "app:1", ".")
    moved = pybuild.ok("copy", two, name)
    assert f"note: replaced {name} (was {pulled})" in moved.stderr
    result = pybuild("pull", "oci:x")
    assert (result.code, "`pybuild copy oci:x NAME`" in result.stderr) == (2, True)


def test_save_and_load(pybuild: Pybuild, base: str, two: str, tmp_path: Path) -> None:
    pybuild.ok("copy", base, "base:1")
    pybuild.ok("copy", "--all", two, "two:1")
    digests = {name: pybuild.ok("ls", "-q", name).stdout.strip() for name in ("base:1", "two:1")}
    pybuild.ok("save", "base:1", "two:1", "-o", tmp_path / "d.tar")
    for name in ("base:1", "two:1"):
        skopeo_copy(f"docker-archive:{tmp_path}/d.tar:docker.io/library/{name}", f"dir:{tmp_path}/{name[:3]}")
    pybuild.ok("save", "base:1", "two:1", "-o", tmp_path / "o.tar", "--format", "oci-archive")
    skopeo_copy(f"oci-archive:{tmp_path}/o.tar:two:1", f"dir:{tmp_path}/o", "--all")
    fresh = Pybuild(home=pybuild.home, store=tmp_path / "fresh")
    fresh.ok("load", "-i", tmp_path / "o.tar")
    assert {name: fresh.ok("ls", "-q", name).stdout.strip() for name in digests} == digests
    loaded = fresh.ok("load", stdin=(tmp_path / "d.tar").read_bytes()).stdout
    assert "loaded base:1: sha256:" in loaded
    assert fresh.ok("store", "check").stdout == "the store is whole\n"
    fresh.ok("copy", f"oci-archive:{tmp_path}/o.tar:two:1", "base:1")
    again = fresh.ok("load", "-i", tmp_path / "o.tar")
    assert "note: replaced base:1 (was sha256:" in again.stderr
    streamed = subprocess.run(
        [
            "python3",
            "-c",
            "import tarfile,sys; print(len(tarfile.open(fileobj=sys.stdin.buffer, mode='r|').getnames()))",
        ],
        input=subprocess.run(
            [*_words(pybuild), "save", "base:1", "-o", "-"], env=pybuild.variables(), capture_output=True, check=True
        ).stdout,
        capture_output=True,
        check=True,
    )
    assert int(streamed.stdout) == 3


def _words(pybuild: Pybuild) -> list[str]:
    import sys

    return [sys.executable, "-m", "buildkit_py.cli"]


def test_what_skopeo_saved_is_loaded(pybuild: Pybuild, base: str, tmp_path: Path) -> None:
    skopeo_copy(base, f"docker-archive:{tmp_path}/s.tar:example.org/app:7")
    (tmp_path / "s.tar.gz").write_bytes(subprocess.run(["gzip", "-c", tmp_path / "s.tar"], capture_output=True).stdout)
    for file in ("s.tar", "s.tar.gz"):
        pybuild.ok("load", "-i", tmp_path / file)
    shown = json.loads(pybuild.ok("inspect", "--json", "example.org/app:7").stdout)
    assert shown["images"][0]["layers"][0]["digest"] == shown["images"][0]["layers"][0]["diff_id"]
    (pybuild.home / "Dockerfile").write_text("FROM example.org/app:7\nRUN busybox true\n")
    pybuild.ok("build", "-q", ".")


@pytest.mark.parametrize("kind", ["docker-archive", "dir"])
def test_a_build_from_it(pybuild: Pybuild, base: str, kind: str) -> None:
    file = "base.tar" if kind == "docker-archive" else "base"
    skopeo_copy(base, f"{kind}:{pybuild.home}/{file}")
    (pybuild.home / "Dockerfile").write_text(f"FROM {kind}:{file}\nRUN busybox true\n")
    first = pybuild.ok("build", "-q", ".").stdout
    assert pybuild.ok("build", "-q", ".").stdout == first
    (pybuild.home / "Buildfile").write_text(f'buildfile 1\nimage x {{\n    from "{kind}:./{file}"\n    run true\n}}\n')
    pybuild.ok("build", "-q", "-f", "Buildfile", ".")


def test_looking_at_what_is_elsewhere(pybuild: Pybuild, base: str, two: str, first: RegistryServer) -> None:
    read = blobs(first, "GET", "library/two")
    shown = json.loads(pybuild.ok("inspect", "--json", two).stdout)
    theirs = json.loads(run("skopeo", "inspect", "--tls-verify=false", two))
    assert (shown["digest"], len(shown["images"])) == (theirs["Digest"], 2)
    mine = next(image for image in shown["images"] if image["platform"] == f"linux/{ARCHITECTURE}")
    assert [row["digest"] for row in mine["layers"]] == theirs["Layers"]
    fetched = set(blobs(first, "GET", "library/two")) - set(read)
    assert not [line for line in fetched if any(row["digest"] in line for row in mine["layers"])]
    text = pybuild.ok("inspect", "--format", "{{.Digest}} {{.Platform}} {{json .Config.Env}}", base).stdout
    about = json.loads(run("skopeo", "inspect", "--tls-verify=false", base))
    assert text == f"{about['Digest']} linux/{ARCHITECTURE} {json.dumps(about['Env'])}\n"
    assert "layers (1, " in pybuild.ok("inspect", base).stdout
    assert pybuild("inspect", "--raw", "--config", base).code == 2
    assert not pybuild.store.exists()


def test_tags_and_delete(pybuild: Pybuild, base: str, first: RegistryServer, second: RegistryServer) -> None:
    for tag in ("1", "2", "10"):
        pybuild.ok("copy", "-q", base, f"docker://{first.name}/tagged/app:{tag}")
    theirs = json.loads(run("skopeo", "list-tags", "--tls-verify=false", f"docker://{first.name}/tagged/app"))["Tags"]
    assert pybuild.ok("tags", f"docker://{first.name}/tagged/app").stdout.split() == theirs
    assert json.loads(pybuild.ok("tags", "--json", f"{first.name}/tagged/app").stdout)["tags"] == theirs
    told = pybuild.ok("delete", f"docker://{first.name}/tagged/app:2").stdout
    assert "with every tag that it had" in told
    gone = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{first.name}/tagged/app:1"], capture_output=True
    )
    assert gone.returncode != 0
    pybuild.ok("copy", "-q", base, f"docker://{second.name}/kept/app:1")
    refused = pybuild("delete", f"docker://{second.name}/kept/app:1")
    assert (refused.code, "has deletion switched off" in refused.stderr) == (10, True)
    assert pybuild("delete", "kept:1").code == pybuild("delete", f"docker://{second.name}/kept/app").code == 2


def test_sync(
    pybuild: Pybuild, base: str, two: str, first: RegistryServer, second: RegistryServer, tmp_path: Path
) -> None:
    file = tmp_path / "sync.toml"
    file.write_text(f"""
        [[sync]]
        from = "{first.name}/library/none"
        to = "{second.name}/mirror/none"
        [[sync]]
        from = "{first.name}/library/two"
        to = "{second.name}/mirror/two"
        tags = ["1", "9.*"]
        [[sync]]
        from = "{first.name}/library/base:1"
        to = "oci:images"
    """)
    planned = pybuild("sync", "--dry-run", file)
    assert planned.code == 10
    assert planned.stdout.count("would copy") == 3  # two rows and the sum
    assert not (tmp_path / "images").exists()
    done = pybuild("sync", "--json", file)
    assert done.code == 10
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    assert [row["outcome"] for row in rows] == ["failed", "copied", "copied"]
    assert "error" in done.stderr
    assert skopeo_raw(f"docker://{second.name}/mirror/two:1") == skopeo_raw(two)
    assert skopeo_raw(f"oci:{tmp_path}/images:{first.name}/library/base:1") == skopeo_raw(base)
    sent = len(second.asked("POST"))
    again = json.loads(pybuild("sync", "--json", file).stdout)
    assert [row["outcome"] for row in again] == ["failed", "there before", "there before"]
    assert len(second.asked("POST")) == sent


@pytest.mark.skipif(not shutil.which("dockerd"), reason="dockerd is not installed")
def test_a_daemon_takes_what_was_saved_and_the_other_way_round(
    pybuild: Pybuild, base: str, two: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pybuild.ok("copy", base, "base:1")
    pybuild.ok("copy", "--compress", "zstd", two, "two:1")
    pybuild.ok("save", "base:1", "two:1", "-o", tmp_path / "mine.tar")
    ids = {name: digest(pybuild.ok("inspect", "--config", name).stdout.encode()) for name in ("base:1", "two:1")}
    with serve_dockerd(tmp_path_factory.mktemp("docker") / "d") as daemon:
        docker = ("docker", "--host", daemon.host)
        told = run(*docker, "load", "-i", tmp_path / "mine.tar").decode()
        assert "Loaded image: base:1" in told
        for name, image in ids.items():
            assert run(*docker, "inspect", "--format", "{{.Id}}", name).decode().strip() == image
        run(*docker, "save", "-o", tmp_path / "theirs.tar", "base:1", "two:1")
    fresh = Pybuild(home=pybuild.home, store=tmp_path / "fresh")
    assert sorted(line.split()[1] for line in fresh.ok("load", "-i", tmp_path / "theirs.tar").stdout.splitlines()) == [
        "base:1:",
        "two:1:",
    ]
    for name, image in ids.items():
        assert digest(fresh.ok("inspect", "--config", name).stdout.encode()) == image
    assert fresh.ok("store", "check").stdout == "the store is whole\n"
