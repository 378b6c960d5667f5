"""The layers of an image: those that the build file names, and what umoci finds in them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support import cache
from tests.support.build import BASE, Project
from tests.support.command import Pybuild


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    return Project.make(pybuild, tmp_path / "project")


RUNS = ("run echo 1 > /1", "run echo 2 > /2", "run echo 3 > /3")


def test_there_are_the_layers_that_were_named(project: Project) -> None:
    nothing = ('layer "none" {', "if false { mkdir /none }", "}")
    project.image("mkdir /zero", 'layer "one" {', *RUNS, "}", *nothing, 'write /end "x"', "mkdir /more")
    assert project.build().layers == ["app", "one", "app-2"]


def test_the_steps_of_one_layer_are_cached_one_by_one(project: Project) -> None:
    project.image('layer "one" {', *RUNS, "}")
    project.build()
    project.image('layer "one" {', *RUNS[:2], "run echo 4 > /3", "}")
    build = project.build()
    assert (build.processes, build.committed) == (["run echo 4 > /3"], ["one"])


def test_which_steps_share_a_layer_reruns_nothing(project: Project) -> None:
    project.image('layer "one" {', *RUNS, "}")
    together = project.build()
    project.image('layer "a" {', *RUNS[:1], "}", 'layer "b" {', *RUNS[1:], "}")
    apart = project.build()
    assert (apart.ran, apart.committed) == ([], ["a", "b"])
    project.image('layer "x" {', *RUNS, "}")
    again = project.build()
    assert (again.ran, again.committed) == ([], [])
    assert {event["digest"] for event in together.of_kind("LayerDone")} == {
        event["digest"] for event in again.of_kind("LayerDone")
    }


def test_reordering_reruns_the_steps_whose_input_tree_changed(project: Project) -> None:
    project.write({"a": "a"})
    project.image("copy ./a to /a", *RUNS)
    project.build()
    project.image("copy ./a to /a", RUNS[0], RUNS[2], RUNS[1])
    assert project.build().processes == [RUNS[2], RUNS[1]]


def test_file_operations_are_not_redone_over_another_base(project: Project) -> None:
    project.write({"big": "x" * 100_000})
    text = 'layer "files" {\ncopy ./big to /srv/big\nwrite /etc/app.conf "text\\n"\nsymlink /srv/link to big\n}'
    project.file(f"image app {{\n{BASE}\nrun echo 1 > /one\n{text}\n}}")
    project.build()
    project.file(f"image app {{\n{BASE}\nrun echo 2 > /one\n{text}\n}}")
    build = project.build()
    assert build.ran == ["run echo 2 > /one"]
    assert build.committed == ["app"]


def test_from_an_image_brings_its_layers_along(project: Project) -> None:
    project.file(
        f'stage lower {{\n{BASE}\nenv A = "1"\nlayer "low" {{ mkdir /low }}\n}}\n'
        'image middle {\nfrom lower\nlayer "mid" { mkdir /mid }\n}\n'
        'image app {\nfrom middle\nlayer "top" { mkdir /top }\n}\n'
    )
    build = project.build("--target", "app")
    assert build.layers == ["low", "mid", "top"]
    both = project.build()
    assert (both.ran, both.committed) == ([], [])
    assert both.digests["app"] == build.digest


def test_what_was_made_is_what_others_unpack(project: Project) -> None:
    long = "/".join(["d" * 100] * 3) + "/" + "n" * 200
    project.image(
        "run {",
        f"    mkdir -p /deep/{Path(long).parent} '/odd/ä ö' /gone/sub /opaque/old",
        f"    echo long > /deep/{long}",
        "    echo odd > '/odd/new\nline'",
        "    echo odd > '/odd/ä ö/*?[x]'",
        "    echo one > /hard; ln /hard /odd/link; ln /hard /hard2",
        "    echo keep > /gone/keep; echo old > /opaque/old/file",
        "    mkfifo /fifo; chmod 4751 /hard; chmod 1777 /odd; chown 12345:54321 /gone",
        "    dd if=/dev/zero of=/sparse bs=1k seek=9999 count=1 2>/dev/null",
        "}",
        'layer "second" {',
        "    run rm -r /gone/sub /gone/keep /opaque && mkdir /opaque && echo new > /opaque/new",
        "    run rm /hard2 /odd/link && echo other > /odd/link",
        "    remove /bin/wget /fifo",
        "}",
    )
    files = project.unpacked().files()
    assert files[f"/deep/{long}"].text == "long\n"
    assert files["/odd/new\nline"].text == "odd\n"
    assert files["/odd/ä ö/*?[x]"].text == "odd\n"
    assert (files["/hard"].mode, files["/hard"].text, files["/odd/link"].text) == (0o4751, "one\n", "other\n")
    assert files["/odd"].mode == 0o1777
    assert (files["/gone"].uid, files["/gone"].gid) == (12345, 54321)
    assert files["/opaque/new"].text == "new\n"
    assert files["/sparse"].size == 10_240_000
    for gone in ("/gone/keep", "/gone/sub", "/opaque/old", "/hard2", "/fifo", "/bin/wget"):
        assert gone not in files
    assert not [name for name in files if ".wh." in name]


TEST = """test "works" {
    run test ! -e /d/7
}"""


def test_a_tree_of_more_steps_than_overlayfs_stacks(project: Project) -> None:
    writes = [f'write /d/{number} "{number}"' for number in range(501)]
    project.image('layer "all" {', *writes, "run ls /d | wc -l > /count; rm /d/7", "}", TEST)
    files = project.unpacked().files()
    assert files["/count"].text == "501\n"
    assert "/d/7" not in files and files["/d/500"].text == "500"


def test_hard_links_are_one_file_in_the_image(project: Project) -> None:
    project.image("run echo one > /first && ln /first /second && ln /first /bin/third")
    root = project.unpacked().rootfs
    assert (root / "first").stat().st_nlink == 3
    assert (root / "first").samefile(root / "bin" / "third")


def test_extended_attributes_and_capabilities_survive(project: Project) -> None:
    project.image(
        'write /tool "x" mode 0755',
        "with tool(python3)",
        "host {",
        "    python3 - <<'END'",
        "    import os, struct",
        "    root = os.environ['ROOTFS']",
        "    os.setxattr(root + '/tool', 'user.note', b'kept')",
        "    caps = struct.pack('<IIIII', 0x02000001, 1 << 10, 0, 0, 0)",
        "    os.setxattr(root + '/tool', 'security.capability', caps)",
        "    END",
        "}",
    )
    tool = project.unpacked().rootfs / "tool"
    assert os.getxattr(tool, "user.note") == b"kept"
    assert os.getxattr(tool, "security.capability")[4:8] == (1 << 10).to_bytes(4, "little")


def test_several_platforms_make_an_index(project: Project) -> None:
    project.write({"amd64": "amd64", "arm64": "arm64"})
    project.file(
        "image app {\nfrom scratch\nplatforms linux/amd64, linux/arm64\n"
        'copy ./${platform.arch} to /arch\nlayer "same" { write /same "x" }\n}'
    )
    out = project.directory.parent / "out"
    build = project.build("-o", f"layout:{out}", "--platform", "linux/amd64,linux/arm64")
    assert build.layers == ["app", "same"] * 2
    (row,) = json.loads((out / "index.json").read_bytes())["manifests"]
    assert row["digest"] == build.digests["app"]
    for arch in ("amd64", "arm64"):
        config = json.loads(cache.run("skopeo", "inspect", "--config", "--override-arch", arch, f"oci:{out}"))
        assert config["architecture"] == arch
