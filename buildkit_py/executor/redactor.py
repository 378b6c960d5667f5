"""Keeping secrets out of a stream of bytes."""

from __future__ import annotations

from collections.abc import Iterable

from buildkit_py.secret_forms import MIN_LENGTH, core, forms, lines

MASK = b"***"


class Redactor:
    """Replaces secrets in one stream of bytes by `***`, even where a secret is split between two writes.

    Every shape of `secret_forms.forms` and every long line of a secret of several lines is replaced; shapes that
    overlap become one mask. What comes out does not depend on where writes end. Fewer bytes than the longest shape has
    are held back, and only while they could begin one.
    """

    def __init__(self, secrets: Iterable[bytes] = ()) -> None:
        self._shapes: tuple[bytes, ...] = ()
        self._held = b""
        self._masked = 0  # how many bytes at the start of `_held` a mask already written stands for
        self.learn(secrets)

    def learn(self, secrets: Iterable[bytes]) -> None:
        """Mask these too in what is still to come."""
        shapes = set(self._shapes)
        for secret in secrets:
            # A short secret has no shapes but itself that could be told from ordinary text.
            found = [shape for _, shape in forms(secret)]
            shapes.update(found[:1] if len(core(secret)) < MIN_LENGTH else found)
            shapes.update(lines(secret))
        self._shapes = tuple(sorted(shapes, key=len, reverse=True))

    def write(self, data: bytes) -> bytes:
        """What of the stream can be shown now."""
        if not self._shapes:
            return data
        text = self._held + data
        return self._emit(text, len(text) - self._undecided(text))

    def flush(self) -> bytes:
        """The rest of the stream, at its end."""
        return self._emit(self._held, len(self._held))

    def _emit(self, text: bytes, end: int) -> bytes:
        """The masked text up to `end`; the rest is held. A mask that reaches beyond `end` is remembered."""
        out: list[bytes] = []
        at = 0
        covered = self._masked
        for start, stop in self._matches(text):
            if start >= end:
                break
            out.append(text[at:start])
            if not (start == 0 and self._masked):
                out.append(MASK)
            at = covered = stop
        out.append(text[at:end])
        self._held = text[end:]
        self._masked = max(0, covered - end)
        return b"".join(out)

    def _matches(self, text: bytes) -> list[tuple[int, int]]:
        """The ranges to mask, in order, overlapping ones merged."""
        ranges = [(0, self._masked)] if self._masked else []
        for shape in self._shapes:
            start = text.find(shape)
            while start >= 0:
                ranges.append((start, start + len(shape)))
                start = text.find(shape, start + 1)
        merged: list[tuple[int, int]] = []
        for start, stop in sorted(ranges):
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
            else:
                merged.append((start, stop))
        return merged

    def _undecided(self, text: bytes) -> int:
        """The length of the longest end of `text` that begins a shape without being all of it."""
        return max(_begun(text, shape) for shape in self._shapes)


def _begun(text: bytes, shape: bytes) -> int:
    start = max(0, len(text) - len(shape) + 1)
    head = shape[:4]
    while (start := _find_start(text, head, start)) >= 0:
        if shape.startswith(text[start:]):
            return len(text) - start
        start += 1
    return 0


def _find_start(text: bytes, head: bytes, start: int) -> int:
    """Where `head`, or at the very end of `text` a part of it, begins at or after `start`; -1 where it does not."""
    found = text.find(head, start)
    if found >= 0:
        return found
    for place in range(max(start, len(text) - len(head) + 1), len(text)):
        if head.startswith(text[place:]):
            return place
    return -1
