"""The one tree of exceptions; each class carries the exit code that the command line ends with.

PybuildError                 1   anything below, or a fault without a better name
├── UsageError               2   the command line is wrong
├── SourceError              3   the build file is wrong (holds diagnostics with spans)
├── GraphError               4   a graph is malformed
├── StepError                5   a step ended with a failure
├── TestError                6   a `test` block failed; nothing was published
├── SecretLeakError          7   a secret's bytes were found in a step's result
├── LockfileError            8   the lock file is wrong, or `--locked` would have to change it
├── MissingToolError         9   a host tool, a runtime or an emulator is not installed
├── RegistryError           10   a registry refused, failed or could not be reached
├── IntegrityError          11   bytes do not match their digest, or a document contradicts itself
├── StoreError              12   the store can't be read or written (full disk, damage)
│   └── StoreBusyError      12   another process holds what is needed
├── SandboxError            13   the runtime can't give what the step asks for
├── SourceInputError        14   a context path, URL, git repository or local image can't be read
├── OutputError             15   an output can't be written
├── NotFoundError           16   no image, build or step of that name is in the store
├── InfrastructureError     17   an executor failed through no fault of the step; may be retried
├── TrustError              18   an image is not signed as is demanded, or a policy refuses it
│   └── SignatureError      19   an image has signatures, and none of them holds
└── Cancelled              130   stopped by the user
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildkit_py.source import Diagnostic, Span


class PybuildError(Exception):
    """Base of all errors that a person may meet.

    `message` says what is wrong, `hint` what to do instead, `span` where it was written (if anywhere).
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None, span: Span | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.span = span


class UsageError(PybuildError):
    """The command line is wrong."""

    exit_code = 2


class SourceError(PybuildError):
    """A build file is wrong; `diagnostics` holds every independent error found."""

    exit_code = 3

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        first = diagnostics[0]
        super().__init__(first.message, hint=first.hint, span=first.span)
        self.diagnostics = tuple(diagnostics)


class GraphError(PybuildError):
    """A graph is malformed: an unknown op, a missing vertex, a cycle, a field out of range."""

    exit_code = 4


class StepError(PybuildError):
    """A step ended with a failure; `step_exit` is the process's exit status, `tail` its last lines."""

    exit_code = 5

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        span: Span | None = None,
        step_exit: int | None = None,
        tail: Sequence[str] = (),
    ) -> None:
        super().__init__(message, hint=hint, span=span)
        self.step_exit = step_exit
        self.tail = tuple(tail)


class TestError(PybuildError):
    """A `test` block failed, so nothing was published; `tail` holds the last lines of a `run` that failed."""

    __test__ = False
    exit_code = 6

    def __init__(
        self, message: str, *, hint: str | None = None, span: Span | None = None, tail: Sequence[str] = ()
    ) -> None:
        super().__init__(message, hint=hint, span=span)
        self.tail = tuple(tail)


class SecretLeakError(PybuildError):
    """The bytes of a secret were found in what a step wrote."""

    exit_code = 7


class LockfileError(PybuildError):
    """The lock file is wrong, or would have to change although `--locked` was given."""

    exit_code = 8


class MissingToolError(PybuildError):
    """A program of the host that the build needs is not installed."""

    exit_code = 9


class RegistryError(PybuildError):
    """A registry refused, failed or could not be reached; `status` is the HTTP status, if any."""

    exit_code = 10

    def __init__(
        self, message: str, *, hint: str | None = None, span: Span | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, hint=hint, span=span)
        self.status = status


class IntegrityError(PybuildError):
    """Bytes do not match their digest or size, or a document contradicts itself."""

    exit_code = 11


class StoreError(PybuildError):
    """The store can't be read or written."""

    exit_code = 12


class StoreBusyError(StoreError):
    """Another process holds what is needed, and did not let go in time; `pid` is that process, 0 if not known."""

    def __init__(self, message: str, *, hint: str | None = None, span: Span | None = None, pid: int = 0) -> None:
        super().__init__(message, hint=hint, span=span)
        self.pid = pid


class SandboxError(PybuildError):
    """The chosen runtime can't give what the step asks for."""

    exit_code = 13


class SourceInputError(PybuildError):
    """A context path, a URL, a git repository or a local image can't be read."""

    exit_code = 14


class OutputError(PybuildError):
    """An output can't be written."""

    exit_code = 15


class NotFoundError(PybuildError):
    """Nothing of that name is in the store."""

    exit_code = 16


class InfrastructureError(PybuildError):
    """An executor failed through no fault of the step; the same task may be tried again."""

    exit_code = 17


class TrustError(PybuildError):
    """An image is not signed as a policy or a command demands, or the policy refuses it."""

    exit_code = 18


class SignatureError(TrustError):
    """An image has signatures, and none of them is a trusted key's for this image."""

    exit_code = 19


class Cancelled(PybuildError):  # noqa: N818 - the field's word for it
    """The user, or the failure of another step, stopped this work."""

    exit_code = 130
