"""Did you mean …? Only imported once something is wrong."""

from __future__ import annotations

from collections.abc import Iterable

from buildkit_py.suggest import suggest

_BEGUN = 3


def hint(word: str, known: Iterable[str]) -> str | None:
    """A sentence that names the nearest of `known`, or the only one that begins so; None where nothing is near."""
    plain = word.lstrip("-")
    names = {name.lstrip("-"): name for name in known if name.startswith("--") or not name.startswith("-")}
    begun = [name for name in names if len(plain) >= _BEGUN and name.startswith(plain)]
    near = suggest(plain, names) or (begun[0] if len(begun) == 1 else None)
    return f"did you mean {names[near]!r}?" if near else None
