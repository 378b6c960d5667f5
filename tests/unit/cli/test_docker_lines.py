"""Command lines of `docker build` with the word exchanged, as far as they go before an engine is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from buildkit_py import events
from buildkit_py.engine.options import BuildResult, ImageResult
from buildkit_py.errors import UsageError
from buildkit_py.source import Diagnostic, Span

DIGEST, CONFIG = "sha256:" + "ab" * 32, "sha256:" + "cd" * 32
FILE = "FROM scratch\nMAINTAINER me\n"


def asked(cli: Any, *words: str, code: int = 2) -> Any:
    cli.engine.on_build = lambda options, emit: (_ for _ in ()).throw(UsageError("stop"))
    assert cli("build", *words) == code, cli.err
    assert "pybuild: error: stop" in cli.err, cli.err
    return cli.engine.asked[-1]


@pytest.fixture(autouse=True)
def dockerfile(cli: Any) -> None:
    Path("Dockerfile").write_text(FILE)


def built(cli: Any, *stream: events.Event, descriptors: Any = None) -> None:
    image = ImageResult(name="image", platform="linux/amd64", digest=DIGEST, size=5, layers=(), config=CONFIG)
    result = BuildResult(
        build="b1",
        images=(image,),
        digests={"image": DIGEST},
        ran=1,
        cached=0,
        seconds=1.0,
        descriptors=descriptors or {},
    )

    def build(options: Any, emit: Any) -> BuildResult:
        for event in stream:
            emit(event)
        return result

    cli.engine.on_build = build


def test_everything_that_reaches_the_build(cli: Any) -> None:
    cli.environ["TOKEN"] = "t"
    options = asked(
        cli, "--build-arg", "a=1", "--build-arg", "TOKEN", "--build-arg", "http_proxy=http://p", "--target", "bin",
        "--platform", "linux/amd64,linux/arm64", "--label", "l=1", "--annotation", "index:k=v", "--pull", "--no-cache",
        "--no-cache-filter", "bin", "-t", "app", "-t", "acme/app:2", "-o", "out", "--add-host=h:1.2.3.4",
        "--ulimit", "nofile=5", "--shm-size=64m", "--network=none", "--allow", "network.host", "--ssh", "default",
        "--secret", "id=x,env=TOKEN", "--cache-from", "acme/app", "--cache-to", "type=inline", "--timestamp", "9", ".",
    )  # fmt: skip
    assert options.params == {"a": "1", "TOKEN": "t", "http_proxy": "http://p"}
    assert (options.proxies, options.targets, options.tags) == (
        {"http_proxy": "http://p"},
        ("bin",),
        ("app", "acme/app:2"),
    )
    assert (options.platforms, options.pull, options.no_cache) == (("linux/amd64", "linux/arm64"), True, True)
    assert [(place.kind, place.value) for place in options.outputs] == [("local", str(Path("out").absolute()))]
    assert (options.settings.labels, options.settings.fresh) == ({"l": "1"}, ("bin",))
    assert [(item.kind, item.key) for item in options.annotations] == [("index", "k")]
    assert (options.settings.hosts, options.settings.limits) == ((("h", "1.2.3.4"),), (("nofile", 5, 5),))
    assert (options.settings.shm_size, options.settings.network, options.allow) == (64 << 20, "none", {"network.host"})
    assert [place.value for place in options.cache_from] == ["docker.io/acme/app"]
    assert (options.cache_to, options.epoch) == ((), 9)
    assert (options.lock, options.temporary) == (None, False)


def test_times(cli: Any) -> None:
    cli.environ["SOURCE_DATE_EPOCH"] = "5"
    assert asked(cli, ".").epoch == 5
    assert asked(cli, "--build-arg", "SOURCE_DATE_EPOCH=6", ".").epoch == 6
    assert asked(cli, "--build-arg", "SOURCE_DATE_EPOCH=6", "--timestamp", "7", ".").epoch == 7
    assert asked(cli, "--timestamp=now", ".").epoch > 1_700_000_000
    assert cli("build", "--timestamp", "later") == 2
    assert "--timestamp is not a time: 'later'" in cli.err
    assert "or `now`" in cli.err


def test_what_the_environment_says(cli: Any) -> None:
    cli.environ["DOCKER_DEFAULT_PLATFORM"] = "linux/arm64"
    assert asked(cli, ".").platforms == ("linux/arm64",)
    assert asked(cli, "--platform=linux/amd64", ".").platforms == ("linux/amd64",)
    cli.environ["BUILDKIT_PROGRESS"] = "rawjson"
    built(cli, events.Note(at=0, text="hello"))
    assert cli("build", ".") == 0
    assert json.loads(cli.out)["text"] == "hello"


def test_what_a_buildfile_is_not_told_from_outside(cli: Any) -> None:
    Path("Buildfile").write_text("buildfile 1\n")
    for words in (
        ("--add-host", "a:1.2.3.4"), ("--ulimit", "nofile=1"), ("--shm-size", "1m"), ("--network", "none"),
        ("--layers", "stage"), ("--squash",), ("--no-cache-filter", "x"), ("--network=host",),
    ):  # fmt: skip
        assert cli("build", *words) == 2
        assert f"{words[0].partition('=')[0]} says nothing to a Buildfile" in cli.err
    options = asked(cli, "--label", "a=1", "--network", "default", "--build-arg", "v=1", "--build-arg", "HTTP_PROXY=p")
    assert (options.settings.labels, options.params) == ({"a": "1"}, {"v": "1"})
    assert asked(cli, "-o", "out").outputs[0].kind == "layout"
    assert asked(cli, "-f", "Dockerfile", "-o", "out").outputs[0].kind == "local"


def test_what_means_nothing_here_is_said_once(cli: Any) -> None:
    built(cli)
    words = (
        "--rm", "--force-rm=true", "--compress", "--cpuset-mems", "0", "--cgroup-parent", "x", "--isolation=default",
        "--security-opt", "a", "--disable-content-trust",
    )  # fmt: skip
    assert cli("build", *words, ".") == 0
    (line,) = (line for line in cli.err.splitlines() if "means nothing here" in line)
    for name in ("--rm", "--cpuset-mems", "--cgroup-parent", "--security-opt", "--disable-content-trust"):
        assert name in line
    assert cli("build", *words, "-q", ".") == 0
    assert (cli.out, cli.err) == (f"{DIGEST}\n", "")
    assert cli("build", "--rm=false", "--provenance=false", "--sbom", "false", ".") == 0
    assert "note" not in cli.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cache-from", "acme/app"), ()),
        (("--cache-to", "type=gha", "--cache-from", "acme/app"), ("--cache-to type=gha: passed over",)),
        (
            ("--cache-to", "type=s3,bucket=b", "--cache-from", "type=inline"),
            ("--cache-from type=inline: passed over", "--cache-to type=s3,bucket=b: passed over"),
        ),
        (("--cache-to", "type=local,dest=c,compression=zstd"), ("compression in --cache-to: changes nothing",)),
    ],
)
def test_caches_that_pybuild_does_not_have_are_passed_over(
    cli: Any, words: tuple[str, ...], said: tuple[str, ...]
) -> None:
    built(cli)
    assert cli("build", *words, ".") == 0
    lines = cli.err.splitlines()
    assert len(lines) == len(said), cli.err
    assert all(text in line for text, line in zip(said, lines, strict=True))


def test_what_comes_later_or_elsewhere_is_said(cli: Any) -> None:
    built(cli)
    words = (
        "--provenance=mode=max",
        "--attest",
        "type=sbom",
        "--builder",
        "x",
        "--cache-to=type=gha",
        "--load",
        "-t",
        "a",
    )
    assert cli("build", *words, ".") == 0
    for text in ("no attestation", "--builder", "type=gha", "docker load -i image.tar"):
        assert text in cli.err
    assert cli("build", "-D", ".") == 0
    assert "note" not in cli.err


@pytest.mark.parametrize("text", ["UPPER/x", "src=x", "type=local,src", "=x"])
def test_wrong_caches(cli: Any, text: str) -> None:
    assert cli("build", "--cache-from", text, ".") == 2


def test_files_for_programs_have_what_docker_writes_too(cli: Any) -> None:
    Path("id").write_text("of an earlier build")
    built(cli, descriptors={"image": {"digest": DIGEST, "size": 3}})
    words = ("build", "-q", "--iidfile", "id", "--metadata-file=m.json", "-t", "app", "-t", "r.example/app:1", ".")
    assert cli(*words) == 0
    assert Path("id").read_text() == DIGEST
    found = json.loads(Path("m.json").read_text())
    assert found["containerimage.digest"] == DIGEST
    assert found["containerimage.config.digest"] == CONFIG
    assert found["containerimage.descriptor"] == {"digest": DIGEST, "size": 3}
    assert found["image.name"] == "docker.io/library/app:latest,r.example/app:1"
    assert found["images"]["image"]["digest"] == DIGEST


def test_an_id_of_an_earlier_build_does_not_outlive_a_failure(cli: Any) -> None:
    Path("id").write_text("old")
    asked(cli, "--iidfile", "id", ".")
    assert not Path("id").exists()


WARNING = Diagnostic(
    message="it is deprecated", span=Span("Dockerfile", 2, 1, 2, 14), severity="warning", rule="MaintainerDeprecated"
)


def test_warnings_are_shown_at_the_end(cli: Any) -> None:
    built(cli, events.Warned(at=0, diagnostic=WARNING), events.Note(at=0, text="hello"))
    assert cli("build", ".") == 0
    assert cli.err == (
        "note: hello\n\n"
        "Dockerfile:2:1: warning[MaintainerDeprecated]: it is deprecated\n"
        "   |\n 2 | MAINTAINER me\n   | ^^^^^^^^^^^^^\n\n1 warning\n"
    )
    assert cli("build", "-q", ".") == 0
    assert cli.err == ""
    assert cli("build", "--progress=rawjson", ".") == 0
    assert json.loads(cli.out.splitlines()[0]) == {
        "event": "Warned", "at": 0, "rule": "MaintainerDeprecated", "text": "it is deprecated",
        "span": ["Dockerfile", 2, 1, 2, 14],
    }  # fmt: skip
    assert cli.err == ""


def test_warnings_are_shown_after_a_failure_too(cli: Any) -> None:
    def fail(options: Any, emit: Any) -> Any:
        emit(events.Warned(at=0, diagnostic=WARNING))
        raise UsageError("stop")

    cli.engine.on_build = fail
    assert cli("build", ".") == 2
    assert "warning[MaintainerDeprecated]" in cli.err
    assert cli.err.endswith("pybuild: error: stop\n")


def test_an_image_and_text_do_not_share_standard_output(cli: Any) -> None:
    built(cli)
    assert cli("build", "-o", "-", ".") == 0
    assert cli.out == ""
    assert cli("build", "-o", "-", "--progress", "json", ".") == 2
    assert "share standard output" in cli.err
