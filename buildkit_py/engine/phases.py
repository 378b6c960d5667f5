"""What the time of one node went into: named phases, put together from when it was worked on and what parts took.

    wait        nobody worked on it: bytes of an input, a free place or another build were waited for
    look        finding out whether its result is known
    hash        reading and hashing files
    transfer    bytes from or to a registry or another server
    unpack      laying down the layers of a base
    prepare     making a sandbox
    run         the process, the file operation, the check
    compress    compressing a layer
    write       writing what was made

Parts that take turns, as hashing and compressing do, stand one after another, each as long as it was in all; of parts
that went on at the same time on several threads, each has its share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

Phase = tuple[str, float, float]
"""A name, begin and end in seconds of the build."""

PUSH = "push to"
"""What the title of an output to a registry begins with."""
_LEAST = 0.001
_REST = {"image": "unpack", "http": "transfer", "git": "transfer", "commit": "write", "output": "write"}
"""What is done in the time of which nothing else is known."""


def phases_of(
    kind: str, spells: Sequence[Phase], times: Mapping[str, float], *, ready: float, reads: bool, known: bool = False
) -> list[Phase]:
    """The phases of a node that could have been begun at `ready`. `spells` are as the scheduler has them; of several
    attempts to produce, `times` are those of the last. `reads` says that files are hashed to identify it, `known` that
    its result was known at once: until its bytes were wanted, there was nothing to wait for."""
    found: list[Phase] = []
    at, last = ready, len(spells) - 1
    for number, (name, began, ended) in enumerate(spells):
        if number != 1 or not known:
            found.append(("wait", at, began))
        if name == "produce" and number == last:
            found += parts(times, _REST.get(kind) or ("write" if "run" in times else "run"), began, ended)
        else:
            found.append(("hash" if reads and name == "identify" else "look", began, ended))
        at = ended
    return worth_telling(found)


def parts(times: Mapping[str, float], rest: str, began: float, ended: float) -> Iterator[Phase]:
    """Parts of known length one after another, and what is left."""
    at = began
    share = min(1.0, (ended - began) / max(sum(times.values()), _LEAST))
    for name, seconds in times.items():
        until = min(ended, at + seconds * share)
        yield name, at, until
        at = until
    yield rest, at, ended


def worth_telling(phases: Iterable[Phase]) -> list[Phase]:
    """Those of a millisecond or more, on the clock of records; two of one name without a gap are one."""
    found: list[Phase] = []
    for name, began, ended in phases:
        if ended - began < _LEAST:
            continue
        began, ended = round(began, 4), round(ended, 4)
        if found and found[-1][0] == name and began - found[-1][2] < _LEAST:
            began = found.pop()[1]
        found.append((name, began, ended))
    return found
