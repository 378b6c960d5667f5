import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildkit_py import events
from buildkit_py.engine.options import BuildResult, ImageResult
from buildkit_py.errors import LockfileError, SourceError, StepError
from buildkit_py.graph import GraphBuilder, Scratch, Write
from buildkit_py.platform import Platform
from buildkit_py.source import Diagnostic, Span

DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32
SPAN = Span("Buildfile", 2, 5, 2, 13)
TEXT = "buildfile 1\n    run make\n"


def result(**digests: str) -> BuildResult:
    images = tuple(
        ImageResult(name=name, platform="linux/amd64", digest=digest, size=5, layers=())
        for name, digest in digests.items()
    )
    return BuildResult(build="b1", images=images, digests=digests, ran=1, cached=0, seconds=1.0)


def building(*stream: events.Event, result: BuildResult) -> Callable[[Any, Any], BuildResult]:
    def build(options: Any, emit: Any) -> BuildResult:
        for event in stream:
            emit(event)
        return result

    return build


DONE = (
    events.Started(at=0, id="a", title="run make", kind="run", span=SPAN),
    events.Finished(at=1, id="a", outcome="done"),
    events.ImageDone(at=1, image="web", platform="linux/amd64", digest=DIGEST, size=5),
    events.BuildDone(at=1, outcome="done", ran=1, cached=0, skipped=0),
)


def test_a_build_tells_its_way_on_err_and_its_result_on_out(cli: Any) -> None:
    cli.engine.on_build = building(*DONE, result=result(web=DIGEST))
    assert cli("build") == 0
    assert cli.err == "#1  start    run make\n#1  done     run make (1.0 s)\n"
    assert cli.out == f"\nimage web (linux/amd64)\n  {DIGEST}\n\nran 1, cached 0 in 1.0 s\n    1.0 s  run make\n"


def test_quiet_prints_only_digests(cli: Any) -> None:
    cli.engine.on_build = building(*DONE, result=result(web=DIGEST, debug=OTHER))
    assert cli("build", "-q") == 0
    assert (cli.out, cli.err) == (f"{DIGEST}\n{OTHER}\n", "")


def test_json_prints_only_events(cli: Any) -> None:
    cli.engine.on_build = building(*DONE, result=result(web=DIGEST))
    assert cli("build", "--progress", "json") == 0
    assert [json.loads(line)["event"] for line in cli.out.splitlines()] == [
        "Started",
        "Finished",
        "ImageDone",
        "BuildDone",
    ]
    assert cli.err == ""


def test_files_for_programs(cli: Any) -> None:
    cli.engine.on_build = building(result=result(web=DIGEST))
    assert cli("build", "-q", "--iidfile", "id", "--metadata-file", "meta.json") == 0
    assert Path("id").read_text() == DIGEST
    assert json.loads(Path("meta.json").read_text()) == {
        "build": "b1",
        "images": {"web": {"digest": DIGEST, "platforms": {"linux/amd64": DIGEST}}},
        "containerimage.digest": DIGEST,
    }


def test_an_iidfile_of_several_images_is_refused(cli: Any) -> None:
    cli.engine.on_build = building(result=result(web=DIGEST, debug=OTHER))
    assert cli("build", "--iidfile", "id") == 15
    assert not Path("id").exists()
    assert cli("build", "--iidfile", "id", "--target", "a", "--target", "b") == 2


def failing(error: Exception, *stream: events.Event, files: dict[str, str] | None = None) -> Callable[..., Any]:
    def build(options: Any, emit: Any) -> Any:
        for event in stream:
            emit(event)
        raise error

    return build


FAILED = (
    events.Started(at=0, id="a", title="run make", kind="run", span=SPAN),
    events.Log(at=0.5, id="a", stream="stderr", text="no rule"),
    events.Finished(at=1, id="a", outcome="failed", error="run make: ended with exit status 2"),
    events.Skipped(at=1, id="l", title="layer 'app'", because="a"),
)
ERROR = StepError("run make: ended with exit status 2", span=SPAN, step_exit=2, tail=("no rule",))
TOLD = (
    "Buildfile:2:5: error: run make: ended with exit status 2\n"
    "   |\n"
    " 2 |     run make\n"
    "   |     ^^^^^^^^\n"
    "  the last lines it printed:\n"
    "    | no rule\n"
)


