"""Images that want to stop a scan, to keep it busy, or to have it say something else."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from buildkit_py.cli.scanned import as_text
from buildkit_py.errors import IntegrityError
from buildkit_py.scan.documents.cyclonedx import as_cyclonedx
from buildkit_py.scan.documents.plain import as_plain
from buildkit_py.scan.documents.sarif import as_sarif
from buildkit_py.scan.documents.spdx import as_spdx
from buildkit_py.scan.model import Report
from buildkit_py.scan.packages import golang, system, watcher
from buildkit_py.scan.packages.rpm import rpm
from buildkit_py.scan.packages.system import apk, dpkg
from tests.support.layouts import Entry
from tests.support.scans import scanned


def written(report: Report, place: Path) -> None:
    """Write every document, as a command does."""
    documents = (as_cyclonedx(report), as_spdx(report), json.dumps([as_plain(report), as_sarif(report)]))
    for document in (*documents, as_text(report, verbose=True)):
        place.write_text(document, "utf-8")


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("node_modules/a/package.json", b'{"name": "a\\ud800", "version": "\\ud800", "license": "\\udfff"}'),
        ("a.dist-info/METADATA", b"Name: \xff\x1b[31m\nVersion: \xff\nLicense: \xff\n"),
        ("lib/apk/db/installed", b"P:\xff\nV:\xff\nL:\x01\xff\nA:\x02\n"),
    ],
)
def test_a_package_of_odd_characters(tmp_path: Path, path: str, data: bytes) -> None:
    report = scanned(tmp_path / "store", {path: data})
    assert len(report.packages) == 1
    written(report, tmp_path / "document")


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("var/lib/dpkg/status", b"Package: /\nVersion: 1\n\nPackage: good\nVersion: 1\n"),
        ("a.dist-info/METADATA", b"Name: a/\nVersion: 1\n"),
    ],
)
def test_a_name_that_is_none_is_left_out_and_said(tmp_path: Path, path: str, data: bytes) -> None:
    report = scanned(tmp_path / "store", {path: data})
    assert [each.name for each in report.packages if each.name != "good"] == []
    assert report.notes == (f"/{path} has a package without a name that can be one, which is left out",)
    written(report, tmp_path / "document")


def test_half_a_character_in_a_configuration(tmp_path: Path) -> None:
    config = {"Labels": {"a": "\ud800"}, "Env": ["A_TOKEN=\ud800zQ9k2ks93kdl"]}
    report = scanned(tmp_path / "store", {"a": b""}, config=config)
    assert [each.rule for each in report.findings] == ["secret-variable"]
    written(report, tmp_path / "document")


def test_a_name_hides_nothing_that_stands_before_it(tmp_path: Path) -> None:
    program = Entry(name="", data=b"x", mode=0o4755)
    files = {
        "bin/one\rnothing was found": program,
        "bin/two\x1b]0;": program,
        "root/.docker/config.json": b'{"auths": {"\\rnothing": {"auth": "abc"}}}',
    }
    text = as_text(scanned(tmp_path / "store", files), verbose=False)
    assert "/bin/one\N{REPLACEMENT CHARACTER}nothing was found  runs as the user 0" in text
    assert "/bin/two\N{REPLACEMENT CHARACTER}]0;  runs as the user 0" in text
    assert "/root/.docker/config.json:1  credentials for the registry" in text


def test_databases_of_too_many_paragraphs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(system, "_MAX_STANZAS", 3)
    assert len(list(dpkg(b"Package: a\nVersion: 1\n\n" * 2))) == 2
    report = scanned(tmp_path / "store", {"var/lib/dpkg/status": b"x:\n\n" * 4})
    assert report.notes == ("/var/lib/dpkg/status was not read: it has more than 3 paragraphs",)


def test_a_long_name_is_not_written_out_for_every_short_one() -> None:
    (package,) = apk(b"P:a\nV:1\nF:usr/bin\nR:good\nF:" + b"x" * 5000 + b"/bin\nR:a\n")
    assert package.describing == ("usr/bin/good",)


def test_rows_that_hold_more_than_their_file(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "rpmdb.sqlite")) as connection:
        many = "||".join(["seed"] * 500)
        connection.execute(f"CREATE TABLE Packages (seed TEXT, blob BLOB GENERATED ALWAYS AS (CAST({many} AS BLOB)))")
        connection.executemany("INSERT INTO Packages VALUES (?)", [("x" * 1000,)] * 100)
        connection.commit()
    with pytest.raises(IntegrityError, match="more than the file does"):
        list(rpm(tmp_path / "rpmdb.sqlite"))


def test_only_so_many_packages_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(watcher, "MAX_IN_ALL", 2)
    status = b"".join(b"Package: p%d\nVersion: 1\n\n" % number for number in range(3))
    report = scanned(tmp_path / "store", {"var/lib/dpkg/status": status})
    assert (len(report.packages), report.notes) == (2, ("only the first 2 packages are told",))


def test_a_program_of_too_many_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(golang, "MAX_MODULES", 2)
    modules = b"\0" * 16 + b"dep\ta\tv1\ndep\tb\tv1\n\n" + b"\0" * 16
    info = golang.MAGIC + b"\x08\x02" + b"\0" * 16 + b"\x06go1.20" + bytes([len(modules)]) + modules
    program = golang.ELF.ljust(4096, b"\0") + info + b"\0" * golang.LEAST
    report = scanned(tmp_path / "store", {"bin/a": Entry(name="", data=program, mode=0o755)})
    assert [each.name for each in report.packages] == ["a", "stdlib"]
