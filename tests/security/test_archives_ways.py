"""One tar that reaches for the machine, through every way in that a foreign tar has, and through every way out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import bases, cache, httpd, layouts
from tests.support.command import Pybuild, Result
from tests.support.tars import DEAD, D, R, alive, noted, reaching, tar_of

REFS = {
    "oci": "oci:layout:latest",
    "oci-archive": "oci-archive:image.tar:latest",
    "docker-archive": "docker-archive:image.tar:app:latest",
    "dir": "dir:image",
}
Way = Callable[[Pybuild, Path, bytes], Result]


def image_of(directory: Path, tar: bytes) -> str:
    """Write an image with a shell and with this tar above it, as a layout; what skopeo calls it."""
    tiny = layouts.layers_of(bases.layout("tiny"))
    layouts.write_layout(directory / "layout", [*tiny, tar], {"Cmd": ["/bin/true"]})
    return f"oci:{directory / 'layout'}:latest"


def output(pybuild: Pybuild, project: Path, text: str) -> Result:
    """Build a file of this text, and write the tree to `out`."""
    name = "Buildfile" if text.startswith("buildfile") else "Dockerfile"
    (project / name).write_text(text)
    return pybuild("build", ".", "-o", f"type=local,dest={project.parent / 'out'}", cwd=project)


def base(kind: str) -> Way:
    """As the base of an image, in one of the kinds of files."""

    def way(pybuild: Pybuild, project: Path, tar: bytes) -> Result:
        source = image_of(project, tar)
        if kind != "oci":
            place = {"docker-archive": f"docker-archive:{project / 'image.tar'}:app:latest"}.get(
                kind, f"{kind}:{project / REFS[kind].split(':')[1]}" + (":latest" if kind == "oci-archive" else "")
            )
            cache.run("skopeo", "copy", source, place)
            shutil.rmtree(project / "layout")
        return output(pybuild, project, f'buildfile 1\nimage a {{\nfrom "{REFS[kind]}"\nrun test -d /p\n}}\n')

    return way


def imported(pybuild: Pybuild, project: Path, tar: bytes) -> Result:
    """By `import`; what it gave is exported, and unpacked by tar."""
    result = pybuild("import", "-", "app", stdin=tar)
    if result.code == 0:
        pybuild.ok("export", "app", "-o", project / "out.tar")
        (project.parent / "out").mkdir()
        cache.run("tar", "-xf", project / "out.tar", "-C", project.parent / "out")
    return result


def loaded(pybuild: Pybuild, project: Path, tar: bytes) -> Result:
    """By `load` of a Docker archive, and out again by everything that shows or takes files of an image."""
    cache.run("skopeo", "copy", image_of(project, tar), f"docker-archive:{project / 'image.tar'}:app:1")
    result = pybuild("load", "-i", project / "image.tar")
    out = project.parent / "out"
    steps: list[tuple[str | Path, ...]] = [
        ("mount", "app:1", project / "point"),
        ("umount", project / "point"),
        ("scan", "--fail-on", "never", "app:1"),
        (
            "install",
            "--root",
            project / "services",
            "--unit-dir",
            project,
            "--name",
            f"s3-{project.parent.name}",
            "app:1",
        ),
        ("uninstall", "--root", project / "services", f"s3-{project.parent.name}"),
        ("save", "app:1", "-o", project / "saved.tar"),
    ]
    (project / "point").mkdir()
    for words in steps if result.code == 0 else ():
        if words[0] != "install" or shutil.which("runc"):
            result = pybuild(*words)
        if words[0] == "mount" and result.code == 0:
            shutil.copytree(project / "point", out, symlinks=True)
        if result.code != 0:
            return result
    return result


def unpacked(pybuild: Pybuild, project: Path, tar: bytes) -> Result:
    """By a Buildfile's `unpack`."""
    (project / "a.tar").write_bytes(tar)
    return output(pybuild, project, "buildfile 1\nimage a {\nfrom scratch\nunpack ./a.tar to /in\n}\n")


def added(pybuild: Pybuild, project: Path, tar: bytes) -> Result:
    """By a Dockerfile's ADD of a file."""
    (project / "a.tar").write_bytes(tar)
    return output(pybuild, project, "FROM scratch\nADD a.tar /in/\n")


