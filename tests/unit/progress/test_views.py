import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from buildkit_py import events
from buildkit_py.errors import StepError
from buildkit_py.events import Event
from buildkit_py.progress import View, failure, open_view, summary
from buildkit_py.progress.frame import columns, draw, fit, settled
from buildkit_py.progress.json import JsonView
from buildkit_py.progress.model import Model
from buildkit_py.progress.plain import PlainView
from buildkit_py.progress.tty import TtyView
from buildkit_py.source import Diagnostic, Span, render

SPAN = Span("Buildfile", 2, 5, 2, 20)
TEXT = "buildfile 1\n    run make all now\n"
DIGEST = "sha256:" + "ab" * 32
FAILED: tuple[Event, ...] = (
    events.BuildStarted(at=0, build="b", total=12),
    events.Note(at=0, text="the runtime is runc"),
    events.Cached(at=0.1, id="base", title="from scratch", kind="scratch"),
    events.Started(at=0.2, id="make", title="run make all", kind="run", span=SPAN),
    events.Log(at=0.6, id="make", stream="stdout", text="compiling\n" + "x" * 300),
    events.Log(at=1.2, id="make", stream="stderr", text="\x1b[31merror: no rule\x1b[0m"),
    events.Finished(at=3.4, id="make", outcome="failed", error="ended with exit status 2"),
    events.Skipped(at=3.4, id="layer", title="layer 'app'", because="make"),
    events.BuildDone(at=3.5, outcome="failed", ran=0, cached=1, skipped=1),
)


def layer(image: str, name: str, size: int, *, reused: bool, from_base: bool = False) -> events.LayerDone:
    return events.LayerDone(
        at=9,
        image=image,
        platform="linux/amd64",
        name=name,
        digest=DIGEST,
        size=size,
        reused=reused,
        from_base=from_base,
    )


DONE: tuple[Event, ...] = (
    events.BuildStarted(at=0, build="b", total=3),
    events.Started(at=0.2, id="make", title="run make all", kind="run", span=SPAN),
    events.Progress(at=1, id="make", done=10, total=100),
    events.Finished(at=8.4, id="make", outcome="done"),
    layer("web", "base 1", 45_100_000, reused=True, from_base=True),
    layer("web", "deps", 1_200_000, reused=True),
    layer("web", "app", 999, reused=False),
    layer("other", "alien", 1, reused=False),
    events.ImageDone(at=9, image="web", platform="linux/amd64", digest=DIGEST, size=46_300_999),
    events.OutputDone(at=9, image="web", kind="archive", value="./web.tar"),
    events.OutputDone(at=9, image="web", kind="registry", value="r.example/web:1", skipped="needs --push"),
    events.BuildDone(at=9.5, outcome="done", ran=1, cached=4, skipped=0),
)


def show(view: View, stream: Sequence[Event]) -> View:
    for event in stream:
        view(event)
    view.close()
    return view


def model_of(stream: Sequence[Event]) -> Model:
    return show(View(), stream).model


def test_plain_lines_come_in_order_and_whole() -> None:
    out = io.StringIO()
    show(PlainView(out), FAILED)
    assert out.getvalue() == (
        "note: the runtime is runc\n"
        "#1   cached   from scratch\n"
        "#2   start    run make all\n"
        "#2       0.4  compiling\n"
        f"#2       0.4  {'x' * 300}\n"
        "#2       1.0  error: no rule\n"
        "#2   failed   run make all (3.2 s): ended with exit status 2\n"
        "#3   skipped  layer 'app' (because of #2)\n"
    )


def test_no_title_is_cut_or_said_twice() -> None:
    out, title = io.StringIO(), f"run {'x' * 300}"
    ended = events.Finished(at=1, id="a", outcome="failed", error=f"{title}: ended with exit status 2")
    show(PlainView(out), [events.Started(at=0, id="a", title=title, kind="run"), ended])
    assert out.getvalue() == f"#1  start    {title}\n#1  failed   {title} (1.0 s): ended with exit status 2\n"


def test_the_summary_says_the_names_that_were_given() -> None:
    image = events.ImageDone(at=1, image="image", platform=None, digest=DIGEST, size=1, names=("mal", "other:2"))
    assert summary.render(model_of([image])).startswith("image mal, other:2 (all platforms)\n")


def test_an_output_of_one_of_several_platforms_says_which() -> None:
    written = events.OutputDone(at=1, image="web", kind="rootfs", value="root", platform="linux/arm64")
    assert "rootfs  root  written (linux/arm64 alone)\n" in summary.render(model_of([written]))


