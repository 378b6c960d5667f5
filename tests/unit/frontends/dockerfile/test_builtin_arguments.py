"""Arguments that need no declaration, or that speak to the builder."""

import pytest

from buildkit_py.graph import CacheMount, Run
from tests.support.dockerfiles import compiled, config, ops


def test_the_host_name_of_a_process() -> None:
    [run] = ops(compiled("FROM base\nRUN true\n", args={"BUILDKIT_SANDBOX_HOSTNAME": "builder"}), "run")
    assert isinstance(run, Run)
    assert run.hostname == "builder"


def test_the_space_of_caches() -> None:
    text = "FROM base\nRUN --mount=type=cache,id=x,target=/c true\n"
    ids = set()
    for space in ("", "mine", "theirs"):
        args = {"BUILDKIT_CACHE_MOUNT_NS": space} if space else {}
        [run] = ops(compiled(text, args=args), "run")
        assert isinstance(run, Run)
        [cache] = [mount for mount in run.mounts if isinstance(mount, CacheMount)]
        ids.add(cache.id)
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("FROM scratch AS one\nFROM scratch AS Two\nARG TARGETSTAGE\nLABEL x=$TARGETSTAGE\n", "", "two"),
        ("FROM scratch AS one\nARG TARGETSTAGE\nLABEL x=$TARGETSTAGE\nFROM scratch\n", "one", "one"),
        ("FROM scratch\nARG TARGETSTAGE\nLABEL x=$TARGETSTAGE\n", "", "default"),
        ("FROM scratch\nLABEL x=$TARGETSTAGE\n", "", ""),
    ],
)
def test_the_name_of_the_target(text: str, target: str, expected: str) -> None:
    assert config(compiled(text, target=target)).labels == {"x": expected}


@pytest.mark.parametrize("name", ["BUILDKIT_INLINE_CACHE", "BUILDKIT_MULTI_PLATFORM", "BUILDKIT_BUILD_NAME"])
def test_those_that_change_nothing(name: str) -> None:
    text = "FROM base\nARG given\nRUN true\n"
    assert compiled(text, args={name: "1"}) == compiled(text)


def test_platforms_are_there_for_from_and_after_an_arg() -> None:
    text = (
        "FROM --platform=$TARGETPLATFORM base\nARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT\n"
        "LABEL x=$TARGETPLATFORM y=$TARGETOS-$TARGETARCH-$TARGETVARIANT\n"
    )
    assert config(compiled(text, platform="linux/arm/v6")).labels["x"] == "linux/arm/v6"
    assert config(compiled(text, platform="linux/arm/v6")).labels["y"] == "linux-arm-v6"
