"""Faults of a Dockerfile as diagnostics, ready to be raised."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from buildkit_py.errors import GraphError, SourceError
from buildkit_py.source import Diagnostic, Span
from frontends.dockerfile.expand import ExpandError


def fault(message: str, span: Span | None, *, hint: str | None = None, label: str | None = None) -> SourceError:
    """One diagnostic, ready to be raised."""
    return SourceError([Diagnostic(message=message, span=span, hint=hint, label=label)])


@contextmanager
def expanding(span: Span) -> Iterator[None]:
    """A word that can't be expanded was written at `span`."""
    try:
        yield
    except ExpandError as error:
        raise fault(error.message, span, hint=error.hint) from None


@contextmanager
def lowering(span: Span) -> Iterator[None]:
    """What the graph refuses was written at `span`."""
    try:
        yield
    except GraphError as error:
        raise fault(error.message, error.span or span, hint=error.hint) from None
