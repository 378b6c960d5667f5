"""A build that has nothing to do is told from a receipt, and only for as long as nothing that it looked at changed."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from buildkit_py.engine import BuildOptions, Engine
from buildkit_py.events import BuildDone
from buildkit_py.store import Store
from tests.support.command import Pybuild, Result

DOCKERFILE = 'FROM scratch\nCOPY a /a\nCOPY d/ /d/\nCMD ["/a"]\n'
OLD = time.time() - 3600


@pytest.fixture
def pybuild(tmp_path: Path) -> Pybuild:
    (tmp_path / "home").mkdir()
    # `-X importtime` tells which way a build took: the engine is what a receipt spares.
    return Pybuild(home=tmp_path / "home", store=tmp_path / "store", environment={"PYTHONPROFILEIMPORTTIME": "1"})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    (place / "d" / "e").mkdir(parents=True)
    (place / "Dockerfile").write_text(DOCKERFILE)
    (place / ".dockerignore").write_text("*.log\n")
    for name in ("a", "d/b", "d/e/c", "x.log"):
        (place / name).write_text(name)
    (place / "d" / "link").symlink_to("b")
    return place


def settle(place: Path, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
    """Let files be as old as they are after a while: their ctime can't be set, so the clock is waited for."""
    newest = max(path.lstat().st_ctime for path in (place, *place.rglob("*")))
    time.sleep(max(0.0, newest + 2.1 - time.time()))


def whole(result: Result) -> bool:
    """Whether the engine was asked."""
    return "buildkit_py.engine.run" in result.stderr


def plain(result: Result) -> tuple[str, str]:
    """What a person saw."""
    shown = [line for line in result.stderr.splitlines() if not line.startswith("import time:")]
    return result.stdout.rpartition(" in ")[0], "\n".join(shown)


def built(pybuild: Pybuild, project: Path, *more: str) -> Result:
    return pybuild.ok("build", "-t", "app:1", *more, ".", cwd=project)


def standing(pybuild: Pybuild, project: Path) -> Result:
    """Build until there is a receipt."""
    settle(project)
    built(pybuild, project)
    built(pybuild, project)
    result = built(pybuild, project)
    assert not whole(result)
    return result


@pytest.mark.parametrize("more", [(), ("-q",), ("--progress", "json")])
def test_the_same_is_told(pybuild: Pybuild, project: Path, more: tuple[str, ...]) -> None:
    settle(project)
    built(pybuild, project)
    long, short = built(pybuild, project, *more), built(pybuild, project, *more)
    assert whole(long) and not whole(short)
    if "json" not in more:
        assert plain(short) == plain(long)


def test_warnings_are_told_again(pybuild: Pybuild, project: Path) -> None:
    (project / "Dockerfile").write_text("from scratch\nCOPY a /a\nCMD /a\n")
    result = standing(pybuild, project)
    assert "JSONArgsRecommended" in result.stderr


def test_a_record_and_times_of_use_are_left(pybuild: Pybuild, project: Path) -> None:
    standing(pybuild, project)
    with Store.open(pybuild.store) as store:
        latest = store.builds.list()
        (used,) = store.index.row("SELECT min(at) FROM uses WHERE kind = 'result'") or (0,)
        assert len({record["id"] for record in latest}) == 3
        assert store.builds.get()["images"] == store.builds.get(latest[1]["id"])["images"]
        assert used > latest[1]["created"]


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda p: (p / "a").write_text("new"),
    "content below": lambda p: (p / "d/e/c").write_text("new"),
    "content of the same size and time": lambda p: _stealthily(p / "a"),
    "mode": lambda p: (p / "a").chmod(0o755),
    "mode of a directory": lambda p: (p / "d/e").chmod(0o700),
    "new file": lambda p: (p / "d/e/n").write_text("n"),
    "removed file": lambda p: (p / "d/e/c").unlink(),
    "renamed": lambda p: (p / "d/e/c").rename(p / "d/e/z"),
    "link": lambda p: ((p / "d/link").unlink(), (p / "d/link").symlink_to("e")),
    "directory becomes a link": lambda p: ((p / "d").rename(p / "o"), (p / "d").symlink_to("o")),
    "build file": lambda p: (p / "Dockerfile").write_text(DOCKERFILE + "LABEL a=b\n"),
    "ignore file": lambda p: (p / ".dockerignore").write_text("d/b\n"),
    "nearer ignore file": lambda p: (p / "Dockerfile.dockerignore").write_text("d/b\n"),
    "other build file": lambda p: (p / "Buildfile").write_text("buildfile 1\nimage i { from scratch }\n"),
}


def _stealthily(file: Path) -> None:
    before = file.stat()
    file.write_text("b")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(pybuild: Pybuild, project: Path, change: str) -> None:
    standing(pybuild, project)
    CHANGES[change](project)
    result = pybuild("build", "-t", "app:1", ".", cwd=project)
    assert whole(result), result.output


def test_a_directory_on_the_way_to_the_build_file_that_leads_away(pybuild: Pybuild, project: Path) -> None:
    (project / "sub").mkdir()
    (project / "Dockerfile").rename(project / "sub" / "Dockerfile")
    settle(project)
    for _ in range(2):
        built(pybuild, project, "-f", "sub/Dockerfile")
    assert not whole(built(pybuild, project, "-f", "sub/Dockerfile"))
    (project / "sub").rename(project.parent / "away")
    (project / "sub").symlink_to(project.parent / "away")
    result = pybuild("build", "-t", "app:1", "-f", "sub/Dockerfile", ".", cwd=project)
    assert whole(result)


