"""The tests of archives notice an engine without the guard: each is run on one, and fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security import test_archives_bombs as bombs
from tests.security import test_archives_ways as ways
from tests.security import test_image_config as config
from tests.security import test_registry as registries
from tests.support.command import Pybuild
from tests.support.faulty_registry import faulty_registry
from tests.support.tars import DEAD
from tests.support.weaken import weakened

WEAK = "tests.security.weak_archives"


def test_links_that_are_followed_are_noticed(pybuild: Pybuild, tmp_path: Path) -> None:
    """A layer writes through its own link, and the canary is found changed."""
    weak = weakened(pybuild, tmp_path / "weak", f"{WEAK}:paths_are_followed")
    with pytest.raises(AssertionError):
        ways.stay_below(weak, tmp_path, "oci")
    assert (tmp_path / "canary/file").read_bytes() == DEAD


def test_names_that_lead_out_are_noticed(pybuild: Pybuild, tmp_path: Path) -> None:
    """The refusal does not come."""
    weak = weakened(pybuild, tmp_path / "weak", f"{WEAK}:names_may_lead_out")
    with pytest.raises(AssertionError):
        ways.leads_out(weak, tmp_path, "oci")


@pytest.mark.parametrize("name", ["load", "import", "base"])
def test_bombs_that_meet_no_limit_are_noticed(pybuild: Pybuild, tmp_path: Path, name: str) -> None:
    """The command takes what it should have refused."""
    weak = weakened(pybuild, tmp_path / "weak", f"{WEAK}:no_limits")
    with pytest.raises(AssertionError):
        bombs.hold(weak, bombs.bombs(tmp_path), name)


def test_documents_that_mean_two_things_are_noticed(pybuild: Pybuild, tmp_path: Path) -> None:
    """The document is taken for a manifest."""
    weak = weakened(pybuild, tmp_path / "weak", f"{WEAK}:documents_mean_what_comes_first")
    with faulty_registry() as server, pytest.raises(AssertionError):
        server.put(registries.IMAGE.config)
        server.put(b"one layer")
        registries.taken_nowhere(weak, server, tmp_path)


def test_text_that_a_terminal_obeys_is_noticed(pybuild: Pybuild, tmp_path: Path) -> None:
    """It is in the output."""
    weak = weakened(pybuild, tmp_path / "weak", f"{WEAK}:text_is_shown_as_it_is")
    with pytest.raises(AssertionError):
        config.inert(weak, config.prepared(weak, tmp_path))
