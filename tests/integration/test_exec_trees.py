"""Trees that steps start from: copied where they can't be stacked, and images that hold odd things."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import bases, layouts
from tests.support.command import Pybuild
from tests.support.layouts import Entry
from tests.support.project import Project

RUNTIMES = ("runc", "crun", "bwrap")


CHANGES = """
run echo a > /a; mkdir -p /d/e; ln /a /d/hard; ln -s ../a /d/soft; chown 5:6 /d/e; chmod 1770 /d/e
run rm /etc/group; rm -r /usr; mkdir /usr; touch /usr/new; chmod 600 /etc/passwd
run mv /d /moved; mkfifo /fifo; touch /bin/busybox
run rm -r /moved/e; head -c 5000000 /dev/zero > /sparse
with mount(/bin, at: /mnt, from: "oci:base"), tmpfs(/scratch)
run touch /from-mount /scratch/x; ls /mnt >/dev/null; if touch /mnt/x 2>/dev/null; then exit 1; fi
with tools("oci:base")
host touch "$ROOTFS/by-host" /in-the-image
"""


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_copied_trees_give_the_same_image(project: Project, runtime: str) -> None:
    stacked = project.ok(CHANGES, "--snapshotter", "overlay", "--runtime", runtime)
    copied = project.ok(CHANGES, "--snapshotter", "copy", "--runtime", runtime, "--no-cache")
    assert copied.digest == stacked.digest
    elsewhere = Pybuild(home=project.pybuild.home, store=project.pybuild.store.with_name("store2"))
    other = Project(pybuild=elsewhere, directory=project.directory)
    assert other.ok(CHANGES, "--snapshotter", "copy", "--runtime", runtime).digest == stacked.digest
    elsewhere.ok("store", "check")


@contextmanager
def beside(project: Project, mount: str) -> Iterator[Project]:
    """The same project with a store at `$1/store`, mounted by a script in a mount namespace that no other test sees."""
    area = project.directory.parent / "area"
    area.mkdir()
    script = f"{mount}\necho ready\nexec sleep infinity"
    holder = subprocess.Popen(["unshare", "--mount", "sh", "-ec", script, "sh", area], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"ready\n"
        enter = ("nsenter", f"--target={holder.pid}", "--mount", f"--wd={project.directory}", "--")
        yield replace(project, pybuild=replace(project.pybuild, store=area / "store", wrapper=enter))
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


# It has no extended attributes, so that overlayfs can't replace a directory in it.
RAMFS = 'mount -t ramfs none "$1"'
# As everything is in a container.
OVERLAY = """
mount -t tmpfs none "$1"; mkdir "$1/lower" "$1/upper" "$1/work"
mount -t overlay none -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1"
"""


def test_where_nothing_can_be_stacked_a_copy_takes_over_and_says_so(project: Project) -> None:
    expected = project.ok(CHANGES)
    with beside(project, RAMFS) as other:
        built = other.ok(CHANGES)
        assert any("overlayfs can't be used" in note and "copy" in note for note in built.notes)
        assert built.digest == expected.digest
        assert other.ok(CHANGES).ran == 0
        other.pybuild.ok("store", "check")
        refused = other.build(CHANGES, "--snapshotter", "overlay", "--no-cache")
    assert refused.code == 13
    assert "use --snapshotter copy" in refused.message


def test_a_store_on_an_overlay_keeps_what_has_no_removals(project: Project) -> None:
    body = 'run echo x > /etc/x; chown 1:2 /etc/group\nwith mount(/bin, at: /mnt, from: "oci:base")\nrun /mnt/touch /y'
    expected, removed = project.ok(body), project.ok("remove /etc/group")
    with beside(project, OVERLAY) as other:
        assert other.ok(body).digest == expected.digest
        # A removal that no process sees needs no snapshot.
        assert other.ok("remove /etc/group").digest == removed.digest
        for body in ("run rm /etc/group", "remove /etc/group\nrun true"):
            built = other.build(body)
            assert built.code == 12, built.result.output
            assert "Buildfile:4:1: error:" in built.message
            assert "put the store on a volume: --store DIR" in built.message


def odd_image(directory: Path) -> None:
    """Two layers over the tiny base: devices, attributes, and links from one layer into another."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:

        def add(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **more: object) -> None:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.mode = kind, len(data), 0o755
            for field, value in more.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(data))

        add("odd", tarfile.DIRTYPE)
        add("odd/char", tarfile.CHRTYPE, devmajor=1, devminor=7)
        add("odd/fifo", tarfile.FIFOTYPE)
        capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        add("odd/able", data=b"x", pax_headers={"SCHILY.xattr.security.capability": capability.decode("latin-1")})
        add("odd/noted", data=b"y", pax_headers={"SCHILY.xattr.user.note": "kept"})
        add("odd/hard", tarfile.LNKTYPE, linkname="bin/busybox")
        add("odd/" + "n" * 200, data=b"long")
        add("odd/weird \u00e9\u4e16\n", data=b"weird")
    base = layouts.layers_of(bases.layout("tiny"))
    second = layouts.layer([Entry(name="odd/second", kind=tarfile.LNKTYPE, target="odd/noted")])
    layouts.write_layout(directory, [*base, out.getvalue(), second], {})


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_devices_attributes_and_links_across_layers(project: Project, runtime: str) -> None:
    odd_image(project.directory / "odd")
    body = """
    run {
        stat -c '%F %t %T' /odd/char
        if cat /odd/char 2>/dev/null; then echo opened; fi
        stat -c %F /odd/fifo
        test "$(stat -c %i /odd/hard)" = "$(stat -c %i /bin/busybox)" || cmp /odd/hard /bin/busybox
        cat /odd/second /odd/n*
        ls /odd | grep -c weird
    }
    """
    for snapshotter in ("overlay", "copy"):
        built = project.ok(body, "--runtime", runtime, "--snapshotter", snapshotter, "--no-cache", start='"oci:odd"')
        assert built.printed()[:2] == ["character special file 1 7", "fifo"]
        assert built.printed()[2].startswith("y")


