"""Packages by what each package manager keeps of them."""

import json
import shutil
import sqlite3
import struct
from pathlib import Path

import pytest

from buildkit_py.scan.model import Report, Source
from buildkit_py.scan.packages.golang import MAGIC, modules_in
from buildkit_py.scan.packages.language import node, python
from buildkit_py.scan.packages.system import copyright_licences, dpkg, os_release
from tests.support.layouts import Entry, link
from tests.support.scans import lines, scanned

DEBIAN = lines(['PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"', 'VERSION_ID="12"', "ID=debian"])
STATUS = b"""Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b7
Source: bash (5.2.15-2)
Description: a shell
 that has several
 .
 lines

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: libx1
Status: hold ok installed
Architecture: all
Source: x
Version: 1:2.0-1
"""
COPYRIGHT = b"Format: https://www.debian.org/doc/\n\nFiles: *\nLicense: GPL-3+\n\nLicense: GPL-3+\n text\n"
APK = b"""C:Q1xyz=
P:musl
V:1.2.5-r0
A:x86_64
L:MIT
o:musl

P:libcrypto3
V:3.3.2-r0
A:x86_64
L:Apache-2.0
o:openssl
F:lib
R:libcrypto.so.3
"""


def by_name(report: Report) -> dict[str, str]:
    return {each.name: each.version for each in report.packages}


def test_dpkg() -> None:
    bash, libx = dpkg(STATUS)
    assert (bash.name, bash.version, bash.source) == ("bash", "5.2.15-2+b7", Source(name="bash", version="5.2.15-2"))
    assert (libx.version, libx.source) == ("1:2.0-1", Source(name="x", version="1:2.0-1"))


def test_a_debian_image(tmp_path: Path) -> None:
    files = {
        "usr/lib/os-release": DEBIAN,
        "etc/os-release": link("", "../usr/lib/os-release"),
        "var/lib/dpkg/status": STATUS.split(b"\n\n")[0] + b"\n",
        "usr/share/doc/bash/copyright": COPYRIGHT,
    }
    report = scanned(tmp_path / "store", files, {"var/lib/dpkg/status": STATUS})
    assert {each.name: each.layer for each in report.packages} == {"bash": 1, "libx1": 2}
    bash = report.packages[0]
    assert bash.purl == "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64&distro=debian-12"
    assert bash.licences == ("GPL-3+",)
    assert bash.path == "var/lib/dpkg/status"


def test_a_distroless_image(tmp_path: Path) -> None:
    files = {"var/lib/dpkg/status.d/base": STATUS, "var/lib/dpkg/status.d/base.md5sums": b"0123 x\n"}
    assert set(by_name(scanned(tmp_path / "store", files))) == {"bash", "libx1"}


@pytest.mark.parametrize("place", ["lib", "usr/lib"])
def test_an_alpine_image(tmp_path: Path, place: str) -> None:
    files: dict[str, bytes | Entry] = {
        f"{place}/apk/db/installed": APK,
        "etc/os-release": b"ID=alpine\nVERSION_ID=3.20.3\n",
    }
    if place == "usr/lib":
        files["lib"] = link("", "usr/lib")
    report = scanned(tmp_path / "store", files)
    assert by_name(report) == {"musl": "1.2.5-r0", "libcrypto3": "3.3.2-r0"}
    crypto = report.packages[0]
    assert crypto.source == Source(name="openssl", version="3.3.2-r0")
    assert crypto.licences == ("Apache-2.0",)
    assert crypto.purl == "pkg:apk/alpine/libcrypto3@3.3.2-r0?arch=x86_64&distro=alpine-3.20.3&upstream=openssl"


def rpm_header(**values: object) -> bytes:
    tags = {
        "name": 1000,
        "version": 1001,
        "release": 1002,
        "epoch": 1003,
        "license": 1014,
        "arch": 1022,
        "sourcerpm": 1044,
    }
    index, store = b"", b""
    for name, value in values.items():
        store += b"\0" * (-len(store) % 4)
        data, kind = (struct.pack(">I", value), 4) if isinstance(value, int) else (f"{value}\0".encode(), 6)
        index += struct.pack(">IIII", tags[name], kind, len(store), 1)
        store += data
    return struct.pack(">II", len(values), len(store)) + index + store


def rpm_database(file: Path, *headers: bytes) -> bytes:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(each,) for each in headers])
    connection.close()
    return file.read_bytes()


