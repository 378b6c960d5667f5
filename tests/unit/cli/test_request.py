from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.cli import units
from buildkit_py.cli.files import replace_file
from buildkit_py.cli.outputs import parse, store_name
from buildkit_py.cli.request import epoch_of, params_of, platforms_of
from buildkit_py.errors import OutputError, UsageError


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("type=archive,dest=/a/web.tar", "archive", "/a/web.tar"),
        ("dest=/web,type=rootfs", "rootfs", "/web"),
        ("type=registry,name=r.example/web:1", "registry", "r.example/web:1"),
        ("dest=/web.tar", "archive", "/web.tar"),
        ("docker:/web.tar", "docker", "/web.tar"),
        ("registry:r.example:5000/web:1", "registry", "r.example:5000/web:1"),
        ("store:web:dev", "store", "web:dev"),
        ("/web.tar", "archive", "/web.tar"),
        ("/web", "layout", "/web"),
        ("/a:b", "layout", "/a:b"),
    ],
)
def test_outputs(text: str, kind: str, value: str) -> None:
    output = parse(text)
    assert (output.kind, output.value) == (kind, value)


def test_a_path_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse("out/web.tar").value == str(tmp_path / "out/web.tar")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type=archiv,dest=x", "no such kind of output: 'archiv'"),
        ("dokcer:x", "no such kind of output: 'dokcer'"),
        ("type=archive", "does not say where to"),
        ("archive:", "does not say where to"),
        ("", "does not say where to"),
        ("type=archive,dest=x,dest=y", "can't read 'dest=y'"),
        ("type=archive,compression=zstd", "can't read 'compression=zstd'"),
        ("archive", "does not say where to"),
        ("x.tar.gz", "a plain tar"),
        ("archive:x.tgz", "a plain tar"),
        ("store:bad name", "not an image name"),
        ("registry:UP/x", "not an image name"),
    ],
)
def test_wrong_outputs(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse(text)
    assert caught.value.hint is not None


def test_a_tag_is_a_name_that_a_build_file_could_give(cli: Any) -> None:
    assert store_name("acme/web:1") == "acme/web:1"
    assert cli("build", "-t", "bad name") == 2
    assert "not an image name: 'bad name'" in cli.err
    assert cli("build", "-t", "bad/") == 2
    assert "not an image name: 'bad/'" in cli.err
    assert cli("build", "-t", "Bad:x") == 2
    assert "write it in lower case: 'bad:x'" in cli.err
    assert cli("build", "-t", "bad:") == 2
    assert "not a tag in 'bad:': ''" in cli.err
    assert cli("build", "-o", "store:Bad") == 2
    assert cli("build", "-t", f"a@sha256:{'0' * 64}") == 2
    assert "holds no digest" in cli.err


def test_params() -> None:
    assert params_of(["a=1", "b=x=y", "c=", "a=2", "a=3"]) == {"a": ["1", "2", "3"], "b": "x=y", "c": ""}
    for wrong in ("a", "=1", ""):
        with pytest.raises(UsageError, match="--param"):
            params_of([wrong])


def test_platforms() -> None:
    assert platforms_of(["linux/amd64,arm64", "linux/x86_64"]) == ["linux/amd64", "linux/arm64"]
    with pytest.raises(UsageError):
        platforms_of(["linux/amd64,"])


@pytest.mark.parametrize(("text", "value"), [(None, None), ("", None), ("0", 0), ("1700000000", 1_700_000_000)])
def test_epoch(text: str | None, value: int | None) -> None:
    assert epoch_of(text) == value


@pytest.mark.parametrize("text", ["now", "-1", "1.5", "٣", "9" * 30])
def test_wrong_epoch(text: str) -> None:
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        epoch_of(text)


@pytest.mark.parametrize(
    ("text", "value"), [("5", 5), ("10GB", 10**10), ("1.5 kB", 1500), ("512MiB", 512 * 2**20), ("2t", 2 * 10**12)]
)
def test_sizes(text: str, value: int) -> None:
    assert units.size(text) == value


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("1.5h", 5400), ("7d", 604_800), ("2w", 1_209_600)])
def test_times(text: str, value: float) -> None:
    assert units.seconds(text) == value


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1e9", "10 XB", "nan"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        units.size(text)


@pytest.mark.parametrize("text", ["", "7", "7 years", "-1d", "inf"])
def test_wrong_times(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        units.seconds(text)


def test_replacing_a_file_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    replace_file(link, "new")
    assert (real.read_text(), real.stat().st_mode & 0o7777, link.is_symlink()) == ("new", 0o640, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_replacing_a_file_leaves_nothing_behind_when_it_fails(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder can't be written"):
        replace_file(tmp_path / "folder", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    with pytest.raises(OutputError):
        replace_file(tmp_path / "no/such", "text")


def options(cli: Any, *words: str) -> Any:
    cli.engine.on_build = lambda options, emit: (_ for _ in ()).throw(UsageError("stop"))
    assert cli("build", *words) == 2
    assert cli.err.startswith("pybuild: error: stop"), cli.err
    return cli.engine.asked[-1]


def test_all_that_build_can_be_asked(cli: Any) -> None:
    cli.environ["SOURCE_DATE_EPOCH"] = "7"
    asked = options(
        cli, "src", "-f", "web.build", "--target", "a", "--target", "b", "--platform", "arm64", "-t", "x",
        "-o", "/o.tar", "--push", "--param", "v=1", "--no-cache", "--refresh", "--locked", "--keep-going",
        "-j", "3", "--secret", "id=a,src=b", "--ssh", "default", "--allow-short-secret", "--runtime", "bwrap",
        "--snapshotter", "copy", "--store", "/s",
    )  # fmt: skip
    assert (asked.context, asked.file, asked.graph) == (Path("src"), Path("web.build"), None)
    assert (asked.targets, asked.platforms, asked.tags) == (("a", "b"), ("linux/arm64",), ("x",))
    assert [(output.kind, output.value) for output in asked.outputs] == [("archive", "/o.tar")]
    assert (asked.push, asked.no_cache, asked.refresh, asked.locked, asked.keep_going) == (True,) * 5
    assert (asked.jobs, asked.secrets, asked.ssh, asked.allow_short_secret) == (3, ("id=a,src=b",), ("default",), True)
    assert (asked.runtime, asked.snapshotter, asked.epoch, asked.params) == ("bwrap", "copy", 7, {"v": "1"})
    assert cli.engine.roots == ["/s"]


def test_what_build_is_asked_by_default(cli: Any) -> None:
    asked = options(cli)
    assert (asked.context, asked.file, asked.graph, asked.epoch, asked.jobs) == (Path(), None, None, None, None)
    assert (asked.runtime, asked.snapshotter, cli.engine.roots) == ("auto", "auto", [None])


def test_a_graph_excludes_a_build_file(cli: Any) -> None:
    assert cli("build", "-f", "a", "--graph", "b") == 2
    assert "--file and --graph exclude each other" in cli.err


def test_a_file_given_as_the_directory(cli: Any) -> None:
    Path("web.build").touch()
    assert cli("build", "web.build") == 2
    assert "write: -f web.build ." in cli.err


@pytest.mark.parametrize("words", [("id=x,file=y",), ("foo",), ("id=x,src=a", "id=x,src=b")])
def test_secrets_that_can_not_be_read_are_refused_before_the_build_file_is(cli: Any, words: tuple[str, ...]) -> None:
    assert cli("build", *(f"--secret={word}" for word in words)) == 2
    assert "secret" in cli.err
