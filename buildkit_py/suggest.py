"""What may have been meant by a name that is not known."""

from __future__ import annotations

from collections.abc import Iterable

FAR = 3
"""As many letters wrong are too many, and of a short name as many as half of it."""


def suggest(name: str, options: Iterable[str], *, same_case: bool = True) -> str | None:
    """The option that is nearest to a name, by letters added, left out, exchanged, or two that changed places; of
    several the first.

    None where none is near, and where the name is an option itself: then it is no slip. Without `same_case` the case of
    letters counts for nothing, and the answer is in that of the name.
    """
    wanted = name if same_case else name.lower()
    best, nearest = None, FAR
    for option in options:
        found = option if same_case else option.lower()
        if found == wanted:
            return None
        limit = min(nearest, 1 + min(len(wanted), len(found)) // 2)
        far = _distance(wanted, found, limit)
        if far < limit:
            best, nearest = option, far
    return best if best is None or same_case else _in_case_of(name, best)


def _in_case_of(name: str, option: str) -> str:
    if name == name.lower():
        return option.lower()
    return option.upper() if name == name.upper() else option


def _distance(left: str, right: str, limit: int) -> int:
    """How many slips lie between two names; `limit` where it is that many or more."""
    if abs(len(left) - len(right)) >= limit:
        return limit
    before: list[int] = []
    row = list(range(len(right) + 1))
    for number, letter in enumerate(left, 1):
        before, above, row = row, before, [number]
        for place, other in enumerate(right):
            near = min(before[place] + (letter != other), before[place + 1] + 1, row[place] + 1)
            if number > 1 and place and letter == right[place - 1] and left[number - 2] == other:
                near = min(near, above[place - 1] + 1)
            row.append(near)
        if min(row) >= limit:
            return limit
    return min(row[-1], limit)
