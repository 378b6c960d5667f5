"""`-o` as docker spells it. What pybuild's own spelling means is in test_request.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py.cli.outputs import Outputs, outputs_of
from buildkit_py.errors import UsageError

PUSHED = "docker.io/library/app:latest"


def places(*texts: str, tags: tuple[str, ...] = (), files: bool = True) -> list[tuple[str, str, bool]]:
    found = outputs_of(texts, tags=tags, files=files).destinations
    return [(place.kind, place.value, place.push) for place in found]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("/out", "local", "/out"),
        ("/out.tar", "local", "/out.tar"),
        ("-", "tar", "-"),
        ("type=local,dest=/out", "local", "/out"),
        ("dest=/out,type=local", "local", "/out"),
        ("type=tar,dest=/x.tar", "tar", "/x.tar"),
        ("type=tar", "tar", "-"),
        ("type=tar,dest=-", "tar", "-"),
        ("type=oci,dest=/x.tar", "archive", "/x.tar"),
        ("type=oci", "archive", "-"),
        ("type=oci,dest=/x,tar=false", "layout", "/x"),
        ("type=docker,dest=/x.tar", "docker", "/x.tar"),
        ("type=docker,dest=-", "docker", "-"),
        ('"type=local","dest=/a,b"', "local", "/a,b"),
        ("archive:/x.tar", "archive", "/x.tar"),
        ("tar:-", "tar", "-"),
    ],
)
def test_one_place(text: str, kind: str, value: str) -> None:
    assert places(text) == [(kind, value, False)]


def test_a_path_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert places(".", "out") == [("local", str(tmp_path), False), ("local", str(tmp_path / "out"), False)]


def test_registries_are_pushed_to_under_whole_names() -> None:
    assert places("type=registry", tags=("app",)) == [("registry", PUSHED, True)]
    assert places("type=registry,name=r.example/a:1", tags=("app",)) == [("registry", "r.example/a:1", True)]
    assert places("type=image,push=true", tags=("app", "app:2")) == [
        ("registry", PUSHED, True),
        ("registry", "docker.io/library/app:2", True),
    ]
    assert places('type=image,"name=a,b",push=true') == [
        ("store", "a", False),
        ("store", "b", False),
        ("registry", "docker.io/library/a:latest", True),
        ("registry", "docker.io/library/b:latest", True),
    ]


def test_a_push_without_a_name_is_refused() -> None:
    for text in ("type=registry", "type=image,push=true"):
        with pytest.raises(UsageError, match="what to push to"):
            places(text)


def test_what_needs_no_place() -> None:
    assert places("type=cacheonly", "type=image", "type=docker", tags=("app",)) == []
    assert outputs_of(["type=docker"]).loads
    assert not outputs_of(["type=docker,dest=x.tar"]).loads


def test_several_at_once() -> None:
    assert places("type=local,dest=/a", "type=tar,dest=/b", "/a") == [("local", "/a", False), ("tar", "/b", False)]


def test_what_fields_ask_for_besides() -> None:
    found = outputs_of(
        [
            "type=image,name=a,annotation.k=v,annotation-index.i=1,annotation[linux/arm64].p=2,compression=zstd,oci-mediatypes=true"
        ]
    )
    assert isinstance(found, Outputs)
    assert found.annotations == ("manifest:k=v", "index:i=1", "manifest[linux/arm64]:p=2")
    assert found.idle == ("compression", "oci-mediatypes")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type=locl,dest=x", "no such kind of output: 'locl'"),
        ("type=local", "does not say where to"),
        ("type=local,dest=-", "can't be standard output"),
        ("layout:-", "can't be standard output"),
        ("type=local,dest=x,colour=red", "can't read 'colour=red'"),
        ("type=image,name=a,push=maybe", "push is true or false"),
        ("type=oci,dest=x.tar.gz", "a plain tar"),
        ("type=image,name=bad name", "not an image name"),
        ("type=registry,name=UP", "not an image name"),
    ],
)
def test_wrong_outputs(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        places(text)
