"""The house's own rules, as tests: format, lint, types, and which room may import which."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD_FILES = sorted([*ROOT.glob("examples/*/Buildfile"), *ROOT.glob("examples/**/*.build")])
CHECKS = {
    "format": ("ruff", "format", "--check", "--quiet", "."),
    "lint": ("ruff", "check", "--quiet", "."),
    "types": ("mypy",),
    "imports": ("lint-imports", "--no-cache"),
}


@pytest.mark.parametrize("name", CHECKS)
def test_style(name: str) -> None:
    program, *arguments = CHECKS[name]
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(CHECKS[name])}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("file", BUILD_FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_examples_are_in_the_one_layout(file: Path) -> None:
    from frontends.buildfile import format_text

    assert format_text(file.read_text()) == file.read_text(), "run `pybuild fmt`"


def test_readme_shows_the_example_as_it_is() -> None:
    example = (ROOT / "examples" / "quickstart" / "Buildfile").read_text()
    assert f"```\n{example}```\n" in (ROOT / "README.md").read_text()
