"""Limits of every step, as a command line says them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buildkit_py.cli.commands import load
from buildkit_py.cli.limits import limits_of
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import UsageError


def parsed(*words: str) -> dict[str, int | str]:
    return limits_of(load("build").parsed(words, Shell()))


@pytest.mark.parametrize(
    ("words", "limits"),
    [
        ("--step-timeout 1h30m", {"timeout": 5_400_000}),
        ("--step-timeout=1.5s", {"timeout": 1500}),
        ("--step-timeout 0", {}),
        ("--step-timeout -1", {}),
        ("--step-timeout 0s", {}),
        ("--memory-swap -1", {}),
        ("--memory-swap 0", {}),
        ("--cpus .5", {"cpus": 500}),
        ("-m 512m", {"memory": 512 << 20}),
        ("--memory 1.5GiB --memory-swap 2g", {"memory": 3 << 29, "swap": 1 << 29}),
        ("-m 2g --memory-swap -1", {"memory": 2 << 30, "swap": -1}),
        ("-m 2g --memory-swap 2g", {"memory": 2 << 30}),
        ("-m 0 --memory-swap 0 --pids-limit -1 --cpu-quota -1 --cpus 0 -c 0", {}),
        ("--pids-limit 7", {"pids": 7}),
        ("--cpus 1.5", {"cpus": 1500}),
        ("--cpu-quota 50000", {"cpus": 500}),
        ("--cpu-quota 50000 --cpu-period 20000", {"cpus": 2500}),
        ("-c 512 --cpuset-cpus 0-1,3", {"cpu_shares": 512, "cpuset": "0-1,3"}),
        ("--cpu-shares 1", {"cpu_shares": 2}),
    ],
)
def test_limits(words: str, limits: dict[str, int | str]) -> None:
    assert parsed(*words.split()) == limits


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--step-timeout 10", "can't read --step-timeout"),
        ("--step-timeout 0.4ms", "no step can do with so little"),
        ("-m -1", "can't read --memory '-1'"),
        ("--memory-swap 64m", "no limit of memory is set"),
        ("-m 0 --memory-swap 64m", "no limit of memory is set"),
        ("--cpus -1", "can't read --cpus '-1'"),
        ("--cpu-shares -1", "can't read --cpu-shares '-1'"),
        ("--cpu-period -1", "can't read --cpu-period '-1'"),
        ("--cpu-quota 5 --cpu-period 100", "no period is so short"),
        ("--cpu-period 1000001", "no period is so long"),
        ("--cpuset-cpus 3-1", "can't read --cpuset-cpus"),
        ("-m 512", "no step can do with so little"),
        ("-m much", "can't read --memory"),
        ("-m 2g --memory-swap 1g", "less than the memory alone"),
        ("--pids-limit many", "can't read --pids-limit"),
        ("--cpus 0.001", "no step can do with so little"),
        ("--cpus a", "can't read --cpus"),
        ("--cpus 1 --cpu-quota 50000", "exclude each other"),
        ("--cpuset-cpus all", "can't read --cpuset-cpus"),
    ],
)
def test_wrong_limits(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parsed(*words.split())


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("--step-timeout 0.4ms", "write more, as 90s or 10m; 0 is no limit"),
        ("-m 512", "write more, perhaps with a unit: 512m; 0 is no limit"),
        ("--memory -1", "0 is no limit"),
        ("--cpus -1", "write a number of processors, as 2 or 1.5; 0 is no limit"),
    ],
)
def test_what_to_write_instead(words: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        parsed(*words.split())
    assert error.value.hint == hint


def test_what_needs_something_beside_it(cli: Any) -> None:
    Path("Dockerfile").write_text("FROM scratch\nMAINTAINER me\n")
    cli.engine.on_build = lambda options, emit: (_ for _ in ()).throw(UsageError("stop"))
    assert cli("build", "--memory-swap", "-1", "--cpu-period", "1000", ".") == 2
    assert "--memory-swap: changes nothing without --memory" in cli.err
    assert "--cpu-period: changes nothing without --cpu-quota" in cli.err
    assert cli.engine.asked[-1].limits == {}
    cli("build", "-m", "1g", ".")
    assert cli.engine.asked[-1].limits == {"memory": 1 << 30}
