"""A build that has nothing to do, told from the receipt of the last one (`buildkit_py.receipt`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from buildkit_py import receipt
from buildkit_py.cli.shell import Shell
from buildkit_py.dataclass import fields
from buildkit_py.errors import PybuildError, StoreError

if TYPE_CHECKING:
    from buildkit_py.engine import Engine
    from buildkit_py.events import Event
    from buildkit_py.progress import Mode, View
    from buildkit_py.store import Store

_TOLD = frozenset({"BuildStarted", "Cached", "Note", "Warned", "LayerDone", "ImageDone", "BuildDone"})
"""Kinds of events that come where nothing is done."""


def again(words: Sequence[str], shell: Shell) -> bool:
    """Whether there is a receipt for this command line and it holds: everything has then been told."""
    began = time.monotonic()
    root = _store_of(words)
    try:
        if not (shell.store_path(root) / "index.db").exists():
            return False
        key = receipt.key_of(words)
        with shell.store(root) as store:
            plain = store.memo.get(receipt.KIND, key)
            if plain is None or plain.get("environment") != _environment(shell) or not receipt.holds(plain, store):
                return False
            _tell(plain, shell, began, _record(plain, store, began))
    except (PybuildError, OSError, ValueError):
        return False  # the long way says what is wrong
    return True


class Ear:
    """Passes events on to a view and remembers them, as long as they tell of nothing but what was there already."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._heard: list[Event] | None = []

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        if type(event).__name__ not in _TOLD:
            self._heard = None
        elif self._heard is not None and type(event).__name__ != "Warned":
            self._heard.append(event)
        self._view(event)

    @property
    def heard(self) -> list[Any] | None:
        """The events as plain values: kind, and fields but the time; None where something was done."""
        return None if self._heard is None else [_plain(event) for event in self._heard]


def keep(shell: Shell, engine: Engine, told: dict[str, Any]) -> None:
    """Leave a receipt for this command line; it is no loss if that can't be."""
    evidence = engine.evidence
    if evidence is not None and engine.record and told["events"] is not None:
        looked = {item.name: getattr(evidence, item.name) for item in fields(evidence)}
        kept = {**told, **looked, "environment": _environment(shell), "record": _timeless(engine.record)}
        with suppress(StoreError), engine.store.index.transaction(durable=False):
            engine.store.memo.put(receipt.KIND, receipt.key_of(shell.words), kept)


def _plain(event: Event) -> list[Any]:
    return [type(event).__name__, {item.name: getattr(event, item.name) for item in fields(event) if item.name != "at"}]


def _environment(shell: Shell) -> str:
    return receipt.surroundings(shell.environ, shell.out.isatty(), shell.err.isatty())


def _store_of(words: Sequence[str]) -> str | None:
    """The value of `--store` as it is usually written; by another spelling a receipt is not found, and not needed."""
    for place, word in enumerate(words):
        if word == "--store":
            return words[place + 1] if place + 1 < len(words) else None
        if word.startswith("--store="):
            return word.removeprefix("--store=")
    return None


def _timeless(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without what only one build's clock says."""
    nodes = {name: {**node, "known": 0.0} for name, node in record["nodes"].items()}
    for node in nodes.values():
        node.pop("phases", None)
    return {**record, "nodes": nodes, "again": True}


def _record(plain: dict[str, Any], store: Store, began: float) -> str:
    """Leave a record and the times of use, as the long way does; gives the build's id."""
    from buildkit_py.store.builds import new_id

    build = new_id()
    uses = {(kind, name) for kind, name in plain["uses"]}
    with store.index.transaction(durable=False):
        now = round(time.monotonic() - began, 4)
        marks = {"began": now, "solved": now, "ended": now}
        store.builds.add({**plain["record"], "id": build, "ended": time.time(), "marks": marks})
        store.record_uses(uses)
    return build


def _tell(plain: dict[str, Any], shell: Shell, began: float, build: str) -> None:
    from buildkit_py.progress import open_view

    view = open_view(cast("Mode", plain["mode"]), out=shell.out, err=shell.err, environ=shell.environ)
    for event in _events(plain["events"], began, build):
        view(event)
    view.close()
    if plain["warnings"]:
        shell.complain(plain["warnings"])
    conclude(plain["mode"], plain["digests"], view, shell.write)


def conclude(mode: Mode, digests: Iterable[str], view: View, say: Callable[[str], None]) -> None:
    """Say at the end what was made, as the mode has it."""
    if mode == "quiet":
        say("".join(f"{digest}\n" for digest in digests))
    elif mode != "json":
        from buildkit_py.progress.summary import render

        say(f"\n{render(view.model)}")


def _events(kept: Sequence[Any], began: float, build: str) -> Iterator[Event]:
    from buildkit_py import events

    for kind, values in kept:
        own = {"build": build} if "build" in values else {}
        yield getattr(events, kind)(**{**values, **own}, at=time.monotonic() - began)