def test_control_characters_of_a_file_are_shown_and_the_caret_stands_right() -> None:
    shown = render([Diagnostic(message="wrong", span=Span("f", 1, 4, 1, 6))], {"f": "\ta\x1bb\x07c\n"})
    assert shown == "f:1:4: error: wrong\n   |\n 1 | \ta\\x1bb\\x07c\n   | \t     ^^^^^\n"


def test_plain_tells_of_bytes_now_and_then() -> None:
    out = io.StringIO()
    started = events.Started(at=0, id="a", title="from x", kind="image")
    transfer = [events.Progress(at=second, id="a", done=second * 1000, total=20_000) for second in range(12)]
    show(PlainView(out), [started, *transfer, events.Finished(at=12, id="a", outcome="done")])
    assert out.getvalue().count("bytes") == 2
    assert "bytes    5.0 kB of 20.0 kB\n" in out.getvalue()


def test_plain_is_silent_about_the_end_of_a_step_that_never_began() -> None:
    out = io.StringIO()
    show(PlainView(out), [events.Finished(at=1, id="a", outcome="done")])
    assert out.getvalue() == ""


def test_json_lines_hold_every_event() -> None:
    out = io.StringIO()
    show(JsonView(out), FAILED)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [row["event"] for row in rows] == [type(event).__name__ for event in FAILED]
    span = ["Buildfile", 2, 5, 2, 20]
    assert rows[3] == {
        "event": "Started", "at": 0.2, "id": "make", "title": "run make all", "kind": "run", "span": span
    }  # fmt: skip


def test_a_view_whose_reader_is_gone_falls_silent() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    show(PlainView(stream), FAILED)
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_what_a_stream_can_not_encode_is_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    show(PlainView(stream), [events.Note(at=0, text="a → b")])
    assert raw.getvalue() == b"note: a \\u2192 b\n"


def test_the_summary_names_image_layers_outputs_and_time() -> None:
    assert summary.render(model_of(DONE)) == (
        "image web (linux/amd64, 46.3 MB in 3 layers)\n"
        f"  {DIGEST}\n"
        "    base 1  sha256:abababababab  45.1 MB  from the base\n"
        "    deps    sha256:abababababab   1.2 MB  reused\n"
        "    app     sha256:abababababab    999 B  new\n"
        "\n"
        "outputs\n"
        "    archive   ./web.tar        written\n"
        "    registry  r.example/web:1  skipped: needs --push\n"
        "\n"
        "ran 1, cached 4 in 9.5 s\n"
        "    8.2 s  run make all\n"
    )


def test_the_summary_of_an_index_has_no_layers() -> None:
    model = model_of([events.ImageDone(at=1, image="web", platform=None, digest=DIGEST, size=5)])
    assert summary.render(model) == f"image web (all platforms)\n  {DIGEST}\n"


def test_a_failure_shows_the_line_the_status_the_output_and_what_was_skipped() -> None:
    error = StepError("ended with exit status 2", hint="look at the Makefile", span=SPAN, step_exit=2)
    model = model_of(FAILED)
    assert failure.explains(model, error)
    assert failure.render(model, error, {"Buildfile": TEXT}) == (
        "Buildfile:2:5: error: run make all: ended with exit status 2\n"
        "   |\n"
        " 2 |     run make all now\n"
        "   |     ^^^^^^^^^^^^^^^\n"
        "  help: look at the Makefile\n"
        "  the last lines it printed:\n"
        "    | compiling\n"
        f"    | {'x' * 300}\n"
        "    | error: no rule\n"
        "  skipped because of it (1 step):\n"
        "    layer 'app'\n"
    )


def test_an_error_that_no_step_has_is_left_to_others() -> None:
    assert not failure.explains(model_of(FAILED), StepError("something else"))
    assert failure.render(model_of(DONE), StepError("x"), {}) == ""


def text_of(line: tuple[tuple[str, str], ...]) -> str:
    return "".join(text for text, _ in line)


@pytest.mark.parametrize("width", [1, 2, 10, 39, 40, 80, 200])
@pytest.mark.parametrize("height", [2, 5, 9, 24])
def test_the_live_region_fits_any_terminal(width: int, height: int) -> None:
    model = Model()
    for number in range(12):
        title = f"run number {number} with 日本語 and more"
        model.take(events.Started(at=number, id=str(number), title=title, kind="run"))
        model.take(events.Log(at=number, id=str(number), stream="stdout", text="日本\tlog\n" * 9))
        model.take(events.Progress(at=number, id=str(number), done=number, total=12))
        lines = draw(model, now=20.0, width=width, height=height)
        assert len(lines) <= height
        assert all(columns(text_of(line)) <= width for line in lines)


