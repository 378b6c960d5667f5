"""The end of a build: its record never takes the place of why it failed."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from buildkit_py import events
from buildkit_py.engine import BuildOptions, Engine
from buildkit_py.engine.record import Recorder
from buildkit_py.errors import OutputError, StoreError
from buildkit_py.graph import (
    Copy,
    Definition,
    GraphBuilder,
    HistoryLine,
    LocalSource,
    Merge,
    Mkdir,
    Output,
    Scratch,
    Write,
)

FILE = """buildfile 1
image app {
from scratch
write /x "x"
output rootfs ./full
}
"""


@pytest.mark.parametrize("fault", [StoreError("the disk is full"), OSError(errno.ENOSPC, "no space")])
def test_a_record_that_can_not_be_kept_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(Recorder, "save", fail)
    (tmp_path / "context/full").mkdir(parents=True)
    (tmp_path / "context/full/mine").touch()
    (tmp_path / "context/Buildfile").write_text(FILE)
    seen: list[events.Event] = []
    with Engine(tmp_path / "store") as engine, pytest.raises(OutputError) as caught:
        engine.build(BuildOptions(context=tmp_path / "context"), seen.append)
    assert caught.value.span is not None
    assert caught.value.span.line == 5
    assert [note.level for note in seen if isinstance(note, events.Note) and "record" in note.text] == ["warning"]


EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
"""The diff id of a tar that holds nothing, as every tool makes it."""


def test_a_layer_that_changes_nothing_is_a_layer(tmp_path: Path) -> None:
    graph = GraphBuilder()
    base = graph.add(Scratch())
    file = graph.add(Write(path="/f", text="x"), base=base)
    nothing = graph.add(Mkdir(path="/", keep_existing=True), base=file)
    again = graph.add(Mkdir(path="/d"), base=nothing)
    layers = [("a", file), ("b", nothing), ("c", again), ("d", again)]
    lines = [HistoryLine(text="first"), HistoryLine(text="said", empty=True), *map(_line, "bcd")]
    graph.target("app", base=base, layers=layers, history=lines)
    (tmp_path / "context").mkdir()
    (tmp_path / "graph.json").write_bytes(graph.build().to_json())
    options = BuildOptions(context=tmp_path / "context", graph=tmp_path / "graph.json")
    with Engine(tmp_path / "store") as engine:
        (image,) = engine.build(options, lambda event: None).images
        manifest = json.loads(engine.store.blobs.read(image.digest))
        config = json.loads(engine.store.blobs.read(manifest["config"]["digest"]))
    diff_ids = config["rootfs"]["diff_ids"]
    assert [diff_id == EMPTY for diff_id in diff_ids] == [False, True, False, True]
    assert len(manifest["layers"]) == 4
    assert [line["created_by"] for line in config["history"]] == ["first", "said", "b", "c", "d"]


def _line(text: str) -> HistoryLine:
    return HistoryLine(text=text)


def _several() -> Definition:
    graph = GraphBuilder()
    base = graph.add(Scratch())
    near, far = graph.add(LocalSource(special=True)), graph.add(LocalSource(name="other"))
    copied = graph.add(
        Copy(sources=("/d",), dest="/x/y", contents="always", made="alike", mode="0750"),
        inputs={"base": base, "from": near},
    )
    unpacked = graph.add(
        Copy(sources=("/*.tar",), dest="/x/u", contents="always", unpack=True), inputs={"base": copied, "from": near}
    )
    beside = graph.add(Copy(sources=("/o",), dest="/x/y/"), inputs={"base": base, "from": far})
    merged = graph.add(Merge(), inputs={"base": unpacked, "from": beside})
    last = graph.add(Merge(), inputs={"base": merged, "from": far})
    graph.target("app", base=base, layers=[("all", last)], outputs=[Output(kind="rootfs", value="out")])
    return graph.build()


def test_directories_archives_and_merges_make_a_tree_and_are_known_again(tmp_path: Path) -> None:
    context, other = tmp_path / "context", tmp_path / "other"
    (context / "d").mkdir(parents=True)
    other.mkdir()
    (context / "d/f").write_text("f")
    os.link(context / "d/f", context / "d/g")
    (other / "o").write_text("o")
    with tarfile.open(context / "a.tar", "w") as archive:
        info = tarfile.TarInfo("in")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"in"))
    (tmp_path / "graph.json").write_bytes(_several().to_json())
    options = BuildOptions(context=context, graph=tmp_path / "graph.json", contexts={"other": other})
    ran = []
    for _ in range(2):
        shutil.rmtree(context / "out", ignore_errors=True)
        with Engine(tmp_path / "store") as engine:
            ran.append(engine.build(options, lambda event: None).ran)
        (other / "o").touch()
    assert ran == [5, 0]
    out = context / "out"
    found = {str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.is_file()}
    assert found == {"o": "o", "x/u/in": "in", "x/y/f": "f", "x/y/g": "f", "x/y/o": "o"}
    assert (out / "x/y").stat().st_mode & 0o777 == 0o755
