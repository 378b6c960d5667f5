"""Errors as a person meets them: where, what, and what to do instead; never a traceback."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.errors import PybuildError, SourceError, StepError

if TYPE_CHECKING:
    from buildkit_py.cli.shell import Shell
    from buildkit_py.source import Diagnostic, Span

_MAX_EXCERPT = 16 * 1024 * 1024


def report(error: PybuildError, shell: Shell) -> None:
    """Write an error, unless a view of the build has told all of it."""
    if id(error) not in shell.told:
        shell.complain(render(error, shell))


def render(error: PybuildError, shell: Shell) -> str:
    """The text of an error, with an excerpt of the build file where it has a span."""
    if isinstance(error, SourceError):
        return render_diagnostics(error.diagnostics, shell)
    from buildkit_py.progress.failure import render_message

    tail: Sequence[str] = error.tail if isinstance(error, StepError) else ()
    sources = excerpts([error.span] if error.span else [], shell)
    return render_message(error.message, span=error.span, hint=error.hint, tail=tail, sources=sources)


def render_diagnostics(diagnostics: Sequence[Diagnostic], shell: Shell) -> str:
    """Diagnostics as a compiler shows them, and how many errors there were if several."""
    from buildkit_py.progress.text import count
    from buildkit_py.source import render as render_spans

    spans = [span for item in diagnostics for span in (item.span, *(span for _, span in item.notes)) if span]
    text = render_spans(diagnostics, excerpts(spans, shell))
    errors = sum(1 for item in diagnostics if item.severity == "error")
    return f"{text}\n{count(errors, 'error')}\n" if errors > 1 else text


def excerpts(spans: Iterable[Span], shell: Shell) -> Mapping[str, str]:
    """The texts of the files that the spans name: those already read, else from the folders of the command."""
    found: dict[str, str] = {}
    for name in {span.file for span in spans}:
        text = shell.sources.get(name)
        if text is None:
            texts = (_read(Path(folder), name) for folder in shell.folders)
            text = next((each for each in texts if each is not None), None)
        if text is not None:
            found[name] = text
    return found


def _read(folder: Path, name: str) -> str | None:
    """A text below a folder. A graph may name any file: what lies elsewhere, by links too, is shown to nobody."""
    from buildkit_py.layer.openat import open_beneath

    try:
        with open_beneath(folder, name) as file:
            data = file.read(_MAX_EXCERPT + 1)
        return data.decode() if len(data) <= _MAX_EXCERPT else None
    except (OSError, ValueError):
        return None


def refused(error: Exception, shell: Shell) -> bool:
    """Tell of what a disk refused, wherever that was; False for any other fault."""
    from buildkit_py.store.faults import DISK_FAULTS

    if not isinstance(error, OSError) or error.errno not in DISK_FAULTS:
        return False
    shell.complain(f"pybuild: error: {error.strerror}: {error.filename or 'a file of this command'}\n")
    return True


def crash(error: Exception, words: Sequence[str], shell: Shell) -> None:
    """Keep the traceback in a file, and say in one line where."""
    from traceback import format_exception

    from buildkit_py import __version__

    # Only the command's name: the other words may hold what is not for others' eyes.
    head = f"pybuild {__version__}, command {words[0] if words else '-'!r}, {' '.join(os.uname())}\n\n"
    place = _keep(head + "".join(format_exception(error)), shell)
    where = f"; a report is in {place}" if place else ""
    shell.complain(
        f"pybuild: internal error: {type(error).__name__}{where}\n"
        "  help: this is a fault of pybuild: please send the report to its authors\n"
    )


def _keep(text: str, shell: Shell) -> Path | None:
    """Write a report that only its owner can read; None where no place can be written to."""
    from tempfile import mkstemp

    for folder in (shell.state_directory(), None):
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            number, name = mkstemp(prefix="pybuild-report-", suffix=".txt", dir=folder)
            with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return Path(name)
        except OSError:
            continue
    return None
