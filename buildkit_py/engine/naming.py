"""What the names of the store have to do with a reference that a build file writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildkit_py.errors import PybuildError
from buildkit_py.reference import Reference

if TYPE_CHECKING:
    from buildkit_py.store import Store

_SHOWN = 5


def reference(name: str) -> Reference | None:
    """A name of the store as a build file would write it, None where none could."""
    try:
        return Reference.parse(name)
    except PybuildError:
        return None


def told_of(store: Store, ref: str) -> str | None:
    """What the store knows of a name that no registry has: what to do instead, None where it knows nothing."""
    wanted = reference(ref.partition("@")[0])
    records = [(reference(record.name), record) for record in store.images.everywhere()] if wanted is not None else []
    same = [record for found, record in records if found == wanted]
    if any(record.given for record in same):
        return (
            "the store has an image of that name, but a Buildfile, a lock file and --pull take only what a registry or "
            "a layout holds: push it, or write it with -o layout:DIR and say oci:DIR"
        )
    if same:
        return (
            f"a build here made an image that its build file calls {same[0].name!r}; FROM sees only names that were "
            f"given: build it with -t {same[0].name}"
        )
    others = [
        record.name for found, record in records if found and wanted and found.name == wanted.name and record.given
    ]
    more = f" and {len(others) - _SHOWN} others" if len(others) > _SHOWN else ""
    return f"the store has {', '.join(others[:_SHOWN])}{more}" if others else None
