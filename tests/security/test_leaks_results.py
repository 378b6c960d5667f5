"""A step that writes a secret down fails, and what it wrote is nowhere: in its tree, in a cache, under any name."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from buildkit_py.executor.leaks import CacheWatch
from buildkit_py.executor.secrets import SecretSpec, SecretStore
from tests.support.canary import VALUE, found_in
from tests.support.command import Pybuild
from tests.support.project import Project

HEAD = "secret token"


def given(pybuild: Pybuild, place: Path) -> Project:
    """A directory to build in, with a secret that lies beside it."""
    directory = place / "project"
    directory.mkdir()
    (place / "token").write_text(f"{VALUE}\n")
    project = Project(pybuild=pybuild, directory=directory, arguments=("--secret", f"id=token,src={place}/token"))
    project.base()
    return project


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    return given(pybuild, tmp_path)


@pytest.mark.parametrize(
    ("script", "place", "form"),
    [
        ("mkdir -p /etc/app; cp $S /etc/app/conf", "/etc/app/conf", ""),
        ("printf 'xx%s' \"$(cat $S)\" | base64 -w 0 > /b", "/b", ", as base64"),
        ("od -A n -t x1 -v $S | tr -d ' \\n' > /h", "/h", ", as hex"),
        ("sed 's/%/%25/' $S > /p", "/p", ", as URL encoding"),
        ('ln -s "$(cat $S)" /link', "/link", ""),
        ('touch "/name-$(cat $S)"', "/name-***", ""),
        ("(head -c 1048570 /dev/zero; cat $S) > /big", "/big", ""),
    ],
)
def test_a_secret_in_a_steps_tree_fails_the_build(
    project: Project, store: Path, script: str, place: str, form: str
) -> None:
    built = project.build(f"with secret(token)\nrun S=/run/secrets/token; {script}", head=HEAD)
    assert built.code == 7, built.result.output
    assert "Buildfile:6:1: error:" in built.message
    assert f"the secret 'token' was found in {place}{form}\n" in f"{built.message}\n"
    assert VALUE not in built.result.output
    assert found_in(store) == []


def test_a_secret_in_a_host_steps_tree_fails_the_build(project: Project, store: Path) -> None:
    built = project.build('with secret(token, env: T)\nhost echo "$T" > $ROOTFS/x', head=HEAD)
    assert built.code == 7
    assert "found in /x" in built.message
    assert found_in(store) == []


def test_a_secret_in_the_context_is_not_copied(project: Project, store: Path) -> None:
    (project.directory / "tok").write_text(VALUE)
    body = "copy ./tok to /leak\nwith secret(token)\nrun true"
    built = project.build(body, head=HEAD)
    assert built.code == 7, built.result.output
    assert "'token' was found in /leak" in built.message
    assert found_in(store) == []


@pytest.mark.parametrize("mount", ["type=bind,target=/m", "type=cache,target=/m,from=here"])
def test_a_secret_in_the_context_is_not_mounted(project: Project, store: Path, mount: str) -> None:
    """What a mount shows of the context is kept in the store, as that which its key was made of."""
    (project.directory / "tok").write_text(VALUE)
    (project.directory / ".dockerignore").write_text("base\n")
    file = f"FROM oci:base\nRUN --mount={mount} --mount=type=secret,id=token cat /m/tok\n"
    (project.directory / "Dockerfile").write_text(file)
    arguments = (*project.arguments, "--build-context", f"here={project.directory}", "--progress", "plain")
    result = project.pybuild("build", ".", *arguments, cwd=project.directory)
    assert result.code == 7, result.output
    assert "'token' was found in /tok" in result.output and "copied or mounted" in result.output
    assert found_in(store) == []


def test_a_secret_in_a_cache_fails_the_build(project: Project, store: Path) -> None:
    body = "with cache(/c), secret(token)\nrun mkdir -p /c/d; echo kept > /c/ok; cp /run/secrets/token /c/d/t"
    built = project.build(body, head=HEAD)
    assert built.code == 7, built.result.output
    assert "/d/t of the cache at /c" in built.message
    assert VALUE not in built.result.output
    left = {path.name for path in (store / "caches").rglob("*")}
    assert "ok" in left and "t" not in left
    assert found_in(store) == []


NEIGHBOURS = """buildfile 1
secret token "of the test"
image given {
    from "oci:base"
    with secret(token), cache("/c", id: "shared")
    run cp /run/secrets/token /c/t; sleep 1; rm /c/t
}
image other {
    from "oci:base"
    with cache("/c", id: "shared"), cache("/d", id: "own")
    run for i in $(seq 20); do [ -e /c/t ] && cp /c/t /d/t && break; sleep 0.1; done
}
"""


def test_a_neighbour_takes_no_secret_out_of_a_cache_that_it_shares(project: Project, store: Path) -> None:
    """Nobody searches what a step without a secret leaves in caches, and another build knows no secret of this one."""
    built = project.build_file(NEIGHBOURS)
    assert built.code == 0, built.result.output
    assert found_in(store) == []


def test_a_secret_too_deep_in_a_cache_to_be_searched_is_removed_with_it(project: Project, store: Path) -> None:
    """No path leads to where it is: the cache is emptied."""
    deep = "d=$(printf %0200d 0); for i in $(seq 30); do mkdir $d; cd $d; done"
    body = f"with cache(/c), secret(token)\nrun cd /c; {deep}; cat /run/secrets/token > t"
    built = project.build(body, head=HEAD)
    assert built.code == 7, built.result.output
    assert "the cache at /c, by the step" in built.message and "so it was emptied" in built.message
    (directory,) = store.glob("caches/*/0")
    assert list(directory.iterdir()) == []


@pytest.fixture
def secrets(tmp_path: Path) -> SecretStore:
    """The store of secrets, which has read the one that there is."""
    (tmp_path / "token").write_text(VALUE)
    store = SecretStore([SecretSpec(id="token", kind="file", where=str(tmp_path / "token"))])
    assert store.get("token")
    return store


def watched(tmp_path: Path, cache: Path) -> CacheWatch:
    cache.mkdir()
    return CacheWatch({"/c": cache}, tmp_path, threading.Event())


@pytest.mark.parametrize("place", ["file", "."])
def test_a_secret_in_an_attribute_of_a_cache_is_removed(secrets: SecretStore, tmp_path: Path, place: str) -> None:
    import os

    watch = watched(tmp_path, tmp_path / "cache")
    (tmp_path / "cache/file").touch()
    os.setxattr(tmp_path / "cache" / place, "user.token", VALUE.encode())
    assert watch.purge(secrets, "run x") is not None
    assert not (tmp_path / "cache/file").exists()
    assert found_in(tmp_path / "cache") == []
    assert os.listxattr(tmp_path / "cache") == []


@pytest.mark.parametrize("swapped", ["file", "directory"])
def test_cleaning_a_cache_never_leaves_it(
    secrets: SecretStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    """Another step swaps the parent of what was found for a link (as CVE-2024-23652): the machine's files stay."""
    from buildkit_py.executor import leaks

    outside = tmp_path / "outside"
    (outside / "t").mkdir(parents=True)
    (outside / "t/canary").touch()
    cache = tmp_path / "cache"
    watch = watched(tmp_path, cache)
    parent = cache / ("plain" if swapped == "file" else f"named-{VALUE}")
    (parent / "t").mkdir(parents=True)
    (parent / "u").write_text(VALUE)
    found = leaks.find_secrets

    def and_swap(*arguments: object) -> object:
        hits = found(*arguments)  # type: ignore[arg-type]
        parent.rename(cache / "moved")
        parent.symlink_to(outside)
        return hits

    monkeypatch.setattr(leaks, "find_secrets", and_swap)
    assert watch.purge(secrets, "run x") is not None
    assert (outside / "t/canary").exists()
    assert list(cache.iterdir()) == []
