from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from buildkit_py.digest import Digest
from buildkit_py.errors import PybuildError, SandboxError
from buildkit_py.layer.draft import checkout
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.owner import User
from buildkit_py.layer.tree import ChainTree
from buildkit_py.service.tree import Below, Dressed, state_name

USER = User(uid=1000, gid=1001, groups=(1001,))
BYTES = b"text"


def file(path: str) -> Entry:
    return Entry(path=path, type="file", mode=0o644, size=len(BYTES), digest=str(Digest.of(BYTES)))


def folder(path: str, mode: int = 0o755) -> Entry:
    return Entry(path=path, type="dir", mode=mode)


def link(path: str, target: str) -> Entry:
    return Entry(path=path, type="symlink", mode=0o777, target=target)


def dressed(*entries: Entry) -> Dressed:
    return Dressed(ChainTree([(lambda path: BytesIO(BYTES), Diff.of(entries))]), USER)


def places(made: Dressed, *volumes: str, cwd: str = "", network: str = "host"):  # type: ignore[no-untyped-def]
    return made.places(cwd, volumes, network, Path("/state"))  # type: ignore[arg-type]


def kind(made: Dressed, path: str) -> str | None:
    found = made.tree.lookup(path)
    return found.type if found else None


def test_an_empty_image_gets_every_place() -> None:
    made = dressed()
    found = places(made)
    assert {path for path in ("dev", "proc", "sys", "run", "tmp", "var/tmp") if kind(made, path) == "dir"} == {
        "dev", "proc", "sys", "run", "tmp", "var/tmp"
    }  # fmt: skip
    assert (found.cwd, set(found.memory)) == ("/", {"/run", "/tmp", "/var/tmp"})
    assert "mode=1777" in found.memory["/tmp"]
    assert kind(made, "etc/hosts") == "file"


@pytest.mark.parametrize("target", ["/tmp/outside", "../..", "dev"])
def test_no_link_at_the_system_s_places(target: str) -> None:
    """A runtime follows one at /dev onto the machine."""
    made = dressed(*(link(name, target) for name in ("dev", "proc", "sys")))
    assert [kind(made, name) for name in ("dev", "proc", "sys")] == ["dir"] * 3


def test_devices_are_left_out() -> None:
    disk = Entry(path="disk", type="block", mode=0o666, device=(8, 0))
    made = dressed(disk, folder("a"), Entry(path="a/mem", type="char", mode=0o666, device=(1, 1)))
    assert kind(made, "disk") is None and kind(made, "a/mem") is None
    assert kind(made, "a") == "dir"


def test_a_link_is_no_mount_point() -> None:
    made = dressed(
        folder("var"), link("var/run", "../run"), folder("run"), folder("etc"), link("etc/hosts", "/proc/1/x")
    )
    found = places(made, "/var/run/app")
    assert list(found.volumes) == ["/run/app"]
    assert kind(made, "etc/hosts") == "file"


def test_the_directory_of_a_file_that_is_shown_may_be_a_link() -> None:
    made = dressed(link("etc", "/usr"))
    assert [path for path in places(made).shown if path.startswith("/etc")] == []


def test_volumes() -> None:
    made = dressed(folder("data", 0o700))
    found = places(made, "/data", "/data/inner", "/new/one", "/data/../new/two/")
    assert found.volumes == {
        "/data": Path("/state/data"), "/new/one": Path("/state/new%2Fone"), "/new/two": Path("/state/new%2Ftwo")
    }  # fmt: skip
    new = made.tree.lookup("new/one")
    assert new is not None and (new.uid, new.gid) == (USER.uid, USER.gid)
    kept = made.tree.lookup("data")
    assert kept is not None and (kept.mode, kept.uid) == (0o700, 0)


@pytest.mark.parametrize("volume", ["/", "/..", "/proc/x", "/dev", "/sys/fs", "/link/x", "/file", "/" + "x" * 300])
def test_what_can_be_no_volume(volume: str) -> None:
    with pytest.raises(SandboxError):
        places(dressed(link("link", "/proc"), file("file")), volume)


def test_links_that_go_round_in_circles() -> None:
    with pytest.raises(PybuildError):
        places(dressed(link("a", "b"), link("b", "a")), "/a/x")


@pytest.mark.parametrize(("cwd", "real"), [("", "/"), ("/srv/app", "/srv/app"), ("/l/x", "/srv/x"), ("srv", "/srv")])
def test_the_working_directory(cwd: str, real: str) -> None:
    made = dressed(link("l", "srv"), folder("srv"))
    assert places(made, cwd=cwd).cwd == real
    assert real == "/" or kind(made, real[1:]) == "dir"


def test_a_working_directory_that_is_none() -> None:
    with pytest.raises(SandboxError, match="no directory"):
        places(dressed(file("srv")), cwd="/srv")


@pytest.mark.parametrize("cwd", ["/proc", "/proc/self/fd/7", "/l/self/cwd", "/../proc/1/root"])
def test_a_working_directory_that_leads_a_runtime_out(cwd: str) -> None:
    with pytest.raises(SandboxError, match="it is in /proc"):
        places(dressed(link("l", "proc")), cwd=cwd)


@pytest.mark.parametrize("target", ["proc/sys", "/sys/fs/cgroup", "dev"])
def test_memory_that_leads_to_the_system_s_places(target: str) -> None:
    with pytest.raises(SandboxError, match="leads to"):
        places(dressed(link("run", target)))


def test_a_private_network_shows_no_names() -> None:
    assert places(dressed(), network="none").shown == []


def test_a_directory_as_a_tree(tmp_path: Path) -> None:
    hard = Entry(path="d/z", type="hardlink", mode=0o644, size=len(BYTES), digest=str(Digest.of(BYTES)), target="a")
    tree = ChainTree([(lambda path: BytesIO(BYTES), Diff.of([file("a"), folder("d", 0o750), file("d/b"), hard]))])
    checkout(Below(tree, "d"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "z"]
    assert (tmp_path / "z").read_bytes() == BYTES
    assert tmp_path.stat().st_mode & 0o777 == 0o750


def test_no_two_volumes_share_a_directory() -> None:
    assert len({state_name(path) for path in ("a/b", "a-b", "a%2Fb", "a%b")}) == 4
