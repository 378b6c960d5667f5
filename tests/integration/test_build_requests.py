"""What is asked for: outputs, secrets, targets, params, graphs. What can't be done is said before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import bases, cache
from tests.support.build import BASE, Build, Project
from tests.support.command import Pybuild
from tests.support.registry import RegistryServer, serve_registry, write_config


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    return Project.make(pybuild, tmp_path / "project")


def refused(build: Build, code: int, *texts: str) -> None:
    """The build ended with that code before anything ran, and said so."""
    assert build.result.code == code, build.result.output
    assert build.of_kind("Started") == []
    for text in texts:
        assert text in build.result.stderr
    assert "Traceback" not in build.result.output


@pytest.mark.parametrize(
    "place", ["/tmp/out.tar", "../out.tar", "./link/out.tar", "./sub/../../out.tar", "./file-link"]
)
def test_a_build_file_writes_only_below_its_directory(project: Project, place: str) -> None:
    (project.directory / "link").symlink_to(project.directory.parent)
    (project.directory / "file-link").symlink_to(project.directory.parent / "victim")
    project.image("run echo one > /one", f"output archive {place}")
    refused(project.attempt(), 15, "Buildfile:5:1", "is not below the directory of the build", "`-o`")
    assert not (project.directory.parent / "out.tar").exists()
    assert not (project.directory.parent / "victim").exists()


def test_an_output_can_not_leave_through_a_link_that_another_left(project: Project) -> None:
    outside = project.directory.parent / "outside"
    outside.mkdir()
    project.file(
        f"image app {{\nfrom scratch\nsymlink /way to {outside}\n"
        "output rootfs ./root\noutput archive ./root/way/x.tar\n}"
    )
    refused(project.attempt(), 3, "Buildfile:6:16", "are one inside the other")
    assert list(outside.iterdir()) == []


def test_the_command_line_may_name_any_path(project: Project, tmp_path: Path) -> None:
    project.image("run echo one > /one", "output archive ./out/app.tar", "output store kept")
    build = project.build("-o", tmp_path / "elsewhere.tar", "-t", "app:1")
    assert (tmp_path / "elsewhere.tar").is_file()
    assert (project.directory / "out" / "app.tar").is_file()
    outputs = [(event["kind"], event.get("skipped")) for event in build.of_kind("OutputDone")]
    assert outputs == [("archive", None), ("store", None), ("archive", None)]
    kinds = {event["id"]: event["kind"] for event in build.of_kind("Started")}
    ended = [event["id"] for event in build.of_kind("Finished") if kinds.get(event["id"]) == "output"]
    assert len(ended) == 2
    assert {row["name"] for row in json.loads(project.pybuild.ok("ls", "--json").stdout)} >= {"app:1", "kept"}


@pytest.mark.parametrize("option", [("-o", "x.tar"), ("-t", "name")])
def test_several_images_can_not_have_one_name(project: Project, option: tuple[str, str]) -> None:
    project.file("".join(f"image {name} {{\n{BASE}\nrun echo {name} > /x\n}}\n" for name in ("one", "two")))
    refused(project.attempt(*option), 2, "one, two", "--target")


def test_two_images_can_not_be_written_to_one_place(project: Project) -> None:
    image = 'image {0} {{\nfrom scratch\nwrite /x "{0}"\noutput archive ./out.tar\n}}\n'
    project.file(image.format("one") + image.format("two"))
    refused(project.attempt(), 3, "Buildfile:10:16", "out.tar")


def test_what_is_missing_is_said_with_its_line(project: Project) -> None:
    project.file(
        f'secret token "for the index"\nimage app {{\n{BASE}\nrun echo one > /one\n'
        "with secret(token)\nrun cat /run/secrets/token\n}"
    )
    refused(project.attempt(), 2, "Buildfile:7:1", "'token': for the index", "--secret id=token")
    project.image("run echo one > /one", "with ssh(work)", "run ssh-add -l")
    refused(project.attempt(), 2, "Buildfile:6:1", "--ssh work")
    project.image("run echo one > /one", "with tool(no-such-tool)", "host no-such-tool")
    refused(project.attempt(), 9, "Buildfile:6:1", "apt-get install no-such-tool")


def test_what_nobody_knows_is_refused(project: Project) -> None:
    project.file(f"param size: int = 3\nimage app {{\n{BASE}\nrun echo one > /one\n}}")
    refused(project.attempt("--target", "ap"), 3, "no image or stage `ap`", "`app`")
    refused(project.attempt("--param", "sise=3"), 3, "no param `sise`")
    refused(project.attempt("--param", "size=much"), 3, "size")
    project.file(f'image app {{\n{BASE}\nfetch "http://127.0.0.1:9/x" to /x\n}}')
    refused(project.attempt("--locked"), 8, "Buildfile.lock", "http://127.0.0.1:9/x")


def test_a_missing_source_names_the_line(project: Project) -> None:
    project.write({"package.json": "{}"})
    project.image("copy ./pakage.json to /x")
    build = project.attempt()
    assert build.result.code == 14
    assert "Buildfile:4:" in build.result.stderr and "package.json" in build.result.stderr


def graph_of(project: Project) -> dict[str, object]:
    text = project.pybuild.ok("graph", ".", "--format", "json", cwd=project.directory).stdout
    graph: dict[str, object] = json.loads(text)
    return graph


def test_a_graph_of_another_program_is_built(project: Project) -> None:
    project.image("run echo one > /one")
    expected = project.build()
    graph = graph_of(project)
    project.write({"graph.json": json.dumps(graph)})
    build = project.build("--graph", "graph.json")
    assert (build.ran, build.digest) == ([], expected.digest)


def test_a_graph_whose_images_are_not_pinned_is_pinned(project: Project) -> None:
    project.image("run echo one > /one")
    expected = project.build()
    project.write({"graph.json": json.dumps(_without_digests(graph_of(project)))})
    build = project.build("--graph", "graph.json")
    assert (build.ran, build.digest) == ([], expected.digest)


def test_a_graph_that_lies_is_refused(project: Project) -> None:
    project.image("run echo one > /one")
    project.build()
    text = json.dumps(graph_of(project))
    for before, after, code in (
        ("echo one", "echo two", 4),
        ('"version": 1', '"version": 9', 4),
        ('"type": "run"', '"type": "spawn"', 4),
        ('"targets": [', '"targets": [5, ', 4),
        ("{", "[", 4),
    ):
        assert before in text
        project.write({"graph.json": text.replace(before, after, 1)})
        refused(project.attempt("--graph", "graph.json"), code)
    project.write({"graph.json": text.replace('"outputs": []', '"outputs": [{"kind": "archive", "value": "/x.tar"}]')})
    if '"outputs": []' in text:
        refused(project.attempt("--graph", "graph.json"), 15)


def test_layers_of_a_base_that_nobody_needed_stay_elsewhere(pybuild: Pybuild, tmp_path: Path) -> None:
    with serve_registry(tmp_path / "registry") as server:
        bases.push("tiny", server.name, "tiny", "latest")
        config = write_config(tmp_path / "registries.toml", server.name)
        project = Project.make(pybuild.having(PYBUILD_REGISTRIES=str(config)), tmp_path / "project")
        project.file(f'image app {{\nfrom "{server.name}/library/tiny:latest"\nlabel "a" = "b"\n}}')
        build = project.build()
        (layer,) = build.of_kind("LayerDone")
        missing = pybuild.store / "blobs" / "sha256" / layer["digest"].removeprefix("sha256:")
        for words in (("store", "check"), ("prune",), ("prune", "--all"), ("store", "check"), ("inspect", "app")):
            project.pybuild.ok(*words)
        assert project.build().digest == build.digest
        assert not missing.exists()
        mounted = _pushed(project, server, f"{server.name}/other/app:1")
        assert "0 blobs uploaded" not in mounted and "1 mounted" in mounted
        assert not missing.exists()
        with serve_registry(tmp_path / "another") as other:
            config.write_text(config.read_text() + f'[registry."{other.name}"]\nplain_http = true\n')
            assert "2 blobs uploaded" in _pushed(project, other, f"{other.name}/app:1")
            assert cache.run("skopeo", "inspect", "--tls-verify=false", f"docker://{other.name}/app:1")
        assert missing.exists()
        missing.unlink()
        project.build("-o", f"layout:{tmp_path / 'out'}", "-t", "app:1")
        assert missing.exists()
    cache.run("skopeo", "copy", "--quiet", f"oci:{tmp_path / 'out'}", f"dir:{tmp_path / 'copied'}")


def _pushed(project: Project, server: RegistryServer, name: str) -> str:
    skipped = project.build("-o", f"registry:{name}")
    assert [event["skipped"] for event in skipped.of_kind("OutputDone")] == ["needs --push"]
    build = project.build("-o", f"registry:{name}", "--push")
    (started,) = [event for event in build.of_kind("Started") if event["kind"] == "output"]
    assert [event["outcome"] for event in build.of_kind("Finished") if event["id"] == started["id"]] == ["done"]
    (note,) = [event["text"] for event in build.of_kind("Note") if event["text"].startswith("pushed ")]
    return str(note)


def _without_digests(plain: object) -> dict[str, object]:
    """The same graph, its image sources not pinned, and every vertex digest as it is then."""
    from buildkit_py import canonical

    assert isinstance(plain, dict)
    names: dict[str, str] = {}
    vertices = []
    for vertex in plain["vertices"]:
        op = {key: value for key, value in vertex["op"].items() if (vertex["op"]["type"], key) != ("image", "digest")}
        inputs = {role: names[digest] for role, digest in vertex["inputs"].items()}
        names[vertex["digest"]] = str(canonical.digest({"inputs": inputs, "op": op}))
        vertices.append({"digest": names[vertex["digest"]], "op": op, "inputs": inputs})
    text = json.dumps({**plain, "vertices": vertices, "spans": {}})
    for old, new in names.items():
        text = text.replace(old, new)
    result: dict[str, object] = json.loads(text)
    return result
