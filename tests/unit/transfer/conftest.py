"""Two registries in the test's own process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.faulty_registry import faulty_registry
from tests.support.images import make_index
from tests.support.transfers import ARM, IMAGE, Pair, hold


@pytest.fixture
def pair() -> Iterator[Pair]:
    with faulty_registry() as source, faulty_registry() as target:
        hold(source, IMAGE)
        yield Pair(source, target)


@pytest.fixture
def indexed(pair: Pair) -> Pair:
    """The same, with an index of two platforms as `team/app:all`."""
    raw, descriptor = make_index(IMAGE, ARM)
    hold(pair.source, ARM, tag="arm")
    pair.source.add_manifest("team/app", "all", raw, descriptor.media_type)
    return pair
