"""Wrong Dockerfiles and the exact message that a person sees for each.

A folder holds a Dockerfile, perhaps `arguments.json` (what `load` is given besides), and `result`.
`REWRITE_GOLDEN=1 pytest …` writes the results anew, to be read before they are kept.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from buildkit_py.errors import SourceError
from buildkit_py.platform import Platform
from buildkit_py.source import Diagnostic, render
from frontends.dockerfile import load
from tests.support.dockerfiles import resolver

FOLDER = Path(__file__).parents[3] / "golden" / "dockerfile" / "errors"
CASES = sorted(path.name for path in FOLDER.iterdir())


def text_of(name: str) -> str:
    return (FOLDER / name / "Dockerfile").read_bytes().decode()


def faults_of(name: str) -> Sequence[Diagnostic]:
    arguments = FOLDER / name / "arguments.json"
    given = json.loads(arguments.read_text()) if arguments.exists() else {}
    platforms = [Platform.parse("linux/amd64")]
    with pytest.raises(SourceError) as caught:
        load(text_of(name), file="Dockerfile", resolver=resolver(), platforms=platforms, **given)
    return caught.value.diagnostics


@pytest.mark.parametrize("name", CASES)
def test_result(name: str) -> None:
    said = render(faults_of(name), {"Dockerfile": text_of(name)})
    if os.environ.get("REWRITE_GOLDEN"):
        (FOLDER / name / "result").write_text(said)
    assert said == (FOLDER / name / "result").read_text()


def test_there_are_many() -> None:
    assert len(CASES) >= 70


def test_every_message_has_a_hint() -> None:
    assert [name for name in CASES if not all(fault.hint for fault in faults_of(name))] == []
