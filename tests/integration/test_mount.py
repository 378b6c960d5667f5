"""`pybuild mount` and `umount`: trees that umoci and buildah show too, and a store that knows what is mounted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.engine import views
from buildkit_py.executor import snapshotter
from buildkit_py.executor.sandbox import overlay
from buildkit_py.store import Store
from buildkit_py.store.mounts import VIEW, Mounts
from buildkit_py.store.namespaces import namespaces
from tests.support import bases, layouts
from tests.support.command import ROOT, Pybuild
from tests.support.layouts import Entry, folder, link
from tests.support.trees import unpack

LOWER = (
    *(folder("srv", 0o1777), folder("gone"), folder("emptied"), folder("odd"), folder("private", 0o700)),
    Entry(name="srv/suid", data=b"s" * 5000, mode=0o4755, uid=7, gid=8),
    Entry(name="gone/file", data=b"g"),
    Entry(name="emptied/old", data=b"old"),
    Entry(name="odd/new\nline", data=b"n"),
    Entry(name="odd/ümlaut", data=b"u", uid=1000, gid=1000),
    Entry(name="private/key", data=b"k", mode=0o400),
    Entry(name="first", data=b"linked"),
    Entry(name="second", kind=tarfile.LNKTYPE, target="first"),
    Entry(name="pipe", kind=tarfile.FIFOTYPE),
    link("odd/away", "/etc/passwd"),
    link("odd/broken", "nowhere"),
)
UPPER = (
    folder("emptied", 0o750),
    *(Entry(name=".wh.gone"), Entry(name="emptied/.wh..wh..opq"), Entry(name="emptied/new", data=b"new")),
)
DOCKERFILE = """FROM base
RUN rm /odd/broken && mkdir /made && echo text > /made/file && chmod 2710 /made && chown 3:4 /made/file
COPY Dockerfile /srv/
ENTRYPOINT ["/srv/app"]
"""
KILLER = """
import os, signal, sys
from pathlib import Path
from buildkit_py.executor.sandbox import kernel
from buildkit_py.cli.run import run
limit, when, *words = sys.argv[1:]
count = 0

def deadly(owner, name):
    call = getattr(owner, name)
    def wrapped(*arguments, **named):
        global count
        count += 1
        mine = count == int(limit)
        if mine and when == "before": os.kill(os.getpid(), signal.SIGKILL)
        try:
            return call(*arguments, **named)
        finally:
            if mine: os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, wrapped)

for name in ("rename", "mkdir", "symlink_to"): deadly(Path, name)
for name in ("mount_overlay", "unmount"): deadly(kernel, name)
for name in ("rmdir", "unlink"): deadly(os, name)
sys.exit(run(words))
"""


@pytest.fixture
def image(pybuild: Pybuild, tmp_path: Path) -> Path:
    """The image web:1 in the store, and as a layout that the test may read."""
    base, context = tmp_path / "base", tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    tiny = layouts.layers_of(bases.layout("tiny"))
    config = {"Env": ["PATH=/bin"]}
    layouts.write_layout(base, [*tiny, layouts.layer(LOWER), layouts.layer(UPPER)], config)
    out = tmp_path / "layout"
    where = ("--build-context", f"base=oci-layout://{base}", "-o", f"layout:{out}")
    pybuild.ok("build", "-q", "-t", "web:1", *where, ".", cwd=context)
    return out


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Path]:
    """An empty directory; nothing is mounted below the test's own afterwards."""
    (tmp_path / "point").mkdir()
    yield tmp_path / "point"
    while Mounts().below(tmp_path):
        subprocess.run(["umount", "--lazy", Mounts().below(tmp_path)[0]], check=True)
    # A process of another test that began meanwhile has a copy of what was mounted, for as long as it runs.
    for _ in range(600):
        if not any(each.mounts.below(tmp_path) for each in namespaces()):
            break
        time.sleep(0.1)


def listed(pybuild: Pybuild) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(pybuild.ok("mount", "--json").stdout)
    return rows


def seen(directory: Path) -> bytes:
    """What find and sha256sum tell of a tree."""
    names = ["find", ".", "-mindepth", "1", "-printf", r"%P %y %m %U %G %s %n %l\0"]
    found = subprocess.run(names, cwd=directory, capture_output=True, check=True).stdout.split(b"\0")
    # A directory's size and number of links are the file system's own.
    rows = [b" ".join((*row.split(b" ")[:5], b"dir")) if b" d " in row else row for row in found]
    sums = subprocess.run(
        "find . -type f -print0 | sort -z | xargs -0 sha256sum",
        cwd=directory,
        shell=True,
        capture_output=True,
        check=True,
    )
    return b"\n".join(sorted(rows)) + sums.stdout


