"""Targets that lie in a store: rows whose seal does not see it, receipts, leases, who holds what."""

from __future__ import annotations

import atexit
import json
from functools import cache
from typing import Any

from buildkit_py import receipt
from buildkit_py.store import Store
from buildkit_py.store.holders import Sight
from buildkit_py.store.holders import _read as read_holder
from buildkit_py.store.leases import _lines
from tests.fuzz.contract import Target, Unfit, attempt
from tests.fuzz.scratch import scratch, written


@cache
def _store() -> Store:
    store = Store.open(scratch() / "rows")
    atexit.register(store.close)
    store.builds.add({"id": "1-a", "outcome": "done", "file": "f", "marks": {"ended": 1.0}, "nodes": {}})
    store.builds.add({"id": "2-b", "outcome": "done", "file": "f", "marks": {"ended": 1.0}, "nodes": {}})
    return store


def _build_row(data: bytes) -> None:
    """What lies in the row of a build is read as far as it can be, and a record only under its seal."""
    store, text = _store(), data.decode("utf-8", "replace")
    store.index.execute("UPDATE builds SET summary = ?, record = ? WHERE id = '1-a'", (text, text), durable=False)
    for row in store.builds.list():
        assert isinstance(row, dict)
    assert attempt(store.builds.get, "1-a") is None
    assert list(store.builds.before("2-b", limit=5, file="f")) == []
    store.builds.began(2)


_BUILD_ROW = b'{"id": "1-a", "outcome": "done", "file": "f", "created": 1.5, "marks": {"ended": 1.0}, "nodes": {}}'


def _receipt(data: bytes) -> None:
    """A receipt that is not as it was written holds not."""
    try:
        plain: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise Unfit from None
    assert receipt.holds(plain, _store()) in (True, False)


_RECEIPT = (
    b'{"trees": {"/usr": ["x", ["bin"]]}, "texts": {"/etc/hostname": "", "/usr": "/usr"},'
    b' "uses": [["tree", "a"]], "rows": "x"}'
)


def _holder(data: bytes) -> None:
    """Who mounted what, for people."""
    found = read_holder(written("holders/abc/holder", data).parent)
    assert found.id == "abc" and Sight(found).why


_HOLDER = {
    "id": "abc", "image": "a", "digest": "sha256:x", "platform": "linux/amd64", "point": "/mnt", "writable": False,
    "objects": [["blob", "sha256:x"]], "boot": "b", "pid_namespace": 1, "pid": 2, "uid": 0, "made": 1.5,
}  # fmt: skip


def _lease(data: bytes) -> None:
    for kind, name in _lines(written("lease", data)):
        assert isinstance(kind, str) and isinstance(name, str)


_LEASE = b'{"pid": 1, "boot": "x"}\n["tree", "sha256:a"]\n["blob", "sha256:b"]'

TARGETS: dict[str, Target] = {
    "build-row": Target(run=_build_row, seeds=lambda: [_BUILD_ROW], form="json"),
    "receipt": Target(run=_receipt, seeds=lambda: [_RECEIPT], form="json"),
    "holder": Target(run=_holder, seeds=lambda: [json.dumps(_HOLDER).encode()], form="json"),
    "lease": Target(run=_lease, seeds=lambda: [_LEASE], form="text"),
}
