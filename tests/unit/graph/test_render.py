import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.graph import (
    Chmod,
    Chown,
    Copy,
    Definition,
    FileMount,
    GitSource,
    GraphBuilder,
    Host,
    HttpSource,
    ImageSource,
    LocalSource,
    Mkdir,
    Op,
    Output,
    Remove,
    Run,
    Scratch,
    Symlink,
    Test,
    TestItem,
    Unpack,
    Write,
    render,
)
from buildkit_py.graph.title import clip, title
from buildkit_py.platform import Platform

AMD64 = Platform.parse("linux/amd64")
ARM64 = Platform.parse("linux/arm64")


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (Scratch(), "from scratch"),
        (ImageSource(ref="docker.io/library/python:3.12", platform=""), "from docker.io/library/python:3.12"),
        (LocalSource(), "read context"),
        (HttpSource(url="https://example.org/a.tar", filename="a.tar"), "fetch https://example.org/a.tar"),
        (GitSource(url="file:///a.git", commit="0" * 40, subdir="lib"), f"git file:///a.git {'0' * 12} lib"),
        (Copy(sources=("./src/",), dest="/src/"), "copy ./src/ → /src/"),
        (Copy(sources=("a", "b", "c", "d", "e"), dest="/x/"), "copy a b c +2 → /x/"),
        (Mkdir(path="/x"), "mkdir /x"),
        (Write(path="/x", text="secret"), "write /x"),
        (Symlink(path="/x", target="y"), "symlink /x → y"),
        (Remove(paths=("/x", "/y")), "remove /x /y"),
        (Chmod(paths=("/x",), mode="0644"), "chmod 0644 /x"),
        (Chown(paths=("/x",), owner="app"), "chown app /x"),
        (Unpack(sources=("a.tar",), dest="/x"), "unpack a.tar → /x"),
        (Run(args=("uv", "sync", "--frozen")), "run uv sync --frozen"),
        (Run(args=("/bin/sh", "-eu", "-c", "uv sync --frozen")), "run uv sync --frozen"),
        (Run(args=("/bin/sh", "-euc", "# why\nset -o pipefail\n\nfirst \\\n  more")), "run first …"),
        (Run(args=("/bin/sh", "-c", "# only a comment")), "run /bin/sh"),
        (Run(args=("/bin/sh", "-c", "set -x && wget evil")), "run wget evil"),
        (Run(args=("/bin/sh", "-c", "set -eux; \\\n  apt-get update; \\\n  x")), "run apt-get update; …"),
        (Run(args=("/bin/sh", "-c", "set -x \\\n  && apt-get update")), "run apt-get update"),
        (Run(args=("/bin/sh", "-c", "set -euo pipefail; set +x; a | b")), "run a | b"),
        (Run(args=("/bin/sh", "-c", "set -eux  # loud\nfirst")), "run first"),
        (Run(args=("/bin/sh", "-euc", "(set -o pipefail) 2>/dev/null && set -o pipefail\nset +x; evil")), "run evil"),
        (Run(args=("/bin/sh", "-c", "set -x")), "run set -x"),
        (Run(args=("/bin/sh", "-c", "set -e $(evil); a")), "run set -e $(evil); a"),
        (Run(args=("/bin/sh", "-c", "set -x | evil")), "run set -x | evil"),
        (Run(args=("/bin/sh", "-c", "set -x || evil")), "run set -x || evil"),
        (Run(args=("/bin/sh", "-c", "set -x & evil")), "run set -x & evil"),
        (Run(args=("/bin/sh", "-c", "(set -o pipefail); evil")), "run (set -o pipefail); evil"),
        (Run(args=("/usr/bin/sh", "--rcfile", "x")), "run /usr/bin/sh --rcfile x"),
        (
            Run(args=("python3", "/s"), mounts=(FileMount(target="/s", text="#!/usr/bin/python3\nprint(1)\n"),)),
            "run print(1)",
        ),
        (Host(args=("mmdebstrap", "$ROOTFS")), "host mmdebstrap $ROOTFS"),
    ],
)  # fmt: skip
def test_a_title_says_what_an_op_does(op: Op, text: str) -> None:
    assert title(op) == text


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        (LocalSource(), "copy ./t/nope ./a/ → /x/"),
        (LocalSource(name="other"), "copy /t/nope /a/ → /x/"),
        (Scratch(), "copy /t/nope /a/ → /x/"),
        (GitSource(url="file:///a.git", commit="0" * 40), "copy file:///a.git → /x/"),
        (HttpSource(url="https://example.org/a.tar", filename="a.tar"), "copy https://example.org/a.tar → /x/"),
    ],
)
def test_a_title_of_a_copy_names_paths_as_they_are_written(origin: Op, text: str) -> None:
    assert title(Copy(sources=("/t/nope", "/a/"), dest="/x/"), origin=origin) == text


