"""A cache that machines share: what one did is not done by another. Referees: Debian's registry, skopeo, umoci."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.build import Build, Project
from tests.support.faulty_registry import FaultyRegistry, faulty_registry
from tests.support.machines import Machines, fetched, hold_base, notes, push_base, warnings
from tests.support.registry import available, serve_registry
from tests.support.trees import unpack

FILES = {
    "Dockerfile": (
        "FROM @BASE@ AS build\n"
        "COPY src/a /a\n"
        "RUN cat /a /a > /out; seq 1 60000 > /large\n"
        "FROM @BASE@\n"
        "RUN mkdir /app; seq 1 50000 > /app/one; ln /app/one /app/same; ln -s one /app/link; rm /etc/group\n"
        "COPY --from=build /out /app/out\n"
        "COPY src/b /app/b\n"
        "RUN cat /app/out /app/b > /app/both; chown 12:34 /app/both; chmod 4711 /app/both\n"
    ),
    "src/a": "a\n",
    "src/b": "b\n",
}


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as served:
        yield served


@pytest.fixture
def machines(tmp_path: Path, registry: FaultyRegistry) -> Machines:
    return Machines(directory=tmp_path, base=hold_base(registry), names=(registry.name,), files=FILES)


def tags(registry: FaultyRegistry, repository: str) -> list[str]:
    return sorted(tag for name, tag in registry.manifests if name == repository and ":" not in tag)


def snapshots(project: Project) -> int:
    return len(list((project.pybuild.store / "snapshots").iterdir()))


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("kind", ["registry", "local"])
def test_a_fresh_store_runs_nothing(
    machines: Machines, registry: FaultyRegistry, tmp_path: Path, kind: str, mode: str
) -> None:
    place = f"type=registry,ref={registry.name}/team/cache" if kind == "registry" else f"type=local,dest={tmp_path}/c"
    first = machines.new().build("--cache-to", f"{place},mode={mode}")
    assert len(first.processes) == 3
    fetched(registry, "library/base")
    other = machines.new()
    second = other.build("--cache-from", place.replace("dest=", "src="))
    assert (second.ran, second.committed, second.digest) == ([], [], first.digest)
    (done,) = second.of_kind("BuildDone")
    assert done["ran"] == 0
    assert warnings(second) == []
    # Neither layers nor diffs came: nobody needed their bytes.
    assert snapshots(other) == 0
    assert fetched(registry, "team/cache") == []
    assert other.build().digest == first.digest
    other.check()


def test_nothing_is_fetched_but_documents(machines: Machines, registry: FaultyRegistry) -> None:
    place = f"{registry.name}/team/cache"
    machines.new().build("--cache-to", f"type=registry,ref={place},mode=max")
    fetched(registry, "library/base")
    machines.new().build("--cache-from", place)
    # The configuration of the base; no layer of it.
    assert len(fetched(registry, "library/base")) == 1


def test_outputs_get_the_layers_that_they_need(machines: Machines, registry: FaultyRegistry, tmp_path: Path) -> None:
    place = f"{registry.name}/team/cache"
    first = machines.new().build("--cache-to", place)
    other = machines.new()
    fetched(registry, "team/cache")
    second = other.build("--cache-from", place, "-o", f"type=oci,tar=false,dest={tmp_path}/layout", "-t", "app:latest")
    assert second.ran == []
    image = unpack(tmp_path / "layout", tmp_path / "bundle", "app:latest")
    files = image.files()
    assert files["/app/both"].text == "a\na\nb\n"
    assert (files["/app/both"].uid, files["/app/both"].mode & 0o7777) == (12, 0o4711)
    assert "/etc/group" not in files
    assert len(image.manifest["layers"]) == 5
    assert len(fetched(registry, "team/cache")) == 4
    assert second.digest == first.digest


@pytest.mark.parametrize("kind", ["registry", "local"])
def test_only_what_changed_is_done(machines: Machines, registry: FaultyRegistry, tmp_path: Path, kind: str) -> None:
    place = f"type=registry,ref={registry.name}/team/cache" if kind == "registry" else f"type=local,dest={tmp_path}/c"
    machines.new().build("--cache-to", f"{place},mode=max")
    changed = {"src/b": "other\n"}
    other = machines.new()
    other.write(changed)
    second = other.build("--cache-from", place.replace("dest=", "src="))
    assert second.processes == ["run cat /app/out /app/b > /app/both; chown 12:34 /app/both; chmod 4711 /app/both"]
    alone = machines.new()
    alone.write(changed)
    assert alone.build().digest == second.digest
    assert warnings(second) == []
    other.check()


def test_a_changed_copy_pulls_nothing_but_names(machines: Machines, registry: FaultyRegistry) -> None:
    """The usual change: the program's own files, above a base and packages that stay."""
    lines = ("FROM @BASE@", "RUN mkdir /app; seq 1 90000 > /app/packages", "COPY src/b /app/", "")
    machines.files = {**FILES, "Dockerfile": "\n".join(lines)}
    place = f"{registry.name}/team/cache"
    machines.new().build("--cache-to", f"type=registry,ref={place},mode=max")
    other = machines.new()
    other.write({"src/b": "other\n"})
    fetched(registry, "library/base")
    second = other.build("--cache-from", place)
    assert second.processes == []
    with registry.lock:
        requests = list(registry.requests)
    types = [item.path for item in requests if item.method == "GET" and "/blobs/" in item.path]
    largest = max(len(registry.blobs[path.rpartition("/")[2]]) for path in types)
    assert largest < 100_000, "no layer: only what is where"
    assert snapshots(other) == 0
    alone = machines.new()
    alone.write({"src/b": "other\n"})
    assert alone.build().digest == second.digest


