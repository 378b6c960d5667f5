from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py.errors import PybuildError, UsageError
from buildkit_py.transfer.place import Place

HERE = Path("/here")


@pytest.mark.parametrize(
    ("text", "kind", "path", "name"),
    [
        ("docker://app:1", "docker", None, None),
        ("oci:dir", "oci", "/here/dir", None),
        ("oci:dir:a.example/app:1", "oci", "/here/dir", "a.example/app:1"),
        ("oci:/abs/dir:x", "oci", "/abs/dir", "x"),
        ("oci-archive:f.tar:1", "oci-archive", "/here/f.tar", "1"),
        ("docker-archive:f.tar:@1", "docker-archive", "/here/f.tar", "@1"),
        ("dir:a:b", "dir", "/here/a:b", None),
        ("web", "store", None, "web"),
        ("web:1", "store", None, "web:1"),
        ("dir.example/web:1", "store", None, "dir.example/web:1"),
        ("http:1", "store", None, "http:1"),
        ("3f2a91c", "store", None, "3f2a91c"),
    ],
)
def test_places(text: str, kind: str, path: str | None, name: str | None) -> None:
    place = Place.parse(text, HERE)
    assert (place.kind, place.path, place.name) == (kind, Path(path) if path else None, name)
    assert str(place) == text


def test_registry() -> None:
    assert str(Place.parse("docker://python:3", HERE).reference) == "docker.io/library/python:3"
    assert Place.in_registry("python:3").reference == Place.in_registry("docker://python:3").reference


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "pybuild ls"),
        ("docker:app", "docker://app"),
        ("docker:/app", "docker://app"),
        ("docker://Bad/Name", "lower case"),
        ("oci:", "oci:DIRECTORY"),
        ("oci:dir:", "oci:DIRECTORY:NAME"),
        ("docker-archive:", "docker-archive:FILE"),
        ("dir:", "dir:PATH"),
        ("containers-storage:app", "podman save"),
        ("docker-daemon:app:1", "docker save"),
        ("https://a.example/app", "docker://"),
    ],
)
def test_mistakes(text: str, hint: str) -> None:
    with pytest.raises(PybuildError) as caught:
        Place.parse(text, HERE)
    assert isinstance(caught.value, UsageError)
    assert hint in str(caught.value.hint)