def forgotten(store: Path) -> bool:
    """Whether nothing is left of any mount, once no other process of this machine has a copy of its mounts."""
    for _ in range(600):
        with Store.open(store) as opened:
            live = opened.holders().live
        if not any(sight.others for sight in live):
            break
        time.sleep(0.1)
    return not [*(store / "mounts").iterdir(), *(store / "tmp").iterdir()]


# --- what is seen


def test_a_mount_shows_what_umoci_unpacks(pybuild: Pybuild, image: Path, point: Path, tmp_path: Path) -> None:
    assert pybuild.ok("mount", "web:1", point).stdout == f"{point}\n"
    tag = json.loads((image / "index.json").read_text())["manifests"][0]["annotations"]
    bundle = unpack(image, tmp_path / "bundle", tag["org.opencontainers.image.ref.name"])
    ours, theirs = seen(point), seen(bundle.rootfs)
    assert b"suid f 4755 7 8 5000" in ours
    assert ours.decode(errors="replace").splitlines() == theirs.decode(errors="replace").splitlines()
    assert (point.stat().st_mode, point.stat().st_uid) == (bundle.rootfs.stat().st_mode, 0)
    assert (point / "emptied/new").read_bytes() == b"new"
    assert not (point / "gone").exists()
    assert pybuild.ok("umount", point).stdout == f"{point}\n"
    assert os.listdir(point) == []


def test_a_mount_shows_what_buildah_mounts(pybuild: Pybuild, image: Path, point: Path, tmp_path: Path) -> None:
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed")
    pybuild.ok("mount", "web:1", point)
    tag = json.loads((image / "index.json").read_text())["manifests"][0]["annotations"]
    name = tag["org.opencontainers.image.ref.name"]
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    storage = ("--root", f"{tmp_path}/storage", "--runroot", f"{tmp_path}/run", "--storage-driver", "vfs")

    def buildah(*words: str) -> str:
        command = ["buildah", *storage, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    made = buildah("from", "--signature-policy", str(policy), f"oci:{image}:{name}")
    try:
        there = Path(buildah("mount", made))
        assert seen(point) == seen(there)
    finally:
        buildah("umount", made)
        buildah("rm", made)


def test_a_view_is_to_look_at(pybuild: Pybuild, image: Path, point: Path) -> None:
    pybuild.ok("mount", "web:1", point)
    line = subprocess.run(["findmnt", "-no", "FSTYPE,OPTIONS", point], capture_output=True, text=True).stdout
    kind, options = line.split()
    assert kind == "overlay"
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(","))
    with pytest.raises(OSError, match="Read-only"):
        (point / "x").touch()
    with pytest.raises(PermissionError):
        subprocess.run([point / "bin/busybox", "true"], check=False)


def test_what_is_written_to_a_scratch_is_gone_with_it(pybuild: Pybuild, image: Path, point: Path, store: Path) -> None:
    pybuild.ok("mount", "--write", "web:1", point)
    (point / "made/file").write_text("changed")
    (point / "first").unlink()
    (point / "srv/new").write_text("new")
    assert [row["writable"] for row in listed(pybuild)] == [True]
    assert "scratch" in pybuild.ok("mount").stdout
    pybuild.ok("umount", "web:1")
    assert forgotten(store)
    pybuild.ok("mount", "web:1", point)
    assert (point / "made/file").read_text() == "text\n"
    assert (point / "first").exists()
    assert json.loads(pybuild.ok("store", "check", "--json").stdout) == []


def test_a_mount_point_is_made_where_none_is_named(pybuild: Pybuild, image: Path, point: Path, store: Path) -> None:
    made = Path(pybuild.ok("mount", "web:1").stdout.strip())
    assert (made / "made/file").read_text() == "text\n"
    row = json.loads(pybuild.ok("mount", "--json", "web:1").stdout)
    assert row["point"] != str(made)
    assert len(listed(pybuild)) == 2
    refused = pybuild("umount", "web:1")
    assert refused.code == 2
    assert str(made) in refused.stderr and row["point"] in refused.stderr
    assert sorted(pybuild.ok("umount", "--all").stdout.split()) == sorted([str(made), row["point"]])
    assert forgotten(store)