def test_a_context_may_be_a_link_and_lead_elsewhere_later(pybuild: Pybuild, project: Path) -> None:
    link, other = project.parent / "link", project.parent / "other"
    link.symlink_to(project)
    settle(project)
    for _ in range(2):
        pybuild.ok("build", "-q", "../link", cwd=project)
    assert not whole(pybuild.ok("build", "-q", "../link", cwd=project))
    subprocess.run(["cp", "-a", project, other], check=True)
    link.unlink()
    link.symlink_to(other)
    assert whole(pybuild.ok("build", "-q", "../link", cwd=project))


def test_one_command_leaves_one_receipt(pybuild: Pybuild, project: Path) -> None:
    settle(project)
    for number in range(4):
        built(pybuild.having(CI_RUN=str(number)), project)
    with Store.open(pybuild.store) as store:
        assert store.index.row("SELECT count(*) FROM memo WHERE kind = 'receipt'") == (1,)


def test_what_another_build_wrote_meanwhile_leaves_none(
    pybuild: Pybuild, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another build takes the tag between the naming of the image and the end."""
    settle(project)
    built(pybuild, project)
    options = BuildOptions(context=project, tags=("app:1",))

    def interfere(event: object) -> None:
        if isinstance(event, BuildDone):
            with Store.open(pybuild.store) as store:
                store.images.put("app:2", store.images.list()[0].descriptor)

    for emit in (interfere, lambda event: None):
        with Engine(pybuild.store) as engine:
            engine.build(options, emit)
            found = engine.evidence
        assert (found is None) == (emit is interfere)


@pytest.mark.parametrize("words", [("--store", "x" * 5000), ("--store", "/dev/null/x")])
def test_a_store_that_can_not_be_is_told_the_long_way(pybuild: Pybuild, project: Path, words: tuple[str, str]) -> None:
    assert pybuild("build", *words, ".", cwd=project).code == 12


def test_what_no_step_takes_may_change(pybuild: Pybuild, project: Path) -> None:
    standing(pybuild, project)
    (project / "x.log").write_text("more")
    assert not whole(built(pybuild, project))


@pytest.mark.parametrize("words", [("--build-arg", "A=1"), ("--no-cache",), ("-t", "other:1"), ("--pull",)])
def test_other_words_go_the_long_way(pybuild: Pybuild, project: Path, words: tuple[str, ...]) -> None:
    standing(pybuild, project)
    assert whole(built(pybuild, project, *words))


def test_another_environment_goes_the_long_way(pybuild: Pybuild, project: Path) -> None:
    standing(pybuild, project)
    assert whole(built(pybuild.having(SOURCE_DATE_EPOCH="9"), project))


def test_a_tag_that_means_something_else_goes_the_long_way(pybuild: Pybuild, project: Path, tmp_path: Path) -> None:
    first = standing(pybuild, project)
    other = tmp_path / "other"
    other.mkdir()
    (other / "Dockerfile").write_text("FROM scratch\nLABEL o=1\n")
    pybuild.ok("build", "-t", "app:1", ".", cwd=other)
    result = built(pybuild, project)
    assert whole(result)
    assert result.stdout.splitlines()[:2] == first.stdout.splitlines()[:2]
    digest = next(line.strip() for line in result.stdout.splitlines() if line.strip().startswith("sha256:"))
    assert digest in pybuild.ok("ls", "--json").stdout


def test_nothing_that_was_pruned_is_promised(pybuild: Pybuild, project: Path) -> None:
    standing(pybuild, project)
    pybuild.ok("prune", "--all")
    assert whole(built(pybuild, project))


def test_a_missing_blob_is_seen(pybuild: Pybuild, project: Path) -> None:
    standing(pybuild, project)
    for blob in (pybuild.store / "blobs" / "sha256").iterdir():
        blob.unlink()
    result = pybuild("build", "-t", "app:1", ".", cwd=project)
    assert whole(result)


def test_young_files_leave_no_receipt(pybuild: Pybuild, project: Path) -> None:
    settle(project)
    built(pybuild, project)
    (project / "a").write_text("a")
    built(pybuild, project)
    assert whole(built(pybuild, project))


def test_its_record_has_times_of_its_own(pybuild: Pybuild, project: Path) -> None:
    standing(pybuild, project)
    timings = json.loads(pybuild.ok("timings", "--json").stdout)
    assert [step["title"] for step in timings["steps"]] == ["see that all is as it was"]
    assert timings["seconds"] == timings["totals"]["look"] > 0
    assert pybuild.ok("why", "--all").stdout.startswith("nothing ran in the build ")
    assert "did not run" in pybuild.ok("why", "copy ./a").stdout


def test_where_the_time_goes_is_shown_of_the_whole_way(pybuild: Pybuild, project: Path) -> None:
    standing(pybuild, project)
    for _ in range(2):
        result = built(pybuild, project, "--timings")
        assert whole(result)
        assert "read the build file" in result.stdout


def test_what_came_after_is_compared_with_what_was_told_again(pybuild: Pybuild, project: Path) -> None:
    standing(pybuild, project)
    (project / "a").write_text("other")
    built(pybuild, project)
    (step,) = json.loads(pybuild.ok("why", "copy ./a", "--json").stdout)["steps"]
    assert step["changes"][0]["files"]["changed"] == ["a"]
