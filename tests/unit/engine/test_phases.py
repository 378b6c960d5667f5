"""Phases: what the time of one node went into."""

from __future__ import annotations

from buildkit_py.engine.phases import phases_of


def test_parts_stand_one_after_another_and_the_rest_has_a_name() -> None:
    found = phases_of("run", [("produce", 1.0, 6.0)], {"prepare": 1.0, "run": 2.0, "hash": 0.5}, ready=1.0, reads=False)
    assert found == [("prepare", 1.0, 2.0), ("run", 2.0, 4.0), ("hash", 4.0, 4.5), ("write", 4.5, 6.0)]


def test_a_layer_is_hashed_compressed_and_written() -> None:
    found = phases_of("commit", [("produce", 0.0, 4.0)], {"hash": 1.0, "compress": 2.0}, ready=0.0, reads=False)
    assert found == [("hash", 0.0, 1.0), ("compress", 1.0, 3.0), ("write", 3.0, 4.0)]


def test_what_is_between_is_waiting() -> None:
    found = phases_of("run", [("identify", 2.0, 3.0), ("produce", 5.0, 6.0)], {}, ready=1.0, reads=True)
    assert found == [("wait", 1.0, 2.0), ("hash", 2.0, 3.0), ("wait", 3.0, 5.0), ("run", 5.0, 6.0)]


def test_until_the_bytes_of_a_known_result_are_wanted_nothing_is_waited_for() -> None:
    spells = [("identify", 0.0, 1.0), ("produce", 3.0, 5.0)]
    found = phases_of("image", spells, {"transfer": 1.5}, ready=0.0, reads=False, known=True)
    assert found == [("look", 0.0, 1.0), ("transfer", 3.0, 4.5), ("unpack", 4.5, 5.0)]


def test_an_attempt_that_asked_for_bytes_is_a_look() -> None:
    spells = [("produce", 0.0, 1.0), ("produce", 3.0, 5.0)]
    found = phases_of("copy", spells, {"run": 0.5}, ready=0.0, reads=False)
    assert found == [("look", 0.0, 1.0), ("wait", 1.0, 3.0), ("run", 3.0, 3.5), ("write", 3.5, 5.0)]


def test_what_takes_no_time_is_left_out_and_equal_neighbours_are_one() -> None:
    spells = [("identify", 0.0, 0.0002), ("produce", 0.0003, 2.0)]
    assert phases_of("run", spells, {"run": 0.0, "write": 1.0}, ready=0.0, reads=False) == [("write", 0.0003, 2.0)]


def test_parts_never_reach_beyond_the_whole() -> None:
    found = phases_of("image", [("produce", 0.0, 2.0)], {"transfer": 5.0}, ready=0.0, reads=False)
    assert found == [("transfer", 0.0, 2.0)]


def test_parts_that_went_on_together_share_the_time() -> None:
    found = phases_of("commit", [("produce", 0.0, 3.0)], {"hash": 4.0, "compress": 2.0}, ready=0.0, reads=False)
    assert found == [("hash", 0.0, 2.0), ("compress", 2.0, 3.0)]
