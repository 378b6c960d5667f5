"""The end of a build: its record never takes the place of why it failed."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from buildkit_py import events
from buildkit_py.engine import BuildOptions, Engine
from buildkit_py.engine.record import Recorder
from buildkit_py.errors import OutputError, StoreError

FILE = """buildfile 1
image app {
from scratch
write /x "x"
output rootfs ./full
}
"""


@pytest.mark.parametrize("fault", [StoreError("the disk is full"), OSError(errno.ENOSPC, "no space")])
def test_a_record_that_can_not_be_kept_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(Recorder, "save", fail)
    (tmp_path / "context/full").mkdir(parents=True)
    (tmp_path / "context/full/mine").touch()
    (tmp_path / "context/Buildfile").write_text(FILE)
    seen: list[events.Event] = []
    with Engine(tmp_path / "store") as engine, pytest.raises(OutputError) as caught:
        engine.build(BuildOptions(context=tmp_path / "context"), seen.append)
    assert caught.value.span is not None
    assert caught.value.span.line == 5
    assert [note.level for note in seen if isinstance(note, events.Note) and "record" in note.text] == ["warning"]
