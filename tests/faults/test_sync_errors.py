"""Row 6: a sync that fails with EIO is never tried again as if the bytes could still get to the disk."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.faults.conftest import Prepared
from tests.support import gate
from tests.support.gate import SYNCS, Call
from tests.support.kill_cases import Case, case
from tests.support.places import Place, sample
from tests.support.wholeness import flaws, named_rows, names

SAMPLE = 1


@pytest.mark.parametrize("name", ["build a Buildfile", "pull", "tag", "import"])
def test_06_eio_of_a_sync(prepared: Prepared, name: str) -> None:
    it = case(name)
    whole = prepared(it, "whole")
    before = names(whole.store)
    done = gate.run(whole.pybuild, *it.words(whole), cwd=whole.project, below=whole.store)
    assert done.result.code == 0, done.result.output
    syncs = [call.number for call in done.calls if call.name in SYNCS]
    listed = [call.number for call in done.calls if call.paths[-1].endswith("/index.json")][-1]
    expected = it.told(whole)

    def fail(number: int) -> int:
        return _fail(it, prepared(it, f"failed-{number}"), number, before, expected)

    surely = max(number for number in syncs if number < listed)
    assert fail(surely) == 12
    with sample(name, [number for number in syncs if number != surely], SAMPLE) as chosen:
        for number in chosen:
            fail(number)


def _fail(it: Case, place: Place, number: int, before: dict[str, str], expected: object) -> int:
    """Have that sync fail, and look at what the command makes of it; gives its exit code."""
    failed: list[Call] = []

    def answer(_: int, call: Call) -> int:
        if call.number < number or failed or call.name not in SYNCS:
            return 0
        failed.append(call)
        return errno.EIO

    ended = gate.run(place.pybuild, *it.words(place), cwd=place.project, below=place.store, answer=answer)
    try:
        assert "Traceback" not in ended.result.output and "internal error" not in ended.result.output
        if ended.result.code == 0:
            # Something that nobody asked for was not kept (a note for the next build, the tidying of SQLite's log).
            assert named_rows(place.store) == expected
        else:
            assert ended.result.code == 12, ended.result.output
            assert "the disk reported an error" in ended.result.stderr
            assert named_rows(place.store) == before
        file = failed[0].paths[0]
        later = [path for call in ended.calls[failed[0].number :] for path in call.paths]
        assert _is_renewed(file) or file not in later
        assert not _is_unsure(failed[0], ended.calls[: failed[0].number - 1])
        assert flaws(place.store) == []
        place.check()
        assert names(place.store) == (expected if ended.result.code == 0 else before)
        again = place.pybuild(*it.words(place), cwd=place.project)
        assert again.code == 0, again.output
        place.check()
        assert it.told(place) == expected
    except BaseException as error:
        error.add_note(f"{it.name}: EIO of {failed}, in {place.root}")
        raise
    return ended.result.code


def _is_renewed(file: str) -> bool:
    """What SQLite could not sync it writes anew, from what it still has; a directory has other names by then."""
    return ".db" in Path(file).name or Path(file).is_dir()


def _is_unsure(failed: Call, earlier: tuple[Call, ...]) -> bool:
    """SQLite syncs the directory of its log, and does not mind how that ends: it must have been synced before."""
    by_sqlite = failed.name == "fdatasync" and Path(failed.paths[0]).is_dir()
    return by_sqlite and failed.paths not in [call.paths for call in earlier if call.name == "fsync"]
