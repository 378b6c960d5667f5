"""Outputs that take the place of earlier ones."""

from pathlib import Path

import pytest

from buildkit_py.errors import OutputError
from buildkit_py.image.staging import exclusive, new_directory


def test_a_directory_that_was_an_output_is_replaced_and_no_other(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("first", "second"):
        with exclusive(out), new_directory(out) as directory:
            (directory / name).touch()
    assert [each.name for each in out.iterdir()] == ["second"]
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    mine = tmp_path / "mine"
    (mine / "precious").mkdir(parents=True)
    with pytest.raises(OutputError, match="not an empty directory"), exclusive(mine), new_directory(mine):
        pass
    assert (mine / "precious").is_dir()
