"""Where trees come from, by the real command: registries, layouts, URLs, repositories, and what each can't give."""

from __future__ import annotations

import hashlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import bases as base_images
from tests.support import cache, httpd, layouts
from tests.support.command import Pybuild
from tests.support.layouts import Entry
from tests.support.project import Project
from tests.support.registry import RegistryServer, free_port, write_config
from tests.support.repository import Repository, serve_repository

Bases = Callable[..., str]


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    directory = tmp_path / "project"
    directory.mkdir()
    return Project(pybuild=pybuild, directory=directory)


# --- registries


@pytest.fixture
def registry_project(pybuild: Pybuild, registry: RegistryServer, tmp_path: Path) -> Project:
    directory = tmp_path / "project"
    directory.mkdir()
    return Project(pybuild=pybuild, directory=directory)


def test_a_short_name_comes_by_way_of_the_mirror(registry_project: Project, bases: Bases) -> None:
    ref = bases("tiny")
    body = "run echo from the registry"
    first = registry_project.ok(body, start=f'"{ref}"')
    assert first.printed() == ["from the registry"]
    again = registry_project.ok(body, start=f'"{ref}"', head="# a comment")
    assert (again.ran, again.digest) == (0, first.digest)
    lock = (registry_project.directory / "Buildfile.lock").read_text()
    assert ref in lock and "sha256:" in lock


def test_docker_schema_2_and_an_index_by_platform(registry_project: Project, registry: RegistryServer) -> None:
    for form, name in (("v2s2", "docker-form"), ("oci", "oci-form")):
        source, target = f"oci:{base_images.layout('tiny')}:latest", f"docker://{registry.name}/library/{name}:1"
        cache.run("skopeo", "copy", "--quiet", "--format", form, "--dest-tls-verify=false", source, target)
        body = f"run head -n 1 /etc/passwd; echo {form}"
        built = registry_project.ok(body, start=f'"docker.io/library/{name}:1"')
        assert built.printed() == ["root:x:0:0:root:/root:/bin/sh", form]
    made = registry_project.directory.parent / "index"
    tree, other = layouts.layer([Entry(name="here", data=b"h")]), layouts.layer([Entry(name="there", data=b"t")])
    layouts.write_index(made, {layouts.ARCHITECTURE: ([tree], {}), layouts.FOREIGN: ([other], {})})
    target = f"docker://{registry.name}/library/both:1"
    cache.run("skopeo", "copy", "--quiet", "--all", "--dest-tls-verify=false", f"oci:{made}:latest", target)
    start = '"docker.io/library/both:1"'
    assert "/here" in registry_project.files("mkdir /x", start=start)
    assert "/there" in registry_project.files("mkdir /x", "--platform", f"linux/{layouts.FOREIGN}", start=start)


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("library/tiny:nosuchtag", "nosuchtag"),
        ("library/no-such-image:1", "no-such-image"),
        (f"library/tiny@sha256:{'0' * 64}", "0" * 64),
    ],
)
def test_what_the_registry_has_not(
    registry_project: Project, registry: RegistryServer, bases: Bases, ref: str, said: str
) -> None:
    bases("tiny")
    built = registry_project.build("run true", start=f'"{registry.name}/{ref}"')
    assert built.code == 10, built.result.output
    assert "Buildfile:3:6: error:" in built.message
    assert said in built.message
    assert "Traceback" not in built.result.output


def test_a_registry_that_is_not_there(project: Project, tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    config = write_config(tmp_path / "registries.toml", nowhere)
    other = Project(pybuild=project.pybuild.having(PYBUILD_REGISTRIES=str(config)), directory=project.directory)
    built = other.build("run true", start=f'"{nowhere}/app:1"')
    assert built.code == 10
    assert "Buildfile:3:6: error:" in built.message
    assert nowhere in built.message


def test_the_program_of_another_image_without_its_layers_below(registry_project: Project, bases: Bases) -> None:
    ref = bases("tiny")
    body = f'copy /bin/busybox to /bin/busybox from "{ref}"\nrun ["/bin/busybox", "echo", "alone"]'
    assert registry_project.ok(body, start="scratch").printed() == ["alone"]
    assert sorted(registry_project.files(body, start="scratch")) == ["/bin", "/bin/busybox"]


# --- local images


def test_a_layout_and_an_archive(project: Project, tmp_path: Path) -> None:
    source = f"oci:{base_images.layout('tiny')}:latest"
    cache.run("skopeo", "copy", "--quiet", source, f"oci:{project.directory}/images:named")
    cache.run("skopeo", "copy", "--quiet", source, f"oci-archive:{project.directory}/image.tar:named")
    for start in ('"oci:images:named"', '"oci:./images"', '"oci-archive:image.tar:named"', '"oci-archive:./image.tar"'):
        assert project.ok("run echo up", "--no-cache", start=start).printed() == ["up"]


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("oci:absent", "absent"),
        ("oci:images:nosuchtag", "nosuchtag"),
        ("oci-archive:absent.tar", "absent.tar"),
        ("oci:../outside", "outside"),
    ],
)
def test_a_local_image_that_is_not_there(project: Project, tmp_path: Path, start: str, said: str) -> None:
    shutil.copytree(base_images.layout("tiny"), project.directory / "images")
    shutil.copytree(base_images.layout("tiny"), tmp_path / "outside")
    built = project.build("run true", start=f'"{start}"')
    assert built.code in (3, 14, 16), built.result.output
    assert "Buildfile:3:6: error:" in built.message
    assert said in built.message


