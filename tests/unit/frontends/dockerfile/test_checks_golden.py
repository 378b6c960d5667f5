"""Dockerfiles and the exact text of what `pybuild check` says of each.

A folder holds a Dockerfile, perhaps a `.dockerignore`, and `result`. `REWRITE_GOLDEN=1 pytest …` writes the results
anew, to be read before they are kept.
"""

import os
from pathlib import Path

import pytest

from buildkit_py.source import render
from frontends.dockerfile.checks import RULES
from tests.support.dockerfile_checks import found

FOLDER = Path(__file__).parents[3] / "golden" / "dockerfile" / "checks"
CASES = sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("name", CASES)
def test_result(name: str) -> None:
    case = FOLDER / name
    text = (case / "Dockerfile").read_bytes().decode()
    ignore = case / ".dockerignore"
    said = render(found(text, ignore=ignore.read_text() if ignore.exists() else ""), {"Dockerfile": text})
    if os.environ.get("REWRITE_GOLDEN"):
        (case / "result").write_text(said)
    assert said == (case / "result").read_text()


def test_every_rule_is_shown() -> None:
    results = "".join((FOLDER / name / "result").read_text() for name in CASES)
    assert [rule for rule in RULES if f"warning[{rule}]" not in results] == []
