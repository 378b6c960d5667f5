"""Dockerfiles for features that Debian's referees lack, and for texts that they write otherwise: the reference decides.

A newer daemon (see `conftest.py`) is asked too, where there is one.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.differential.conftest import OTHER
from tests.differential.reason import Reasoned, faults
from tests.differential.referees import Docker, Ours, version

TABLES = sorted(path.stem for path in Path(__file__).parent.glob("reasoned_*.py"))
ALL: list[Reasoned] = [each for name in TABLES for each in importlib.import_module(f"tests.differential.{name}").CASES]
CASES = {each.case.name: each for each in ALL}


@pytest.mark.parametrize("name", CASES)
def test_as_the_reference_says(name: str, ours: Ours, places: Mapping[str, str], tmp_path: Path) -> None:
    case = CASES[name].case.placed(places)
    wrong = faults(ours.build(case, case.write(tmp_path / name)), CASES[name].expected)
    assert not wrong, f"{case.rule}\n{case.text}\n" + "\n".join(wrong)


@pytest.mark.parametrize("name", CASES if OTHER else ())
def test_as_a_newer_daemon_says(name: str, docker: Docker, places: Mapping[str, str], tmp_path: Path) -> None:
    case = CASES[name].case.placed(places)
    if version(docker) < CASES[name].since:
        pytest.skip("this daemon is too old for the case")
    wrong = faults(docker.build(case, case.write(tmp_path / name)), CASES[name].expected, ours=False)
    assert not wrong, f"{case.rule}\n{case.text}\n" + "\n".join(wrong)


def test_enough_cases() -> None:
    assert len(CASES) == len(ALL), "two cases have the same name"
    assert len(CASES) >= 150
