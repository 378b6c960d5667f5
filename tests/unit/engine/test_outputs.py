"""Which outputs are refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py.engine.options import BuildOptions
from buildkit_py.engine.outputs import check_outputs, confined
from buildkit_py.errors import OutputError, UsageError
from buildkit_py.graph.builder import GraphBuilder
from buildkit_py.graph.definition import Definition, Output
from buildkit_py.graph.op import Scratch
from buildkit_py.source import Span

SPAN = Span(file="Buildfile", line=3, column=1, end_line=3, end_column=9)


def definition(**outputs: Output) -> Definition:
    builder = GraphBuilder()
    base = builder.add(Scratch())
    for name, output in outputs.items():
        builder.target(name, base=base, outputs=[output])
    return builder.build()


def archive(value: str) -> Output:
    return Output(kind="archive", value=value, span=SPAN)


@pytest.mark.parametrize("value", ["a.tar", "./out/a.tar", "inside/a.tar", "out/x..y", "..a"])
def test_places_below_the_directory_are_taken(tmp_path: Path, value: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "inside").symlink_to("real")
    assert confined(tmp_path, archive(value)).is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize(
    "value", ["/a.tar", "../a.tar", "out/../../a.tar", "out/../a.tar", ".", "", "outside/a.tar", "loop/a.tar", "file"]
)
def test_others_are_refused_with_their_line(tmp_path: Path, value: str) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "outside").symlink_to(tmp_path)
    (context / "file").symlink_to(tmp_path / "victim")
    (context / "loop").symlink_to("loop")
    with pytest.raises(OutputError) as caught:
        confined(context, archive(value))
    assert caught.value.span == SPAN


def test_an_absolute_path_below_the_directory_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not below the directory"):
        confined(tmp_path, archive(str(tmp_path / "a.tar")))


def test_the_command_line_names_one_image_and_any_path(tmp_path: Path) -> None:
    anywhere = BuildOptions(context=tmp_path, outputs=(archive("/elsewhere/a.tar"),), tags=("a:1",))
    check_outputs(definition(one=archive("a.tar")), anywhere)
    with pytest.raises(UsageError, match="one, two"):
        check_outputs(definition(one=archive("a.tar"), two=archive("b.tar")), anywhere)


def test_two_images_can_not_take_one_place(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="'one' and 'two'"):
        check_outputs(definition(one=archive("a.tar"), two=archive("./a.tar")), BuildOptions(context=tmp_path))


def test_a_file_that_is_no_archive_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "src.txt").write_text("mine")
    for kind in ("archive", "docker"):
        with pytest.raises(OutputError, match="is no archive") as caught:
            check_outputs(
                definition(one=Output(kind=kind, value="./src.txt", span=SPAN)),  # type: ignore[arg-type]
                BuildOptions(context=tmp_path),
            )
        assert caught.value.span == SPAN
    with pytest.raises(OutputError, match="is no archive"):
        asked = BuildOptions(context=tmp_path, outputs=(archive(str(tmp_path / "src.txt")),))
        check_outputs(definition(one=archive("a.tar")), asked)


def test_a_reference_that_is_none_is_refused(tmp_path: Path) -> None:
    output = Output(kind="registry", value="Registry/UPPER")
    with pytest.raises(OutputError, match="UPPER"):
        check_outputs(definition(one=archive("a.tar")), BuildOptions(context=tmp_path, outputs=(output,)))