def test_a_damaged_layer(project: Project) -> None:
    shutil.copytree(base_images.layout("tiny"), project.directory / "images")
    blobs = project.directory / "images/blobs/sha256"
    largest = max(blobs.iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    built = project.build("run true", start='"oci:images"')
    assert built.code == 11, built.result.output
    assert "Buildfile:3:6: error:" in built.message
    assert largest.name in built.message


# --- URLs


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_url_is_locked_and_verified(project: Project, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (served / "tool").write_bytes(b"one")
    with httpd.serve(served) as server:
        body = f'fetch "{server.url}/tool" to /opt/tool mode 0755 owner 7:8'
        got = project.files(body, start="scratch")["/opt/tool"]
        assert (got.text, got.mode, got.uid, got.gid, got.mtime) == ("one", 0o755, 7, 8, 0)
        assert sha256(b"one") in (project.directory / "Buildfile.lock").read_text()
        assert server.requests == ["/tool"]
        (served / "tool").write_bytes(b"two")
        assert project.ok(body, start="scratch").ran == 0
        fresh = Project(pybuild=having_store(project, tmp_path / "store2"), directory=project.directory)
        built = fresh.build(body, start="scratch")
        assert built.code == 11
        assert "Buildfile:4:1: error:" in built.message
        assert "does not hold what is pinned" in built.message and "pybuild update" in built.message
        fresh.pybuild.ok("update", cwd=project.directory)
        assert fresh.files(body, start="scratch")["/opt/tool"].text == "two"


def having_store(project: Project, store: Path) -> Pybuild:
    return Pybuild(home=project.pybuild.home, store=store, registries=project.pybuild.registries)


def test_a_url_with_its_digest_in_the_file(project: Project, tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"one")
    with httpd.serve(tmp_path) as server:
        right = f'fetch "{server.url}/tool" to /tool digest {sha256(b"one")}'
        assert project.files(right, start="scratch")["/tool"].text == "one"
        wrong = f'fetch "{server.url}/tool" to /tool digest {sha256(b"two")}'
        built = project.build(wrong, start="scratch")
        assert built.code == 11
        assert "Buildfile:4:1: error:" in built.message
        missing = project.build(f'fetch "{server.url}/missing" to /tool', start="scratch")
        assert missing.code == 14
        assert "Buildfile:4:" in missing.message and "404" in missing.message


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that gives every request the same answer."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(65536)
                client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_half_a_file_is_never_locked(project: Project) -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this") as url:
        built = project.build(f'fetch "{url}/tool" to /tool', start="scratch")
    assert built.code == 14
    assert "91 bytes too early" in built.message
    assert not (project.directory / "Buildfile.lock").exists()


@pytest.mark.parametrize("scheme", ["ftp", "file"])
def test_a_server_can_not_send_it_elsewhere(project: Project, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/etc/hosts"
        with answering(f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()) as url:
            built = project.build(f'fetch "{url}/tool" to /tool', start="scratch")
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert built.code == 14, built.result.output
    assert "Buildfile:4:" in built.message


def test_an_archive_from_a_url(project: Project, tmp_path: Path) -> None:
    (tmp_path / "src.tar").write_bytes(layouts.layer([Entry(name="app-1/main.c", data=b"int main;")]))
    with httpd.serve(tmp_path) as server:
        files = project.files(f'unpack "{server.url}/src.tar" to /src strip 1', start="scratch")
    assert files["/src/main.c"].text == "int main;"


# --- git


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with serve_repository(tmp_path / "repositories") as served:
        yield served


def test_branches_tags_and_commits(project: Project, repository: Repository) -> None:
    first = repository.commit(app_txt="one")
    repository.git("tag", "light")
    repository.git("tag", "-a", "-m", "x", "v1.0")
    repository.git("checkout", "--quiet", "-b", "feature/x")
    second = repository.commit(app_txt="two")
    repository.git("checkout", "--quiet", "main")
    for ref, text in (
        ("at light", "one"),
        ("at v1.0", "one"),
        ("at feature/x", "two"),
        (f"at {second}", "two"),
        ("", "one"),
    ):
        files = project.files(f'git "{repository.url}" {ref} to /src', start="scratch")
        assert (files["/src/app.txt"].text, files["/src/app.txt"].mode) == (text, 0o644), ref
        assert "/src/.git" not in files
    lock = (project.directory / "Buildfile.lock").read_text()
    assert first in lock


def test_a_moved_branch_is_locked_until_it_is_updated(project: Project, repository: Repository) -> None:
    repository.commit(app_txt="one")
    body = f'git "{repository.url}" at main to /src'
    assert project.files(body, start="scratch")["/src/app.txt"].text == "one"
    repository.commit(app_txt="two")
    assert project.ok(body, start="scratch").ran == 0
    project.pybuild.ok("update", cwd=project.directory)
    assert project.files(body, start="scratch")["/src/app.txt"].text == "two"


def test_a_directory_of_a_repository(project: Project, repository: Repository) -> None:
    (repository.path / "lib").mkdir()
    (repository.path / "lib/code").write_text("x")
    (repository.path / "lib/run").write_text("#!/bin/sh\n")
    (repository.path / "lib/run").chmod(0o755)
    repository.commit(app_txt="one")
    body = f'git "{repository.url}" to /src subdir lib'
    files = project.files(body, start="scratch")
    assert sorted(files) == ["/src", "/src/code", "/src/run"]
    assert files["/src/run"].mode == 0o755


def test_a_server_that_gives_no_single_commits(project: Project, repository: Repository, tmp_path: Path) -> None:
    first = repository.commit(app_txt="one")
    repository.commit(app_txt="two")
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "plain.git"))
    cache.run("git", "update-server-info", cwd=tmp_path / "plain.git")
    with httpd.serve(tmp_path) as server:
        body = f'git "{server.url}/plain.git" at {first} to /src'
        assert project.files(body, start="scratch")["/src/app.txt"].text == "one"


def test_the_persons_configuration_changes_no_file(project: Project, repository: Repository) -> None:
    """Filters and line ends that a person configured are not those of the repository."""
    (project.pybuild.home / ".gitconfig").write_text(
        '[core]\n\teol = crlf\n\tautocrlf = true\n[filter "loud"]\n\tsmudge = tr a-z A-Z\n'
    )
    (repository.path / ".gitattributes").write_text("*.txt text filter=loud\n")
    repository.commit(app_txt="quiet\n")
    assert project.files(f'git "{repository.url}" to /src', start="scratch")["/src/app.txt"].text == "quiet\n"


def test_a_commit_without_files(project: Project, repository: Repository) -> None:
    repository.git("commit", "--quiet", "--allow-empty", "-m", "x")
    assert [name for name in project.files(f'git "{repository.url}" to /src', start="scratch") if name != "/src"] == []


@pytest.mark.parametrize(("ref", "url"), [("nosuchbranch", ""), ("main", "/etc")])
def test_refs_and_urls_that_are_none(project: Project, repository: Repository, ref: str, url: str) -> None:
    repository.commit(app_txt="one")
    built = project.build(f'git "{url or repository.url}" at "{ref}" to /src', start="scratch")
    assert built.code in (3, 14), built.result.output
    assert "Buildfile:4:" in built.message


# --- the context


def test_what_a_build_is_made_of_is_not_in_it(project: Project) -> None:
    project.write({"app": "x", "deep/Buildfile": "of another build", "out/kept": "", "Buildfile.lock": "version = 1\n"})
    body = "copy ./ to /src/\noutput archive ./out/image.tar\noutput rootfs ./tree"
    first = project.ok(body, start="scratch")
    assert (project.directory / "out/image.tar").exists()
    again = project.ok(body, start="scratch")
    assert (again.ran, again.digest) == (0, first.digest)
    names = {name for name in project.files(body, start="scratch") if name.count("/") > 1}
    assert names == {"/src/app", "/src/deep", "/src/deep/Buildfile", "/src/out", "/src/out/kept"}
