"""Build records: what each build did, for `why`, timelines and provenance."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from buildkit_py.errors import NotFoundError
from buildkit_py.store.index import Index
from buildkit_py.store.schema import CREATED, is_text, seal

Rows = list[tuple[Any, ...]]
_SELECT = "SELECT id, record, seal FROM builds"


def new_id() -> str:
    """An id for a build: the second in which it began, and something random."""
    return f"{int(time.time()):x}-{os.urandom(4).hex()}"


def summary_of(record: Mapping[str, Any], created: float) -> str:
    """The plain fields of a record, as a row keeps them."""
    plain = {key: value for key, value in record.items() if isinstance(value, str | int | float | None)}
    return json.dumps({**plain, "created": created})


def read_summary(summary: str) -> dict[str, Any] | None:
    """What a summary says; None of a damaged one, which `store check` names."""
    with suppress(TypeError, ValueError, RecursionError):
        found = json.loads(summary)
        if isinstance(found, dict):
            return {name: value for name, value in found.items() if isinstance(value, str | int | float | None)}
    return None


class Builds:
    """The records of past builds, in the order in which they were added."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def add(self, record: Mapping[str, Any]) -> str:
        """Keep a record, a JSON object; gives its id: the record's own `id`, else a new one."""
        name = str(record.get("id") or os.urandom(6).hex())
        text = json.dumps({**record, "id": name})
        created = time.time()
        summary = summary_of({**record, "id": name}, created)
        self._index.execute(
            "INSERT OR REPLACE INTO builds (id, created, summary, record, seal) VALUES (?, ?, ?, ?, ?)",
            (name, created, summary, text, seal(name, text)),
        )
        return name

    def get(self, name: str = "latest") -> dict[str, Any]:
        """The record of an id, of an unambiguous prefix of one, or of the `latest` build; else `NotFoundError`."""
        if name == "latest":
            rows = self._index.rows(f"{_SELECT} ORDER BY number DESC LIMIT 1")
        else:
            rows = self._index.rows(f"{_SELECT} WHERE id = ?", (name,)) or self._by_prefix(name)
        if len(rows) > 1:
            raise NotFoundError(f"several builds have an id that begins with {name!r}", hint="write more of the id")
        if not rows or seal(rows[0][0], rows[0][1]) != rows[0][2]:
            raise NotFoundError(f"no build {name!r} in the store", hint="builds leave a record when they end")
        record: dict[str, Any] = json.loads(rows[0][1])
        return record

    def list(self, limit: int = 100) -> list[dict[str, Any]]:
        """The plain fields of the latest records, the newest first, with `id` and `created` (seconds since 1970); one
        that has lost its id is passed over."""
        rows = self._index.rows("SELECT id, created, summary FROM builds ORDER BY number DESC LIMIT ?", (limit,))
        return [
            {**(read_summary(summary) or {}), "id": name, "created": created}
            for name, created, summary in rows
            if is_text(name)
        ]

    def began(self, last: int) -> float | None:
        """When the last so many builds had begun, the failed ones counted, in seconds since 1970; None where there
        were not so many."""
        row = self._index.row(
            f"SELECT {CREATED}, record FROM builds ORDER BY number DESC LIMIT 1 OFFSET ?", (last - 1,)
        )
        if row is None:
            return None
        took = 0.0
        with suppress(ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
            took = float(json.loads(row[1])["marks"]["ended"])
        return float(row[0]) - took

    def before(self, name: str, *, limit: int, **said: str) -> Iterator[dict[str, Any]]:
        """The records that were added before that of an id and say the same in some plain fields, the newest first;
        each is read when it is asked for. A damaged one is passed over."""
        number = "(SELECT number FROM builds WHERE id = ?)"
        rows = self._index.rows(f"SELECT id, summary FROM builds WHERE number < {number} ORDER BY number DESC", (name,))
        same = (each for each, summary in rows if said.items() <= (read_summary(summary) or {}).items())
        for each in islice(filter(is_text, same), limit):
            with suppress(NotFoundError):
                yield self.get(each)

    def _by_prefix(self, prefix: str) -> Rows:
        if not prefix:
            return []
        return self._index.rows(f"{_SELECT} WHERE id >= ? AND id < ? LIMIT 2", (prefix, prefix + "\U0010ffff"))
