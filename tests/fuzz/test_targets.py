"""Every reader of foreign bytes keeps the contract, for right inputs and for wrong ones made of them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.contract import Finding, Target, check
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_right_inputs(name: str) -> None:
    target = TARGETS[name]
    for data in (*target.seeds(), b"", b"\0", b"\xff\xfe", b"\n" * 1000):
        check(target, data)


@pytest.mark.parametrize("name", TARGETS)
def test_wrong_inputs(name: str) -> None:
    """The same inputs in every run: what a change breaks is seen where it was made. `make fuzz` looks for new ones."""
    target = TARGETS[name]
    seeds = list(target.seeds())

    @settings(
        max_examples=target.examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(seeds), st.randoms(use_true_random=False))
    def feed(seed: bytes, random: Random) -> None:
        check(target, mutated(seed, target.form, seeds, random))

    feed()


def _raises(data: bytes) -> None:
    raise KeyError(data)


def _lasts(data: bytes) -> None:
    while True:
        pass


def _grows(data: bytes) -> None:
    bytes(4 << 30)


@pytest.mark.parametrize(
    ("run", "match"),
    [(_raises, "KeyError"), (_lasts, "OverTime"), (_grows, "MemoryError")],
    ids=["raises", "lasts", "grows"],
)
def test_what_breaks_the_contract_is_found(run, match: str) -> None:
    with pytest.raises(Finding, match=match):
        check(Target(run=run, seeds=list), b"", seconds=0.2)
