"""Progress of several transfers as one."""

from __future__ import annotations

from buildkit_py.executor.source.meter import Meter
from buildkit_py.oci import Descriptor

ONE, TWO = (Descriptor.of(data, "application/octet-stream") for data in (b"one", b"two"))


def test_what_several_moved_is_added_up() -> None:
    told: list[tuple[int, int | None]] = []
    meter = Meter(lambda done, total: told.append((done, total)), 400)
    for blob, done in ((ONE, 100), (TWO, 50), (TWO, 51), (ONE, 200), (TWO, 200)):
        meter(blob, done)
    assert told == [(100, 400), (150, 400), (251, 400), (400, 400)]


def test_without_a_total_it_tells_of_every_megabyte() -> None:
    told: list[tuple[int, int | None]] = []
    meter = Meter(lambda done, total: told.append((done, total)))
    for done in range(0, 3 << 20, 1 << 16):
        meter(ONE, done)
    assert told == [(1 << 20, None), (2 << 20, None)]
