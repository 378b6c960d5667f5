"""What a command line says about the whole build, word by word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buildkit_py.cli.places import context_name, is_plain, wanted_of
from buildkit_py.cli.settings import (
    annotations_of,
    build_args,
    grants_of,
    hosts_of,
    limits_of,
    pairs,
    proxies_of,
    settings_of,
    shm_size,
)
from buildkit_py.errors import PybuildError, UsageError


def test_labels() -> None:
    assert pairs(["a=1", "b", "c=x=y", "a=2"], "--label") == {"a": "2", "b": "", "c": "x=y"}
    with pytest.raises(UsageError, match="can't read --label '=1'"):
        pairs(["=1"], "--label")


def test_build_arguments() -> None:
    environ = {"FROM_HERE": "here"}
    assert build_args(["a=1", "FROM_HERE", "MISSING", "b=", "a=2"], environ) == {"a": "2", "FROM_HERE": "here", "b": ""}
    with pytest.raises(UsageError, match="--build-arg"):
        build_args(["=x"], environ)


def test_proxies_are_found_among_build_arguments_in_both_cases() -> None:
    given = {"HTTP_PROXY": "p", "no_proxy": "n", "Http_Proxy": "x", "ALL_PROXY": "a", "HTTP": "y", "ftp_proxy": "f"}
    assert proxies_of(given) == {"HTTP_PROXY": "p", "no_proxy": "n", "ALL_PROXY": "a", "ftp_proxy": "f"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", [("manifest", "a", "1", None)]),
        ("a=b:c=d", [("manifest", "a", "b:c=d", None)]),
        ("index:a=1", [("index", "a", "1", None)]),
        ("manifest,index:a=1", [("manifest", "a", "1", None), ("index", "a", "1", None)]),
        ("manifest[linux/arm64/v8]:a=1", [("manifest", "a", "1", "linux/arm64")]),
        ("manifest-descriptor:a=", [("manifest-descriptor", "a", "", None)]),
    ],
)
def test_annotations(text: str, expected: list[tuple[str, str, str, str | None]]) -> None:
    assert [(item.kind, item.key, item.value, item.platform) for item in annotations_of([text])] == expected


@pytest.mark.parametrize("text", ["a", "=1", "index:=1", "layer:a=1", "manifest[x:a=1", "index-descriptor:a=1"])
def test_wrong_annotations(text: str) -> None:
    with pytest.raises(UsageError, match="--annotation"):
        annotations_of([text])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db:10.0.0.5", [("db", "10.0.0.5")]),
        ("db=10.0.0.5", [("db", "10.0.0.5")]),
        ("db:::1", [("db", "::1")]),
        ("db:[2001:db8::1]", [("db", "2001:db8::1")]),
        ("db=[::1]", [("db", "::1")]),
        ("db=10.0.0.5,[::1]", [("db", "10.0.0.5"), ("db", "::1")]),
        ("a:10.0.0.1,b:10.0.0.2", [("a", "10.0.0.1"), ("b", "10.0.0.2")]),
        ("my.host-1_x:127.0.0.1", [("my.host-1_x", "127.0.0.1")]),
    ],
)
def test_hosts(text: str, expected: list[tuple[str, str]]) -> None:
    assert list(hosts_of([text])) == expected


@pytest.mark.parametrize("text", ["db", "db:", ":10.0.0.1", "db:10.0.0", "a b:10.0.0.1", "db:x", "db=10.0.0.1\n", ""])
def test_wrong_hosts(text: str) -> None:
    with pytest.raises(UsageError, match="--add-host"):
        list(hosts_of([text]))


def test_a_gateway_is_refused_with_what_to_write() -> None:
    with pytest.raises(UsageError, match="gateway") as caught:
        list(hosts_of(["host.docker.internal:host-gateway"]))
    assert "127.0.0.1" in (caught.value.hint or "")


def test_limits() -> None:
    given = ["nofile=1024", "nproc=10:20", "core=-1", "nofile=5:-1", "memlock=-1:-1"]
    expected = [("nofile", 5, -1), ("nproc", 10, 20), ("core", -1, -1), ("memlock", -1, -1)]
    assert limits_of(given) == expected


@pytest.mark.parametrize(
    "text", ["nofiles=1", "nofile", "nofile=", "nofile=a", "nofile=2:1", "nofile=-1:5", "nofile=1:"]
)
def test_wrong_limits(text: str) -> None:
    with pytest.raises(UsageError, match="--ulimit"):
        limits_of([text])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("64m", 64 << 20), ("1G", 1 << 30), ("512", 512), ("1.5k", 1536), ("64MiB", 64 << 20), ("2kb", 2048), ("0", None)],
)
def test_sizes_of_shared_memory(text: str, expected: int | None) -> None:
    assert shm_size(text) == expected
    assert shm_size(None) is None


@pytest.mark.parametrize("text", ["", "m", "-1", "64x", "1e3", "0.1"])
def test_wrong_sizes_of_shared_memory(text: str) -> None:
    with pytest.raises(UsageError, match="--shm-size"):
        shm_size(text)


def test_grants() -> None:
    assert grants_of(["network.host", "security.insecure"]) == {"network.host", "security.insecure"}
    assert grants_of(["network.host,security.insecure"]) == {"network.host", "security.insecure"}
    assert grants_of([], "host") == {"network.host"}
    with pytest.raises(UsageError, match="network\\.hots") as caught:
        grants_of(["network.hots"])
    assert caught.value.hint == "did you mean 'network.host'?"


def parsed(*words: str) -> Any:
    from buildkit_py.cli.build import BUILD
    from buildkit_py.cli.shell import Shell

    return settings_of(BUILD.parsed(words, Shell()))


def test_all_settings() -> None:
    asked = parsed(
        "--label", "a=1", "--annotation", "b=2", "--annotation", "index:c=3", "--network=none",
        "--add-host", "h:1.2.3.4", "--ulimit", "nofile=1", "--shm-size", "1k",
        "--no-cache-filter", "one,two", "--no-cache-filter=three",
        "--allow=security.insecure", "--squash",
    )  # fmt: skip
    assert (asked.labels, asked.annotations, asked.network) == ({"a": "1"}, {"b": "2"}, "none")
    assert (asked.hosts, asked.limits, asked.shm_size) == ((("h", "1.2.3.4"),), (("nofile", 1, 1),), 1024)
    assert (asked.fresh, asked.allow, asked.layers) == (("one", "two", "three"), {"security.insecure"}, "squash")
    assert parsed() == parsed("--network", "default")


def test_layers(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("[[layer]]\n")
    assert parsed("--layers", "stage").layers == "stage"
    assert parsed("--layers", str(plan)).layers == "[[layer]]\n"
    for words in (("--layers", "stages"), ("--layers", "no.toml"), ("--layers=stage", "--squash")):
        with pytest.raises(UsageError):
            parsed(*words)


def test_networks() -> None:
    assert parsed("--network", "host").allow == {"network.host"}
    with pytest.raises(UsageError, match="bridge"):
        parsed("--network", "bridge")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alpine", "alpine"),
        ("alpine:latest", "alpine"),
        ("docker.io/library/alpine:3", "alpine:3"),
        ("docker.io/acme/web", "acme/web"),
        ("ghcr.io/library/x", "ghcr.io/library/x"),
        ("src", "src"),
    ],
)
def test_names_of_contexts(name: str, expected: str) -> None:
    assert context_name(name) == expected


@pytest.mark.parametrize("text", ["a", "=x", "a=", "A B=x", "a=-", "a=target:b", "context=.", "a=docker-image://UP"])
def test_wrong_contexts(text: str) -> None:
    with pytest.raises(PybuildError):
        wanted_of(".", None, [text], keep_git=False)


def test_one_standard_input_is_one_thing() -> None:
    with pytest.raises(UsageError, match="standard input"):
        wanted_of("-", "-", [], keep_git=False)


def test_most_builds_need_nothing_but_a_directory(tmp_path: Path) -> None:
    assert is_plain(str(tmp_path), "x/Dockerfile", [])
    assert is_plain("not-there", None, [])
    for context, file, named in (
        ("-", None, []),
        (str(tmp_path), "-", []),
        (str(tmp_path), "https://example.org/Dockerfile", []),
        (str(tmp_path), None, ["a=b"]),
        ("https://example.org/x.tar", None, []),
        ("git@example.org:x", None, []),
        ("github.com/a/b", None, []),
    ):
        assert not is_plain(context, file, named)
