"""Platforms: what is normalised, and what a person is told about a word that is none."""

import pytest

from buildkit_py.errors import UsageError
from buildkit_py.platform import Platform


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("arm64", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("loongarch64", "linux/loong64"),
        ("windows/amd64", "windows/amd64"),
        ("unknown/unknown", "unknown/unknown"),
    ],
)
def test_normal_form(text: str, normal: str) -> None:
    assert str(Platform.parse(text)) == normal


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("linux", "an architecture is missing, write it as linux/amd64"),
        ("linux/armm64", "did you mean `linux/arm64`?"),
        ("amd46", "did you mean `linux/amd64`?"),
        ("windows/x86_46", "did you mean `windows/amd64`?"),
        ("linux/zzz", "there is no architecture `zzz`: write one as amd64, arm64, riscv64 or s390x"),
        ("linux//v7", "write os/architecture, as linux/amd64 or linux/arm/v7"),
        ("a/b/c/d", "write os/architecture, as linux/amd64 or linux/arm/v7"),
    ],
)
def test_what_is_no_platform(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        Platform.parse(text)
    assert caught.value.hint == hint


def test_the_host_is_a_platform() -> None:
    assert Platform.parse(str(Platform.host())) == Platform.host()
