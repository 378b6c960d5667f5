"""A shared cache that is poisoned, damaged, closed, or killed in the middle; and what must never be in one."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.build import Build
from tests.support.canary import VALUE, found_in, shapes
from tests.support.faulty_registry import FaultyRegistry, Handler, faulty_registry
from tests.support.machines import Machines, hold_base, notes, warnings

RUN = "RUN seq 1 30000 > /made; mkdir /d; echo x > /d/f"
FILES = {"Dockerfile": f"FROM @BASE@\n{RUN}\nCOPY src/b /d/b\n", "src/b": "b\n"}


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as served:
        yield served


@pytest.fixture
def machines(tmp_path: Path, registry: FaultyRegistry) -> Machines:
    return Machines(directory=tmp_path, base=hold_base(registry), names=(registry.name,), files=FILES)


class Cache:
    """A directory that was written by a build, to be changed by hand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.index: dict[str, Any] = json.loads((directory / "index.json").read_bytes())

    def record(self, kind: str, holds: str = "") -> dict[str, Any]:
        """The entry of the index of a record of that kind; with `holds`, one whose manifest has this text."""
        for item in self.index["manifests"]:
            raw = self.read(item["digest"])
            config = json.loads(self.read(json.loads(raw)["config"]["digest"]))
            if config["kind"] == kind and holds.encode() in raw:
                found: dict[str, Any] = item
                return found
        raise AssertionError(f"no record of the kind {kind}")

    def read(self, digest: str) -> bytes:
        return (self.directory / "blobs" / digest.replace(":", "/")).read_bytes()

    def put(self, data: bytes) -> dict[str, Any]:
        name = hashlib.sha256(data).hexdigest()
        (self.directory / "blobs/sha256" / name).write_bytes(data)
        return {"digest": f"sha256:{name}", "size": len(data)}

    def rewrite(self, item: dict[str, Any], change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
        """Change a record's manifest and configuration, so that all digests fit."""
        manifest = json.loads(self.read(item["digest"]))
        config = json.loads(self.read(manifest["config"]["digest"]))
        change(manifest, config)
        manifest["config"].pop("data", None)
        manifest["config"].update(self.put(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()))
        item.update(self.put(json.dumps(manifest).encode()))
        (self.directory / "index.json").write_text(json.dumps(self.index))


@pytest.fixture
def cached(machines: Machines, tmp_path: Path) -> tuple[Build, Cache]:
    first = machines.new().build("--cache-to", f"type=local,dest={tmp_path}/c,mode=max")
    return first, Cache(tmp_path / "c")


DIFF = "vnd.pybuild.diff.v1"


def _other_key(manifest: dict[str, Any], config: dict[str, Any]) -> None:
    config["key"] = f"sha256:{'0' * 64}"


def _other_tree(manifest: dict[str, Any], config: dict[str, Any]) -> None:
    config["content_id"] = f"sha256:{'0' * 64}"


def _other_diff(manifest: dict[str, Any], config: dict[str, Any]) -> None:
    config["diff"] = f"sha256:{'0' * 64}"


def _no_tree(manifest: dict[str, Any], config: dict[str, Any]) -> None:
    config["content_id"] = None


def _later(manifest: dict[str, Any], config: dict[str, Any]) -> None:
    config["v"] = 2


def _large(manifest: dict[str, Any], config: dict[str, Any]) -> None:
    config["more"] = "x" * 70_000


@pytest.mark.parametrize("change", [_other_key, _other_tree, _other_diff, _no_tree, _later, _large])
def test_a_poisoned_record_is_named_and_its_step_runs(
    machines: Machines, cached: tuple[Build, Cache], change: Callable[[dict[str, Any], dict[str, Any]], None]
) -> None:
    first, cache = cached
    item = cache.record("step", DIFF)
    cache.rewrite(item, change)
    other = machines.new()
    second = other.build("--cache-from", cache.directory)
    (line,) = warnings(second)
    assert item["annotations"]["org.opencontainers.image.ref.name"] in line
    assert str(cache.directory) in line
    assert len(second.ran) >= 1
    assert second.digest == first.digest
    other.check()


def _escaping(entry: list[Any]) -> None:
    entry[0] = "d/../../../etc/canary"


def _other_file(entry: list[Any]) -> None:
    entry[5] = {"digest": f"sha256:{'0' * 64}", "size": entry[5]["size"]}


@pytest.mark.parametrize(("change", "said"), [(_escaping, "leads out"), (_other_file, "another /")])
def test_a_diff_that_does_not_fit(
    machines: Machines, cached: tuple[Build, Cache], change: Callable[[list[Any]], None], said: str
) -> None:
    """Even where the writer made all digests fit each other, only what the diff may say and the layer holds is made."""
    _first, cache = cached
    item = next(
        each
        for each in cache.index["manifests"]
        if DIFF.encode() in cache.read(each["digest"]) and b"layer.v1" in cache.read(each["digest"])
    )
    manifest = json.loads(cache.read(item["digest"]))
    config = json.loads(cache.read(manifest["config"]["digest"]))
    base = _base_of(config, cache)
    rows = [json.loads(line) for line in cache.read(config["diff"]).splitlines()]
    change(next(row for row in rows if row[1] == "file"))
    described = cache.put(b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows))
    plain = {"parent": base, "diff": described["digest"]}
    content = hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def poison(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        config.update(diff=described["digest"], content_id=f"sha256:{content}")
        manifest["layers"][0].update(described)

    cache.rewrite(item, poison)
    other = machines.new()
    # Below it, a step that must run in the tree: its bytes are asked for.
    other.write({"Dockerfile": f"FROM {machines.base}\n{RUN}\nCOPY src/b /d/b\nRUN cat /d/* > /all\n"})
    second = other.build("--cache-from", cache.directory)
    assert any(said in line and "is refused" in line for line in warnings(second)), warnings(second)
    alone = machines.new()
    alone.write({"Dockerfile": f"FROM {machines.base}\n{RUN}\nCOPY src/b /d/b\nRUN cat /d/* > /all\n"})
    assert alone.build().digest == second.digest
    assert not list(machines.directory.rglob("canary"))
    other.check()


def _base_of(config: dict[str, Any], cache: Cache) -> str:
    """The content id of the base of a step: the image's, or that of the step below it."""
    names = cache.record("names")
    candidates = [json.loads(cache.read(json.loads(cache.read(names["digest"]))["config"]["digest"]))["content_id"]]
    for item in cache.index["manifests"]:
        known = json.loads(cache.read(json.loads(cache.read(item["digest"]))["config"]["digest"]))
        candidates.append(known.get("content_id"))
    for candidate in candidates:
        plain = {"parent": candidate, "diff": config["diff"]}
        text = json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
        if f"sha256:{hashlib.sha256(text).hexdigest()}" == config["content_id"]:
            return str(candidate)
    raise AssertionError("no base")


def test_a_layer_that_is_gone_or_damaged(machines: Machines, cached: tuple[Build, Cache]) -> None:
    _first, cache = cached
    blobs = sorted((cache.directory / "blobs/sha256").iterdir(), key=lambda path: -path.stat().st_size)
    blobs[0].write_bytes(bytes(blobs[0].stat().st_size))
    other = machines.new()
    other.write({"Dockerfile": f"FROM {machines.base}\n{RUN}\nCOPY src/b /d/b\nRUN cat /d/* > /all\n"})
    second = other.build("--cache-from", cache.directory)
    assert len(warnings(second)) == 1
    assert RUN.split()[1] in " ".join(second.processes)
    assert second.result.code == 0


def test_a_link_in_the_directory_is_not_followed(machines: Machines, cached: tuple[Build, Cache]) -> None:
    _, cache = cached
    item = cache.record("step")
    path = cache.directory / "blobs" / item["digest"].replace(":", "/")
    path.rename(cache.directory / "elsewhere")
    path.symlink_to(cache.directory / "elsewhere")
    assert len(warnings(machines.new().build("--cache-from", cache.directory))) == 1


@pytest.mark.parametrize("text", ["", "[]", '{"manifests": 5}', '{"manifests": [5]}', "x"])
def test_a_damaged_index(machines: Machines, cached: tuple[Build, Cache], text: str) -> None:
    first, cache = cached
    (cache.directory / "index.json").write_text(text)
    project = machines.new()
    second = project.build("--cache-from", cache.directory)
    assert (len(warnings(second)), second.digest) == (1, first.digest)
    third = project.attempt("--cache-to", cache.directory)
    assert third.result.code == 15
    assert "it is only a cache" in third.result.stderr


def refuse(status: int) -> Callable[[Handler], bool]:
    def fault(handler: Handler) -> bool:
        if handler.command in ("PUT", "POST", "PATCH") and "/cache/" in handler.path:
            handler.reply(status, b'{"errors": [{"code": "DENIED", "message": "read only"}]}')
            return True
        return False

    return fault


def test_a_registry_that_can_only_be_read(machines: Machines, registry: FaultyRegistry) -> None:
    place = f"type=registry,ref={registry.name}/team/cache"
    first = machines.new().build("--cache-to", place)
    registry.faults.append(refuse(403))
    other = machines.new()
    second = other.build("--cache-from", place)
    assert (second.ran, second.digest, warnings(second)) == ([], first.digest, [])
    other.write({"src/b": "new\n"})
    third = other.attempt("--cache-to", place, "-t", "app:new")
    assert third.result.code == 10
    assert "403" in third.result.stderr
    assert other.pybuild.ok("ls", "-q", "app:new").stdout.strip() == third.digest
    other.write({"src/b": "newer\n"})
    fourth = other.build("--cache-to", f"{place},ignore-error=true")
    (line,) = warnings(fourth)
    assert "was not written" in line and "403" in line


def test_a_directory_that_is_no_cache(machines: Machines, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("x")
    failed = machines.new().attempt("--cache-to", f"{tmp_path}/full")
    assert failed.result.code == 15
    assert "is no OCI layout" in failed.result.stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]


def test_an_export_that_is_killed_leaves_no_name_behind(machines: Machines, registry: FaultyRegistry) -> None:
    """Killed at the n-th request that writes, whichever that is: what is there is whole, and the next goes on."""
    place = f"type=registry,ref={registry.name}/team/cache,mode=max"
    project = machines.new()
    first = project.build()
    for count in (1, 4, 9, 14, 19):
        with _killed_at(registry, count) as victim:
            command = [sys.executable, "-m", "buildkit_py.cli", "build", ".", "--cache-to", place]
            process = subprocess.Popen(command, cwd=project.directory, env=project.pybuild.variables())
            victim.append(process.pid)
            process.wait()
        _assert_whole(registry)
    project.build("--cache-to", place)
    _assert_whole(registry)
    second = machines.new().build("--cache-from", f"{registry.name}/team/cache")
    assert (second.ran, second.digest) == ([], first.digest)


class _killed_at:  # noqa: N801 - reads as a statement
    def __init__(self, registry: FaultyRegistry, count: int) -> None:
        self.registry, self.left, self.victim = registry, count, list[int]()

    def __enter__(self) -> list[int]:
        self.registry.faults.append(self.fault)
        return self.victim

    def __exit__(self, *_: object) -> None:
        self.registry.faults.clear()

    def fault(self, handler: Handler) -> bool:
        if handler.command not in ("PUT", "POST") or "/cache/" not in handler.path:
            return False
        self.left -= 1
        if self.left == 0 and self.victim:
            os.kill(self.victim[0], signal.SIGKILL)
        return self.left <= 0 and (handler.drop(), True)[1]


def _assert_whole(registry: FaultyRegistry) -> None:
    for (name, _), (raw, _) in registry.manifests.items():
        if name == "team/cache":
            plain = json.loads(raw)
            assert all(item["digest"] in registry.blobs for item in (plain["config"], *plain["layers"]))


def test_two_writers_of_one_directory(machines: Machines, tmp_path: Path) -> None:
    projects = [machines.new() for _ in range(3)]
    for number, project in enumerate(projects):
        project.write({"src/b": f"{number}\n"})
        project.build()
    with ThreadPoolExecutor(3) as threads:
        words = ("--cache-to", f"type=local,dest={tmp_path}/c,mode=max")
        written = list(threads.map(lambda project: project.build(*words).digest, projects))
    for number, digest in enumerate(written):
        other = machines.new()
        other.write({"src/b": f"{number}\n"})
        found = other.build("--cache-from", f"{tmp_path}/c")
        assert (found.ran, found.digest) == ([], digest)


def test_no_secret_and_nothing_of_the_machine_is_in_a_cache(
    machines: Machines, registry: FaultyRegistry, tmp_path: Path
) -> None:
    lines = (
        "# syntax=docker/dockerfile:1", "FROM @BASE@", "ARG PLAIN",
        "RUN --mount=type=secret,id=token,target=/t wc -c < /t > /length; cat /t",
        "RUN --mount=type=secret,id=token,env=TOKEN echo ${#TOKEN} > /second", "COPY src/b /b", "",
    )  # fmt: skip
    machines.files = {**FILES, "Dockerfile": "\n".join(lines)}
    project = machines.new()
    (tmp_path / "token").write_text(VALUE)
    words = ("--secret", f"id=token,src={tmp_path}/token", "--build-arg", f"PLAIN=canary-{VALUE[:5]}")
    place = tmp_path / "c"
    project.build(*words, "--cache-to", f"type=local,dest={place},mode=max")
    project.build(*words, "--cache-to", f"type=registry,ref={registry.name}/team/cache,mode=max")
    assert found_in(place) == []
    kept = [*registry.blobs.values(), *(path.read_bytes() for path in place.rglob("*") if path.is_file())]
    raws = [_inflated(raw) for raw in (*kept, *(raw for raw, _ in registry.manifests.values()))]
    assert not [raw for raw in raws for shape in shapes(VALUE) if shape in raw]
    every = b"".join(_inflated(path.read_bytes()) for path in place.rglob("*") if path.is_file())
    assert b"ustar" in every, "layers are looked into"
    for text in (str(project.directory), str(tmp_path), "canary-"):
        assert text.encode() not in every, text
    second = machines.new().build(*words, "--cache-from", place)
    assert second.ran == []


def _inflated(data: bytes) -> bytes:
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def test_a_build_that_fails_keeps_what_it_finished(machines: Machines, tmp_path: Path) -> None:
    machines.files = {**FILES, "Dockerfile": f"FROM @BASE@\n{RUN}\nRUN false\n"}
    failed = machines.new().attempt("--cache-to", f"type=local,dest={tmp_path}/c,mode=max")
    assert failed.result.code == 5
    again = machines.new()
    again.write({"Dockerfile": f"FROM {machines.base}\n{RUN}\nRUN true\n"})
    second = again.build("--cache-from", f"{tmp_path}/c")
    assert second.processes == ["run true"]


def test_what_is_to_run_each_time_is_not_kept(machines: Machines, tmp_path: Path) -> None:
    machines.files = {**FILES, "Dockerfile": f"FROM @BASE@ AS one\n{RUN}\nFROM @BASE@\nCOPY --from=one /made /made\n"}
    machines.new().build("--cache-to", f"type=local,dest={tmp_path}/c,mode=max", "--no-cache-filter", "one")
    second = machines.new().build("--cache-from", f"{tmp_path}/c")
    assert len(second.processes) == 1
    assert warnings(second) == []


def test_no_cache_asks_nobody_and_replaces(machines: Machines, tmp_path: Path) -> None:
    machines.files = {**FILES, "Dockerfile": "FROM @BASE@\nRUN cat /proc/sys/kernel/random/uuid > /id\n"}
    place = f"type=local,dest={tmp_path}/c"
    first = machines.new().build("--cache-to", place)
    second = machines.new().build("--no-cache", "--cache-from", f"{tmp_path}/c", "--cache-to", place)
    assert len(second.processes) == 1
    third = machines.new().build("--cache-from", f"{tmp_path}/c")
    assert first.digest != second.digest == third.digest


BUILDFILE = """buildfile 1
image app {
    from "@BASE@"
    copy ./src/b to /b
    run cat /b > /c
    test "it is there" {
        file /c
        file /c mode 0644 owner 0:0 text "b"
        absent /d
        run grep -q b /c
    }
}
"""


def test_a_buildfile_with_tests_and_a_lock(machines: Machines, tmp_path: Path) -> None:
    machines.files = {"Buildfile": BUILDFILE, "src/b": "b\n"}
    project = machines.new()
    first = project.build("--cache-to", f"type=local,dest={tmp_path}/c")
    lock = (project.directory / "Buildfile.lock").read_text()
    other = machines.new()
    other.write({"Buildfile.lock": lock})
    second = other.build("--locked", "--cache-from", f"{tmp_path}/c")
    (done,) = second.of_kind("BuildDone")
    assert (second.ran, done["ran"], second.digest) == ([], 0, first.digest)
    assert warnings(second) == []


def test_docker_command_lines_are_told_what_is_passed_over(machines: Machines) -> None:
    build = machines.new().build("--cache-from", "type=gha", "--cache-to", "type=inline")
    text = "\n".join(notes(build))
    assert "type=gha: passed over" in text and "type=inline: passed over" in text
