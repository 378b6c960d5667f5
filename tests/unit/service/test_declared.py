from __future__ import annotations

import pytest

from buildkit_py.errors import PybuildError, SandboxError
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.tree import ChainTree, EmptyTree
from buildkit_py.oci import ImageConfigDoc
from buildkit_py.service.declared import LABEL, Declared, declared, declared_by
from buildkit_py.service.unitfile import Directive, parse, render


def said_in(template: str) -> Declared:
    return declared((line, "the label") for line in parse(template, "the label"))


def test_what_an_image_may_say() -> None:
    said = said_in(
        "[Unit]\nDescription=50% %n\nAfter=db network-online.target\nRequires=db.service\nWants=log\n"
        "[Service]\nType=notify\nRestart=always\nRestartSec=5s\nMemoryMax=512M\nCPUQuota=20%\nSuccessExitStatus=3 143\n"
    )
    assert said.directives[:4] == (
        Directive("Unit", "Description", "50%% %%n"),
        Directive("Unit", "After", "db.service network-online.target"),
        Directive("Unit", "Requires", "db.service"),
        Directive("Unit", "Wants", "log.service"),
    )
    assert (said.after, said.requires, said.wants) == (("db",), ("db",), ("log",))
    assert "CPUQuota=20%\n" in render(said.directives)


@pytest.mark.parametrize(
    "line",
    [
        *("ExecStart=/bin/sh", "ExecStartPre=/bin/sh", "ExecStop=/bin/sh", "ExecReload=/bin/sh", "User=root"),
        *(
            "Environment=A=1",
            "EnvironmentFile=/etc/shadow",
            "BindPaths=/:/mnt",
            "RootDirectory=/",
            "StandardInputText=x",
        ),
        *("KillSignal=SIGKILL", "DevicePolicy=auto", "ProtectControlGroups=no", "RuntimeDirectory=x", "Slice=x.slice"),
        *(
            "AmbientCapabilities=CAP_SYS_ADMIN",
            "DeviceAllow=/dev/sda",
            "OOMScoreAdjust=-1000",
            "FileDescriptorStoreMax=1",
        ),
        *("execstart=/bin/sh", "X=1", "OnFailure=evil.service"),
    ],
)
def test_no_key_for_anything_else(line: str) -> None:
    with pytest.raises(SandboxError, match="which no image may say"):
        said_in(f"[Service]\n{line}\n")


@pytest.mark.parametrize("section", ["Install", "X-Pybuild", "Mount", "Socket"])
def test_no_other_section(section: str) -> None:
    with pytest.raises(SandboxError, match="which no image may say"):
        said_in(f"[{section}]\nDescription=x\n")


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("Unit", "Requires=ssh.socket"),
        ("Unit", "Requires=emergency.target"),
        ("Unit", "After=multi-user.target"),
        ("Unit", "After=%n"),
        ("Unit", "Requires=a/../b"),
        ("Unit", "Requires=getty@tty1"),
        ("Unit", "Requires="),
        ("Unit", "Documentation=file:///etc/shadow"),
        ("Unit", "Documentation=https://h/%n"),
        ("Unit", "Description="),
        ("Unit", "StartLimitBurst=0"),
        ("Service", "Type=oneshot"),
        ("Service", "Restart=maybe"),
        ("Service", "RestartSec=infinity"),
        ("Service", "TimeoutStopSec=0"),
        ("Service", "MemoryMax=infinity"),
        ("Service", "MemoryMax=90%"),
        ("Service", "CPUQuota=%n"),
        ("Service", "SuccessExitStatus=SIGKILL"),
        ("Service", "LimitNOFILE=-1"),
    ],
)
def test_values_have_a_closed_form(section: str, line: str) -> None:
    with pytest.raises(SandboxError, match="a value that it can't have"):
        said_in(f"[{section}]\n{line}\n")


@pytest.mark.parametrize(
    "evil", ["\nExecStart=/bin/sh", "\rExecStart=/bin/sh", "\0", "\\\nExecStart=/bin/sh", "\n[Service]\nExecStart=/x"]
)
def test_no_line_is_smuggled_in(evil: str) -> None:
    with pytest.raises(PybuildError):
        said_in(f"[Unit]\nDescription=x{evil}\n")


def image(**labels: str) -> ImageConfigDoc:
    names = {f"{LABEL}{'.' if name else ''}{name.replace('_', '.')}": text for name, text in labels.items()}
    return ImageConfigDoc(raw=b"", platform=None, config={"Labels": {**names, "other": "x"}}, diff_ids=())


def test_labels_for_single_lines() -> None:
    said = declared_by(image(Unit_Description="a\nb", Service_Restart="no"), EmptyTree())
    assert said.directives == (Directive("Unit", "Description", "a b"), Directive("Service", "Restart", "no"))
    for name in ("Service_ExecStart", "Install_WantedBy", "_", "Service_Restart_x"):
        with pytest.raises(SandboxError, match="no image may say"):
            declared_by(image(**{name: "always"}), EmptyTree())
    with pytest.raises(SandboxError, match="can't have"):
        declared_by(image(Service_Restart="no\nExecStart=/bin/sh"), EmptyTree())


def test_a_file_that_is_none() -> None:
    path = "usr/lib/pybuild/service.unit"
    parents = [Entry(path=path[:end], type="dir", mode=0o755) for end in (3, 7, 15)]
    tree = ChainTree([(lambda _: pytest.fail("opened"), Diff.of([*parents, Entry(path=path, type="fifo")]))])
    with pytest.raises(SandboxError, match="not a file"):
        declared_by(image(), tree)
