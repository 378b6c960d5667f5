"""Control groups of a test's own, one in each hierarchy that carries a controller of limits, to start a command in."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from buildkit_py.executor.cgroup import NAMES, Controller, find, words


def found() -> dict[str, Controller]:
    """The controllers that can be used here."""
    return {name: each for name, each in find().items() if not each.refusal}


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The groups: whoever is started by `wrapper` is in them."""

    groups: tuple[Path, ...]

    @property
    def wrapper(self) -> tuple[str, ...]:
        """The words that start a command in there."""
        enter = "; ".join(f"echo $$ > {group}/cgroup.procs" for group in self.groups)
        return ("sh", "-ec", f'{enter}; exec "$@"', "sh")

    def below(self) -> list[str]:
        """The names of the groups that were made in there."""
        return sorted(each.name for group in self.groups for each in group.iterdir() if each.is_dir())


@contextmanager
def home() -> Iterator[Home]:
    """Make the groups; at the end nobody may be in them, and no group that was made there."""
    parents = {each.group: each.version for each in found().values()}
    groups = []
    try:
        for parent, version in parents.items():
            groups.append(parent / f"test-{secrets.token_hex(4)}")
            groups[-1].mkdir()
            _open(parent, groups[-1], version)
        made = Home(groups=tuple(groups))
        yield made
        assert made.below() == []
    finally:
        for group in groups:
            for each in sorted(group.rglob("*"), reverse=True):
                if each.is_dir():
                    each.rmdir()
            group.rmdir()


def _open(parent: Path, group: Path, version: int) -> None:
    """Let processes in, and have the group delegated, as systemd does it."""
    if version == 1 and (group / "cpuset.mems").exists():
        for name in ("cpuset.mems", "cpuset.cpus"):
            (group / name).write_text((parent / name).read_text())
    if version == 2:
        carried = [f"+{name}" for name in NAMES if name in words(parent / "cgroup.controllers")]
        (parent / "cgroup.subtree_control").write_text(" ".join(carried))
        os.setxattr(group, "trusted.delegate", b"1")
