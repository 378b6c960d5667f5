"""Mounts of a step that lead where they may not: the canary lies on the machine, at the end of a link of the tree."""

from __future__ import annotations

import io
import re
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox import BindMount as Bind
from buildkit_py.executor.sandbox import TmpfsMount as Memory
from buildkit_py.graph.op import BindMount, CacheMount, FileMount, LocalSource, TmpfsMount
from tests.support import layouts
from tests.support.boxes import Box
from tests.support.graphs import Graphs, sh
from tests.support.hostile import UP, Machine, build_dockerfile, folders, image
from tests.support.layouts import link
from tests.support.project import Project


def test_a_bind_source_that_is_a_link_to_the_root(project: Project, machine: Machine, way: tuple[str, ...]) -> None:
    """CVE-2024-1753: what a mount shows is found inside its own tree, whatever links that holds."""
    evil = image(project, "evil", link("top", "/"), link("direct", str(machine.path)), *folders(machine.path))
    (project.directory / "link").symlink_to("/")
    here = LocalSource(ignore=("*", "!link"))
    graphs = Graphs(project=project, arguments=way, inputs={"evil": evil, "context": here})
    mounts = (
        BindMount(target="/m/a", input="evil", source=f"/top{machine.path}", read_only=False),
        BindMount(target="/m/b", input="evil", source="/direct", read_only=False),
        CacheMount(target="/m/c", id="c", input="evil", source="/direct"),
        BindMount(target="/m/d", input="context", source="/link"),
    )
    script = "cd /m; for each in a b c; do ls -A $each; cat $each/secret; touch $each/b $each/new; done; ls -A d"
    built = graphs.build(sh(script, mounts=mounts))
    machine.check(built.result.output)
    assert (built.code, built.printed()) == (0, ["link"]), built.result.output


def test_a_mount_point_whose_parent_becomes_a_link(
    project: Project, machine: Machine, tmp_path: Path, way: tuple[str, ...]
) -> None:
    """CVE-2024-23652: nothing is removed by a path; what was made only to mount on is left out of what was read."""
    mounts = (
        TmpfsMount(target="/a/b/stub"),
        FileMount(target="/a/b/file", text="x"),
        FileMount(target="/c/b/file", text="x"),
    )
    script = f"mv /a /away && ln -s {machine.path} /a && mv /c /away && ln -s {UP}{machine.path} /c"
    built = Graphs(project=project).build(sh(script, mounts=mounts), arguments=(*way, "-o", f"layout:{tmp_path}/out"))
    machine.check(built.result.output)
    assert built.code == 0, built.result.output
    left = names_of(layouts.layers_of(tmp_path / "out")[-1])
    assert {"a", "c", "away"} <= left
    assert not [name for name in left if name.startswith(("a/", "c/"))]


def names_of(layer: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return set(archive.getnames())


SWAP = """
stage links {{
    from "oci:base"
    with cache(/c, id: meet)
    run mkdir /c/real && ln -s real /c/dir
}}
stage swapper {{
    from links
    with cache(/c, id: meet)
    run {{
        touch /c/began
        for each in $(seq 4000); do
            test ! -e /c/done || break
            ln -s {machine} /c/new && mv -T /c/new /c/dir
            ln -s real /c/new && mv -T /c/new /c/dir
        done
        echo swaps $each
    }}
}}
stage victim {{
    from links
    with cache(/c, id: meet)
    run {{
        for each in $(seq 1000); do
            test ! -e /c/began || break
            sleep 0.01
        done
    }}
{steps}
    with cache(/c, id: meet)
    run touch /c/done
}}
"""
VICTIM = """
    with cache(/c, id: meet), tmpfs(/c/dir/stub), cache(/c/dir/{number}, id: own)
    run cat /c/dir/secret /c/dir/stub/* || true; touch /c/dir/stub/x || true; echo {number}
"""


def test_a_directory_that_becomes_a_link_while_it_is_mounted_on(
    project: Project, machine: Machine, way: tuple[str, ...]
) -> None:
    """CVE-2024-23651, CVE-2024-11218: a parallel step swaps the parent of mounts that others make all the time."""
    steps = "".join(VICTIM.format(number=number) for number in range(6))
    body = "copy /etc/passwd to /1 from swapper\ncopy /etc/passwd to /2 from victim"
    built = project.build(body, *way, head=SWAP.format(machine=machine.path, steps=steps))
    machine.check(built.result.output)
    assert built.code == 0, built.result.output
    printed = built.printed()
    (swaps,) = (int(line.split()[1]) for line in printed if line.startswith("swaps "))
    assert swaps > 10, "the steps did not run at the same time"
    assert sorted(line for line in printed if not line.startswith("swaps ")) == [str(number) for number in range(6)]


@contextmanager
def swapped(place: Path, *targets: str) -> Iterator[None]:
    """A link that leads to one target after the other, as fast as can be."""
    stop = threading.Event()
    fresh = place.with_name("fresh")
    place.symlink_to(targets[0])

    def swap() -> None:
        while not stop.wait(0.0002):
            for target in targets:
                fresh.symlink_to(target)
                fresh.replace(place)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_mount_source_that_becomes_a_link_while_it_is_mounted(box: Box, machine: Machine, tmp_path: Path) -> None:
    """CVE-2024-23651, CVE-2024-11218: the source itself is swapped between any two system calls of the sandbox."""
    cache = tmp_path / "cache"
    (cache / "real").mkdir(parents=True)
    mounts = (
        Bind(source=str(cache), target="/c", read_only=False),
        Bind(source=str(cache), path="/dir", target="/d", read_only=False),
        Memory(target="/c/dir/stub"),
    )
    made = 0
    with swapped(cache / "dir", "real", str(machine.path)):
        for _ in range(20):
            # The machine's path is not in the cache: a mount of it is refused, and never the machine's.
            with suppress(SandboxError):
                ran = box.run("cat /d/secret /c/dir/secret; touch /d/b /c/dir/stub/x; ls -A /d", mounts=mounts)
                machine.check(ran.out, ran.err)
                made += 1
    assert made
    machine.check()


IDS = ("../../machine", "..", ".", "/", "a/../../../machine", "../caches/../../machine")


def test_a_cache_id_that_is_a_path(project: Project, machine: Machine, store: Path) -> None:
    """CVE-2024-9675: whatever the id of a cache is, its directory is called by a digest."""
    ids = (*IDS, str(machine.path))
    mounts = tuple(CacheMount(target=f"/c{number}", id=each) for number, each in enumerate(ids))
    script = "for each in /c?; do ls -A $each; cat $each/secret || true; touch $each/{}; done"
    built = Graphs(project=project).build(sh(script.format("graph"), mounts=mounts))
    machine.check(built.result.output)
    assert (built.code, built.printed()) == (0, []), built.result.output
    body = "".join(
        f'with cache(/c{number}, id: "{each}")\nrun {script.format("own")}\n' for number, each in enumerate(ids)
    )
    built = project.ok(body)
    assert built.printed() == ["graph"] * len(ids)
    flags = " ".join(f"--mount=type=cache,id={each},target=/c{number}" for number, each in enumerate(ids))
    built = build_dockerfile(project, f"FROM base\nRUN {flags} {script.format('other')}\n")
    machine.check(built.result.output)
    assert (built.code, built.printed()) == (0, []), built.result.output
    assert all(re.fullmatch("[0-9a-f]{64}", path.name) for path in (store / "caches").iterdir())
    project.pybuild.ok("prune", "--kind", "cache")
    assert not [*(store / "caches").glob("*/[0-9]*")]
    machine.check()
