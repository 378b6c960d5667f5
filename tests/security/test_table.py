"""The tables of docs/security.md and the tests say the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.support.command import ROOT

PAGE = ROOT / "docs/security.md"
ROOMS = ("security", "faults")
NAMED = re.compile(r"`((?:security|faults|fuzz)/test_\w+\.py)::(test_\w+)`")


def functions_of(file: Path) -> set[str]:
    """The names of the test functions in a file."""
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}


def written() -> set[tuple[str, str]]:
    """Every test that the page names."""
    return set(NAMED.findall(PAGE.read_text()))


def test_what_the_page_names_is_there() -> None:
    missing = [f"{file}::{name}" for file, name in sorted(written()) if name not in functions_of(ROOT / "tests" / file)]
    assert not missing


def test_every_test_has_a_row() -> None:
    rows = written()
    without = [
        f"{room}/{file.name}::{name}"
        for room in ROOMS
        for file in sorted((ROOT / "tests" / room).glob("test_*.py"))
        for name in sorted(functions_of(file))
        if name.startswith("test_") and file.name != Path(__file__).name and (f"{room}/{file.name}", name) not in rows
    ]
    assert not without


def test_no_table_has_a_heading_among_its_rows() -> None:
    """Rows are joined from several hands; a heading in their middle is shown as a hole that nothing tests."""
    lines = PAGE.read_text().splitlines()
    headings = [place for place, line in enumerate(lines) if line.startswith("| row |")]
    assert [lines[place] for place in headings if not lines[place + 1].startswith("|---")] == []
