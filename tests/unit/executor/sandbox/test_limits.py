"""Limits: their numbers are the kernel's, and what can't be raised is told."""

from __future__ import annotations

import resource

import pytest

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox.callscript import Data
from buildkit_py.executor.sandbox.limits import RESOURCES, calls, raise_hard


def test_the_numbers_are_those_of_the_kernel() -> None:
    for name, number in RESOURCES.items():
        assert getattr(resource, f"RLIMIT_{name.upper()}", number) == number


def test_the_calls_hold_both_values() -> None:
    data = Data()
    (one, two) = calls((("nofile", 1, 2), ("core", 0, -1)), data)
    assert [call.arguments[:2] for call in (one, two)] == [(0, 7), (0, 4)]
    assert data.raw == b"\x01" + bytes(7) + b"\x02" + bytes(7) + bytes(8) + b"\xff" * 8


def test_hard_limits_are_only_ever_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10, 100))
    monkeypatch.setattr(resource, "setrlimit", lambda number, values: asked.append((number, values)))
    raise_hard((("nofile", 5, 50), ("nproc", 5, 500), ("core", 0, -1)))
    assert asked == [(RESOURCES["nproc"], (10, 500)), (RESOURCES["core"], (10, -1))]


def test_who_may_not_raise_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (10, 100))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    with pytest.raises(SandboxError, match="the limit nproc can't be raised to 500") as caught:
        raise_hard((("nproc", 5, 500),))
    assert caught.value.hint == "100 is the most that pybuild may give here"