def test_a_title_names_a_platform_that_is_not_the_native_one() -> None:
    op = Run(args=("x",), platform="linux/riscv64")
    assert title(op) == "run x [linux/riscv64]"
    assert title(op, native="linux/riscv64") == "run x"


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_a_title_is_one_printable_line(words: list[str]) -> None:
    for op in (Run(args=tuple(words)), Run(args=("sh", "-c", words[0]), platform="linux/s390x")):
        assert title(op).isprintable()


def test_a_long_title_is_whole() -> None:
    assert title(Run(args=("x" * 300,))) == f"run {'x' * 300}"


def test_clip_keeps_what_fits() -> None:
    assert clip("abc", 3) == "abc"
    assert clip("abcd", 3) == "ab…"
    assert clip("a\x1b[31m\n b", 20) == "a�[31m b"


def example() -> Definition:
    graph = GraphBuilder()
    context = graph.add(LocalSource())
    python = graph.add(ImageSource(ref="docker.io/library/python:3.12", platform="linux/amd64"))
    scratch = graph.add(Scratch())
    source = graph.add(Copy(sources=("./src/",), dest="/src/"), base=python, inputs={"from": context})
    built = graph.add(Run(args=("make", "<all>", 'a"b\\')), base=source)
    for platform in (AMD64, ARM64):
        system = graph.add(Host(args=("mmdebstrap", "bookworm", "$ROOTFS"), platform=str(platform)), base=scratch)
        app = graph.add(Copy(sources=("/out/",), dest="/opt/"), base=system, inputs={"from": built})
        probe = graph.add(Run(args=("/opt/app", "--version"), platform=str(platform)), base=app)
        graph.target(
            "web",
            base=scratch,
            layers=[("os", system), ("app", app)],
            platform=platform,
            tests=[Test(name="runs", items=(TestItem(kind="run", vertex=probe), TestItem(kind="absent", path="/x")))],
            outputs=[Output(kind="archive", value="./web.tar")],
        )
    return graph.build()


TREE = """\
stage 1
├─ from docker.io/library/python:3.12 [linux/amd64]
├─ copy ./src/ → /src/  ← context
└─ run make <all> a"b\\

image web (linux/amd64)
├─ from scratch
├─ layer os
│  └─ host mmdebstrap bookworm $ROOTFS
├─ layer app
│  └─ copy /out/ → /opt/  ← stage 1
├─ test runs
│  ├─ run /opt/app --version
│  └─ absent /x
└─ outputs
   └─ archive ./web.tar
"""


def test_the_tree_groups_steps_by_stage_image_and_layer() -> None:
    text = render.tree(example())
    assert text.startswith(TREE)
    assert text[len(TREE) :].startswith("\nimage web (linux/arm64)\n")


