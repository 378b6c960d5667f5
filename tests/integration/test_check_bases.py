"""`check` of a file whose base images nobody has: it says so, and goes on."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import Pybuild


def test_what_is_not_known_is_said_once(pybuild: Pybuild, tmp_path: Path) -> None:
    text = "FROM nobody.invalid/x:1 AS a\nFROM nobody.invalid/x:1\nWORKDIR here\nMAINTAINER me\n"
    (tmp_path / "Dockerfile").write_text(text)
    said = pybuild.ok("check", "Dockerfile", cwd=tmp_path).output
    assert said.count("note: nothing is known of nobody.invalid/x:1, so what depends on it is not checked: ") == 1
    assert "MaintainerDeprecated" in said
