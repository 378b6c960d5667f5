"""The one stream of events that a build emits; every view of a build (terminal, plain log, JSON, record) consumes it.

Times are seconds of a monotonic clock, from the start of the build; sizes are bytes. Log events may repeat or be
missing when a step runs elsewhere; all others come once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from buildkit_py.dataclass import dataclass
from buildkit_py.source import Diagnostic, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStarted:
    """The graph is known: `total` vertices will be looked at."""

    at: float
    build: str
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Work on a vertex began; `title` is one line for people, `kind` the op's type or `commit`, `test`, `output`."""

    at: float
    id: str
    title: str
    kind: str
    span: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """A vertex needed no work; `how` is `key` (a result was known) or `diff` (computed again, same result)."""

    at: float
    id: str
    title: str
    kind: str
    how: Literal["key", "diff"] = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Output of a step, already redacted; whole lines without their end, or a last piece without one."""

    at: float
    id: str
    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Bytes done of a transfer or a commit; `total` is None where it is not known."""

    at: float
    id: str
    done: int
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Work on a vertex ended. `outcome`: `done`, `failed`, `cancelled`. `error` is one line."""

    at: float
    id: str
    outcome: Literal["done", "failed", "cancelled"]
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A vertex was never started because `because` (another id) failed or was stopped."""

    at: float
    id: str
    title: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that a person should know: a runtime chosen, an output skipped, a slower way taken."""

    at: float
    text: str
    level: Literal["note", "warning"] = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """The build file has something that is probably not meant; a person is shown it when the build is over."""

    at: float
    diagnostic: Diagnostic


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDone:
    """A layer of an image is known. `reused` where its blob was in the store already."""

    at: float
    image: str
    platform: str
    name: str
    digest: str
    size: int
    reused: bool
    from_base: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDone:
    """An image is assembled, tested and stored under its digest; `names` are those that the command line gave it."""

    at: float
    image: str
    platform: str | None
    digest: str
    size: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDone:
    """An output was written, or skipped with the reason. `platform` is that of several which alone was written."""

    at: float
    image: str
    kind: str
    value: str
    skipped: str | None = None
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildDone:
    """The end. `outcome` is `done` or `failed`."""

    at: float
    outcome: Literal["done", "failed"]
    ran: int
    cached: int
    skipped: int


Event = (
    BuildStarted
    | Started
    | Cached
    | Log
    | Progress
    | Finished
    | Skipped
    | Note
    | Warned
    | LayerDone
    | ImageDone
    | OutputDone
    | BuildDone
)
Emit = Callable[[Event], None]