def test_the_same_in_min_makes_what_it_needs(machines: Machines, registry: FaultyRegistry) -> None:
    place = f"{registry.name}/team/cache"
    machines.new().build("--cache-to", place)
    other = machines.new()
    other.write({"src/a": "other\n"})
    second = other.build("--cache-from", place)
    # The stage whose bytes nobody kept is run; the first step of the image is there with its layer.
    assert [title.split()[1] for title in second.processes] == ["cat", "cat"]
    alone = machines.new()
    alone.write({"src/a": "other\n"})
    assert alone.build().digest == second.digest


def test_two_machines_export_the_same_bytes(machines: Machines, tmp_path: Path) -> None:
    for name in ("one", "two"):
        machines.new().build("--cache-to", f"type=local,dest={tmp_path}/{name},mode=max")

    def files(name: str) -> dict[str, bytes]:
        root = tmp_path / name
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    assert files("one") == files("two")
    assert len(files("one")) > 10
    for path, data in files("one").items():
        assert b"machine-" not in data, path


def test_the_second_export_sends_nothing(machines: Machines, registry: FaultyRegistry) -> None:
    project = machines.new()
    place = f"type=registry,ref={registry.name}/team/cache,mode=max"
    project.build("--cache-to", place)
    with registry.lock:
        registry.requests.clear()
    again = project.build("--cache-to", place)
    assert any(" 0 records sent (0 blobs" in text for text in notes(again)), notes(again)
    assert not [item for item in registry.requests if item.method in ("PUT", "POST", "PATCH")]
    other = machines.new()
    third = other.build("--cache-from", f"{registry.name}/team/cache", "--cache-to", place)
    assert any(" 0 records sent (0 blobs" in text for text in notes(third)), notes(third)


def test_a_cache_is_only_read_by_cache_from(machines: Machines, registry: FaultyRegistry) -> None:
    place = f"{registry.name}/team/cache"
    machines.new().build("--cache-to", place)
    with registry.lock:
        registry.requests.clear()
    other = machines.new()
    other.write({"src/b": "other\n"})
    other.build("--cache-from", place)
    assert {item.method for item in registry.requests} <= {"GET", "HEAD"}


@pytest.mark.skipif(not available(), reason="docker-registry is not installed")
def test_debians_registry_and_skopeo(tmp_path: Path) -> None:
    with serve_registry(tmp_path / "registry") as server:
        machines = Machines(directory=tmp_path, base=push_base(server.name), names=(server.name,), files=FILES)
        place = f"{server.name}/team/cache"
        first = machines.new().build("--cache-to", f"type=registry,ref={place},mode=max")
        second = machines.new().build("--cache-from", f"docker://{place}", "-o", tmp_path / "out")
        assert (second.ran, second.digest) == ([], first.digest)
        assert (tmp_path / "out/app/out").read_text() == "a\na\n"
        words = ["skopeo", "list-tags", "--tls-verify=false", f"docker://{place}"]
        listed = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)["Tags"]
        assert listed and all(tag.startswith("k-") for tag in listed)
        # What the cache holds is not sent to the same registry again, nor fetched from it.
        pushing = machines.new()
        pushed = pushing.build("--cache-from", place, "--push", "-t", f"{server.name}/team/app:1")
        assert any("1 blobs uploaded" in text and "5 mounted" in text for text in notes(pushed)), notes(pushed)
        assert max(path.stat().st_size for path in (pushing.pybuild.store / "blobs/sha256").iterdir()) < 10_000
        # Every record is an image that others can carry; carried one by one, they are a cache as before.
        for tag in listed:
            source, target = f"docker://{place}:{tag}", f"oci:{tmp_path}/carried:{tag}"
            words = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", source, target]
            subprocess.run(words, check=True, capture_output=True)
        third = machines.new().build("--cache-from", f"oci:{tmp_path}/carried")
        assert (third.ran, third.digest) == ([], first.digest)
        words = ["skopeo", "inspect", "--raw", f"oci:{tmp_path}/carried:{listed[0]}"]
        raw = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
        assert raw["config"]["mediaType"] == "application/vnd.pybuild.cache.record.v1+json"


