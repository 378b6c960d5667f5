"""Fills a store with what many other builds would have left, without building them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from buildkit_py.store import Store


def fill(root: Path, kind: str, count: int) -> None:
    """Add `count` cached `steps` with their trees, or `images` that all name one manifest."""
    with Store.open(root) as store, store.transaction():
        if kind == "steps":
            _steps(store, count)
        else:
            descriptor = store.images.list()[0].descriptor
            for number in range(count):
                store.images.put(f"filled/{number}:1", descriptor)


def _steps(store: Store, count: int) -> None:
    parent = None
    for number in range(count):
        name, diff = _digest(f"tree {number}"), _digest(f"diff {number}")
        store.trees.put(name, parent if number % 50 else None, diff)
        result = {"key": _digest(f"key {number}"), "content_id": name, "diff": diff}
        parts = {"op": _digest(f"op {number}"), "input base": parent}
        store.results.put(_digest(f"key {number}").removeprefix("sha256:"), result, parts, "filled")
        store.memo.put("selection", _digest(f"selection {number}"), diff)
        parent = name


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
