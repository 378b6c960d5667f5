"""`spec/dockerfile.md` names every rule, and test modules that there are."""

import re
from pathlib import Path

from frontends.dockerfile.checks import RULES

ROOT = Path(__file__).parents[4]
TEXT = (ROOT / "spec" / "dockerfile.md").read_text()
MODULES = {path.stem for path in (ROOT / "tests").rglob("*.py")}


def test_every_rule_has_a_line() -> None:
    assert re.findall(r"^\| ([A-Z]\w+) \|", TEXT.split("## 7.")[1].split("## 8.")[0], re.MULTILINE) == list(RULES)


def test_the_tests_that_are_named_are_there() -> None:
    named = set(re.findall(r"`((?:test|cases|reasoned)_\w+)`", TEXT))
    assert len(named) > 15
    assert sorted(named - MODULES) == []


def test_what_is_called_refereed_is_built_by_others_too() -> None:
    for row in re.findall(r"^\|.*\| (?:refereed|reasoned) \|$", TEXT, re.MULTILINE):
        *_, tests, known, _ = row.split("|")
        assert known.strip() == ("refereed" if "`cases_" in tests else "reasoned"), row