def test_an_image_without_files(pybuild: Pybuild, point: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL a=b\n")
    pybuild.ok("build", "-q", "-t", "nothing:1", ".", cwd=tmp_path)
    for words in ((), ("--write",)):
        pybuild.ok("mount", *words, "nothing:1", point)
        assert os.listdir(point) == []
        again = pybuild("mount", "nothing:1", point)
        assert again.code == 15
        assert "an image is mounted at" in again.stderr
        pybuild.ok("umount", point)


def test_another_platform_is_mounted_too(pybuild: Pybuild, point: Path, tmp_path: Path) -> None:
    images = {name: ([layouts.layer([Entry(name=name)])], {}) for name in (layouts.ARCHITECTURE, layouts.FOREIGN)}
    layouts.write_index(tmp_path / "both", images)
    (tmp_path / "Dockerfile").write_text("FROM base\n")
    platforms = ",".join(f"linux/{name}" for name in images)
    where = ("--platform", platforms, "--build-context", f"base=oci-layout://{tmp_path}/both")
    pybuild.ok("build", "-q", "-t", "both:1", *where, ".", cwd=tmp_path)
    pybuild.ok("mount", "both:1", point)
    assert os.listdir(point) == [layouts.ARCHITECTURE]
    pybuild.ok("umount", point)
    pybuild.ok("mount", "--platform", f"linux/{layouts.FOREIGN}", "both:1", point)
    assert os.listdir(point) == [layouts.FOREIGN]


def test_layers_that_were_left_where_they_are_are_fetched(
    pybuild: Pybuild, registry: Any, bases: Any, point: Path, tmp_path: Path
) -> None:
    ref = bases("tiny", "mounted")
    (tmp_path / "Dockerfile").write_text(f"FROM {ref}\nLABEL a=b\n")
    pybuild.ok("build", "-q", "-t", "app:1", ".", cwd=tmp_path)
    done = pybuild.ok("mount", "app:1", point)
    assert "fetching layers" in done.stderr
    assert (point / "bin/busybox").read_bytes() == Path("/bin/busybox").read_bytes()
    pybuild.ok("umount", point)
    assert pybuild.ok("mount", "app:1", point).stderr == ""


# --- what the store does about it


def test_prune_beside_a_mount(pybuild: Pybuild, image: Path, point: Path, store: Path) -> None:
    pybuild.ok("mount", "web:1", point)
    before = seen(point)
    pruned = json.loads(pybuild.ok("prune", "--all", "--json").stdout)
    kept = {item["why"] for item in pruned["kept"] if item["kind"] == "snapshot"}
    assert kept == {f"the image web:1 is mounted at {point}"}
    subprocess.run(["sync", "-f", point], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("2")
    assert seen(point) == before
    pybuild.ok("umount", point)
    assert forgotten(store)
    pruned = json.loads(pybuild.ok("prune", "--all", "--json").stdout)
    assert [item for item in pruned["kept"] if item["kind"] == "snapshot"] == []


@pytest.mark.parametrize("command", [("rmi",), ("rmi", "--dry-run"), ("untag",)])
def test_what_is_mounted_keeps_its_name(
    pybuild: Pybuild, image: Path, point: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    names = {row["name"] for row in json.loads(pybuild.ok("ls", "--json").stdout)}
    pybuild.ok("mount", "web:1", point)
    pybuild.ok("tag", "web:1", "web:other")
    for words in (names, ["web:1"]):
        refused = pybuild(*command, *sorted(words))
        assert refused.code == 12, refused.output
        assert f"can't be removed: the image web:1 is mounted at {point}" in refused.stderr
    there = {row["name"] for row in json.loads(pybuild.ok("ls", "--json").stdout)}
    assert there == {*names, "web:other"}
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL a=b\n")
    pybuild.ok("build", "-q", "-t", "web:1", ".", cwd=tmp_path)
    pybuild.ok(*command, "web:1")
    # What the build files call these images went to the new one.
    refused = pybuild(*command, "web:other")
    assert refused.code == 12, refused.output
    assert (point / "first").read_bytes() == b"linked"
    pybuild.ok("umount", point)
    assert forgotten(pybuild.store)
    pybuild.ok(*command, "web:other")


def test_a_mount_that_was_unmounted_by_hand_is_forgotten(
    pybuild: Pybuild, image: Path, point: Path, store: Path
) -> None:
    pybuild.ok("mount", "web:1", point)
    subprocess.run(["umount", point], check=True)
    gone = pybuild.ok("umount", point)
    assert gone.stdout == ""
    assert f"was not mounted at {point} any more" in gone.stderr
    again = pybuild("umount", point)
    assert again.code == 16
    assert forgotten(store)


def test_a_mount_in_another_namespace(pybuild: Pybuild, image: Path, point: Path) -> None:
    words = [sys.executable, "-m", "buildkit_py.cli", "mount", "web:1", str(point)]
    script = f"{' '.join(words)}; exec sleep 600"
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-ec", script], stdout=subprocess.PIPE, text=True, env=pybuild.variables()
    ) as there:
        try:
            assert there.stdout is not None and there.stdout.readline() == f"{point}\n"
            while "sleep" not in Path(f"/proc/{there.pid}/cmdline").read_text():
                pass
            assert os.listdir(point) == []
            (row,) = listed(pybuild)
            assert row["points"] == [] and there.pid in row["elsewhere"][0]["pids"]
            assert f"in the mount namespace of process {there.pid}" in pybuild.ok("mount").stdout
            report = pybuild.ok("prune", "--all", "--verbose").stdout
            assert f"is mounted at {point}, in the mount namespace of process {there.pid} (sleep)" in report
            refused = pybuild("umount", "web:1")
            assert refused.code == 12
            assert f"nsenter -t {there.pid} -m pybuild umount {point}" in refused.stderr
            assert pybuild.ok("umount", "--all").stdout == ""
            inside = ["nsenter", "-t", str(there.pid), "-m", "sha256sum", f"{point}/first", f"{point}/bin/busybox"]
            subprocess.run(inside, check=True, capture_output=True)
        finally:
            there.kill()
    assert forgotten(pybuild.store)


def test_a_sandbox_holds_no_copy(pybuild: Pybuild, image: Path, point: Path) -> None:
    pybuild.ok("mount", "web:1", point)
    command = [sys.executable, "-m", "buildkit_py.cli", "shell", "web:1", "--", "sh", "-c", "echo up; cat"]
    with subprocess.Popen(command, env=pybuild.variables(), stdin=-1, stdout=-1) as process:
        try:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            inside = [pid for pid in descendants(process.pid) if VIEW in Path(f"/proc/{pid}/mountinfo").read_text()]
            assert len(descendants(process.pid)) > 3
            assert inside == []
        finally:
            process.stdin.close()
    assert process.returncode == 0


def descendants(pid: int) -> list[int]:
    rows = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.split()
    children = [int(child) for child, parent in zip(rows[::2], rows[1::2], strict=True) if int(parent) == pid]
    return [*children, *(each for child in children for each in descendants(child))]


def test_a_busy_mount(pybuild: Pybuild, image: Path, point: Path) -> None:
    pybuild.ok("mount", "web:1", point)
    with (point / "first").open() as file, subprocess.Popen(["sleep", "600"], cwd=point / "srv") as process:
        try:
            refused = pybuild("umount", "web:1")
            assert refused.code == 12
            assert f"process {process.pid} (sleep) uses {point}/srv" in refused.stderr
            assert f"uses {point}/first" in refused.stderr
            assert len(listed(pybuild)) == 1
            pybuild.ok("umount", "--lazy", "web:1")
            assert forgotten(pybuild.store)
            assert file.read() == "linked"
        finally:
            process.kill()


def test_what_is_mounted_inside_or_over_it_is_named(pybuild: Pybuild, image: Path, point: Path) -> None:
    pybuild.ok("mount", "web:1", point)
    subprocess.run(["mount", "-t", "tmpfs", "none", point / "srv"], check=True)
    refused = pybuild("umount", "web:1")
    assert (refused.code, f"something is mounted at {point}/srv" in refused.stderr) == (12, True)
    subprocess.run(["umount", point / "srv"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", point], check=True)
    refused = pybuild("umount", "web:1")
    assert (refused.code, f"something else is mounted over {point}" in refused.stderr) == (12, True)
    subprocess.run(["umount", point], check=True)
    pybuild.ok("umount", "web:1")


def test_where_it_can_not_be_mounted(pybuild: Pybuild, image: Path, point: Path, store: Path) -> None:
    (point / "file").touch()
    for where, said in (
        (point, "is not empty"),
        (point / "file", "Not a directory"),
        (point / "missing", "make it first: mkdir"),
        (store / "blobs", "belongs to the store"),
    ):
        refused = pybuild("mount", "web:1", where)
        assert (refused.code, said in refused.stderr) == (15, True), refused.output
    assert listed(pybuild) == []
    subprocess.run(["mount", "-t", "tmpfs", "none", point], check=True)
    foreign = pybuild("umount", point)
    assert (foreign.code, "is no image of this store" in foreign.stderr) == (16, True)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("command", ["mount", "umount"])
def test_a_kill_anywhere_leaves_nothing_strange(
    pybuild: Pybuild, point: Path, store: Path, tmp_path: Path, command: str, when: str
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /a\nCOPY Dockerfile /b/\n")
    pybuild.ok("build", "-q", "-t", "web:1", ".", cwd=tmp_path)
    mount = ("mount", "--write", "web:1", str(point))
    words = mount if command == "mount" else ("umount", str(point))
    limit = 1
    while True:
        if command == "umount":
            pybuild.ok(*mount)
        killer = [sys.executable, "-c", KILLER, str(limit), when, *words]
        ended = subprocess.run(killer, env=pybuild.variables(), cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        there = Mounts().below(point)
        with Store.open(store) as opened:
            kept = [item.why for item in opened.prune(all=True).kept if item.kind == "snapshot"]
            live = opened.holders().live
            assert [point for sight in live for point in sight.points] == there
            if there:
                assert set(kept) == {f"the image web:1 is mounted at {point}"}
                assert (point / "b/Dockerfile").read_text() == (tmp_path / "Dockerfile").read_text()
            assert opened.check() == []
            for sight in live:
                if sight.points:
                    views.unmount(opened, sight, lazy=False)
        assert not Mounts().below(point)
        assert forgotten(store)
        # Where another process had a copy of the mount, less was done: the record was kept. That is done again.
        if ended.returncode == 0 and "until that ends" not in ended.stderr:
            break
        limit += ended.returncode != 0
    assert limit > (8 if command == "mount" else 3)


def test_two_at_once_at_one_place(
    pybuild: Pybuild, image: Path, point: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-m", "buildkit_py.cli", "mount", "web:1", str(point)]
    others: list[subprocess.Popen[bytes]] = []

    def slowly(*arguments: Any, **named: Any) -> None:
        others.append(subprocess.Popen(command, env=pybuild.variables(), stderr=subprocess.PIPE))
        with pytest.raises(subprocess.TimeoutExpired):
            others[0].wait(timeout=4)
        show(*arguments, **named)

    show = views.show
    monkeypatch.setattr(views, "show", slowly)
    with Store.open(store) as opened:
        views.mount(opened, "web:1", point, platform=None, writable=False, tell=lambda *_: None, note=print)
    told = others[0].communicate()[1]
    assert (others[0].returncode, b"an image is mounted at" in told) == (15, True)
    (row,) = listed(pybuild)
    assert pybuild.ok("umount", row["digest"].removeprefix("sha256:")[:8]).stdout == f"{point}\n"


def test_more_layers_than_can_be_stacked(
    pybuild: Pybuild, image: Path, point: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (overlay, snapshotter):
        monkeypatch.setattr(room, "MAX_LOWERS", 2)
    with Store.open(store) as opened:
        views.mount(opened, "web:1", point, platform=None, writable=False, tell=lambda *_: None, note=print)
    there = seen(point)
    pybuild.ok("umount", "web:1")
    pybuild.ok("mount", "web:1", point)
    assert seen(point) == there


def test_for_one_command_alone(pybuild: Pybuild, image: Path, point: Path, store: Path) -> None:
    script = f"sha256sum < {point}/first; cat; exit 5"
    ran = pybuild("mount", "web:1", point, "--", "sh", "-c", script, stdin=b"in")
    digest = subprocess.run(["sha256sum"], input=b"linked", capture_output=True, check=True).stdout.decode()
    assert (ran.code, ran.stdout) == (5, f"{digest}in")
    assert os.listdir(point) == []
    assert forgotten(store)
    missing = pybuild("mount", "web:1", point, "--", "/no/program")
    assert (missing.code, "/no/program can't be run: No such file" in missing.stderr) == (9, True)
    refused = pybuild("mount", "web:1", "--", "true")
    assert (refused.code, "needs a directory" in refused.stderr) == (2, True)
    assert forgotten(store)


def test_a_prune_of_names_leaves_mounted_images_theirs(pybuild: Pybuild, image: Path, point: Path) -> None:
    pybuild.ok("mount", "web:1", point)
    for words in (("-n",), ()):
        report = json.loads(pybuild.ok("prune", "--images", "--all", "--json", *words).stdout)
        why = {item["id"]: item["why"] for item in report["kept"] if item["kind"] == "image"}
        assert why["web:1"] == f"the image web:1 is mounted at {point}"
    pybuild.ok("umount", point)
    pybuild.ok("prune", "--images", "--all")
    assert pybuild.ok("ls").stdout == "no images\n"
