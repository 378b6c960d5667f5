"""What a copy costs in memory, what `kill -9` leaves, and what two processes do at once."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from tests.support import bases
from tests.support.command import Pybuild
from tests.support.faulty_registry import FaultyRegistry, Handler, faulty_registry, on, times
from tests.support.images import MadeImage, digest_of, make_image
from tests.support.layouts import ARCHITECTURE
from tests.support.registry import RegistryServer, available, serve_registry, write_config

pytestmark = pytest.mark.skipif(not available(), reason="docker-registry is not installed")
LIMIT_KB = 100_000
LARGE = bytes(range(256)) * 40_000
IMAGE = make_image(b"small layer", LARGE, platform=f"linux/{ARCHITECTURE}")


def started(pybuild: Pybuild, *words: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "buildkit_py.cli", *map(str, words)],
        cwd=pybuild.home,
        env=pybuild.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def make(tmp_path: Path, *registries: str) -> Pybuild:
    (tmp_path / "home").mkdir(exist_ok=True)
    file = write_config(tmp_path / "registries.toml", *registries)
    return Pybuild(home=tmp_path / "home", store=tmp_path / "store", registries=file)


def hollow(directory: Path, size: int) -> None:
    """A layout of an image with one layer of nothing, which takes no room on the disk."""
    hashed, block = hashlib.sha256(), bytes(1 << 20)
    for _ in range(size >> 20):
        hashed.update(block)
    layer = hashed.hexdigest()
    image = make_image(b"")
    config = json.loads(image.config)
    config["rootfs"]["diff_ids"] = [f"sha256:{layer}"]
    raw = json.dumps(config).encode()
    manifest = json.loads(image.manifest)
    manifest["config"] |= {"digest": digest_of(raw), "size": len(raw)}
    manifest["layers"][0] |= {"digest": f"sha256:{layer}", "size": size}
    document = json.dumps(manifest).encode()
    place = directory / "blobs" / "sha256"
    place.mkdir(parents=True)
    for data in (raw, document):
        (place / digest_of(data).partition(":")[2]).write_bytes(data)
    with (place / layer).open("wb") as file:
        file.truncate(size)
    row = {"mediaType": manifest["mediaType"], "digest": digest_of(document), "size": len(document)}
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [row]}))


def peak(pybuild: Pybuild, *words: str | Path) -> int:
    """The most memory that a command had, in kilobytes. A small program starts it: what a new program had at the most
    begins with what its starter has."""
    starter = (
        "import os, resource, sys\n"
        "status = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)[1])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(status)\n"
    )
    command = [sys.executable, "-I", "-S", "-c", starter, sys.executable, "-m", "buildkit_py.cli", *map(str, words)]
    done = subprocess.run(command, cwd=pybuild.home, env=pybuild.variables(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.parametrize("size", [300 << 20, pytest.param(2 << 30, marks=pytest.mark.slow)], ids=["300M", "2G"])
def test_memory_does_not_grow_with_a_layer(tmp_path: Path, size: int) -> None:
    hollow(tmp_path / "in", size)
    with serve_registry(tmp_path / "first") as first, serve_registry(tmp_path / "second") as second:
        pybuild = make(tmp_path, first.name, second.name)
        up, over = f"docker://{first.name}/big:1", f"docker://{second.name}/big:1"
        assert peak(pybuild, "copy", "-q", f"oci:{tmp_path}/in", up) < LIMIT_KB
        assert peak(pybuild, "copy", "-q", up, over) < LIMIT_KB
        assert peak(pybuild, "pull", "-q", over) < LIMIT_KB
        assert peak(pybuild, "copy", "-q", "--compress", "zstd", over, f"oci:{tmp_path}/zstd") < LIMIT_KB
        assert peak(pybuild, "copy", "-q", over, f"oci-archive:{tmp_path}/big.tar") < LIMIT_KB


def test_two_processes_that_pull_the_same_image_fetch_each_blob_once(tmp_path: Path) -> None:
    with serve_registry(tmp_path / "registry", access_log=True) as registry:
        bases.push("tiny", registry.name, "base", "1")
        pybuild = make(tmp_path, registry.name)
        before = gets(registry)
        pulls = [started(pybuild, "pull", f"{registry.name}/library/base:1") for _ in range(3)]
        said = [process.communicate() for process in pulls]
        assert [process.returncode for process in pulls] == [0, 0, 0], said
        fetched = gets(registry)[len(before) :]
        assert len(fetched) == len(set(fetched)) == 2, fetched
        assert pybuild.ok("store", "check").stdout == "the store is whole\n"


def test_two_copies_into_one_layout_fetch_each_blob_once(tmp_path: Path) -> None:
    with serve_registry(tmp_path / "registry", access_log=True) as registry:
        bases.push("tiny", registry.name, "base", "1")
        pybuild = make(tmp_path, registry.name)
        before = gets(registry)
        source = f"docker://{registry.name}/library/base:1"
        copies = [started(pybuild, "copy", source, f"oci:{tmp_path}/out:{number}") for number in range(3)]
        said = [process.communicate() for process in copies]
        assert [process.returncode for process in copies] == [0, 0, 0], said
        fetched = gets(registry)[len(before) :]
        assert len(fetched) == len(set(fetched)) == 2, fetched
        listed = json.loads((tmp_path / "out/index.json").read_bytes())["manifests"]
        assert len(listed) == 3
        assert not (tmp_path / "out/.pybuild-partial").exists()


def gets(registry: RegistryServer) -> list[str]:
    return registry.asked("GET", "/library/base/blobs/")


@pytest.fixture
def slow() -> Iterator[tuple[FaultyRegistry, Event, Event]]:
    """A registry that stops in the middle of the large layer, once: it says so, and goes on when it is told to."""
    reached, go_on = Event(), Event()

    def half(handler: Handler) -> None:
        handler.reply(200, LARGE[: len(LARGE) // 2], Content_Length=len(LARGE))
        handler.wfile.flush()
        reached.set()
        go_on.wait(60)
        handler.drop()

    with faulty_registry() as registry:
        hold(registry, IMAGE)
        registry.faults.append(times(1, on("GET", digest_of(LARGE), half)))
        try:
            yield registry, reached, go_on
        finally:
            go_on.set()


def hold(registry: FaultyRegistry, image: MadeImage) -> None:
    for data in (*image.layers, image.config):
        registry.put(data)
    registry.add_manifest("app", "1", image.manifest, image.descriptor.media_type)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def killed(pybuild: Pybuild, reached: Event, partial: Callable[[], list[Path]], *words: str | Path) -> None:
    """Start a command, and end it by SIGKILL once a part of the layer has arrived."""
    process = started(pybuild, *words)
    try:
        assert reached.wait(60)
        while not any(_size(path) > 1_000_000 for path in partial()):
            assert process.poll() is None, process.communicate()
            Event().wait(0.01)
    finally:
        process.kill()
        process.communicate()


def test_a_pull_that_was_killed(tmp_path: Path, slow: tuple[FaultyRegistry, Event, Event]) -> None:
    registry, reached, go_on = slow
    pybuild = make(tmp_path, registry.name)
    killed(
        pybuild, reached, lambda: list((tmp_path / "store/partial").glob("sha256-*")), "pull", f"{registry.name}/app:1"
    )
    go_on.set()
    assert pybuild.ok("store", "check").stdout == "the store is whole\n"
    assert pybuild.ok("ls").stdout == "no images\n"
    pybuild.ok("pull", f"{registry.name}/app:1")
    ranges = [item.headers.get("Range") for item in registry.asked("GET", digest_of(LARGE))]
    assert ranges[0] is None
    assert ranges[1] is not None and int(ranges[1].removeprefix("bytes=").rstrip("-")) > 1_000_000
    assert pybuild.ok("store", "check").stdout == "the store is whole\n"
    assert pybuild.ok("ls", "-q").stdout.strip() == str(IMAGE.descriptor.digest)


@pytest.mark.parametrize("number", range(1, 7))
def test_a_pull_that_is_killed_at_any_request(tmp_path: Path, number: int) -> None:
    """Before, between and after its documents and blobs: the manifest's, the layers', the configuration's request."""
    reached, go_on, count = Event(), Event(), [0]

    def stop(handler: Handler) -> bool:
        count[0] += 1
        if count[0] == number:
            reached.set()
            go_on.wait(60)
        return False

    with faulty_registry() as registry:
        hold(registry, IMAGE)
        registry.faults.append(stop)
        pybuild = make(tmp_path, registry.name)
        process = started(pybuild, "pull", f"{registry.name}/app:1")
        try:
            while not reached.wait(0.05) and process.poll() is None:
                pass
        finally:
            process.kill()
            process.communicate()
            go_on.set()
        assert pybuild.ok("store", "check").stdout == "the store is whole\n"
        there = {path.name for path in (tmp_path / "store/blobs/sha256").glob("*")}
        registry.requests.clear()
        told = json.loads(pybuild.ok("pull", "--json", f"{registry.name}/app:1").stdout)
        assert {digest.partition(":")[2] for digest in told["existing"]} <= there
        # What had come in whole, but had no name yet, needs no request.
        assert len(registry.asked("GET", "/blobs/")) <= len(told["copied"])
        assert pybuild.ok("store", "check").stdout == "the store is whole\n"
        assert pybuild.ok("ls", "-q").stdout.strip() == str(IMAGE.descriptor.digest)


