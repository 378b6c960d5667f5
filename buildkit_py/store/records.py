"""Rows by key: trees, step results and derived facts. A row that fails its seal counts as missing.

They tell of what is on the disk already, and come before the names and records that need them, whose transactions are
durable. So none of them is synced alone: a loss of power in the middle of a build may cost some, and the work again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from buildkit_py import canonical
from buildkit_py.errors import NotFoundError
from buildkit_py.store.additional import OtherTrees
from buildkit_py.store.index import Index
from buildkit_py.store.leases import Owner
from buildkit_py.store.schema import seal
from buildkit_py.store.snapshots import Snapshots

EMPTY_TREE = str(canonical.digest({"tree": "scratch"}))
"""The content id of the tree without anything; no row tells of it."""
_LONGEST_CHAIN = 10_000
_CHAIN = f"""
WITH RECURSIVE chain (id, parent, diff, seal, depth) AS (
  SELECT id, parent, diff, seal, 0 FROM trees WHERE id = ?
  UNION ALL
  SELECT trees.id, trees.parent, trees.diff, trees.seal, depth + 1 FROM trees JOIN chain ON trees.id = chain.parent
  WHERE depth < {_LONGEST_CHAIN})
SELECT id, parent, diff, seal FROM chain ORDER BY depth DESC"""


SEPARATOR = "\x1f"


class Trees:
    """Content id → parent content id and diff digest, here or in an additional store."""

    def __init__(self, index: Index, owner: Owner, snapshots: Snapshots, others: OtherTrees) -> None:
        self._index = index
        self._owner = owner
        self._snapshots = snapshots
        self._others = others

    def put(self, content_id: str, parent: str | None, diff_digest: str) -> None:
        """Say what a tree is made of. Saying it again changes nothing."""
        self._owner.note("tree", content_id)
        if self.get(content_id) != (parent, diff_digest):
            self._index.execute(
                "INSERT OR REPLACE INTO trees (id, parent, diff, seal) VALUES (?, ?, ?, ?)",
                (content_id, parent, diff_digest, seal(content_id, parent, diff_digest)),
                durable=False,
            )

    def get(self, content_id: str) -> tuple[str | None, str] | None:
        """The parent (None at the bottom) and the diff's digest; None for an unknown tree."""
        self._owner.note("tree", content_id)
        row = self._index.row("SELECT parent, diff, seal FROM trees WHERE id = ?", (content_id,))
        if row is None or seal(content_id, row[0], row[1]) != row[2]:
            row = self._others.row(content_id)
        return (row[0], row[1]) if row is not None else None

    def chain(self, content_id: str) -> list[str]:
        """The diff digests that make a tree, lowest first; `NotFoundError` where a link of the chain is unknown."""
        if content_id == EMPTY_TREE:
            return []
        self._owner.note("tree", content_id)
        rows = self._index.rows(_CHAIN, (content_id,))
        below = self._elsewhere(rows[0][1] if rows else content_id)
        if below is None or any(seal(*row[:3]) != row[3] for row in rows):
            raise NotFoundError(f"the tree {content_id} is not in the store", hint="build or pull again to get it back")
        return [*below, *(diff for _, _, diff, _ in rows)]

    def _elsewhere(self, content_id: str | None) -> list[str] | None:
        """The diffs of a tree that other stores know, lowest first; None where a link of the chain is unknown."""
        found: list[str] = []
        while content_id not in (None, EMPTY_TREE):
            row = self._others.row(str(content_id)) if len(found) < _LONGEST_CHAIN else None
            if row is None:
                return None
            content_id = row[0]
            found.append(row[1])
        return found[::-1]

    def complete(self, content_id: str) -> bool:
        """Whether the tree is known and every one of its snapshots is there."""
        try:
            chain = self.chain(content_id)
        except NotFoundError:
            return False
        return all(self._snapshots.has(diff) for diff in chain)


class Results:
    """The step cache: key → what the step made, and the named parts of the key."""

    def __init__(self, index: Index, owner: Owner) -> None:
        self._index = index
        self._owner = owner

    def get(self, key: str) -> dict[str, Any] | None:
        """What was put, with `parts` and `build` added; None for an unknown key."""
        self._owner.note("result", key)
        row = self._index.row("SELECT value, parts, build, seal FROM results WHERE key = ?", (key,))
        if row is None or seal(key, *row[:3]) != row[3]:
            return None
        return {**json.loads(row[0]), "parts": json.loads(row[1]), "build": row[2]}

    def put(self, key: str, result: Mapping[str, Any], parts: Mapping[str, Any], build: str) -> None:
        """Remember a result; the last one put counts."""
        self._owner.note("result", key)
        fields = (json.dumps(result), json.dumps(parts), build)
        self._index.execute(
            "INSERT OR REPLACE INTO results (key, value, parts, build, created, seal) VALUES (?, ?, ?, ?, ?, ?)",
            (key, *fields, time.time(), seal(key, *fields)),
            durable=False,
        )


class Memo:
    """Small derived facts, JSON values by kind and key."""

    def __init__(self, index: Index, owner: Owner) -> None:
        self._index = index
        self._owner = owner

    def get(self, kind: str, key: str) -> Any | None:
        """What was put, or None."""
        self._owner.note("memo", memo_id(kind, key))
        row = self._index.row("SELECT value, seal FROM memo WHERE kind = ? AND key = ?", (kind, key))
        if row is None or seal(kind, key, row[0]) != row[1]:
            return None
        return json.loads(row[0])

    def put(self, kind: str, key: str, value: Any) -> None:
        """Remember a fact; the last one put counts."""
        self._owner.note("memo", memo_id(kind, key))
        text = json.dumps(value)
        self._index.execute(
            "INSERT OR REPLACE INTO memo (kind, key, value, created, seal) VALUES (?, ?, ?, ?, ?)",
            (kind, key, text, time.time(), seal(kind, key, text)),
            durable=False,
        )


def memo_id(kind: str, key: str) -> str:
    """How leases and times of use name a fact."""
    return f"{kind}{SEPARATOR}{key}"
