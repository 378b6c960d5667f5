from __future__ import annotations

import pytest

from buildkit_py.digest import Digest
from buildkit_py.oci import Descriptor, Index, chain_id, chain_ids, choose, rank
from buildkit_py.oci.descriptor import platform_from_plain
from buildkit_py.oci.media_types import OCI_INDEX, OCI_MANIFEST
from buildkit_py.platform import Platform


def index(*platforms: str | None) -> Index:
    entries = [
        Descriptor(
            media_type=OCI_MANIFEST,
            digest=Digest.of(str(number).encode()),
            size=1,
            platform=Platform.parse(platform) if platform else None,
        )
        for number, platform in enumerate(platforms)
    ]
    return Index(raw=b"", media_type=OCI_INDEX, manifests=tuple(entries))


@pytest.mark.parametrize(
    ("offered", "wanted", "chosen"),
    [
        (["linux/amd64", "linux/arm64"], "linux/arm64", 1),
        (["linux/amd64", "linux/arm64/v8"], "linux/arm64", 1),
        (["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", 1),
        (["linux/arm/v6", "linux/arm/v7"], "linux/arm", 1),
        (["linux/arm/v7"], "linux/arm/v6", None),
        (["linux/amd64", "linux/amd64/v3"], "linux/amd64", 0),
        (["linux/amd64", "linux/amd64/v2"], "linux/amd64/v3", 1),
        (["linux/amd64/v3"], "linux/amd64", None),
        (["linux/386"], "linux/amd64", None),
        (["linux/arm/v7"], "linux/arm64", None),
        (["windows/amd64"], "linux/amd64", None),
        (["linux/amd64", "linux/amd64"], "linux/amd64", 0),
        ([None], "linux/amd64", 0),
        ([None, "linux/arm64"], "linux/amd64", None),
        ([], "linux/amd64", None),
    ],
)
def test_choose(offered: list[str | None], wanted: str, chosen: int | None) -> None:
    found = choose(index(*offered), Platform.parse(wanted))
    assert found == (None if chosen is None else index(*offered).manifests[chosen])


def test_rank_is_zero_only_for_the_same() -> None:
    assert rank(Platform.parse("linux/arm64/v8"), Platform.parse("linux/arm64")) == 0
    assert rank(Platform("linux", "riscv64"), Platform("linux", "riscv64")) == 0
    assert rank(Platform("linux", "arm", "odd"), Platform("linux", "arm", "v7")) is None


@pytest.mark.parametrize("plain", [None, {}, {"os": "", "architecture": ""}, {"os": "a b", "architecture": "?"}])
def test_no_platform(plain: dict[str, str] | None) -> None:
    assert platform_from_plain(plain) is None


def test_chain_ids_follow_the_specification() -> None:
    first, second = Digest.of(b"1"), Digest.of(b"2")
    assert chain_ids([]) == ()
    assert chain_id([]) is None
    assert chain_ids([first]) == (first,)
    assert chain_id([first, second]) == Digest.of(f"{first} {second}".encode())


def test_descriptor_round_trip() -> None:
    descriptor = Descriptor(
        media_type=OCI_MANIFEST,
        digest=Digest.of(b""),
        size=0,
        platform=Platform("linux", "arm", "v6"),
        annotations={"org.opencontainers.image.ref.name": "n"},
        artifact_type="a/b",
    )
    assert Descriptor.from_plain(descriptor.to_plain()) == descriptor
    assert descriptor.ref_name == "n"
    assert Descriptor.from_plain({**descriptor.to_plain(), "urls": ["http://x"]}) == descriptor
