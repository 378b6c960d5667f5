"""Images between the store and files, as a person sees it; nothing here needs a registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.oci import Descriptor
from buildkit_py.platform import Platform
from buildkit_py.store import Store
from tests.support.images import digest_of, make_image, make_index

HOST = str(Platform.host())
OTHER = "linux/s390x"
MINE = make_image(b"mine", platform=HOST, config={"Env": ["A=1"], "Labels": {"org.x": "y"}})
THEIRS = make_image(b"theirs", platform=OTHER)
INDEX, ROOT = make_index(MINE, THEIRS)


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A store with `web` for one platform and `all` for two."""
    with Store.open(tmp_path / "store") as store:
        for image in (MINE, THEIRS):
            image.store(store.blobs)
        store.blobs.put(INDEX)
        for name, item in (("web", Descriptor.of(MINE.manifest, MINE.descriptor.media_type)), ("all", ROOT)):
            store.images.put(name, item.to_plain())
    return str(tmp_path / "store")


def test_copy_tells_what_it_did(cli: Any, root: str) -> None:
    assert cli("copy", "--store", root, "web", "oci:out:web") == 0
    assert cli.out.splitlines() == [
        f"copied web to oci:out:web: 2 blobs copied ({4 + len(MINE.config)} B), 0 there before",
        str(MINE.descriptor.digest),
    ]
    assert cli.err.count("copied  ") == 2
    assert cli("copy", "--store", root, "-q", "web", "oci:out:web") == 0
    assert (cli.out, cli.err) == (f"{MINE.descriptor.digest}\n", "")
    assert cli("copy", "--store", root, "--json", "web", "oci:out:web") == 0
    told = json.loads(cli.out)
    assert set(told["existing"]) == {digest_of(b"mine"), digest_of(MINE.config)}
    assert (told["copied"], told["bytes"], told["platform"]) == ([], 0, None)


def test_the_platform_that_was_taken_is_said(cli: Any, root: str) -> None:
    assert cli("copy", "--store", root, "all", "dir:out") == 0
    assert f"note: all is for {', '.join(sorted((HOST, OTHER)))}; {HOST} was taken, --all takes all" in cli.err
    assert cli("copy", "--store", root, "-q", "--platform", OTHER, "all", "dir:out") == 0
    assert cli.out.strip() == str(THEIRS.descriptor.digest)
    assert cli("copy", "--store", root, "-q", "--all", "all", "dir:out") == 0
    assert cli.out.strip() == digest_of(INDEX)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("copy", "web"), 2, "needs DST"),
        (("copy", "--all", "--platform", "arm64", "web", "x"), 2, "--all takes all platforms"),
        (("copy", "none", "dir:x"), 16, "no image called 'none'"),
        (("copy", "oci:nothing", "x"), 14, "can't read"),
        (("copy", "web", "docker-daemon:x"), 2, "can't be named by docker-daemon:"),
        (("copy", "web", "Bad Name"), 2, "not an image name"),
        (("copy", "--all", "all", "docker-archive:x.tar"), 15, "one platform each"),
        (("copy", "--format", "docker", "--preserve-digests", "web", "dir:x"), 2, "without another digest"),
        (("copy", "--preserve-digests", "web", "docker-archive:x.tar"), 2, "keeps no manifests"),
        (("copy", "--format", "v2s2", "web", "dir:x"), 2, "--format can't be 'v2s2'"),
        (("save", "web"), 2, "needs -o/--output"),
        (("save", "none", "-o", "x.tar"), 16, "no image called 'none'"),
        (("save", "web", "-o", "-", "--json"), 2, "can't both go to standard output"),
        (("load", "-i", "none.tar"), 14, "can't read none.tar"),
        (("delete", "docker://a.example/app"), 2, "names no image"),
        (("delete", "web:1"), 2, "write docker://web:1"),
        (("sync", "none.toml"), 14, "can't read none.toml"),
        (("inspect", "--raw", "--json", "web"), 2, "--raw and --json"),
        (("inspect", "--format", "{{.No}}", "web"), 2, "no field 'No'"),
    ],
)
def test_mistakes(cli: Any, root: str, words: tuple[str, ...], code: int, said: str) -> None:
    more = () if words[0] in ("delete", "sync") else ("--store", root)
    assert cli(words[0], *more, *words[1:]) == code
    assert said in cli.err
    assert not Path("x.tar").exists()


