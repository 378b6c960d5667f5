"""Real command lines of `docker build`, with the word exchanged; the Dockerfiles are those that such scripts have."""

from __future__ import annotations

import gzip
import io
import json
import os
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import bases as base_images
from tests.support import layouts
from tests.support.command import Pybuild, Result
from tests.support.httpd import Served, serve
from tests.support.registry import RegistryServer

APP = """\
# syntax=docker/dockerfile:1
ARG BASE=tiny
FROM ${BASE} AS base
ARG VERSION=dev
ENV VERSION=$VERSION

# bin is the program
FROM base AS bin
COPY hello.txt /hello.txt
RUN echo "$VERSION" > /version

FROM bin AS final
LABEL who=file
CMD ["cat", "/hello.txt"]
"""


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A directory in which such scripts run."""

    pybuild: Pybuild
    directory: Path

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files below the directory."""
        for name, content in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def run(self, line: str, stdin: bytes = b"", **environment: str) -> Result:
        """Run a command line of docker with the word exchanged."""
        word, *rest = shlex.split(line)
        assert word == "docker"
        return self.pybuild.having(**environment)(*rest, cwd=self.directory, stdin=stdin)

    def ok(self, line: str, stdin: bytes = b"", **environment: str) -> Result:
        """The same, which must succeed."""
        result = self.run(line, stdin, **environment)
        assert result.code == 0, f"{line}: {result.output}"
        return result

    def bytes_of(self, line: str) -> bytes:
        """What a command line writes to standard output."""
        command = [sys.executable, "-m", "buildkit_py.cli", *shlex.split(line)[1:]]
        done = subprocess.run(
            command, cwd=self.directory, env=self.pybuild.variables(), capture_output=True, check=True
        )
        return done.stdout

    def image(self, name: str) -> dict[str, Any]:
        """An image of the store: its configuration, under `config`, and the time when it was made."""
        found: dict[str, Any] = json.loads(self.pybuild.ok("inspect", "--json", name).stdout)
        image: dict[str, Any] = found["images"][0]
        return image


@pytest.fixture
def shop(pybuild: Pybuild, tmp_path: Path, registry: object, bases: Callable[..., str]) -> Shop:
    bases("tiny")
    directory = tmp_path / "shop"
    directory.mkdir()
    made = Shop(pybuild=pybuild, directory=directory)
    made.write({"Dockerfile": APP, "hello.txt": "hello\n"})
    return made


@pytest.fixture
def www(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "www").mkdir()
    with serve(tmp_path / "www") as served:
        yield served