@pytest.mark.parametrize("kind", ["oci", "dir"])
def test_a_copy_that_was_killed(tmp_path: Path, slow: tuple[FaultyRegistry, Event, Event], kind: str) -> None:
    registry, reached, go_on = slow
    pybuild = make(tmp_path, registry.name)
    words = ("copy", f"docker://{registry.name}/app:1", f"{kind}:{tmp_path}/out")
    killed(pybuild, reached, lambda: list((tmp_path / "out/.pybuild-partial").glob("sha256-*")), *words)
    go_on.set()
    assert not (tmp_path / "out" / ("index.json" if kind == "oci" else "manifest.json")).exists()
    pybuild.ok(*words)
    ranges = [item.headers.get("Range") for item in registry.asked("GET", digest_of(LARGE))]
    assert int(str(ranges[1]).removeprefix("bytes=").rstrip("-")) > 1_000_000
    assert pybuild.ok("inspect", "--raw", f"{kind}:{tmp_path}/out").stdout.encode() == IMAGE.manifest
    assert not (tmp_path / "out/.pybuild-partial").exists()


def test_a_copy_to_a_registry_that_was_killed(tmp_path: Path, slow: tuple[FaultyRegistry, Event, Event]) -> None:
    registry, reached, go_on = slow
    with faulty_registry() as target:
        pybuild = make(tmp_path, registry.name, target.name)
        words = ("copy", "--json", f"docker://{registry.name}/app:1", f"docker://{target.name}/app:1")
        process = started(pybuild, *words)
        try:
            assert reached.wait(60)
            while len(target.blobs) < 2:
                assert process.poll() is None, process.communicate()
                Event().wait(0.01)
        finally:
            process.kill()
            process.communicate()
        go_on.set()
        assert not target.manifests
        told = json.loads(pybuild.ok(*words).stdout)
        assert told["copied"] == [digest_of(LARGE)]
        assert len(told["existing"]) == 2
        assert target.manifests["app", "1"][0] == IMAGE.manifest
