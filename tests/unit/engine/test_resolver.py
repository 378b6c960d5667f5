"""What the engine answers a frontend that looks for files, and what a remembered graph depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buildkit_py.engine.resolver import EngineResolver
from buildkit_py.errors import SourceError, SourceInputError
from buildkit_py.lockfile import LockedResolver, LockFile


@pytest.fixture
def context(tmp_path: Path) -> Path:
    for name in ("context", "outside", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "App.build").write_text("x")
    (tmp_path / "outside" / "App.build.ignore").write_text("beside")
    (tmp_path / "other" / "note").write_text("other")
    return tmp_path / "context"


def resolver(context: Path, **more: Any) -> EngineResolver:
    nobody: Any = None
    return EngineResolver(nobody, nobody, context, context / "lock", locked=False, **more)


def test_a_file_that_is_not_there_is_no_error(context: Path) -> None:
    (context / "notes").write_text("n")
    found = resolver(context)
    assert (found.find("notes"), found.find("none"), found.find("notes/x")) == ("n", None, None)


def test_no_path_leaves_the_directory(context: Path) -> None:
    (context / "link").symlink_to("../other/note")
    for path in ("../other/note", "link"):
        with pytest.raises(SourceInputError, match="can't be read"):
            resolver(context).find(path)
    with pytest.raises(SourceInputError, match="can't be read"):
        resolver(context).find(".")


def test_files_called_after_the_build_file_are_beside_it(context: Path) -> None:
    found = resolver(context, build_file=context.parent / "outside" / "App.build")
    assert found.find("../outside/App.build.ignore") == "beside"
    assert found.find("../outside/App.build.none") is None
    for path in ("../outside/App.build/../App.build", "../outside/other"):
        with pytest.raises(SourceInputError, match="can't be read"):
            found.find(path)


def test_a_directory_has_a_name(context: Path) -> None:
    found = resolver(context, contexts={"more": context.parent / "other"})
    assert found.find("note", "more") == "other"
    with pytest.raises(SourceInputError, match="no directory called 'less'"):
        found.find("note", "less")


def test_what_was_found_and_what_was_not_counts(context: Path) -> None:
    (context / "notes").write_text("n")
    first = resolver(context)
    first.find("notes"), first.find("none"), first.find("a:b")
    assert resolver(context).unchanged(first.read())
    (context / "none").touch()
    assert not resolver(context).unchanged(first.read())
    (context / "none").unlink()
    (context / "notes").write_text("m")
    assert not resolver(context).unchanged(first.read())


def test_bytes_that_are_no_text_are_told_by_name(context: Path) -> None:
    (context / "notes").write_bytes(b"\xff")
    with pytest.raises(SourceError) as caught:
        resolver(context).find("notes")
    assert caught.value.diagnostics[0].span is not None and caught.value.diagnostics[0].span.file == "notes"


def test_a_lock_pins_nothing_of_it(context: Path) -> None:
    (context / "notes").write_text("n")
    lock = LockFile(context / "lock")
    locked = LockedResolver(resolver(context), lock, locked=True)
    assert (locked.find("notes"), locked.find("none"), any(lock.pins.values())) == ("n", None, False)