def test_a_stage_that_branches_is_two_stages() -> None:
    graph = GraphBuilder()
    scratch = graph.add(Scratch())
    trunk = graph.add(Write(path="/trunk", text=""), base=scratch)
    left = graph.add(Write(path="/left", text=""), base=trunk)
    right = graph.add(Write(path="/right", text=""), base=trunk)
    one = graph.add(Copy(sources=("/left",), dest="/"), base=scratch, inputs={"from": left})
    two = graph.add(Copy(sources=("/right",), dest="/"), base=one, inputs={"from": right})
    graph.target("both", base=scratch, layers=[("all", two)], platform=AMD64)
    text = render.tree(graph.build())
    assert "stage 1\n├─ from scratch\n├─ write /trunk\n└─ write /left\n" in text
    assert "stage 2\n├─ from stage 1\n└─ write /right\n" in text


def test_an_image_that_stands_on_another_shows_all_its_layers() -> None:
    graph = GraphBuilder()
    scratch = graph.add(Scratch())
    small = graph.add(Write(path="/small", text=""), base=scratch)
    large = graph.add(Write(path="/large", text=""), base=small)
    graph.target("small", base=scratch, layers=[("s", small)], platform=AMD64)
    graph.target("large", base=scratch, layers=[("s", small), ("l", large)], platform=AMD64)
    definition = graph.build()
    assert render.tree(definition).count("write /small") == 2
    assert render.dot(definition).count('label="write /small"') == 1


def test_dot_has_every_vertex_once_and_every_edge() -> None:
    definition = example()
    text = render.dot(definition)
    for digest, vertex in definition.vertices.items():
        name = f'"{digest.removeprefix("sha256:")[:16]}"'
        assert text.count(f"{name} [label=") == 1
        for role, source in vertex.inputs.items():
            edge = f'"{source.removeprefix("sha256:")[:16]}" -> {name}'
            assert edge in text
            assert role == "base" or f'{edge} [style=dashed, label="{role}"]' in text
    assert 'label="run make <all> a\\"b\\\\"' in text


def test_the_drawing_is_well_formed_and_shows_what_the_tree_shows() -> None:
    definition = example()
    drawing = ElementTree.fromstring(render.svg(definition))
    shown = ["".join(node.itertext()) for node in drawing.iter("{http://www.w3.org/2000/svg}text")]
    for line in TREE.splitlines():
        words = line.lstrip("├─└│ ").removesuffix("  ← stage 1")
        assert not words or words in shown
    edges = [node for node in drawing.iter("{http://www.w3.org/2000/svg}path") if node.get("class") == "edge"]
    assert len(edges) == 2


def test_cards_do_not_overlap_and_needed_cards_stand_to_the_left() -> None:
    from buildkit_py.graph import drawing
    from buildkit_py.graph.groups import cards_of

    boxes = [drawing._box(card) for card in cards_of(example())]
    ends = drawing._ends(boxes)
    drawing._set_columns(boxes, ends)
    drawing._place(boxes, ends)
    for box in boxes:
        for other in boxes:
            apart = box is other or (
                box.x + box.width < other.x
                or other.x + other.width < box.x
                or box.y + box.height < other.y
                or other.y + other.height < box.y
            )
            assert apart
        assert all(needed.x + needed.width < box.x for _, needed, _ in drawing._needed(box, ends))


def test_cards_that_need_each_other_are_drawn_all_the_same() -> None:
    graph = GraphBuilder()
    scratch = graph.add(Scratch())
    lower = graph.add(Write(path="/lower", text=""), base=scratch)
    stage = graph.add(Write(path="/stage", text=""), base=lower)
    upper = graph.add(Copy(sources=("/stage",), dest="/"), base=lower, inputs={"from": stage})
    graph.target("knot", base=scratch, layers=[("l", lower), ("u", upper)], platform=AMD64)
    definition = graph.build()
    ElementTree.fromstring(render.svg(definition))
    assert "from image knot (linux/amd64)" in render.tree(definition)


def test_equal_definitions_give_equal_text() -> None:
    one, two = example(), example()
    for draw in (render.tree, render.dot, render.svg):
        assert draw(one) == draw(two)


def test_an_empty_definition_can_be_shown() -> None:
    empty = GraphBuilder().build()
    assert render.tree(empty) == "nothing to build\n"
    ElementTree.fromstring(render.svg(empty))
