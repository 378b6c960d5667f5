"""Blobs that come in while others are worked on."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from buildkit_py.errors import RegistryError
from buildkit_py.executor.source.arrivals import Arrivals

Note = Callable[[str], None]


def test_what_is_there_can_be_used_before_the_rest() -> None:
    used = threading.Event()

    def fetch(note: Note, stop: threading.Event) -> None:
        note("a")
        assert used.wait(10)
        note("b")

    with Arrivals(fetch) as arrivals:
        arrivals.wait("a")
        used.set()
        arrivals.wait("b")


def test_a_failure_is_raised_to_who_waits_and_what_is_there_stays() -> None:
    def fetch(note: Note, stop: threading.Event) -> None:
        note("a")
        raise RegistryError("gone")

    with Arrivals(fetch) as arrivals:
        with pytest.raises(RegistryError, match="gone"):
            arrivals.wait("b")
        arrivals.wait("a")


def test_leaving_stops_the_transfers_and_waits_for_them() -> None:
    ended: list[bool] = []

    def fetch(note: Note, stop: threading.Event) -> None:
        ended.append(stop.wait(10))

    with pytest.raises(RegistryError), Arrivals(fetch):
        raise RegistryError("damaged")
    assert ended == [True]


def test_nobody_waits_for_what_will_not_come() -> None:
    with Arrivals(lambda note, stop: None) as arrivals, pytest.raises(LookupError):
        arrivals.wait("a")
