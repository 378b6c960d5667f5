"""Wrong Buildfiles and the exact message that a person sees for each.

A folder holds a Buildfile, the files that it imports, perhaps `arguments.json` (what `load` is given besides), and
`expected.txt`. `REWRITE_GOLDEN=1 pytest …` writes the expected texts anew, to be read before they are kept.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.errors import SourceError
from buildkit_py.graph.resolver import StaticResolver
from buildkit_py.platform import Platform
from buildkit_py.source import render
from frontends.buildfile import load

FOLDER = Path(__file__).parents[3] / "golden" / "buildfile" / "errors"
CASES = sorted(path.name for path in FOLDER.iterdir())


def message_of(case: Path) -> str:
    texts = {
        str(path.relative_to(case)): path.read_bytes().decode()
        for path in case.rglob("*")
        if path.is_file() and path.name not in ("expected.txt", "arguments.json")
    }
    given: dict[str, Any] = {}
    if (case / "arguments.json").exists():
        given = json.loads((case / "arguments.json").read_text())
    platforms = [Platform.parse(name) for name in given.pop("platforms", ["linux/amd64"])]
    resolver = StaticResolver(texts=texts)
    with pytest.raises(SourceError) as caught:
        load(texts["Buildfile"], file="Buildfile", resolver=resolver, platforms=platforms, **given)
    return render(caught.value.diagnostics, texts)


@pytest.mark.parametrize("name", CASES)
def test_message(name: str) -> None:
    case = FOLDER / name
    found = message_of(case)
    if os.environ.get("REWRITE_GOLDEN"):
        (case / "expected.txt").write_text(found)
    assert found == (case / "expected.txt").read_text()


def test_there_are_many() -> None:
    assert len(CASES) >= 70
