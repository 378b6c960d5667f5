"""The same Dockerfile built by pybuild and by others: same settings, same files, and at BuildKit the same layers."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.differential.case import BUILDAH, DOCKER, Case, Referee, by_name
from tests.differential.disagreements import KNOWN, known, unknown
from tests.differential.record import Outcome, differences, flat
from tests.differential.referees import Buildah, Builder, Docker, Ours, version

TABLES = sorted(path.stem for path in Path(__file__).parent.glob("cases_*.py"))
CASES = by_name(*(importlib.import_module(f"tests.differential.{name}").CASES for name in TABLES))


@pytest.mark.parametrize("name", CASES)
def test_same_as_the_referees(name: str, ours: Ours, docker: Docker, buildah: Buildah, tmp_path: Path) -> None:
    case = CASES[name]
    judges: dict[Referee, tuple[Builder, int]] = {DOCKER: (docker, version(docker)), BUILDAH: (buildah, 0)}
    made = ours.build(case, case.write(tmp_path / name))
    said = [
        f"{referee} says otherwise: {line}"
        for referee in case.referees
        for line in compare(case, referee, judges[referee], made, tmp_path)
    ]
    assert flat(made)["build"] == ("fails" if case.fails else "works"), f"{case.rule}\n{made}"
    assert not said, f"{case.rule}\n{case.text}\n" + "\n".join(said)


def compare(case: Case, referee: Referee, judge: tuple[Builder, int], made: Outcome, place: Path) -> list[str]:
    """What a referee says otherwise, without what is known."""
    builder, release = judge
    theirs = builder.build(case, case.write(place / f"{referee}-{case.name}"))
    layers = referee == DOCKER
    found = differences(flat(made, layers=layers), flat(theirs, layers=layers))
    return list(unknown(found, known(referee, case.name, release)))


def test_table_of_disagreements_names_cases_that_there_are() -> None:
    named = {pattern for entry in KNOWN for pattern in entry.cases if "*" not in pattern}
    assert named <= CASES.keys()


def test_enough_cases_and_referees() -> None:
    assert len(CASES) >= 150
    assert all(case.referees for case in CASES.values())
