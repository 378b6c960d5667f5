"""Care for the rows of the index: which are old, which nothing leads to any more, which fail their seal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from buildkit_py.dataclass import dataclass
from buildkit_py.store.index import Index
from buildkit_py.store.leases import Use
from buildkit_py.store.lines import KIND as LINES
from buildkit_py.store.listings import KIND as LISTING
from buildkit_py.store.reach import mentioned
from buildkit_py.store.records import memo_id
from buildkit_py.store.schema import AT, CREATED, is_text, seal


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How the rows of one table are named and sealed: `key` columns, then `sealed` ones."""

    kind: str
    name: str
    key: tuple[str, ...]
    sealed: tuple[str, ...]

    def delete(self, index: Index, keys: list[tuple[Any, ...]]) -> None:
        """Remove rows by key."""
        where = " AND ".join(f"{column} = ?" for column in self.key)
        plain: list[tuple[Any, ...]] = []
        damaged: list[tuple[Any, ...]] = []
        for key in keys:
            (plain if is_text(*key) else damaged).append(key)
        index.execute_many(f"DELETE FROM {self.name} WHERE {where}", plain)
        for key in damaged:
            self.purge(index, key)

    def purge(self, index: Index, key: tuple[Any, ...]) -> None:
        """Remove a damaged row, whose key need not be text any more."""
        where = " AND ".join(f"CAST({column} AS BLOB) IS ?" for column in self.key)
        index.execute(f"DELETE FROM {self.name} WHERE {where}", tuple(map(_raw, key)))


RESULTS = Table(kind="result", name="results", key=("key",), sealed=("value", "parts", "build"))
MEMO = Table(kind="memo", name="memo", key=("kind", "key"), sealed=("value",))
TREES = Table(kind="tree", name="trees", key=("id",), sealed=("parent", "diff"))
IMAGES = Table(kind="image", name="images", key=("name",), sealed=("descriptor",))
BUILDS = Table(kind="build", name="builds", key=("id",), sealed=("record",))
TABLES = (TREES, RESULTS, MEMO, IMAGES, BUILDS)


def expire_rows(index: Index, live: frozenset[Use], cutoff: float | None, there: Callable[[str], bool]) -> None:
    """Forget results and facts not used since `cutoff` (seconds since 1970), and trees that nothing leads to then.

    Whatever a live lease uses stays, and what that leads to. Where the layers of bases can be fetched from (memo
    `origin`) is never forgotten: images may consist of layers that were left there. The listing of a selection goes
    with the last step that it is known of, what is known of the lines of a configuration with that: `there` says
    whether a blob is there.
    """
    if cutoff is None:
        return
    with index.transaction():
        used = {(kind, name): at for kind, name, at in index.rows(f"SELECT kind, id, {AT} FROM uses")}
        for table in (RESULTS, MEMO):
            rows = index.rows(f"SELECT {', '.join(table.key)}, {CREATED} FROM {table.name}")
            times = {tuple(key): (_use(table, key), created) for *key, created in rows}
            old = [
                key
                for key, (use, created) in times.items()
                if use not in live
                and (table is not MEMO or key[0] not in ("origin", LISTING, LINES))
                and max(created, used.get(use, 0.0)) < cutoff
            ]
            table.delete(index, old)
        _drop_listings(index, live)
        _drop_lines(index, live, there)
        _drop_trees(index, live)
        index.execute("DELETE FROM uses WHERE kind IN ('result', 'memo', 'tree') AND at < ?", (cutoff,))


def unsealed(index: Index, table: Table) -> Iterator[tuple[Any, ...]]:
    """The keys of the rows that do not match their seal."""
    columns = ", ".join((*table.key, *table.sealed, "seal"))
    for row in index.rows(f"SELECT {columns} FROM {table.name}"):
        with suppress(TypeError, AttributeError):
            if seal(*row[:-1]) == row[-1]:
                continue
        yield row[: len(table.key)]


def _raw(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogateescape")


def _use(table: Table, key: Sequence[Any]) -> Use:
    return (table.kind, memo_id(*key) if table is MEMO else key[0])


def _drop_listings(index: Index, live: frozenset[Use]) -> None:
    """Drop what no result and no record of a build speaks of, and no build under way may be about to."""
    texts = index.rows("SELECT parts FROM results UNION ALL SELECT record FROM builds")
    kept = {digest for (text,) in texts for digest in mentioned(text)}
    keys = index.rows("SELECT kind, key FROM memo WHERE kind = ?", (LISTING,))
    MEMO.delete(index, [key for key in keys if key[1] not in kept and _use(MEMO, key) not in live])


def _drop_lines(index: Index, live: frozenset[Use], there: Callable[[str], bool]) -> None:
    keys = index.rows("SELECT kind, key FROM memo WHERE kind = ?", (LINES,))
    MEMO.delete(index, [key for key in keys if _use(MEMO, key) not in live and not there(key[1])])


def _drop_trees(index: Index, live: frozenset[Use]) -> None:
    parents: dict[str, str | None] = dict(index.rows("SELECT id, parent FROM trees"))
    texts = index.rows("SELECT value FROM memo UNION ALL SELECT value FROM results")
    pending: list[str | None] = [name for kind, name in live if kind == "tree"]
    pending.extend(digest for (text,) in texts for digest in mentioned(text))
    kept: set[str] = set()
    while pending:
        current = pending.pop()
        if current in parents and current not in kept:
            kept.add(current)
            pending.append(parents[current])
    TREES.delete(index, [(name,) for name in parents if name not in kept])