@pytest.mark.parametrize("words", [(), ("-q",), ("--progress", "json")])
def test_a_failing_step_is_told_once_with_its_line(cli: Any, words: tuple[str, ...]) -> None:
    cli.engine.texts.files["Buildfile"] = TEXT
    cli.engine.on_build = failing(ERROR, *FAILED)
    assert cli("build", *words) == 5
    assert cli.err.endswith(f"{TOLD}  skipped because of it (1 step):\n    layer 'app'\n")
    assert cli.err.count("^^^^^^^^") == 1


def test_a_step_error_without_events_shows_what_it_knows(cli: Any) -> None:
    Path("Buildfile").write_text(TEXT)
    cli.engine.on_build = failing(ERROR)
    assert cli("build") == 5
    assert cli.err == TOLD


def test_an_error_besides_failed_steps_is_told_too(cli: Any) -> None:
    cli.engine.on_build = failing(LockfileError("it would change"), *FAILED)
    assert cli("build") == 8
    assert "run make: ended with exit status 2" in cli.err
    assert cli.err.endswith("pybuild: error: it would change\n")


def test_every_mistake_of_a_build_file_is_shown(cli: Any) -> None:
    Path("src").mkdir()
    Path("src/lib.build").write_text("first\nsecond\n")
    wrong = (
        Diagnostic(message="one", span=Span("lib.build", 1, 1, 1, 6), hint="write two"),
        Diagnostic(message="two", span=Span("lib.build", 2, 1, 2, 7), notes=(("here", Span("lib.build", 1, 1, 1, 6)),)),
    )
    cli.engine.on_build = failing(SourceError(wrong))
    assert cli("build", "src") == 3
    assert "lib.build:1:1: error: one\n   |\n 1 | first\n" in cli.err
    assert "lib.build:2:1: error: two\n   |\n 2 | second\n" in cli.err
    assert "  help: write two\n" in cli.err
    assert cli.err.endswith("\n2 errors\n")


def definition() -> Any:
    graph = GraphBuilder()
    scratch = graph.add(Scratch())
    hello = graph.add(Write(path="/hello", text="→ hi\n"), base=scratch)
    graph.target("hello", base=scratch, layers=[("files", hello)], platform=Platform.parse("linux/amd64"))
    return graph.build()


def drawn(options: Any, emit: Any) -> Any:
    emit(events.Note(at=0, text="both are here"))
    return definition()


def test_graph_is_a_tree_by_default(cli: Any) -> None:
    cli.engine.on_definition = drawn
    assert cli("graph") == 0
    assert "└─ layer files\n   └─ write /hello\n" in cli.out
    assert cli.err == "note: both are here\n"


def test_graph_as_json_is_the_definition(cli: Any) -> None:
    from buildkit_py.graph import Definition

    cli.engine.on_definition = drawn
    assert cli("graph", "--format", "json") == 0
    assert Definition.from_json(cli.out.encode()).digest == definition().digest


@pytest.mark.parametrize(("kind", "start"), [("dot", "digraph"), ("svg", "<svg ")])
def test_graph_to_a_file(cli: Any, kind: str, start: str) -> None:
    cli.engine.on_definition = drawn
    assert cli("graph", "--format", kind, "--out", "drawing") == 0
    assert cli.out == ""
    assert Path("drawing").read_text().startswith(start)


def test_update_says_what_moved(cli: Any) -> None:
    rows = [("docker.io/library/python:3.12", DIGEST, OTHER), ("https://example.org/a.git main", None, "0" * 40)]
    cli.engine.on_update = lambda options, names: rows if list(names) == ["python:3.12"] else []
    assert cli("update", "python:3.12") == 0
    assert cli.out == (
        "docker.io/library/python:3.12   sha256:abababababab  →  sha256:cdcdcdcdcdcd\n"
        "https://example.org/a.git main  (none)               →  000000000000\n"
    )
    assert cli("update", "--json", "python:3.12") == 0
    assert json.loads(cli.out)[0] == {"name": "docker.io/library/python:3.12", "old": DIGEST, "new": OTHER}
    assert cli("update") == 0
    assert cli.out == "nothing moved\n"