BASH = {
    "name": "bash",
    "version": "5.1.8",
    "release": "9.el9",
    "arch": "x86_64",
    "license": "GPLv3+",
    "sourcerpm": "bash-5.1.8-9.el9.src.rpm",
}


def test_an_rpm_image(tmp_path: Path) -> None:
    key = rpm_header(name="gpg-pubkey", version="1", release="2")
    data = rpm_database(
        tmp_path / "db", rpm_header(**BASH), rpm_header(name="dbus", epoch=1, version="1.12", release="8"), key
    )
    files = {
        "usr/lib/sysimage/rpm/rpmdb.sqlite": data,
        "var/lib/rpm": link("", "../../usr/lib/sysimage/rpm"),
        "etc/os-release": b'ID="rocky"\nVERSION_ID="9.4"\n',
    }
    report = scanned(tmp_path / "store", files)
    assert by_name(report) == {"bash": "5.1.8-9.el9", "dbus": "1:1.12-8"}
    assert report.packages[0].purl == "pkg:rpm/rocky/bash@5.1.8-9.el9?arch=x86_64&distro=rocky-9.4"
    assert "epoch=1" in report.packages[1].purl
    assert not report.notes


def test_the_log_of_an_rpm_database_counts(tmp_path: Path) -> None:
    place = tmp_path / "live"
    place.mkdir()
    rpm_database(place / "db", rpm_header(**BASH))
    connection = sqlite3.connect(place / "db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("INSERT INTO Packages (blob) VALUES (?)", (rpm_header(name="new", version="1", release="1"),))
    shutil.copytree(place, tmp_path / "copy")
    connection.close()
    data, log = (tmp_path / "copy/db").read_bytes(), (tmp_path / "copy/db-wal").read_bytes()
    assert log
    files = {"var/lib/rpm/rpmdb.sqlite": data, "var/lib/rpm/rpmdb.sqlite-wal": log}
    assert set(by_name(scanned(tmp_path / "store", files))) == {"bash", "new"}


@pytest.mark.parametrize("kind", ["text", "view", "endless", "empty"])
def test_a_hostile_rpm_database_is_said_and_passed_over(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "db"
    if kind == "text":
        file.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    else:
        with sqlite3.connect(file) as connection:
            if kind == "view":
                connection.execute("CREATE VIEW Packages AS SELECT x'00' AS blob")
            elif kind == "endless":
                connection.execute("CREATE TABLE other (x)")
                connection.execute(
                    "CREATE VIEW Packages AS WITH RECURSIVE c(blob) AS (SELECT 1 UNION ALL SELECT 2 FROM c)"
                    " SELECT * FROM c"
                )
        connection.close()
    report = scanned(tmp_path / "store", {"var/lib/rpm/rpmdb.sqlite": file.read_bytes()})
    assert not report.packages
    assert len(report.notes) == 1
    assert "/var/lib/rpm/rpmdb.sqlite was not read" in report.notes[0]


def test_headers_that_lie_say_nothing(tmp_path: Path) -> None:
    good = rpm_header(**BASH)
    lies = [b"", b"\xff" * 64, struct.pack(">II", 1 << 30, 0), good[:40], good[:-200]]
    report = scanned(tmp_path / "store", {"var/lib/rpm/rpmdb.sqlite": rpm_database(tmp_path / "db", *lies, good)})
    assert by_name(report) == {"bash": "5.1.8-9.el9"}


@pytest.mark.parametrize("path", ["var/lib/rpm/Packages", "usr/lib/sysimage/rpm/Packages.db"])
def test_other_databases_of_rpm_are_named(tmp_path: Path, path: str) -> None:
    (note,) = scanned(tmp_path / "store", {path: b"\0"}).notes
    assert path in note


METADATA = (
    b"Metadata-Version: 2.4\nName: Some_Package\nVersion: 1.0.post1\nLicense-Expression: MIT\nLicense: other\n\nText\n"
)


def test_python() -> None:
    (found,) = python(METADATA)
    assert (found.name, found.version, found.licences) == ("Some_Package", "1.0.post1", ("MIT",))
    (old,) = python(b"Name: a\nVersion: 1\nLicense: UNKNOWN\nClassifier: License :: OSI Approved :: BSD License\n")
    assert old.licences == ("BSD License",)
    assert python(b"Name: a\n") == python(b"") == python(b"\xff\xfe" * 1000) == ()


def test_node() -> None:
    (found,) = node(b'{"name": "@scope/pkg", "version": "1.2.3", "licenses": [{"type": "MIT"}, "ISC"]}')
    assert (found.name, found.licences) == ("@scope/pkg", ("MIT", "ISC"))
    for data in (
        b"",
        b"[]",
        b'{"name": "a"}',
        b'{"name": 1, "version": "1"}',
        b"[" * 100_000,
        b'{"name": "../x/y", "version": "1"}',
    ):
        assert node(data) == ()


def test_languages_in_an_image(tmp_path: Path) -> None:
    package = json.dumps({"name": "@scope/pkg", "version": "1.2.3", "license": "MIT"}).encode()
    report = scanned(
        tmp_path / "store",
        {
            "usr/lib/python3/site-packages/some_package-1.0.post1.dist-info/METADATA": METADATA,
            "usr/lib/python3/dist-packages/old.egg-info": b"Name: old\nVersion: 2\n",
            "app/node_modules/@scope/pkg/package.json": package,
            "app/node_modules/a/node_modules/b/package.json": b'{"name": "b", "version": "2.0.0"}',
            "app/node_modules/a/lib/package.json": b'{"name": "not-installed", "version": "1"}',
            "app/package.json": b'{"name": "own", "version": "1"}',
            "app/node_modules/removed/package.json": b'{"name": "removed", "version": "1"}',
        },
        {"app/node_modules/.wh.removed": b"", "app/node_modules/c/package.json": b'{"name": "c", "version": "3.0.0"}'},
    )
    assert {(each.kind, each.name, each.version, each.layer) for each in report.packages} == {
        ("pypi", "Some_Package", "1.0.post1", 1),
        ("pypi", "old", "2", 1),
        ("npm", "@scope/pkg", "1.2.3", 1),
        ("npm", "b", "2.0.0", 1),
        ("npm", "c", "3.0.0", 2),
    }
    purls = {each.name: each.purl for each in report.packages}
    assert purls["@scope/pkg"] == "pkg:npm/%40scope/pkg@1.2.3"
    assert purls["Some_Package"] == "pkg:pypi/some-package@1.0.post1"


def test_what_a_package_of_debian_brought_names_it(tmp_path: Path) -> None:
    path = "usr/lib/python3/dist-packages/old.egg-info"
    listed = lines(["/.", "/usr", f"/{path}"])
    report = scanned(
        tmp_path / "store",
        {
            path: b"Name: old\nVersion: 2\n",
            "var/lib/dpkg/info/python3-old:amd64.list": listed,
            "var/lib/dpkg/status": STATUS,
        },
    )
    assert {each.name: each.owner for each in report.packages if each.kind == "pypi"} == {"old": "python3-old"}


def test_a_program_that_a_package_of_debian_brought_names_it(tmp_path: Path) -> None:
    """Where `/bin` is a link, as on every current Debian, the list may still say `/bin`."""
    program = Entry(name="", data=inline_program().ljust(1 << 18, b"\0"), mode=0o755)
    listed = {"var/lib/dpkg/info/app.list": b"/bin/app\n", "bin": link("", "usr/bin"), "usr/bin/app": program}
    report = scanned(tmp_path / "store", {**listed, "usr/bin/own": program})
    assert {each.path: each.owner for each in report.packages} == {"usr/bin/app": "app", "usr/bin/own": None}


def test_what_a_package_of_alpine_brought_names_it(tmp_path: Path) -> None:
    folder = "usr/lib/python3.12/site-packages/x-1.dist-info"
    database = APK + f"\nP:py3-x\nV:1-r0\nF:{folder}\nR:METADATA\na:0:0:644\n".encode()
    report = scanned(
        tmp_path / "store", {"lib/apk/db/installed": database, f"{folder}/METADATA": b"Name: x\nVersion: 1\n"}
    )
    assert {each.name: each.owner for each in report.packages if each.kind == "pypi"} == {"x": "py3-x"}


def test_os_release() -> None:
    found = os_release(
        b'# comment\nID=\'rhel\'\nVERSION_ID="9.4"\nID_LIKE="fedora centos"\nPRETTY_NAME="A B"\nBROKEN="\n'
    )
    assert (found.id, found.version, found.like, found.name) == ("rhel", "9.4", ("fedora", "centos"), "A B")


def test_licences_of_copyright_files() -> None:
    assert copyright_licences(COPYRIGHT) == ("GPL-3+",)
    assert copyright_licences(b"This is free text.\nLicense: GPL\n") == ()


MODULES = (
    "path\tex.ample/app\nmod\tex.ample/app\t(devel)\t\ndep\tgolang.org/x/net\tv0.17.0\th1:x=\n"
    "dep\told.example/x\tv1.0.0\n=>\tnew.example/x\tv1.1.0\th1:y=\n"
)
FOUND = [("stdlib", "1.22.3"), ("ex.ample/app", ""), ("golang.org/x/net", "v0.17.0"), ("new.example/x", "v1.1.0")]


def marked(text: str) -> bytes:
    return b"0" * 16 + text.encode() + b"1" * 16


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return out + bytes((number,))


def inline_program() -> bytes:
    texts = (b"go1.22.3", marked(MODULES))
    head = MAGIC + bytes((8, 2)) + b"\0" * 16
    return b"\x7fELF".ljust(64, b"\0") + head + b"".join(varint(len(each)) + each for each in texts)


def pointer_program(*, wide: bool, big: bool) -> bytes:
    """As Go before 1.18 wrote it: addresses in memory, where the file begins at 0x400000."""
    order, size, base = ">" if big else "<", 8 if wide else 4, 0x400000
    word = f"{order}{'Q' if wide else 'I'}"
    texts = (b"go1.22.3", marked(MODULES))
    info, pairs = 512, 1024
    places = (2048, 2048 + len(texts[0]))
    body = bytearray(4096 + len(texts[1]))
    body[:6] = b"\x7fELF" + bytes((2 if wide else 1, 2 if big else 1))
    struct.pack_into(word, body, 32 if wide else 28, 128)
    struct.pack_into(f"{order}HH", body, 54 if wide else 42, 56 if wide else 32, 1)
    if wide:
        struct.pack_into(f"{order}IIQQQQ", body, 128, 1, 5, 0, base, base, len(body))
    else:
        struct.pack_into(f"{order}IIIII", body, 128, 1, 0, base, base, len(body))
    body[info : info + 16] = MAGIC + bytes((size, 1 if big else 0))
    for number, (text, place) in enumerate(zip(texts, places, strict=True)):
        pair = pairs + 32 * number
        struct.pack_into(word, body, info + 16 + size * number, base + pair)
        struct.pack_into(f"{word}{word[1]}", body, pair, base + place, len(text))
        body[place : place + len(text)] = text
    return bytes(body)


@pytest.mark.parametrize(
    "data",
    [inline_program(), *(pointer_program(wide=wide, big=big) for wide in (True, False) for big in (True, False))],
)
def test_go_build_info(data: bytes) -> None:
    assert [(each.name, each.version) for each in modules_in(data)] == FOUND


@pytest.mark.parametrize("cut", [16, 90, 110, 200, 600, 1100, 2100, 3000])
def test_go_build_info_that_is_cut_or_lies(cut: int) -> None:
    for data in (inline_program(), pointer_program(wide=True, big=False)):
        list(modules_in(data[:cut]))
        list(modules_in(data[:cut] + b"\xff" * 400))


def test_a_go_program_in_an_image(tmp_path: Path) -> None:
    program = Entry(name="", data=inline_program().ljust(1 << 18, b"\0"), mode=0o755)
    report = scanned(tmp_path / "store", {"usr/bin/app": program})
    assert {(each.name, each.version) for each in report.packages} == set(FOUND)
    assert {each.path for each in report.packages} == {"usr/bin/app"}
    assert "pkg:golang/golang.org/x/net@v0.17.0" in {each.purl for each in report.packages}


@pytest.mark.parametrize(
    "files",
    [
        {"var/lib/dpkg/status": Entry(name="", kind=b"6")},
        {"var/lib/dpkg/status": link("", "status")},
        {"var/lib/dpkg/status": Entry(name="", kind=b"5", mode=0o755)},
        {"var/lib/dpkg": link("", "/proc/self/root/var/lib/dpkg")},
        {"var/lib/dpkg/status": b"Package: a\n" * 100_000},
        {"var/lib/dpkg/status": b"\0" * 10_000_000},
        {"etc/os-release": link("", "os-release"), "etc/passwd": link("", "passwd")},
        {"etc/os-release": Entry(name="", kind=b"6"), "etc/passwd": Entry(name="", kind=b"6")},
    ],
)
def test_a_hostile_tree_is_survived(tmp_path: Path, files: dict[str, bytes | Entry]) -> None:
    assert not scanned(tmp_path / "store", files).packages


def test_a_database_elsewhere_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    report = scanned(tmp_path / "store", {"data/status": STATUS, "var/lib/dpkg/status": link("", "/data/status")})
    assert not report.packages
    assert "leads to /data/status" in report.notes[0]
