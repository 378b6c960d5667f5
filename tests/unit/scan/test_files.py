"""Findings about the rights of files, and links."""

import struct
from pathlib import Path

import pytest

from buildkit_py.scan.files import capabilities
from tests.support.layouts import Entry, folder, link
from tests.support.scans import capable, scanned


def told(report: object) -> set[tuple[str, str, str]]:
    return {(each.rule, each.place, each.severity) for each in report.findings}  # type: ignore[attr-defined]


def program(mode: int, uid: int = 0) -> Entry:
    return Entry(name="", data=b"x", mode=mode, uid=uid)


def test_rights(tmp_path: Path) -> None:
    report = scanned(
        tmp_path / "store",
        {
            "usr/bin/su": program(0o4755),
            "opt/tool": program(0o4755),
            "opt/group": program(0o2755),
            "opt/open": program(0o4777),
            "opt/plain": program(0o755),
            "opt/not-run": program(0o4644),
            "srv": folder("", 0o777),
            "tmp": folder("", 0o1777),
            "etc/conf": program(0o666),
            "bin/all": program(0o777),
        },
    )
    assert told(report) >= {
        ("setuid", "usr/bin/su", "low"),
        ("setuid", "opt/tool", "medium"),
        ("setgid", "opt/group", "low"),
        ("setuid", "opt/open", "critical"),
        ("world-writable", "srv", "medium"),
        ("world-writable", "etc/conf", "medium"),
        ("world-writable", "bin/all", "high"),
    }
    assert not [each for each in report.findings if each.place in ("tmp", "opt/plain", "opt/not-run")]


@pytest.mark.parametrize("path", ["a", "b/c"])
def test_only_what_is_left_of_the_tree_counts(tmp_path: Path, path: str) -> None:
    parent, _, name = path.rpartition("/")
    gone = f"{parent}/.wh.{name}" if parent else f".wh.{name}"
    assert not scanned(tmp_path / "store", {path: program(0o4755)}, {gone: b""}).findings


def test_links(tmp_path: Path) -> None:
    report = scanned(
        tmp_path / "store",
        {
            "good": link("", "there"),
            "there": b"x",
            "broken": link("", "/nowhere"),
            "a": link("", "b"),
            "b": link("", "a"),
            "up": link("", "../../../../there"),
            "etc/mtab": link("", "/proc/mounts"),
            "dev/fd": link("", "/proc/self/fd"),
            "run-link": link("", "/run/lock/x"),
        },
    )
    assert {each.place for each in report.findings} == {"broken", "a", "b"}


def test_capabilities_by_name() -> None:
    net_raw = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
    assert capabilities(net_raw) == ("net_raw",)
    admin = struct.pack("<IIIIII", 0x03000001, 1 << 21, 0, 1 << (39 - 32), 0, 1000)
    assert capabilities(admin) == ("sys_admin", "bpf")
    assert capabilities(b"") == capabilities(b"\0" * 11) == ()


@pytest.mark.parametrize(("bit", "severity"), [(13, "low"), (12, "medium"), (21, "high")])
def test_a_file_with_capabilities(tmp_path: Path, bit: int, severity: str) -> None:
    value = struct.pack("<IIIII", 0x02000001, 1 << bit, 0, 0, 0)
    report = scanned(tmp_path / "store", capable(b"x", value))
    assert told(report) == {("file-capability", "bin/tool", severity)}


def test_owners_that_nobody_knows_are_told_once(tmp_path: Path) -> None:
    files = {
        "etc/passwd": b"root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n",
        "home": folder(""),
        "home/x": program(0o644, 1000),
    }
    strange = {
        "srv": Entry(name="", kind=b"5", mode=0o755, uid=77),
        "srv/a": program(0o644, 77),
        "srv/b": program(0o644, 77),
    }
    report = scanned(tmp_path / "store", files, strange)
    (found,) = report.findings
    assert (found.rule, found.place, found.count, found.layer) == ("unknown-owner", "srv", 3, 2)


def test_owners_one_in_another(tmp_path: Path) -> None:
    files = {"etc/passwd": b"root:x:0:0::/:/bin/sh\n", "a": Entry(name="", kind=b"5", mode=0o755, uid=7)}
    files |= {"a/b": program(0o644, 8), "a/c": program(0o644, 7), "ab": program(0o644, 7)}
    report = scanned(tmp_path / "store", files)
    assert {(each.place, each.count) for each in report.findings} == {("a", 2), ("a/b", 1), ("ab", 1)}


def test_more_than_anybody_reads_is_said_to_be_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildkit_py.scan.files.MAX_OF_A_RULE", 3)
    monkeypatch.setattr("buildkit_py.scan.files._MAX_LOOKS", 4)
    monkeypatch.setattr("buildkit_py.scan.packages.watcher.MAX_PACKAGES", 2)
    files: dict[str, bytes | Entry] = {f"f{number}": program(0o666) for number in range(5)}
    files |= {f"link{number}": link("", "/nowhere") for number in range(5)}
    files["var/lib/dpkg/status"] = b"\n\n".join(f"Package: p{number}\nVersion: 1".encode() for number in range(5))
    report = scanned(tmp_path / "store", files)
    assert len([each for each in report.findings if each.rule == "world-writable"]) == 3
    assert len(report.packages) == 2
    assert [note.split(" only")[0].split(":")[0] for note in report.notes] == [
        "of /var/lib/dpkg/status",
        "of world-writable",
        "not every symbolic link was followed",
    ]


def test_the_layer_is_the_one_that_made_it_so(tmp_path: Path) -> None:
    report = scanned(
        tmp_path / "store", {"d": folder("", 0o755)}, {"d": folder("", 0o777)}, {"d": folder("", 0o777), "d/x": b""}
    )
    assert [(each.place, each.layer) for each in report.findings] == [("d", 2)]
