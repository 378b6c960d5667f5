"""Trees whose files share blocks with the store's, on file systems that can do that, and on those that can't."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.layer import clone
from buildkit_py.layer.draft import Draft, checkout, materialise
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.openat import open_in
from buildkit_py.layer.tree import ChainTree
from tests.support.disks import Disk, disk, shared
from tests.support.project import Project

LARGE, SMALL = os.urandom(1 << 20), b"small"
CHANGES = """
run echo a > /a; mkdir -p /d/e; ln /a /d/hard; ln -s ../a /d/soft; chown 5:6 /d/e; chmod 1770 /d/e
run rm /etc/group; rm -r /usr; mkdir /usr; touch /usr/new; chmod 600 /etc/passwd
run mv /d /moved; mkfifo /fifo; touch /bin/busybox
run rm -r /moved/e; head -c 5000000 /dev/zero > /sparse; cat /bin/busybox > /copied
with mount(/bin, at: /mnt, from: "oci:base"), tmpfs(/scratch)
run touch /from-mount /scratch/x; ls /mnt >/dev/null; if touch /mnt/x 2>/dev/null; then exit 1; fi
"""


@pytest.fixture(params=["btrfs", "xfs"])
def able(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path, request.param) as place:
        yield place


@pytest.fixture(params=["ext4", "xfs-old"])
def unable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path, request.param) as place:
        yield place


def file(path: str, data: bytes) -> Entry:
    return Entry(path=path, type="file", mode=0o640, uid=3, gid=4, size=len(data), digest=str(Digest.of(data)))


def made(place: Path) -> tuple[Path, Diff]:
    """A directory with a large and a small file, and its diff."""
    source = place / "source"
    source.mkdir()
    for name, data in (("large", LARGE), ("small", SMALL)):
        (source / name).write_bytes(data)
    return source, Diff.of([file("large", LARGE), file("small", SMALL)])


def tree_of(source: Path, diff: Diff) -> ChainTree:
    return ChainTree([(lambda path: open_in(source, path), diff)])


def test_a_copied_tree_shares_what_the_store_holds(able: Disk) -> None:
    assert clone.refusal(able.here) is None
    source, diff = made(able.here)
    for reflink, expected in (("trusted", True), ("checked", True), ("never", False)):
        target = able.here / reflink
        target.mkdir()
        checkout(tree_of(source, diff), target, 5, share=False, reflink=reflink)
        assert (target / "large").read_bytes() == LARGE
        assert (target / "small").read_bytes() == SMALL
        state = (target / "large").stat()
        assert (state.st_mode & 0o7777, state.st_uid, state.st_gid, state.st_mtime) == (0o640, 3, 4, 5)
        assert shared(target / "large") is expected
        with (target / "large").open("r+b") as changed:
            changed.write(b"x")
        assert (source / "large").read_bytes() == LARGE


def test_what_is_cloned_and_not_trusted_is_checked(able: Disk) -> None:
    source, diff = made(able.here)
    (source / "large").write_bytes(LARGE[:-1] + b"?")
    contents = {entry.path: lambda path=entry.path: open_in(source, path) for entry in diff.entries}
    target = able.here / "target"
    target.mkdir()
    with pytest.raises(IntegrityError, match="large"):
        materialise(Draft(diff=diff, contents=contents), target, 0)


def test_where_nothing_can_be_shared_it_is_copied(unable: Disk) -> None:
    assert "has no reflinks" in (clone.refusal(unable.here) or "")
    source, diff = made(unable.here)
    target = unable.here / "target"
    target.mkdir()
    checkout(tree_of(source, diff), target, reflink="trusted")
    assert (target / "large").read_bytes() == LARGE
    assert not shared(target / "large")


def elsewhere(project: Project, disk: Disk, store: str) -> Project:
    """The same project with a store on a disk."""
    enter = (*disk.wrapper[:-2], f"--wd={project.directory}", "--")
    return replace(project, pybuild=replace(project.pybuild, store=disk.place / store, wrapper=enter))


def test_every_snapshotter_gives_the_same_image(project: Project, able: Disk) -> None:
    expected = project.ok(CHANGES).digest
    for name in ("auto", "overlay", "reflink", "copy"):
        other = elsewhere(project, able, name)
        built = other.ok(CHANGES, "--snapshotter", name)
        assert built.digest == expected
        assert not [note for note in built.notes if "overlayfs" in note]
        assert other.ok(CHANGES, "--snapshotter", name).ran == 0
        other.pybuild.ok("store", "check")


def test_one_that_was_asked_for_and_can_not_be_is_refused(project: Project, unable: Disk) -> None:
    built = elsewhere(project, unable, "store").build(CHANGES, "--snapshotter", "reflink")
    assert built.code == 13
    assert "has no reflinks" in built.message
    assert "use --snapshotter copy" in built.message


def test_where_overlayfs_is_refused_reflinks_come_next(
    able: Disk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from buildkit_py.executor import snapshotter
    from buildkit_py.executor.sandbox import Runner, pick_runtime

    notes: list[str] = []
    with Runner(pick_runtime(), tmp_path / "state") as runner:
        monkeypatch.setattr(runner, "overlay_refusal", lambda *_, **__: "for a test")
        picked = snapshotter.pick_snapshotter("auto", runner, able.here, notes.append)
        assert isinstance(picked, snapshotter.CopySnapshotter)
        assert picked.reflink == "trusted"
        picked = snapshotter.pick_snapshotter("auto", runner, Path("/proc"), notes.append)
        assert isinstance(picked, snapshotter.CopySnapshotter)
        assert picked.reflink == "never"
    assert [("reflinks" in note, "for a test" in note) for note in notes] == [(True, True), (False, True)]


def test_layers_are_shared_with_a_layout_beside_the_store(project: Project, able: Disk) -> None:
    project.write({"data": LARGE})
    other = elsewhere(project, able, "store")
    other.ok("copy ./data to /data", "-o", f"layout:{able.place}/layout", "-o", f"type=local,dest={able.place}/files")
    layers = [path for path in (able.here / "layout/blobs/sha256").iterdir() if path.stat().st_size > len(LARGE)]
    assert layers
    assert all(map(shared, layers))
    assert (able.here / "files/data").read_bytes() == LARGE
