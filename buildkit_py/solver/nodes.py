"""The nodes of a plan: how each kind is identified and produced.

A node answers `identify` with what it found out, and `produce` when its result is durable. Both may raise
`InputNeeded` to say that they can't go on without the bytes of an input.
"""

from __future__ import annotations

from threading import Event
from typing import Protocol

from buildkit_py.dataclass import dataclass
from buildkit_py.source import Span


class InputNeeded(Exception):  # noqa: N818 - a request, not a fault
    """The bytes of some inputs are needed first; `nodes` are their ids."""

    def __init__(self, *nodes: str) -> None:
        super().__init__(*nodes)
        self.nodes = nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The answer to `identify` and `produce`: is the result known, are its bytes here, was a step spared by it?

    `apart`: its bytes may be had without those of what it is made from. `changed`: it was made again, and came out
    other than it was known.
    """

    known: bool
    available: bool = False
    spared: bool = False
    apart: bool = False
    changed: bool = False


class Node(Protocol):
    """One node of a plan."""

    id: str
    kind: str
    title: str
    span: Span | None
    inputs: tuple[str, ...]
    eager: tuple[str, ...]
    slow: bool

    def identify(self) -> Identity:
        """Find out whether the result is known. `slow` nodes are asked on a thread of their own."""

    def look_ahead(self, stop: Event) -> None:
        """Do what will make `identify` take less time, and needs no other node; asked of `slow` nodes alone, on a
        thread of its own. Never fails, and ends soon once `stop` is set."""

    def prepare(self) -> None:
        """Called on the scheduling thread before `produce`."""

    def produce(self) -> Identity:
        """Make the result, so that `identify` would find it; raises a `PybuildError` where the step failed.

        Where the result is known by then without its bytes, it is asked once more if anybody needs them.
        """

    def cancel(self) -> None:
        """Stop `produce`, from another thread; idempotent."""