def added_of_url(pybuild: Pybuild, project: Path, tar: bytes) -> Result:
    """By a Dockerfile's ADD of a URL."""
    (project.parent / "served").mkdir()
    (project.parent / "served/a.tar").write_bytes(tar)
    with httpd.serve(project.parent / "served") as server:
        return output(pybuild, project, f"FROM scratch\nADD --unpack=true {server.url}/a.tar /in/\n")


def context(pybuild: Pybuild, project: Path, tar: bytes) -> Result:
    """As the directory that is built."""
    head = tar_of(("Dockerfile", R, b"FROM scratch\nCOPY . /in/\n"))[:1024]
    return pybuild("build", "-o", f"type=local,dest={project.parent / 'out'}", "-", stdin=head + tar)


WAYS: dict[str, Way] = {
    **{kind: base(kind) for kind in REFS},
    "import": imported,
    "load": loaded,
    "unpack": unpacked,
    "ADD": added,
    "ADD of a URL": added_of_url,
    "context": context,
}
BELOW = dict.fromkeys(("unpack", "ADD", "ADD of a URL", "context"), "in")


@pytest.mark.parametrize("name", WAYS)
def test_each_way_in_stays_below_its_root(pybuild: Pybuild, tmp_path: Path, name: str) -> None:
    """Links of every kind are followed inside the tree, and lead to the canary's place there."""
    stay_below(pybuild, tmp_path, name)


def stay_below(pybuild: Pybuild, tmp_path: Path, name: str) -> None:
    """The test, for its proof."""
    (tmp_path / "project").mkdir()
    with alive(tmp_path / "canary") as canary:
        result = WAYS[name](pybuild, tmp_path / "project", tar_of(*reaching(canary)))
    assert result.code == 0, result.output
    inside = tmp_path / "out" / BELOW.get(name, "") / str(canary).lstrip("/")
    assert (inside / "file").read_bytes() == DEAD
    assert (inside / "new").read_bytes() == DEAD


@pytest.mark.parametrize("name", WAYS)
def test_each_way_in_refuses_what_leads_out(pybuild: Pybuild, tmp_path: Path, name: str) -> None:
    """With an error that says what is wrong, and nothing made or named."""
    leads_out(pybuild, tmp_path, name)


def leads_out(pybuild: Pybuild, tmp_path: Path, name: str) -> None:
    """The test, for its proof."""
    (tmp_path / "project").mkdir()
    with alive(tmp_path / "canary") as canary:
        tar = tar_of(("fine", R, b"x"), (f"../../../../..{canary}/file", R, DEAD))
        result = WAYS[name](pybuild, tmp_path / "project", tar)
    assert result.code in (11, 14), result.output
    assert "leads out of it" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_pulled_image_stays_below_its_root(pybuild: Pybuild, registry, tmp_path: Path) -> None:
    """From a registry to a tree that is shown."""
    (tmp_path / "point").mkdir()
    with alive(tmp_path / "canary") as canary:
        source = image_of(tmp_path, tar_of(*reaching(canary)))
        cache.run("skopeo", "copy", "--dest-tls-verify=false", source, f"docker://{registry.name}/s3/reaching:1")
        pybuild.ok("pull", f"{registry.name}/s3/reaching:1")
        pybuild.ok("mount", f"{registry.name}/s3/reaching:1", tmp_path / "point")
        try:
            assert (tmp_path / "point" / str(canary).lstrip("/") / "new").read_bytes() == DEAD
        finally:
            pybuild.ok("umount", tmp_path / "point")


def test_a_hostile_base_below_a_step(pybuild: Pybuild, tmp_path: Path, way: tuple[str, ...]) -> None:
    """What overlayfs would obey hides nothing from a step, and links lead a step into its own tree alone."""
    marks = {f"{room}__overlay__{name}": "y" for room in ("trusted", "user") for name in ("opaque", "redirect")}
    with alive(tmp_path / "canary") as canary:
        tiny = layouts.layers_of(bases.layout("tiny"))
        lower = tar_of(*reaching(canary), ("marked/below", R, b"x"))
        layouts.write_layout(tmp_path / "layout", [*tiny, lower, tar_of(noted("marked", D, **marks))])
        script = (
            f"test -e /marked/below && echo {DEAD.decode()} > /p/abs/file && rm /p/abs/new && test ! -e {canary}/new"
        )
        (tmp_path / "Dockerfile").write_text(f"FROM base\nRUN {script}\n")
        context = ("--build-context", "base=oci-layout://layout")
        pybuild.ok("build", *way, *context, ".", cwd=tmp_path)
