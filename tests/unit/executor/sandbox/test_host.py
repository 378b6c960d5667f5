"""The view of the machine that a host step gets, made of a machine that the test invents."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py.errors import MissingToolError
from buildkit_py.executor.sandbox.host import ROOTFS, HostView, host_view
from buildkit_py.executor.sandbox.network import CA_BUNDLE, network_mounts
from buildkit_py.executor.sandbox.spec import BindMount, DirectoryRoot, FileMount, RootMount, TmpfsMount
from buildkit_py.executor.tools import find_tool, tool_identity

TREE = DirectoryRoot(path="/tree")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    for name in ("usr/bin", "usr/lib64", "lib", "opt", "root", "etc/apt/sources.list.d", "etc/ssl/private", "etc/ssh"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "etc/shadow").write_text("root:hash")
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/:/bin/sh")
    return tmp_path


def targets(view: HostView) -> set[str]:
    return {mount.target for mount in view.mounts if isinstance(mount, BindMount | FileMount)}


def test_programs_are_bound_or_linked(machine: Path) -> None:
    view = host_view(TREE, machine=machine)
    assert view.root.links == (("bin", "usr/bin"),)
    assert targets(view) == {"/usr", "/lib", "/etc/passwd"}
    assert all(mount.read_only for mount in view.mounts if isinstance(mount, BindMount))


def test_private_places_are_empty(machine: Path) -> None:
    view = host_view(TREE, machine=machine)
    empty = {mount.target for mount in view.mounts if isinstance(mount, TmpfsMount)}
    assert empty == {"/home", "/mnt", "/root", "/run", "/srv", "/tmp", "/var", "/var/tmp"}


def test_the_tree_is_at_rootfs(machine: Path) -> None:
    assert host_view(TREE, machine=machine).mounts[-1] == RootMount(root=TREE, target=ROOTFS)


@pytest.mark.parametrize(
    "text",
    [
        "deb https://user:pass@host/debian stable main",
        "deb https://token@host/debian stable main",
        'Acquire::http::Proxy "http://me:secret@proxy:3128";',
        "//registry/:_authToken=abc",
        "password = hunter2",
        "username=me",
        "machine host login me",
    ],
)
def test_configuration_with_a_credential_is_left_out(machine: Path, text: str) -> None:
    (machine / "etc/apt/sources.list").write_text(text)
    (machine / "etc/npmrc").write_text(text)
    assert targets(host_view(TREE, machine=machine)) == {"/usr", "/lib", "/etc/passwd"}


def test_clean_configuration_is_copied(machine: Path) -> None:
    text = "deb [signed-by=/usr/share/keyrings/a.gpg] https://deb.example/debian stable main\n"
    (machine / "etc/apt/sources.list.d/a.list").write_text(text)
    (machine / "etc/apt/sources.list.d/broken").symlink_to("/no/such/file")
    (machine / "etc/apt/auth.conf").write_text("machine a login b password c")
    view = host_view(TREE, machine=machine)
    copied = [mount for mount in view.mounts if isinstance(mount, FileMount)]
    assert copied == [FileMount(data=text.encode(), target="/etc/apt/sources.list.d/a.list")]


def test_network_files() -> None:
    without = {mount.target: mount.data for mount in network_mounts("none")}
    assert without["/etc/resolv.conf"] == b""
    assert without["/etc/hosts"].startswith(b"127.0.0.1\tlocalhost pybuild\n")
    with_host = {mount.target: mount.data for mount in network_mounts("host")}
    assert with_host["/etc/hosts"].endswith(b"127.0.0.1\tpybuild\n")
    assert set(with_host) <= {"/etc/resolv.conf", "/etc/hosts", CA_BUNDLE}
    own = {mount.target: mount.data for mount in network_mounts("none", "box", [("db", "10.0.0.1")])}
    assert own["/etc/hosts"].startswith(b"10.0.0.1\tdb\n127.0.0.1\tlocalhost box\n")
    plain = network_mounts("host", "box", [("db", "10.0.0.1")], plain=True)
    assert [mount.target for mount in plain] == ["/etc/resolv.conf", "/etc/hosts"]
    assert plain[1].data == (b"127.0.0.1\tlocalhost box\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.1\tdb\n")


def test_a_tools_identity_is_that_of_the_file_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    tool = tmp_path / "b/tool"
    tool.write_text("version 1")
    tool.chmod(0o755)
    (tmp_path / "a/tool").write_text("not executable")
    (tmp_path / "a/other").symlink_to(tool)
    path = (str(tmp_path / "a"), str(tmp_path / "b"))
    assert find_tool("tool", path) == find_tool("other", path) == tool
    first = tool_identity("tool", path)
    assert first == tool_identity("other", path)
    assert first.startswith("sha256:")
    tool.write_text("version 2")
    assert tool_identity("tool", path) != first


@pytest.mark.parametrize(
    ("name", "package", "hint"),
    [("createrepo_c", None, "createrepo-c"), ("mmdebstrap", None, "mmdebstrap"), ("x", "x-tools", "x-tools")],
)
def test_a_missing_tool_names_its_package(name: str, package: str | None, hint: str) -> None:
    with pytest.raises(MissingToolError, match=f"the tool `{name}` is not installed") as caught:
        tool_identity(name, ("/no/such/place",), package=package)
    assert caught.value.hint == f"apt-get install {hint}"
