from __future__ import annotations

from buildkit_py.executor.sandbox.capabilities import DEFAULT_CAPABILITIES, mask
from frontends.dockerfile.lower.run import CAPABILITIES
from tests.support.command import ROOT


def test_the_page_names_what_steps_have() -> None:
    """A reader compares the page with /proc/self/status, and takes what it leaves out for a hole."""
    page = " ".join((ROOT / "docs/sandbox.md").read_text().split())
    assert f"root has {' '.join(DEFAULT_CAPABILITIES)} and what the step names" in page
    assert f"RUN of a Dockerfile always has {' '.join(CAPABILITIES)} as well" in page
    assert f"CapEff: {mask((*DEFAULT_CAPABILITIES, *CAPABILITIES)):016x}" in page
