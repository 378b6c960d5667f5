"""Reading ahead: everything in turn, no more than a few blocks early, errors to who asks, no thread left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from buildkit_py.layer.ahead import Ahead


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def taking(count: int, taken: list[int], error: Exception | None = None) -> Callable[[], bytes]:
    def take() -> bytes:
        taken.append(len(taken))
        if len(taken) <= count:
            return b"%d" % len(taken)
        if error is not None:
            raise error
        return b""

    return take


def test_all_comes_in_turn_and_the_end_stays_the_end() -> None:
    with Ahead(taking(20, [])) as ahead:
        assert [ahead.block() for _ in range(22)] == [*(b"%d" % number for number in range(1, 21)), b"", b""]


def test_an_error_comes_after_what_was_taken_before_it() -> None:
    with Ahead(taking(1, [], ValueError("no more"))) as ahead:
        assert ahead.block() == b"1"
        with pytest.raises(ValueError, match="no more"):
            ahead.block()


def test_who_leaves_early_ends_the_reading() -> None:
    taken: list[int] = []
    with Ahead(taking(1000, taken)) as ahead:
        ahead.block()
    assert len(taken) < 20


def test_an_error_that_nobody_asked_for_is_dropped() -> None:
    with Ahead(taking(0, [], ValueError("unseen"))):
        pass
