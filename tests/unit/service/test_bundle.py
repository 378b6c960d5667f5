from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buildkit_py.errors import SandboxError
from buildkit_py.layer.owner import User
from buildkit_py.oci import ImageConfigDoc
from buildkit_py.service.bundle import Places, configuration, stop_signal

USER = User(uid=1000, gid=1000, groups=(1000, 4), home="/home/app")
PLACES = Places(cwd="/srv", memory={"/run": ("mode=755",)}, volumes={"/var/lib/x": Path("/s/x")}, shown=["/etc/hosts"])


def made(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    document = ImageConfigDoc(raw=b"", platform=None, config=config, diff_ids=())
    given: dict[str, Any] = {"name": "web_1", "user": USER, "env": (), "network": "host", "places": PLACES, **more}
    return configuration(document, **given)


def test_what_the_image_says() -> None:
    config = {"Entrypoint": ["/app"], "Cmd": ["serve"], "Env": ["A=1", "PATH=/x"]}
    plain = made(config, env=(("A", "2"), ("B", "3")))
    process = plain["process"]
    assert process["args"] == ["/app", "serve"]
    assert process["env"] == ["PATH=/x", "HOME=/home/app", "A=2", "B=3"]
    assert process["cwd"] == "/srv"
    assert process["user"] == {"uid": 1000, "gid": 1000, "additionalGids": [1000, 4], "umask": 0o022}
    assert plain["hostname"] == "web-1"


def test_it_is_locked_down() -> None:
    plain = made({"Cmd": ["x"]})
    assert plain["root"] == {"path": "rootfs", "readonly": True}
    assert plain["process"]["noNewPrivileges"] is True
    held = plain["process"]["capabilities"]
    assert held["effective"] == held["permitted"] == held["inheritable"] == held["ambient"] == []
    assert "CAP_SYS_ADMIN" not in held["bounding"] and "CAP_MKNOD" not in held["bounding"]
    assert plain["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert "/proc/kcore" in plain["linux"]["maskedPaths"] and "/proc/sys" in plain["linux"]["readonlyPaths"]
    for mount in plain["mounts"]:
        assert "nosuid" in mount["options"] or mount["destination"] in ("/sys",), mount
        if mount["destination"] not in ("/dev", "/dev/pts"):
            assert "nodev" in mount["options"], mount


def test_networks() -> None:
    kinds = {
        kind: {item["type"] for item in made({"Cmd": ["x"]}, network=kind)["linux"]["namespaces"]}
        for kind in ("host", "none")
    }
    assert kinds["none"] - kinds["host"] == {"network"}
    assert {"pid", "mount", "ipc", "uts", "cgroup"} <= kinds["host"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "no program"),
        ({"Cmd": [""]}, "no program"),
        ({"Cmd": ["a\0b"]}, "NUL"),
        ({"Cmd": ["a"], "Env": ["A=\0"]}, "NUL"),
    ],
)
def test_what_no_service_can_be_made_of(config: dict[str, Any], said: str) -> None:
    with pytest.raises(SandboxError, match=said):
        made(config)


def test_numbers_that_runc_can_t_take() -> None:
    with pytest.raises(SandboxError, match="numbers above"):
        made({"Cmd": ["a"]}, user=User(uid=2**32 - 2, gid=0, groups=()))


@pytest.mark.parametrize(
    ("written", "name", "number"),
    [
        (None, "SIGTERM", 15),
        ("SIGQUIT", "SIGQUIT", 3),
        ("int", "SIGINT", 2),
        ("9", "SIGKILL", 9),
        ("SIGRTMIN+3", "SIGRTMIN+3", 37),
        ("RTMAX-1", "SIGRTMIN+29", 63),
        ("37", "SIGRTMIN+3", 37),
    ],
)
def test_stop_signals(written: str | None, name: str, number: int) -> None:
    document = ImageConfigDoc(raw=b"", platform=None, config={"StopSignal": written}, diff_ids=())
    assert stop_signal(document) == (name, number)


@pytest.mark.parametrize(
    "written", ["SIGNOPE", "0", "99", "-1", "SIG_DFL", "SIGTERM\nExecStart=/bin/sh", "SIGRTMIN+99", "Signals", "%n"]
)
def test_what_is_no_signal(written: str) -> None:
    document = ImageConfigDoc(raw=b"", platform=None, config={"StopSignal": written}, diff_ids=())
    with pytest.raises(SandboxError, match="no signal"):
        stop_signal(document)