def test_attributes_are_in_the_image_of_who_copies_them(project: Project) -> None:
    odd_image(project.directory / "odd")
    unpacked = project.unpacked('copy /odd/able /odd/noted to /bin/ from "oci:odd"', start="scratch")
    assert os.getxattr(unpacked.rootfs / "bin/noted", "user.note") == b"kept"


def test_a_change_that_comes_again(project: Project) -> None:
    """Two steps with one diff have one snapshot, and no directory can be stacked twice."""
    steps = "run echo a > /a\nrun rm /a\nrun echo a > /a\nrun test $(cat /a) = a && rm /a && echo b > /b\n"
    stacked = project.ok(f"{steps}run echo a > /a\nrun test -e /a && test -e /b\n", "--snapshotter", "overlay")
    copied = project.ok(
        f"{steps}run echo a > /a\nrun test -e /a && test -e /b\n", "--snapshotter", "copy", "--no-cache"
    )
    assert copied.digest == stacked.digest


def test_more_snapshots_than_can_be_stacked(project: Project, store: Path) -> None:
    """A tree of 600 is laid down once; what later steps change and remove lies above it."""
    writes = "".join(f'write /many/{number} "{number}"\n' for number in range(600))
    body = f"""
    write /gone/file "x"
    {writes}
    run ls /many | wc -l; cat /many/599; echo; rm /many/0; rm -r /gone; mkdir /gone; echo new > /many/1
    run ls /many | wc -l; cat /many/1; ls /gone | wc -l
    write /many/0 "again"
    test "seen" {{
        run cat /many/0 /many/2
    }}
    """
    assert project.lines(body) == ["600", "599", "599", "new", "0", "again2"]
    assert not list((store / "tmp").iterdir())
