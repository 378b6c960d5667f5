"""What a tag means where there is no lock file."""

from __future__ import annotations

from typing import Any

from buildkit_py.engine.unlocked import UnlockedResolver
from buildkit_py.graph import ImageConfig, ResolvedImage
from buildkit_py.platform import Platform


class Inner:
    """Knows every image."""

    def image(self, ref: str, platform: Platform) -> ResolvedImage:
        return ResolvedImage(digest="sha256:" + "1" * 64, config=ImageConfig(), platform=platform)


class Store:
    """Has no image, and counts how often it is asked for the list of them."""

    def __init__(self) -> None:
        self.images = self.memo = self
        self.asked = 0

    def everywhere(self) -> list[Any]:
        self.asked += 1
        return []

    def get(self, kind: str, key: str) -> None:
        return None

    def put(self, kind: str, key: str, value: str) -> None:
        pass


def test_the_images_of_a_store_are_listed_once_for_all_questions() -> None:
    store: Any = Store()
    inner: Any = Inner()
    resolver = UnlockedResolver(inner, store, pull=False)
    for number in range(60):
        resolver.image(f"docker.io/library/base:{number}", Platform.host())
    assert store.asked == 1
    assert not resolver.still(dict(resolver.answers))
    assert store.asked == 1
