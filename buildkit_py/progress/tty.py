"""The live view of a terminal: what ended scrolls by above, what runs is redrawn below.

Events only change the model. One thread draws, ten times a second, so that a flood of output costs nothing and no lock
is held while the terminal is written to. A build that is over within `PATIENCE` of its first step never imports rich.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from buildkit_py import events
from buildkit_py.progress import frame
from buildkit_py.progress.view import Sink, View

if TYPE_CHECKING:
    from typing import TextIO

    from rich.console import Console

    from buildkit_py.events import Event
    from buildkit_py.progress.frame import Line

PATIENCE = 0.15
PERIOD = 0.1
_CODES = {"": "", "dim": "2", "bold": "1", "green": "32", "red": "31", "bold red": "1;31", "yellow": "33", "blue": "34"}


class TtyView(View):
    """Shows a build on the terminal behind `stream`; `close` leaves only lines that tell what happened."""

    def __init__(self, stream: TextIO, *, colour: bool = True) -> None:
        super().__init__()
        self._stream = stream
        self._colour = colour
        self._settled: list[Line] = []
        self._clock = 0.0
        self._stop = threading.Event()
        self._painter: threading.Thread | None = None
        self._closed = False

    def _show(self, event: Event, number: int) -> None:
        self._clock = time.monotonic() - event.at
        match event:
            case events.Started():
                self._start_painter()
            case events.Finished():
                step = self.model.steps[event.id]
                if step.state != "cached":
                    self._settled.append(frame.settled(step))
            case events.Note():
                self._settled.append(frame.note_line(event.text, warning=event.level == "warning"))
            case _:
                pass

    def close(self) -> None:
        """Erase the live region and write what is left to say."""
        if self._closed:
            return
        self._closed = True
        self._stop.set()
        if self._painter is not None:
            self._painter.join()
        cached = len(self.model.in_state("cached"))
        with self._lock:
            rest, self._settled = self._settled, []
        if cached:
            rest.append(frame.cached_line(cached))
        Sink(self._stream).write("".join(f"{self._ansi(line)}\n" for line in rest))

    def _ansi(self, line: Line) -> str:
        if not self._colour:
            return "".join(text for text, _ in line)
        return "".join(f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style else text for text, style in line)

    def _start_painter(self) -> None:
        if self._painter is None and not self._closed:
            self._painter = threading.Thread(target=self._paint, name="progress", daemon=True)
            self._painter.start()

    def _paint(self) -> None:
        if self._stop.wait(PATIENCE):
            return
        from rich.console import Console

        console = Console(
            file=self._stream,
            force_terminal=True,
            no_color=not self._colour,
            highlight=False,
            markup=False,
            emoji=False,
        )
        try:
            self._live(console)
        except (OSError, ValueError):
            # The terminal is gone; the build goes on.
            return

    def _live(self, console: Console) -> None:
        from rich.live import Live
        from rich.text import Text

        with Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        ) as live:
            while not self._stop.is_set():
                width, height = console.size
                with self._lock:
                    rows, self._settled = self._settled, []
                    now = time.monotonic() - self._clock
                    drawn = frame.draw(self.model, now=now, width=width - 1, height=max(2, height - 1))
                for row in rows:
                    console.print(Text.assemble(*row), soft_wrap=True)
                region = Text("\n", no_wrap=True, overflow="crop").join(Text.assemble(*line) for line in drawn)
                live.update(region, refresh=True)
                self._stop.wait(PERIOD)