def files_of(data: bytes) -> dict[str, bytes]:
    """The regular files of a tar."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        return {member.name: (archive.extractfile(member) or io.BytesIO()).read() for member in members}


def context(**files: str) -> bytes:
    return layouts.layer([layouts.Entry(name=name, data=data.encode()) for name, data in files.items()])


def test_the_plain_line(shop: Shop) -> None:
    shop.ok("docker build -t app:1 .")
    assert shop.image("app:1")["config"]["Cmd"] == ["cat", "/hello.txt"]


def test_arguments_targets_and_labels(shop: Shop) -> None:
    line = "docker build --build-arg VERSION=2 --build-arg FROM_HERE --target bin --label a=1 --label=b=2 -q -t app ."
    done = shop.ok(line, FROM_HERE="x")
    assert done.stdout.startswith("sha256:")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
    config = shop.image("app")["config"]
    assert config["Labels"] == {"a": "1", "b": "2"}
    assert "VERSION=2" in config["Env"]


def test_the_files_of_a_stage(shop: Shop) -> None:
    shop.write({"Dockerfile": "FROM scratch AS files\nCOPY hello.txt /a/\nFROM tiny\nRUN false\n"})
    shop.ok("docker build --target files -o out .")
    shop.ok("docker build --target=files --output type=local,dest=. .")
    assert (shop.directory / "out/a/hello.txt").read_text() == (shop.directory / "a/hello.txt").read_text() == "hello\n"
    assert files_of(shop.bytes_of("docker build --target files -o - .")) == {"a/hello.txt": b"hello\n"}


def test_archives(shop: Shop) -> None:
    shop.ok("docker buildx build --output type=docker,dest=app.tar --output=type=oci,dest=oci.tar -t app .")
    with tarfile.open(shop.directory / "app.tar") as archive:
        (row,) = json.load(archive.extractfile("manifest.json") or io.BytesIO())
    assert row["RepoTags"] == ["docker.io/library/app:latest"]
    assert "index.json" in files_of((shop.directory / "oci.tar").read_bytes())


def test_a_dockerfile_elsewhere(shop: Shop) -> None:
    shop.write({"build/app.prod": "FROM tiny\nCOPY hello.txt /\n", "src/hello.txt": "of src\n"})
    shop.ok("docker build -f build/app.prod -o out src")
    assert (shop.directory / "out/hello.txt").read_text() == "of src\n"


def test_a_dockerfile_on_standard_input(shop: Shop) -> None:
    text = b"FROM scratch\nCOPY hello.txt /from-stdin\n"
    shop.ok("docker build -f - -o out .", text)
    assert (shop.directory / "out/from-stdin").read_text() == "hello\n"
    shop.ok("docker build -t empty -", b"FROM scratch\nLABEL a=b\n")
    assert shop.image("empty")["config"]["Labels"] == {"a": "b"}
    failed = shop.run("docker build -", b"FROM scratch\nCOPY hello.txt /\n")
    assert failed.code != 0
    assert "-:2:" in failed.stderr


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_context_on_standard_input(shop: Shop, compress: Callable[[bytes], bytes]) -> None:
    data = compress(
        context(**{"Dockerfile": "FROM scratch\nCOPY x /\n", "x": "1", "other/Dockerfile": "FROM scratch\n"})
    )
    shop.ok("docker build -o out -", data)
    assert (shop.directory / "out/x").read_text() == "1"
    shop.ok("docker build -t app -f other/Dockerfile - --label a=b", data)
    assert shop.image("app")["config"]["Labels"] == {"a": "b"}


def git(directory: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *identity, *words], cwd=directory, check=True, capture_output=True)


def test_a_repository(shop: Shop, www: Served, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "sub").mkdir(parents=True)
    (work / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (work / "sub/Dockerfile").write_text("FROM scratch\nCOPY x /sub-x\n")
    (work / "sub/x").write_text("x")
    git(work, "init", "-q")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "one")
    git(tmp_path, "clone", "-q", "--bare", "work", "www/x.git")
    git(tmp_path / "www/x.git", "update-server-info")
    shop.ok(f"docker build -o out {www.url}/x.git")
    assert sorted(os.listdir(shop.directory / "out")) == ["Dockerfile", "sub"]
    shop.ok(f"docker build -o sub '{www.url}/x.git#main:sub'")
    assert os.listdir(shop.directory / "sub") == ["sub-x"]
    shop.ok(f"docker build -o kept --build-arg BUILDKIT_CONTEXT_KEEP_GIT_DIR=1 {www.url}/x.git")
    assert (shop.directory / "kept/.git/HEAD").is_file()


def test_urls(shop: Shop, www: Served, tmp_path: Path) -> None:
    data = context(Dockerfile="FROM scratch\nCOPY x /\n", x="1")
    (tmp_path / "www/c.tar.gz").write_bytes(gzip.compress(data))
    (tmp_path / "www/Dockerfile").write_text("FROM scratch\nLABEL from=url\n")
    shop.ok(f"docker build -o out {www.url}/c.tar.gz")
    assert (shop.directory / "out/x").read_text() == "1"
    shop.ok(f"docker build -t app {www.url}/Dockerfile")
    assert shop.image("app")["config"]["Labels"] == {"from": "url"}
    missing = shop.run(f"docker build {www.url}/none.tar")
    assert missing.code == 14


def test_what_goes_to_a_registry(shop: Shop, registry: RegistryServer) -> None:
    name = f"{registry.name}/lines/app"
    shop.ok(f"docker buildx build --push -t {name}:1 -t {name}:2 .")
    shop.ok(f"docker build -t {name}:3 --output type=registry .")
    shop.ok(f"docker build -t {name}:4 -o type=image,push=true .")
    found = subprocess.run(
        ["skopeo", "list-tags", "--tls-verify=false", f"docker://{name}"], capture_output=True, text=True, check=True
    )
    assert sorted(json.loads(found.stdout)["Tags"]) == ["1", "2", "3", "4"]
    refused = shop.run("docker build --push .")
    assert refused.code == 2
    assert "nothing says where to" in refused.stderr


def test_flags_that_mean_nothing_here(shop: Shop) -> None:
    line = (
        "docker build --rm --force-rm=false --compress --isolation=default --cpuset-mems 0 "
        "--cgroup-parent x --security-opt label=disable --pull=false --load "
        "--cache-from 127.0.0.1:1/app:cache --cache-from type=gha --cache-to type=inline --provenance=false "
        "--builder default --progress=plain -t app ."
    )
    done = shop.ok(line)
    notes = [text for text in done.stderr.splitlines() if text.startswith("note: ")]
    assert len([text for text in notes if "--cgroup-parent" in text]) == 1
    assert any("type=gha: passed over" in text for text in notes)
    assert "the cache 127.0.0.1:1/app is not used" in done.stderr
    assert any("docker load" in text for text in notes)


def test_files_for_scripts(shop: Shop) -> None:
    done = shop.ok("docker build -q --iidfile id.txt --metadata-file meta.json -t app .")
    digest = (shop.directory / "id.txt").read_text()
    assert done.stdout == f"{digest}\n"
    meta = json.loads((shop.directory / "meta.json").read_text())
    assert meta["containerimage.digest"] == digest
    assert meta["containerimage.descriptor"]["digest"] == digest
    assert meta["image.name"] == "docker.io/library/app:latest"
    assert meta["containerimage.config.digest"].startswith("sha256:")


def test_directories_by_name(shop: Shop, tmp_path: Path, www: Served) -> None:
    base_images.place("tiny", tmp_path / "layout")
    (tmp_path / "www/c.tar").write_bytes(context(x="of an archive"))
    shop.write(
        {
            "Dockerfile": (
                "FROM alpine:3 AS one\nCOPY --from=src f /a\nCOPY --from=archive x /b\n"
                "FROM lay AS two\nRUN --mount=from=src,target=/m cp /m/f /c\nFROM scratch\n"
                "COPY --from=one /a /b /\nCOPY --from=two /c /\n"
            ),
            "other/f": "of src",
        }
    )
    shop.ok(
        "docker build --build-context src=other --build-context alpine:3=docker-image://tiny "
        f"--build-context lay=oci-layout://{tmp_path}/layout:latest --build-context archive={www.url}/c.tar -o out ."
    )
    found = {name: (shop.directory / "out" / name).read_text() for name in "abc"}
    assert found == {"a": "of src", "b": "of an archive", "c": "of src"}


def test_secrets(shop: Shop) -> None:
    shop.write(
        {
            "Dockerfile": (
                "FROM tiny\n"
                "RUN --mount=type=secret,id=file --mount=type=secret,id=var,env=V "
                'sha256sum < /run/secrets/file > /1; echo -n "$V" | sha256sum > /2\n'
            ),
            "token.txt": "a secret of a file",
        }
    )
    words = "--secret id=file,src=token.txt --secret type=env,id=var,env=TOKEN"
    shop.ok(f"docker build {words} -o out .", TOKEN="a secret of the environment")
    assert (shop.directory / "out/1").read_text() != (shop.directory / "out/2").read_text()
    shop.write({"Dockerfile": "FROM tiny\nRUN --mount=type=secret,id=file,required=true true\n"})
    lacking = shop.run("docker build .")
    assert lacking.code == 2
    assert "Dockerfile:2:" in lacking.stderr


def test_networks_and_hosts(shop: Shop) -> None:
    shop.write(
        {
            "Dockerfile": (
                "FROM tiny\nRUN cat /etc/hosts > /hosts; ulimit -n > /files; df -k /dev/shm | tail -1 > /shm\n"
            )
        }
    )
    shop.ok("docker build --network none --add-host db:10.1.2.3 --ulimit nofile=123 --shm-size 8m -o out .")
    out = shop.directory / "out"
    assert "10.1.2.3" in (out / "hosts").read_text()
    assert (out / "files").read_text() == "123\n"
    assert "8192" in (out / "shm").read_text()
    shop.write({"Dockerfile": "FROM tiny\nRUN --network=host true\n"})
    assert shop.run("docker build .").code != 0
    shop.ok("docker build --allow network.host .")
    shop.ok("docker build --network=host .")


def test_checks(shop: Shop) -> None:
    clean = shop.ok("docker build --check .")
    assert clean.stdout == "Check complete, no warnings found.\n"
    shop.write({"Dockerfile": "FROM tiny AS Base\nMAINTAINER me\n"})
    warned = shop.run("docker build --check .")
    assert warned.code == 1
    assert "WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/\n" in warned.stdout
    found = json.loads(shop.run("docker build --call=check,format=json .").stdout)
    assert [row["ruleName"] for row in found["warnings"]] == ["StageNameCasing", "MaintainerDeprecated"]
    assert found["warnings"][1]["location"]["ranges"][0]["start"]["line"] == 2
    built = shop.ok("docker build .")
    assert "Dockerfile:2:1: warning[MaintainerDeprecated]" in built.stderr
    assert shop.ok("docker build -q .").stderr == ""


def test_checks_without_a_build(shop: Shop) -> None:
    shop.write(
        {
            "Dockerfile": "FROM tiny AS Base\nADD https://example.org/x /x\nCOPY secret /\n",
            ".dockerignore": "secret\n",
            "wrong.Dockerfile": "FROM tiny\nRUNN true\nCOPY a\n",
        }
    )
    warned = shop.ok("docker check Dockerfile")
    assert "Dockerfile:1:14: warning[StageNameCasing]" in warned.stderr
    assert "Dockerfile:3:6: warning[CopyIgnoredFile]" in warned.stderr
    wrong = shop.run("docker check wrong.Dockerfile")
    assert wrong.code == 3
    assert "wrong.Dockerfile:2:1: error" in wrong.stderr
    assert "did you mean" in wrong.stderr
    rows = json.loads(shop.ok("docker check --format json .").stdout)
    assert [row["rule"] for row in rows] == ["StageNameCasing", "CopyIgnoredFile"]


HEAVY = (
    "lark", "pydantic", "rich", "cryptography", "urllib3", "ssl", "subprocess", "asyncio", "http.client", "zstandard",
    "buildkit_py.executor.sandbox", "buildkit_py.registry.client", "frontends", "grammar", "isal", "tarfile",
)  # fmt: skip


def test_a_build_that_does_nothing_imports_nothing_big(shop: Shop) -> None:
    words = ["build", "-t", "app", "--build-arg", "VERSION=2", "--label", "a=b", "--network", "none", "-q", "."]
    shop.ok(f"docker {shlex.join(words)}")
    program = "import sys; from buildkit_py.cli.run import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=shop.directory,
        env=shop.pybuild.variables(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [name for name in HEAVY if name in done.stderr.split()] == []


def test_outlines_and_targets(shop: Shop) -> None:
    targets = shop.ok("docker build --call=targets .").stdout
    assert (
        targets == "TARGET          DESCRIPTION\nbase            \nbin             is the program\nfinal (default) \n"
    )
    found = json.loads(shop.ok("docker build --call=targets,format=json .").stdout)
    assert [(row["name"], row.get("default", False)) for row in found["targets"]] == [
        ("base", False),
        ("bin", False),
        ("final", True),
    ]
    outline = shop.ok("docker build --call outline --target bin .").stdout
    assert "BUILD ARG   VALUE   DESCRIPTION\n" in outline
    assert "VERSION     dev" in outline


def test_times_and_caches(shop: Shop) -> None:
    shop.ok("docker build --build-arg SOURCE_DATE_EPOCH=1000000000 -t app .")
    assert shop.image("app")["created"] == "2001-09-09T01:46:40Z"
    again = shop.ok("docker build --progress rawjson --build-arg SOURCE_DATE_EPOCH=1000000000 -t app .")
    assert '"ran": 0' in again.stdout
    filtered = shop.ok("docker build --progress rawjson --no-cache-filter bin -t app .")
    assert '"ran": 0' not in filtered.stdout
    whole = shop.ok("docker build --no-cache --pull --progress quiet -t app .")
    assert whole.stdout.startswith("sha256:")