def test_a_directory_is_a_layout_that_skopeo_reads(machines: Machines, tmp_path: Path) -> None:
    project = machines.new()
    first = project.build("--cache-to", f"type=local,dest={tmp_path}/c,mode=max")
    index = json.loads((tmp_path / "c/index.json").read_bytes())
    names = [item["annotations"]["org.opencontainers.image.ref.name"] for item in index["manifests"]]
    assert names == sorted(names)
    for name in names:
        words = ["skopeo", "copy", "--quiet", f"oci:{tmp_path}/c:{name}", f"oci:{tmp_path}/copy:{name}"]
        subprocess.run(words, check=True, capture_output=True)
    shutil.rmtree(tmp_path / "c")
    second = machines.new().build("--cache-from", f"{tmp_path}/copy")
    assert (second.ran, second.digest) == ([], first.digest)


def lines_of(build: Build) -> str:
    return "\n".join(warnings(build))


@pytest.mark.parametrize("place", ["127.0.0.1:1/team/cache", "oci:none", "registry.invalid/team/cache"])
def test_a_cache_that_is_not_there_is_told_and_that_is_all(
    machines: Machines, registry: FaultyRegistry, place: str
) -> None:
    machines.names = (*machines.names, "127.0.0.1:1")
    build = machines.new().build("--cache-from", place)
    assert len(build.processes) == 3
    (line,) = warnings(build)
    assert "is not used" in line


def test_one_that_fails_in_the_middle(machines: Machines, registry: FaultyRegistry) -> None:
    place = f"{registry.name}/team/cache"
    first = machines.new().build("--cache-to", place)
    registry.faults.append(lambda handler: "/team/cache/" in handler.path and (handler.reply(500), True)[1])
    second = machines.new().build("--cache-from", place)
    assert second.digest == first.digest
    assert len(second.processes) == 3
    assert len(warnings(second)) == 1


def test_the_first_build_in_ci_has_no_directory_yet(machines: Machines, tmp_path: Path) -> None:
    words = ("--cache-from", f"{tmp_path}/c", "--cache-to", f"type=local,dest={tmp_path}/c")
    first = machines.new().build(*words)
    assert warnings(first) == []
    second = machines.new().build(*words)
    assert (second.ran, second.digest, warnings(second)) == ([], first.digest, [])


def test_a_cache_of_min_becomes_one_of_max(machines: Machines, registry: FaultyRegistry) -> None:
    project, place = machines.new(), f"type=registry,ref={registry.name}/team/cache"
    project.build("--cache-to", place)
    for words in (f"{place},mode=max", place):
        project.build("--cache-to", words)
        other = machines.new()
        other.write(
            {"Dockerfile": FILES["Dockerfile"].replace("@BASE@", machines.base) + "COPY --from=build /large /l\n"}
        )
        second = other.build("--cache-from", place)
        assert (second.processes, warnings(second)) == ([], [])


def test_two_caches_are_asked_in_their_order(machines: Machines, registry: FaultyRegistry, tmp_path: Path) -> None:
    first = machines.new().build("--cache-to", f"type=local,dest={tmp_path}/c")
    empty = f"{registry.name}/team/none"
    second = machines.new().build("--cache-from", empty, "--cache-from", f"{tmp_path}/c")
    assert (second.ran, second.digest, warnings(second)) == ([], first.digest, [])


def test_nothing_is_asked_once_the_store_has_it(machines: Machines, registry: FaultyRegistry, tmp_path: Path) -> None:
    place = f"{registry.name}/team/cache"
    first = machines.new().build("--cache-to", place)
    other = machines.new()
    other.build("--cache-from", place, "-o", tmp_path / "out")
    with registry.lock:
        registry.requests.clear()
    second = other.build("--cache-from", place)
    assert (second.ran, second.digest) == ([], first.digest)
    assert [item.path for item in registry.requests if "/team/cache/" in item.path] == []


def test_what_came_from_a_cache_is_there_without_it(
    machines: Machines, registry: FaultyRegistry, tmp_path: Path
) -> None:
    """The store keeps the results; where their bytes were left behind and are wanted, the steps run."""
    place = f"{registry.name}/team/cache"
    first = machines.new().build("--cache-to", place)
    other = machines.new()
    other.build("--cache-from", place)
    registry.faults.append(lambda handler: "/team/cache/" in handler.path and (handler.reply(404), True)[1])
    second = other.build("-o", tmp_path / "out", "-t", "app")
    assert second.digest == first.digest
    assert (tmp_path / "out/app/both").read_text() == "a\na\nb\n"
    assert len(second.processes) == 3
    other.check()


def test_the_store_and_what_is_told_of_a_cached_build(machines: Machines, registry: FaultyRegistry) -> None:
    place = f"{registry.name}/team/cache"
    machines.new().build("--cache-to", place)
    other = machines.new()
    other.build("--cache-from", place)
    shown = json.loads(other.pybuild.ok("timings", "--json", cwd=other.directory).stdout)
    assert shown["outcome"] == "done"
    other.pybuild.ok("why", "--all", cwd=other.directory)
    other.pybuild.ok("prune", "--all")
    other.check()
