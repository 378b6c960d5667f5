"""The tables of index.db. Each row that a decision rests on carries `seal`, a short hash of its other columns.

Version 1 (`PRAGMA user_version`). All look-ups on the way of a build are by primary key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from buildkit_py.dataclass import dataclass, field

APPLICATION_ID = 0x70796264  # "pybd"
CREATED, AT = (f"COALESCE(CAST({column} AS REAL), 0)" for column in ("created", "at"))
"""Times are in no seal, and no reason to fail: whatever is there is read as a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """How to make version `version`, and for each older one the statements that lead to the next."""

    version: int
    create: tuple[str, ...]
    migrations: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def steps_from(self, version: int) -> tuple[str, ...] | None:
        """The statements that lead from `version` to this one; None where there is no way."""
        statements: list[str] = []
        for step in range(version, self.version):
            if step not in self.migrations:
                return None
            statements.extend(self.migrations[step])
        return tuple(statements)


SCHEMA = Schema(
    version=1,
    create=(
        # Single facts about the store: `index_json` is the stamp of the index.json that matches `images`.
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        # Content id → parent content id (NULL where nothing is below) and the digest of the diff on top of it.
        "CREATE TABLE trees (id TEXT PRIMARY KEY, parent TEXT, diff TEXT NOT NULL, seal BLOB NOT NULL) WITHOUT ROWID",
        # Step key → result and the named parts of the key, as JSON; `build` is the build that ran it.
        "CREATE TABLE results (key TEXT PRIMARY KEY, value TEXT NOT NULL, parts TEXT NOT NULL, build TEXT NOT NULL,"
        " created REAL NOT NULL, seal BLOB NOT NULL)",
        # Small derived facts, as JSON, by kind.
        "CREATE TABLE memo (kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, created REAL NOT NULL,"
        " seal BLOB NOT NULL, PRIMARY KEY (kind, key))",
        # Image name → descriptor, as JSON.
        "CREATE TABLE images (name TEXT PRIMARY KEY, descriptor TEXT NOT NULL, created REAL NOT NULL,"
        " seal BLOB NOT NULL)",
        # Build records, as JSON, in order; `summary` is what a list shows.
        "CREATE TABLE builds (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created REAL NOT NULL,"
        " summary TEXT NOT NULL, record TEXT NOT NULL, seal BLOB NOT NULL)",
        # When an object was last used (seconds since 1970); only collection looks at it.
        "CREATE TABLE uses (kind TEXT NOT NULL, id TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (kind, id))"
        " WITHOUT ROWID",
    ),
)


def seal(*fields: str | None) -> bytes:
    """Eight bytes that change when a field does: BLAKE2b over the fields, each with its length before it."""
    state = hashlib.blake2b(digest_size=8)
    for text in fields:
        # What a damaged row holds need not be text.
        plain = text if isinstance(text, str | None) else repr((text,))
        data = b"\0" if plain is None else b"\1" + plain.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.digest()


def is_text(*values: object) -> bool:
    """Whether the index can be asked by what it gave: what is damaged need be no text, or no UTF-8."""
    try:
        "".join(values).encode()  # type: ignore[arg-type]
    except (TypeError, UnicodeEncodeError):
        return False
    return True
