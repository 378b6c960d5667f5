"""`--cache-from` and `--cache-to`, as pybuild and as docker's users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py.cli.caches import caches_of
from buildkit_py.engine.options import CachePlace
from buildkit_py.errors import UsageError

HERE = str(Path.cwd())
REGISTRY = CachePlace(kind="registry", value="r.example/team/cache")
LOCAL = CachePlace(kind="local", value=f"{HERE}/out")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("r.example/team/cache", REGISTRY),
        ("docker://r.example/team/cache", REGISTRY),
        ("type=registry,ref=r.example/team/cache", REGISTRY),
        ("type=registry,ref=r.example/team/cache:buildcache", REGISTRY),
        ("ref=r.example/team/cache,type=registry", REGISTRY),
        ("acme/app", CachePlace(kind="registry", value="docker.io/acme/app")),
        ("type=local,src=out", LOCAL),
        ("oci:out", LOCAL),
        ("./out", LOCAL),
        (f"{HERE}/out", LOCAL),
        (".", CachePlace(kind="local", value=HERE)),
        ("type=local,src=out,digest=sha256:x,tag=y", LOCAL),
    ],
)
def test_where_it_is_asked(text: str, place: CachePlace) -> None:
    assert caches_of([text], "--cache-from").places == (place,)


def test_where_it_is_kept() -> None:
    found = caches_of(
        [
            "type=local,dest=out,mode=max,ignore-error=true,compression=zstd",
            "type=registry,ref=r.example/team/cache,mode=min,image-manifest=true,oci-mediatypes=true",
            "r.example/team/cache",
        ],
        "--cache-to",
    )
    assert found.places == (CachePlace(kind="local", value=f"{HERE}/out", mode="max", ignore_error=True), REGISTRY)
    assert found.idle == ("compression", "image-manifest", "oci-mediatypes")


def test_what_only_writers_are_told() -> None:
    found = caches_of(["type=local,src=out,mode=max"], "--cache-from")
    assert (found.places, found.idle) == ((LOCAL,), ("mode",))


def test_kinds_that_pybuild_does_not_have_are_named() -> None:
    found = caches_of(
        ["type=inline", "type=gha,scope=x", "type=s3,region=a,bucket=b", "type=azblob,name=x"], "--cache-to"
    )
    assert found.places == ()
    assert [text.partition(",")[0] for text, _ in found.passed] == ["type=inline", "type=gha", "type=s3", "type=azblob"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type=registry", "names no repository"),
        ("type=registry,ref=UPPER/x", "lower case"),
        (f"type=registry,ref=r.example/a@sha256:{'0' * 64}", "a whole repository"),
        ("type=local", "names no directory"),
        ("type=local,src=", "names no directory"),
        ("oci:", "names no directory"),
        ("type=local,src=a:b", "colon"),
        ("type=nothing,x=y", "no such kind of cache: 'nothing'"),
        ("src=x", "no such kind of cache"),
        ("type=local,src", "can't read"),
        ("type=local,src=x,ref=y", "'ref' says nothing"),
        ("type=registry,ref=a/b,src=x", "'src' says nothing"),
        ("UPPER/x", "lower case"),
    ],
)
def test_mistakes(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        caches_of([text], "--cache-from")
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_a_mode_that_is_none() -> None:
    with pytest.raises(UsageError, match="no such mode: 'all'"):
        caches_of(["type=local,dest=x,mode=all"], "--cache-to")