def test_inspect_in_other_ways(cli: Any, root: str) -> None:
    def shown(*words: str) -> str:
        assert cli("inspect", "--store", root, *words) == 0
        return str(cli.out)

    assert shown("--raw", "all").encode() == INDEX
    assert shown("--raw", "--platform", OTHER, "all").encode() == THEIRS.manifest
    assert shown("--config", "all").encode() == MINE.config
    assert shown("--config", "--platform", OTHER, "all").encode() == THEIRS.config
    assert shown("--format", "{{.Name}} {{.Digest}} {{.Images.1.Digest}}", "all") == (
        f"all {digest_of(INDEX)} {THEIRS.descriptor.digest}\n"
    )
    assert shown("--format", '{{.Platform}} {{.Config.Env}} {{.Config.Labels."org.x"}}', "all") == f'{HOST} ["A=1"] y\n'


def test_what_inspect_says_is_the_same_wherever_an_image_is(cli: Any, root: str) -> None:
    assert cli("inspect", "--store", root, "--json", "all") == 0
    stored = json.loads(cli.out)
    assert cli("copy", "--store", root, "-q", "--all", "all", "oci:out:all") == 0
    assert cli("inspect", "--store", root, "--json", "oci:out:all") == 0
    assert {**json.loads(cli.out), "name": "all"} == stored
    assert cli("inspect", "--store", root, "oci:out:all") == 0
    there = cli.out
    assert cli("inspect", "--store", root, "all") == 0
    assert there.replace("oci:out:all", "all") == cli.out


def test_save_and_load(cli: Any, root: str, tmp_path: Path) -> None:
    assert cli("save", "--store", root, "web", "all", "-o", "o.tar", "--format", "oci-archive") == 0
    assert cli("save", "--store", root, "web", "-o", "d.tar") == 0
    fresh = str(tmp_path / "fresh")
    assert cli("load", "--store", fresh, "-i", "o.tar") == 0
    assert cli.out.splitlines() == [f"loaded web: {MINE.descriptor.digest}", f"loaded all: {digest_of(INDEX)}"]
    assert cli("load", "--store", fresh, "-i", "d.tar") == 0
    assert cli.out.startswith("loaded web: ")
    assert cli("load", "--store", str(tmp_path / "third"), "-i", "d.tar") == 0
    assert cli.out.startswith("loaded web:latest: ")
    assert cli("copy", "--store", fresh, "-q", "--platform", OTHER, "all", "web") == 0
    assert cli("load", "--store", fresh, "-q", "-i", "o.tar") == 0
    assert cli.err == f"note: replaced web (was {THEIRS.descriptor.digest})\n"
    assert cli("copy", "--store", root, "-q", "web", "oci-archive:nameless.tar") == 0
    assert cli("load", "--store", fresh, "-i", "nameless.tar") == 16
    assert "`pybuild copy oci-archive:nameless.tar NAME` takes it" in cli.err


def test_an_image_of_an_additional_store_is_saved_with_its_name(cli: Any, root: str, tmp_path: Path) -> None:
    Store.open(tmp_path / "mine").close()
    mine = str(tmp_path / "mine")
    cli.environ["PYBUILD_ADDITIONAL_STORES"] = root
    for form in ("docker-archive", "oci-archive"):
        assert cli("save", "--store", mine, "web", "-o", f"{form}.tar", "--format", form) == 0
        assert cli("load", "--store", str(tmp_path / form), "-i", f"{form}.tar") == 0, cli.err
        assert cli.out.startswith("loaded web:")
