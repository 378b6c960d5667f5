"""The one contract of everything that reads foreign bytes: a value, or an error in words; soon, and in bounded memory.

What breaks it is a `Finding`: another exception, an error that nobody can read, too much time or memory.
"""

from __future__ import annotations

import resource
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from buildkit_py.errors import PybuildError, SourceError
from buildkit_py.progress.failure import render_message
from buildkit_py.source import render
from tests.fuzz.mutate import Form

SECONDS = 10.0
"""Of the processor, for one input: what else the machine does is no matter."""
MEMORY = 1 << 30
"""The bytes that one input may take beside what the process has."""
_MOST_WORDS = 100_000
_OWN = ("/buildkit_py/", "/frontends/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A reader of foreign bytes. `seeds` are right inputs of the given `form`; `examples` is how many wrong ones, made
    of them, a test run feeds."""

    run: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    form: Form = "bytes"
    examples: int = 100


class Unfit(Exception):  # noqa: N818
    """A target has nothing to ask of an input."""


class Finding(AssertionError):  # noqa: N818 - the field's word for it
    """The contract was broken. `kind` is the same for inputs that break it in the same way at the same place."""

    def __init__(self, kind: str, detail: str) -> None:
        # Half characters, which inputs are made of, can't be written to every report.
        super().__init__(f"{kind}: {detail}".encode("utf-8", "backslashreplace").decode())
        self.kind = kind


class _OverTime(BaseException):
    """No handler of the product may take it for an error of its own."""


def check(target: Target, data: bytes, *, seconds: float = SECONDS) -> None:
    """Have a target read an input. Raises `Finding`."""
    try:
        with _bounded(seconds):
            attempt(target.run, data)
    except Unfit:
        return
    except Finding:
        raise
    except (Exception, _OverTime) as error:
        detail = f"{str(error)[:300]}\n{''.join(traceback.format_exception(error)[-12:])}"
        raise Finding(f"{type(error).__name__} in {_place(error)}", detail) from error


def attempt(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives; None where it is refused in words that can be read."""
    try:
        return call(*arguments)
    except PybuildError as error:
        _check_words(error)
        return None


def _check_words(error: PybuildError) -> None:
    """An error says something, holds nothing that a terminal would obey, and is no longer than a page or ten."""
    kind = type(error).__name__
    if not error.message.strip():
        raise Finding(f"{kind} without words", repr(error))
    if isinstance(error, SourceError):
        texts = [render([each], {}) for each in error.diagnostics]
    else:
        texts = [render_message(error.message, span=error.span, hint=error.hint, tail=(), sources={})]
    for text in texts:
        if any(not char.isprintable() and char not in "\n\t" for char in text):
            raise Finding(f"{kind} with control characters in {_place(error)}", repr(text[:500]))
        if len(text) > _MOST_WORDS:
            raise Finding(f"{kind} of too many words in {_place(error)}", f"{len(text)} characters: {text[:500]!r}")


def _place(error: BaseException) -> str:
    """The innermost function of the product that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((each for each in reversed(frames) if any(part in each.filename for part in _OWN)), None)
    return f"{Path(frame.filename).name}:{frame.name}" if frame is not None else "no function of the product"


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise _OverTime(f"more than {seconds:.0f} s of the processor")

    before = signal.signal(signal.SIGPROF, stop)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limits[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGPROF, before)
