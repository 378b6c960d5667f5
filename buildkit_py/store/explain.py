"""Why something is in the store: chains that lead from what people know (names, builds, processes) to one object."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import NotFoundError
from buildkit_py.store.gc import Rules, choose, inventory
from buildkit_py.store.leases import Leases
from buildkit_py.store.reach import path_to

if TYPE_CHECKING:
    from buildkit_py.store.inventory import Held
    from buildkit_py.store.report import PruneItem
    from buildkit_py.store.store import Store

Chain = tuple[str, ...]
_LEAST_DIGITS = 6
_MOST_CHAINS = 20
_MOST_TREES = 10_000
_FACTS = {
    "base": "what is known of the base image {}",
    "layer": "a layer that was packed from what steps made",
    "compiled": "the graph of a build file",
    "url": "what was fetched from {}",
    "tag": "what the tag {} means",
    "receipt": "a build that had nothing to do",
}
"""What a fact of the store tells, by its kind; `{}` is its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One object, whether a prune would remove it, and what leads to it, each chain from the outside in."""

    item: PruneItem
    remove: bool
    chains: tuple[Chain, ...]


def explain(store: Store, what: str, rules: Rules) -> list[Explanation]:
    """Everything that `what` may mean: a digest or how it begins, an image's name, the id of a cache or a build.

    Raises `NotFoundError` where there is nothing of that name.
    """
    objects = inventory(store, rules)
    if not rules.images:
        objects += [held for held in inventory(store, Rules(images=True)) if held.kind == "image"]
    choices = [choice for choice in choose(objects, rules, time.time()) if _means(choice.held, what)]
    if not choices:
        raise NotFoundError(f"nothing in the store is called {what!r}", hint="`pybuild prune -n -v` names everything")
    return [
        Explanation(
            item=choice.item(),
            remove=choice.remove,
            chains=tuple(islice(_chains(store, choice.held), _MOST_CHAINS)),
        )
        for choice in choices
    ]


def _means(held: Held, what: str) -> bool:
    digits = what.rpartition(":")[2]
    begins = len(digits) >= _LEAST_DIGITS and held.id.rpartition(":")[2].startswith(digits)
    return what in (held.id, held.label) or (begins and what.startswith(("sha", digits)) and held.kind != "image")


def _chains(store: Store, held: Held) -> Iterator[Chain]:
    for pid in Leases.holders(store.layout, (held.kind, held.id)):
        yield (f"process {pid}",)
    if held.kind == "image":
        yield (f"image {held.id}", f"{held.digest}")
    elif held.kind == "blob":
        yield from _of_images(store, held)
        yield from ((*chain, held.id) for chain in _of_rows(store, held.id))
        yield from _of_trees(store, held)
    elif held.kind == "snapshot":
        yield from _of_trees(store, held)


def _of_images(store: Store, held: Held) -> Iterator[Chain]:
    for name in held.names:
        descriptor = store.images.get(name)
        path = path_to(store.layout, descriptor, held.id) if descriptor is not None else None
        if path is not None:
            yield (f"image {name}", *map(_called, path))


def _called(descriptor: dict[str, Any]) -> str:
    media = str(descriptor.get("mediaType", ""))
    kinds = {"index": "index", "list": "index", "manifest": "manifest", "config": "config", "container.image": "config"}
    kind = next((name for word, name in kinds.items() if word in media), "layer")
    platform = descriptor.get("platform")
    for_ = f" for {platform.get('os')}/{platform.get('architecture')}" if isinstance(platform, dict) else ""
    return f"{kind} {descriptor.get('digest')}{for_}"


def _of_trees(store: Store, held: Held) -> Iterator[Chain]:
    """By way of the trees that the diff is a part of, the nearest first."""
    pending: list[tuple[str, Chain]] = [
        (content, (f"tree {content}", held.id)) for (content,) in _trees(store, "diff", held.id)
    ]
    seen = {content for content, _ in pending}
    while pending and len(seen) < _MOST_TREES:
        content, below = pending.pop(0)
        found = [(*chain, *below) for chain in _of_rows(store, content)]
        yield from found
        if not found:
            for (child,) in _trees(store, "parent", content):
                if child not in seen:
                    seen.add(child)
                    pending.append((child, (f"tree {child}", *below)))


def _trees(store: Store, column: str, value: str) -> list[tuple[str]]:
    return store.index.rows(f"SELECT id FROM trees WHERE {column} = ? ORDER BY id", (value,))


def _of_rows(store: Store, digest: str) -> Iterator[Chain]:
    """The steps and facts that mention a digest."""
    mentions = (f"%{digest}%",)
    for key, build in store.index.rows("SELECT key, build FROM results WHERE value LIKE ? ORDER BY key", mentions):
        yield (f"build {build}", _step(store, key, build))
    for (build,) in store.index.rows("SELECT id FROM builds WHERE summary LIKE ? ORDER BY number", mentions):
        yield (f"build {build}", "its graph")
    for kind, key in store.index.rows("SELECT kind, key FROM memo WHERE value LIKE ? ORDER BY kind", mentions):
        yield (_FACTS.get(kind, f"a fact of the kind {kind!r}").format(key),)


def _step(store: Store, key: str, build: str) -> str:
    with suppress(NotFoundError):
        for node in store.builds.get(build).get("nodes", {}).values():
            if node.get("key") == key:
                return f"step {node.get('title')!r}" + (f" at {node['at']}" if "at" in node else "")
    return f"step {key}"
