"""Rows 2 and 3: the power fails at any moment of a command, and what was not synced is lost.

The moments are recorded from a real command, and the store is made as it then may be found (`support/power.py`): with
every change of a name and zeros for bytes, with no name whose directory was not synced, and on a disk for which syncs
of directories do nothing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.conftest import Prepared
from tests.support.kill_cases import Case, case
from tests.support.places import Place, sample
from tests.support.power import MODELS, Model, Recording, record
from tests.support.weaken import weakened
from tests.support.wholeness import names

SAMPLE = 2
CASES = ("build a Buildfile", "pull", "tag", "rmi", "prune", "load")


@pytest.mark.parametrize("name", CASES)
def test_02_03_no_loss_of_power_shows_wrong_or_missing_bytes(prepared: Prepared, name: str) -> None:
    it = case(name)
    place = prepared(it, "recorded")
    recording = record(place, *it.words(place))
    assert recording.gated.result.code == 0, recording.gated.result.output
    expected = it.told(place)
    last = len(recording.moments) - 1
    states = [number * len(MODELS) + place for number in range(last) for place in range(len(MODELS))]
    with sample(name, states, SAMPLE) as chosen:
        for state in chosen:
            _come_back(it, recording, state // len(MODELS), MODELS[state % len(MODELS)], expected)
    # What was reported as done is on the disk, however little else is.
    done = _come_back(it, recording, last, "behind", expected)
    assert names(done.store) == names(place.store)


def _come_back(it: Case, recording: Recording, number: int, model: Model, expected: object) -> Place:
    """Make the store as it is found then, look, and run the command again."""
    root = recording.place.root.with_name(f"{model}-{number}")
    found = recording.after_power_loss(number, model, root)
    try:
        found.check()
        found.check_images()
        kept = found.copy(root.with_name(f"{root.name}-kept"))
        again = found.pybuild(*it.words(found), cwd=found.project)
        assert again.code in it.again, again.output
        found.check()
        found.check_images()
        assert it.told(found) == expected
    except BaseException as error:
        error.add_note(f"{it.name}: {model}, at {recording.moments[number].call}, in {root}")
        raise
    return kept


@pytest.mark.parametrize(
    ("weak", "model", "said"),
    [
        ("no_sync_of_files", "ahead", "its bytes have the digest"),
        ("no_sync_of_directories", "behind", "is missing"),
    ],
)
def test_02_a_command_that_leaves_out_a_sync_fails_this(
    prepared: Prepared, tmp_path: Path, weak: str, model: Model, said: str
) -> None:
    it = case("pull")
    place = prepared(it, "recorded")
    careless = weakened(place.pybuild, tmp_path / "weak", f"tests.faults.weak_syncs:{weak}")
    recording = record(replace(place, pybuild=careless), *it.words(place))
    assert recording.gated.result.code == 0, recording.gated.result.output
    strict = replace(recording, place=replace(recording.place, pybuild=place.pybuild))
    with pytest.raises(AssertionError, match=said):
        _come_back(it, strict, len(recording.moments) - 1, model, it.told(place))
