"""Targets that a scan reads: databases of packages, descriptions of packages, programs, secrets, advisories."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Iterable
from itertools import islice
from typing import Any

from buildkit_py.oci import parse_config
from buildkit_py.scan.model import Package
from buildkit_py.scan.osv.advisories import Advisories
from buildkit_py.scan.osv.match import vulnerabilities
from buildkit_py.scan.packages import system
from buildkit_py.scan.packages.golang import MAGIC, modules_in
from buildkit_py.scan.packages.language import Described, node, python
from buildkit_py.scan.packages.names import purl_of
from buildkit_py.scan.packages.rpm import rpm
from buildkit_py.scan.packages.system import Distribution, Installed
from buildkit_py.scan.packages.watcher import _descriptions
from buildkit_py.scan.secrets import named
from buildkit_py.scan.secrets.config import config_findings
from buildkit_py.scan.secrets.text import Search
from tests.fuzz.contract import Target, attempt
from tests.fuzz.scratch import scratch, written
from tests.support.images import make_image

_DEBIAN = Distribution(id="debian", version="12")
_MOST = 1000


def _told(packages: Iterable[Installed | Described], distribution: Distribution = _DEBIAN) -> None:
    """Each has a purl, or a name that can be none, and can be written down."""
    for each in islice(packages, _MOST):
        purl = purl_of(each, distribution)
        assert purl is None or purl.startswith("pkg:")
        json.dumps([each.name, each.version, each.licences]).encode()


def _system(data: bytes) -> None:
    distribution = system.os_release(data)
    for read in (system.dpkg, system.apk):
        attempt(lambda read=read: _told(read(data), distribution))
    system.copyright_licences(data)
    _descriptions(data)


_SYSTEM = (
    b"Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-2\nSource: bash (5.2)\n"
    b"Description: a shell\n that has\n .\n lines\n\nPackage: libx1\nStatus: hold ok installed\nVersion: 1:2.0-1\n",
    b"C:Q1xyz=\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\no:musl\nF:usr/bin\nR:tool\n\nP:b\nV:1\n",
    b'PRETTY_NAME="Debian GNU/Linux 12"\nVERSION_ID="12"\nID=debian\nID_LIKE="a b"\n# c\n',
    b"Format: https://www.debian.org/doc/\n\nFiles: *\nLicense: GPL-3+\n\nLicense: GPL-3+\n text\n",
    b"/usr/lib/python3/dist-packages/a.dist-info/METADATA\n/usr/bin/tool\n",
)


def _language(data: bytes) -> None:
    _told(python(data))
    _told(node(data))


_LANGUAGE = (
    b"Metadata-Version: 2.1\nName: Jinja_Two\nVersion: 2.0\nClassifier: License :: OSI Approved :: MIT License\n"
    b"License: BSD\nLicense-Expression: MIT\n\nA description\n",
    b'{"name": "@scope/lodash", "version": "4.17.20", "license": {"type": "MIT"}, "licenses": ["A", {"type": "B"}]}',
)


def _go(data: bytes) -> None:
    _told(modules_in(data))


def _programs() -> list[bytes]:
    """One with its texts behind the header, and one in an ELF file with pointers to them."""
    text = bytes(16) + b"path\ta\nmod\texample.org/a\tv1\nmod\texample.org/b\tv2\n=>\texample.org/c\tv3\n\n" + bytes(16)
    inline = MAGIC + b"\x08\x02" + bytes(16) + b"\x08go1.22.1" + bytes((len(text),)) + text
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x1000, 0, 4096, 4096, 4096)
    start = 0x1000 + 192
    pairs = struct.pack("<QQQQ", start + 32, 8, start + 40, len(text))
    info = MAGIC + b"\x08\x00" + struct.pack("<QQ", start, start + 16)
    pointed = (head + load).ljust(128, b"\0") + info.ljust(64, b"\0") + pairs + b"go1.17.1" + text
    return [bytes(16) + inline, pointed]


def _rpm(data: bytes) -> None:
    """A database as it is in the image."""
    attempt(lambda: _told(rpm(written("rpm/rpmdb.sqlite", data))))


def _header(data: bytes) -> None:
    """The header of one package in a database that is whole."""
    path = scratch() / "header.sqlite"
    path.unlink(missing_ok=True)
    path.write_bytes(_database(data))
    attempt(lambda: _told(rpm(path)))


def _database(*headers: bytes) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA page_size = 512")
    connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(each,) for each in headers])
    connection.commit()
    data: bytes = connection.serialize()
    connection.close()
    return data


def _rpm_header() -> bytes:
    texts = {
        1000: "bash",
        1001: "5.1.8",
        1002: "9.el9",
        1014: "GPLv3+",
        1022: "x86_64",
        1044: "bash-5.1.8-9.el9.src.rpm",
    }
    rows: list[tuple[int, int, bytes, int]] = [(tag, 6, text.encode() + b"\0", 1) for tag, text in texts.items()]
    rows += [(1003, 4, struct.pack(">I", 2), 1), (1116, 4, struct.pack(">II", 0, 1), 2)]
    rows += [(1117, 8, b"tool\0METADATA\0", 2), (1118, 8, b"/usr/bin/\0/usr/lib/a.dist-info/\0", 2)]
    index, store = b"", b""
    for tag, kind, value, count in rows:
        store += b"\0" * (-len(store) % 4)
        index += struct.pack(">IIII", tag, kind, len(store), count)
        store += value
    return struct.pack(">II", len(rows), len(store)) + index + store


def _secrets(data: bytes) -> None:
    """A text in two pieces, and as every file whose name says what is in it."""
    search = Search()
    search.feed(data[: len(data) // 2])
    search.feed(data[len(data) // 2 :])
    search.finish()
    readers = {read: name for name, read in named._BY_NAME.items()} | {named._shadow: "shadow"}
    for read in readers:
        for secret in islice(read(data), _MOST):
            assert 0 <= secret.at <= len(data)
            json.dumps(secret.message)


_SECRETS = (
    b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n"
    + b"QUJD" * 20
    + b"\n-----END RSA PRIVATE KEY-----\n",
    b'{"auths": {"r.example": {"auth": "abc"}}, "x": 1}',
    b"root:$6$abcdefgh$" + b"x" * 20 + b":1:0:\ndaemon:!*:1\nnobody::1\n",
    b"machine a login b password c\n//r.example/:_authToken=abcd\nhttps://me:pw1234@r.example/a\n*:*:*:*:pw\n",
    b"aws_secret_access_key = "
    + b"Ab1/" * 10
    + b"\nghp_"
    + b"a1B2" * 9
    + b" eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9."
    + b"x" * 30,
)


def _scanned_config(data: bytes) -> None:
    for finding in islice(config_findings(parse_config(data)), _MOST):
        json.dumps(finding.message)


def _config_seeds() -> list[bytes]:
    config = {
        "Env": ["API_TOKEN=a8f9s7d6f5g4"],
        "Cmd": ["a"],
        "Labels": {"l": "v"},
        "Healthcheck": {"Test": ["CMD", "a"]},
    }
    plain = json.loads(make_image(b"x", config=config).config)
    lines = [{"created_by": "RUN TOKEN=abc123def x", "empty_layer": True}, {"created_by": "COPY a b", "comment": "c"}]
    return [json.dumps({**plain, "history": lines}).encode()]


_PACKAGES = tuple(
    Package(kind=kind, name=name, version=version, purl=f"pkg:{kind}/{name}@{version}", path="p", layer=1)
    for kind, name, version in (("pypi", "jinja2", "2.0"), ("npm", "lodash", "4.17.20"), ("golang", "a", "v1.2.3"))
)


def _advisory(data: bytes) -> None:
    directory = scratch() / "osv"
    written("osv/a.json", data)
    for distribution, kind in ((_DEBIAN, "deb"), (Distribution(id="alpine", version="3.20"), "apk")):
        installed = Package(kind=kind, name="openssl", version="3.0.9-r1", purl="pkg:x/y@1", path="p", layer=1)
        for finding in vulnerabilities(Advisories(directory), (*_PACKAGES, installed), distribution):
            json.dumps(finding.message)


def _advisory_of(ecosystem: str, name: str, severity: list[dict[str, str]]) -> bytes:
    events = [{"introduced": "0"}, {"fixed": "99.0"}, {"last_affected": "98"}, {"limit": "*"}]
    entry: dict[str, Any] = {"package": {"ecosystem": ecosystem, "name": name}, "versions": ["1.0"]}
    entry["ranges"] = [{"type": "ECOSYSTEM", "events": events}, {"type": "GIT", "events": []}]
    entry["ecosystem_specific"] = {"urgency": "high**"}
    plain = {"id": "X-1", "aliases": ["CVE-1"], "summary": "bad", "severity": severity, "affected": [entry]}
    return json.dumps(plain).encode()


def _advisories() -> list[bytes]:
    v3 = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}
    v4 = {"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"}
    v2 = {"type": "CVSS_V2", "score": "AV:N/AC:L/Au:N/C:P/I:P/A:P"}
    names = (("PyPI", "Jinja2"), ("npm", "lodash"), ("Go", "a"), ("Debian:12", "openssl"), ("Alpine:v3.20", "openssl"))
    return [_advisory_of(*name, [severity]) for name, severity in zip(names, (v3, v4, v2, v3, v4), strict=True)]


TARGETS: dict[str, Target] = {
    "packages-of-a-system": Target(run=_system, seeds=lambda: _SYSTEM, form="text"),
    "packages-of-a-language": Target(run=_language, seeds=lambda: _LANGUAGE, form="text"),
    "package-json": Target(run=_language, seeds=lambda: _LANGUAGE[1:], form="json"),
    "go-program": Target(run=_go, seeds=_programs),
    "rpm-database": Target(run=_rpm, seeds=lambda: [_database(_rpm_header(), _rpm_header())]),
    "rpm-header": Target(run=_header, seeds=lambda: [_rpm_header()]),
    "secrets": Target(run=_secrets, seeds=lambda: _SECRETS, form="text"),
    "config-scanned": Target(run=_scanned_config, seeds=_config_seeds, form="json"),
    "advisory": Target(run=_advisory, seeds=_advisories, form="json"),
}
