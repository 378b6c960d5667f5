"""Views of a build: consumers of the one stream of events.

events ──▶ Model (what is known now) ──▶ plain lines │ live terminal │ JSON lines
                                     └─▶ summary, failures (at the end)

Every view is a callable that takes one event, from any thread, and is closed once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from buildkit_py.progress.view import View

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

Mode = Literal["auto", "tty", "plain", "json", "quiet"]

__all__ = ["Mode", "View", "open_view"]


def open_view(mode: Mode, *, out: TextIO, err: TextIO, environ: Mapping[str, str]) -> View:
    """The view of that mode: JSON goes to `out`, all else to `err`.

    `auto` is `tty` where `err` is a terminal that can move its cursor, else `plain`.
    """
    if mode == "auto":
        mode = "tty" if err.isatty() and environ.get("TERM", "dumb") != "dumb" else "plain"
    if mode == "tty":
        from buildkit_py.progress.tty import TtyView

        return TtyView(err, colour=not environ.get("NO_COLOR"))
    if mode == "json":
        from buildkit_py.progress.json import JsonView

        return JsonView(out)
    if mode == "plain":
        from buildkit_py.progress.plain import PlainView

        return PlainView(err)
    return View()
