"""Build checks of what stages stand on: where each warns, and where it does not."""

import pytest

from buildkit_py.platform import Platform
from tests.support.dockerfile_checks import found, lines

HOST = str(Platform.host())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM --platform=$BULIDPLATFORM scratch\n", [1]),
        ("ARG MY_OS=linux\nARG MY_ARCH=amd64\nFROM --platform=linux/${MYARCH} busybox\n", [3]),
        ("ARG tag=latest\nFROM busybox:${tag}${version} AS b\n", [2]),
        ("FROM alpine AS a\nARG tag=latest\nFROM alpine:$tag\n", [3]),
        ("FROM ${base:-alpine}\n", [1]),
        ("FROM alpine${a}${b}\n", [1, 1]),
        ("# check=skip=StageNameCasing\nFROM alpine${a}\n", [2]),
        ("ARG base=scratch\nFROM $base\n", []),
        ("ARG BUILDPLATFORM=linux/amd64\nFROM --platform=$BUILDPLATFORM scratch\n", []),
        ("FROM --platform=$BUILDPLATFORM scratch\n", []),
        ("ARG variant\nFROM alpine${variant}\n", []),
        ("FROM alpine\nENV x=$nothing\n", []),
        ("ARG a=1\n# check=skip=UndefinedArgInFrom\nFROM alpine${b}\n", []),
    ],
)
def test_undefined_arg_in_from(text: str, expected: list[int]) -> None:
    assert lines("UndefinedArgInFrom", text) == expected


def test_an_argument_that_was_probably_meant() -> None:
    text = "ARG MY_ARCH=amd64\nFROM --platform=linux/${MYARCH} busybox\n"
    [hint] = [item.hint for item in found(text) if item.rule == "UndefinedArgInFrom"]
    assert hint == "did you mean $MY_ARCH?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM --platform=$TARGETPLATFORM scratch\n", [1]),
        ("FROM --platform=${TARGETPLATFORM} scratch\n", [1]),
        ('FROM scratch\nFROM --platform="$TARGETPLATFORM" scratch AS x\n', [2]),
        ("FROM \\\n --platform=$TARGETPLATFORM scratch\n", [1]),
        ("FROM --platform=$BUILDPLATFORM scratch\n", []),
        ("FROM scratch\n", []),
        ("FROM --platform=$TARGETOS/$TARGETARCH scratch\n", []),
        ("FROM --platform=$TARGETPLATFORM$nothing scratch\n", []),
        (f"FROM --platform={HOST} scratch\n", []),
        ("# check=skip=RedundantTargetPlatform\nFROM --platform=$TARGETPLATFORM scratch\n", []),
    ],
)
def test_redundant_target_platform(text: str, expected: list[int]) -> None:
    assert lines("RedundantTargetPlatform", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM --platform=linux/amd64 scratch\n", [1]),
        ("FROM --platform=linux/amd64 scratch AS base\n", [1]),
        ("FROM scratch\nFROM --platform=linux/arm64 scratch\n", [2]),
        ("FROM --platform=linux/x86_64 scratch AS my_x86_64\n", [1]),
        ("FROM --platform='linux/arm/v7' scratch\n", [1]),
        ("FROM --platform=linux/amd64 scratch AS my_amd64_stage\n", []),
        ("FROM --platform=linux/amd64 scratch AS linux\n", []),
        ("FROM --platform=linux/amd64 scratch AS Linux-Stage\n", []),
        ("FROM --platform=$BUILDPLATFORM scratch\n", []),
        ("FROM --platform=linux/$TARGETARCH scratch\n", []),
        ("FROM scratch\n", []),
    ],
)
def test_from_platform_flag_const_disallowed(text: str, expected: list[int]) -> None:
    assert lines("FromPlatformFlagConstDisallowed", text) == expected


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("ARG VERSION\nFROM busybox:$VERSION\n", {"VERSION": "latest"}, [2]),
        ("ARG IMAGE\nFROM $IMAGE\n", {"IMAGE": "busybox:latest"}, [2]),
        ('ARG SFX="box:"\nFROM busy${SFX}\n', {"SFX": "box:latest"}, [2]),
        ("ARG A\nFROM scratch\nFROM $A AS x\n", {"A": "alpine"}, [3]),
        ("ARG A=Alpine\nFROM $A\n", {"A": "alpine"}, [2]),
        ("ARG A\nFROM ${A:-Big}\n", {"A": "alpine"}, [2]),
        ('ARG VERSION="latest"\nFROM busybox:${VERSION}\n', {"VERSION": "latest"}, []),
        ('ARG V=""\nFROM busybox:stable${V}\n', {"V": "-musl"}, []),
        ("ARG V\nFROM busybox:stable${V}\n", {"V": "-musl"}, []),
        ("FROM scratch\n", {}, []),
        ("ARG A\nFROM ${A:-alpine}\n", {}, []),
        ("ARG A\nFROM ${A:?no base}\n", {"A": "alpine"}, []),
    ],
)
def test_invalid_default_arg_in_from(text: str, given: dict[str, str], expected: list[int]) -> None:
    assert lines("InvalidDefaultArgInFrom", text, given=given) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM foreign\n", [1]),
        ("FROM scratch\nFROM foreign AS x\n", [2]),
        ("FROM windows\n", [1]),
        ("FROM --platform=linux/riscv64 alpine AS riscv64\n", [1]),
        ("FROM foreign AS unused\nFROM scratch\n", [1]),
        ("FROM alpine\n", []),
        ("FROM --platform=linux/s390x foreign AS s390x\n", []),
        ("FROM unknown\n", []),
        ("FROM scratch\n", []),
        ("FROM alpine AS foreign\nFROM foreign\n", []),
    ],
)
def test_invalid_base_image_platform(text: str, expected: list[int]) -> None:
    assert lines("InvalidBaseImagePlatform", text) == expected