def test_the_live_region_shows_last_lines_bars_and_counts() -> None:
    model = model_of(FAILED[:6])
    model.take(events.Progress(at=2, id="make", done=50, total=100))
    lines = [text_of(line) for line in draw(model, now=2.2, width=80, height=20)]
    assert lines[0].endswith("2.0 s  run make all  ━━━━━━━━━━──────────  50 B of 100 B")
    assert lines[1].strip() == "│ compiling"
    assert lines[3].strip() == "│ error: no rule"
    assert lines[-1].endswith("1/12  ran 0, cached 1, 2.2 s")


def test_steps_beyond_the_height_are_counted() -> None:
    model = Model()
    for number in range(30):
        model.take(events.Started(at=0, id=str(number), title=f"run {number}", kind="run"))
    lines = [text_of(line) for line in draw(model, now=1, width=80, height=10)]
    assert lines[-2].strip() == "and 22 more"


def test_a_cut_line_keeps_its_styles() -> None:
    assert fit((("abc", "red"), ("def", "blue")), 5) == (("abc", "red"), ("d…", "blue"))
    assert fit((("abc", "red"),), 3) == (("abc", "red"),)
    assert fit((("日本", ""),), 3) == (("日…", ""),)


def test_a_finished_step_leaves_one_line() -> None:
    assert text_of(settled(model_of(FAILED).steps["make"])) == "✗       3.2 s  run make all  ended with exit status 2"


def test_auto_is_plain_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def kind(err: io.StringIO, **environ: str) -> type[View]:
        return type(open_view("auto", out=io.StringIO(), err=err, environ=environ))

    assert kind(io.StringIO(), TERM="xterm") is PlainView
    assert kind(Terminal(), TERM="xterm") is TtyView
    assert kind(Terminal(), TERM="dumb") is PlainView
    assert kind(Terminal()) is PlainView


LIVE = """
import os, sys, threading, time
from buildkit_py import events
from buildkit_py.progress import open_view

view = open_view("tty", out=sys.stdout, err=sys.stderr, environ=os.environ)
view(events.BuildStarted(at=0, build="b", total=4))
view(events.Cached(at=0, id="c", title="copy a", kind="copy"))
slow = sys.argv[1] == "slow"
if sys.argv[1] != "cached":
    view(events.Started(at=0, id="r", title="run make", kind="run"))
    if slow:
        while "rich" not in sys.modules:
            time.sleep(0.01)
        def chat(n):
            for line in range(200):
                view(events.Log(at=0.1, id="r", stream="stdout", text=f"{n}-{line} \\x1b[2J"))
        threads = [threading.Thread(target=chat, args=(n,)) for n in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        time.sleep(0.5)
    view(events.Finished(at=1.5, id="r", outcome="done"))
view.close()
view.close()
sys.stderr.write(f"rich: {'rich' in sys.modules}\\n")
"""


def on_a_terminal(mode: str) -> str:
    """What a terminal gets while the script runs on it."""
    ours, theirs = pty.openpty()
    root = Path(__file__).parents[3]
    environ = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(root), "COLUMNS": "60", "LINES": "20"}
    process = subprocess.Popen([sys.executable, "-c", LIVE, mode], stderr=theirs, env=environ)
    os.close(theirs)
    got = bytearray()
    reader = threading.Thread(target=lambda: _drain(ours, got))
    reader.start()
    assert process.wait() == 0
    reader.join()
    os.close(ours)
    return got.decode()


def _drain(number: int, got: bytearray) -> None:
    try:
        while piece := os.read(number, 65536):
            got += piece
    except OSError:
        return


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_a_cached_build_shows_its_end_without_rich() -> None:
    text = on_a_terminal("cached")
    assert plain(text).split("\r\n") == ["·              1 step cached", "rich: False", ""]


def test_a_short_build_never_imports_rich() -> None:
    text = on_a_terminal("quick")
    assert "✓       1.5 s  run make" in plain(text)
    assert "rich: False" in text


def test_a_live_view_leaves_a_sane_terminal() -> None:
    text = on_a_terminal("slow")
    assert "rich: True" in text
    assert "199" in plain(text)
    assert "\x1b[2J" not in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") >= 0
    assert plain(text).endswith("✓       1.5 s  run make\r\n·              1 step cached\r\nrich: True\r\n")
