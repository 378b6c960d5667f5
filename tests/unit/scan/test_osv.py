"""Advisories: which packages they hold for, by each ecosystem's own order of versions."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.errors import SourceInputError
from buildkit_py.scan.model import Report
from buildkit_py.scan.osv.advisories import Advisories
from buildkit_py.scan.osv.ecosystems import is_release, order_of
from buildkit_py.scan.osv.match import first_fix, is_affected
from buildkit_py.scan.osv.severity import severity_of
from buildkit_py.scan.packages.system import Distribution
from tests.support.scans import lines, scanned

STATUS = b"Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.0.9-1\nSource: openssl\n"
DEBIAN = lines(["ID=debian", 'VERSION_ID="12"'])
IMAGE = {
    "etc/os-release": DEBIAN,
    "var/lib/dpkg/status": STATUS,
    "app/node_modules/lodash/package.json": b'{"name": "lodash", "version": "4.17.20"}',
    "usr/lib/python3.11/site-packages/Jinja_Two-2.0.dist-info/METADATA": b"Name: Jinja_Two\nVersion: 2.0\n",
}


def advisory(
    ecosystem: str, name: str, *events: dict[str, str], kind: str = "ECOSYSTEM", **more: Any
) -> dict[str, Any]:
    ranges = [{"type": kind, "events": list(events)}]
    entry = {"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges, **more.pop("entry", {})}
    return {"id": "X-1", "affected": [entry], **more}


def found(tmp_path: Path, *advisories: dict[str, Any] | bytes, files: Any = None) -> Report:
    directory = tmp_path / "osv"
    for number, each in enumerate(advisories):
        file = directory / f"{number}" / "a.json"
        file.parent.mkdir(parents=True)
        file.write_bytes(each if isinstance(each, bytes) else json.dumps(each).encode())
    return scanned(tmp_path / "store", files or IMAGE, osv=Advisories(directory))


def test_debian_by_source_package_and_release(tmp_path: Path) -> None:
    affecting = advisory(
        "Debian:12", "openssl", {"introduced": "0"}, {"fixed": "3.0.9-1+deb12u1"}, aliases=["CVE-1"], summary="bad"
    )
    other = advisory("Debian:11", "openssl", {"introduced": "0"}) | {"id": "X-2"}
    mended = advisory("Debian:12", "openssl", {"introduced": "0"}, {"fixed": "3.0.9~rc1-1"}) | {"id": "X-3"}
    (finding,) = found(tmp_path, affecting, other, mended).findings
    assert finding.rule == "vulnerability"
    assert finding.vulnerability is not None
    assert (finding.vulnerability.id, finding.vulnerability.aliases) == ("X-1", ("CVE-1",))
    assert (finding.vulnerability.fixed, finding.vulnerability.version) == ("3.0.9-1+deb12u1", "3.0.9-1")
    assert "libssl3" in finding.message
    assert finding.layer == 1


@pytest.mark.parametrize(
    ("given", "hit"),
    [
        (advisory("npm", "lodash", {"introduced": "0"}, {"fixed": "4.17.21"}, kind="SEMVER"), True),
        (advisory("npm", "lodash", {"introduced": "0"}, {"fixed": "4.17.20"}, kind="SEMVER"), False),
        (advisory("npm", "lodash", {"introduced": "4.17.20"}, {"last_affected": "4.17.20"}, kind="SEMVER"), True),
        (advisory("npm", "lodash", {"fixed": "4.17.30"}, {"introduced": "4.17.21"}, kind="SEMVER"), False),
        (advisory("npm", "lodash", {"introduced": "0"}, kind="GIT"), False),
        (advisory("npm", "lodash", {"introduced": "0"}, withdrawn="2024-01-01T00:00:00Z"), False),
        (advisory("npm", "lodash", entry={"versions": ["4.17.20"]}), True),
        (advisory("npm", "lodash", entry={"versions": ["4.17.2"]}), False),
        (advisory("npm", "lodash-es", {"introduced": "0"}), False),
        (advisory("PyPI", "jinja-two", {"introduced": "0"}, {"fixed": "2.0.1"}), True),
        (advisory("PyPI", "jinja-two", {"introduced": "0"}, {"fixed": "2.0rc1"}), False),
        (advisory("Alpine:v3.20", "openssl", {"introduced": "0"}), False),
    ],
)
def test_ranges_and_lists(tmp_path: Path, given: dict[str, Any], hit: bool) -> None:
    assert bool(found(tmp_path, given).findings) is hit


def test_what_the_distribution_brought_is_left_to_the_distribution(tmp_path: Path) -> None:
    path = "usr/lib/python3/dist-packages/requests-2.0.egg-info"
    files = {path: b"Name: requests\nVersion: 2.0\n", "var/lib/dpkg/info/python3-requests.list": f"/{path}\n".encode()}
    given = advisory("PyPI", "requests", {"introduced": "0"})
    assert not found(tmp_path, given, files=files).findings


def test_files_that_are_no_advisories_are_named(tmp_path: Path) -> None:
    report = found(
        tmp_path,
        b'{"name": "lodash"',
        b'["name": "lodash"]',
        b'{"id": 1, "name": "lodash"}',
        b"[" * 200_000 + b'"name":"lodash"',
    )
    assert not report.findings
    assert len([note for note in report.notes if "a.json was not read" in note]) == 4
    many = found(tmp_path / "many", *[b'{"name": "lodash"'] * 30)
    assert [each for each in many.notes if "not read" in each][-1].startswith("10 more advisories")
    with pytest.raises(SourceInputError, match="no directory"):
        scanned(tmp_path / "store", IMAGE, osv=Advisories(tmp_path / "nowhere"))


LODASH = {"name": "lodash", "ecosystem": "npm"}
BAD_EVENTS = [1, {"type": "SEMVER", "events": [1, {"introduced": 5}]}, {"type": "SEMVER", "events": 1}]
BAD_VERSION = [{"type": "SEMVER", "events": [{"introduced": "!"}]}]


@pytest.mark.parametrize(
    "rubbish",
    [
        {"affected": 1},
        {"affected": [1, {"package": 1}, {"package": {"name": 1, "ecosystem": "npm"}}]},
        {"affected": [{"package": LODASH, "ranges": BAD_EVENTS, "versions": 1}], "aliases": 3},
        {"affected": [{"package": LODASH, "ranges": BAD_VERSION}]},
    ],
)
def test_advisories_with_rubbish_in_them(tmp_path: Path, rubbish: dict[str, Any]) -> None:
    assert not found(tmp_path, {"id": "X", "x": {"name": "lodash"}, **rubbish}).findings


def test_the_lowest_fix_above() -> None:
    events = [{"fixed": "1.5.2"}, {"introduced": "2.0.0"}, {"fixed": "2.3.1"}, {"introduced": "0"}]
    entry = {"ranges": [{"type": "SEMVER", "events": events}]}
    order = order_of("npm")
    assert order is not None
    hit = {
        "1.0.0": True,
        "1.5.2": False,
        "1.9.0": False,
        "2.0.0-rc.1": False,
        "2.0.0": True,
        "2.3.0": True,
        "2.3.1": False,
    }
    assert {each: is_affected(entry, each, order) for each in hit} == hit
    assert first_fix(entry, "2.1.0", order) == "2.3.1"
    assert first_fix(entry, "1.0.0", order) == "1.5.2"
    assert first_fix(entry, "3.0.0", order) is None


@pytest.mark.parametrize(
    ("ecosystem", "suffix", "version", "same"),
    [
        ("debian", "12", "12", True),
        ("debian", "1", "12", False),
        ("debian", "", "12", True),
        ("debian", "12", "", False),
        ("alpine", "v3.20", "3.20.3", True),
        ("alpine", "v3.2", "3.20.3", False),
        ("rocky", "9", "9.4", True),
        ("rocky", "8", "9.4", False),
        ("ubuntu", "22.04:LTS", "22.04", True),
        ("ubuntu", "Pro:22.04:LTS", "22.04", True),
        ("ubuntu", "20.04:LTS", "22.04", False),
        ("rhel", "enterprise_linux:9::baseos", "9.4", True),
        ("rhel", "enterprise_linux:8::baseos", "9.4", False),
        ("opensuse-leap", "Leap 15.5", "15.5", True),
    ],
)
def test_releases(ecosystem: str, suffix: str, version: str, same: bool) -> None:
    assert is_release(suffix, Distribution(id=ecosystem, version=version)) is same


@pytest.mark.parametrize(
    ("advisory", "entry", "severity"),
    [
        ({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]}, {}, "critical"),
        ({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"}]}, {}, "low"),
        (
            {
                "severity": [
                    {"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"}
                ]
            },
            {},
            "critical",
        ),
        ({"severity": [{"type": "CVSS_V3", "score": "rubbish"}]}, {}, "medium"),
        ({"database_specific": {"severity": "HIGH"}}, {}, "high"),
        ({}, {"ecosystem_specific": {"urgency": "unimportant"}}, "low"),
        ({"severity": [{"type": "Ubuntu", "score": "negligible"}]}, {}, "low"),
        ({}, {}, "medium"),
    ],
)
def test_severity(advisory: dict[str, Any], entry: dict[str, Any], severity: str) -> None:
    assert severity_of(advisory, entry) == severity


DEBIAN_VERSIONS_WORDS = (
    "1.0 1.0-1 1:0.1 1.0~rc1 1.0~~ 1.0+b1 1.0a 1.0.1 2:1 1.0-1~bpo1 1.0-1+deb12u1 1.0-10 1.0-9 0 1.00 1.0-0"
)
DEBIAN_VERSIONS = tuple(DEBIAN_VERSIONS_WORDS.split())


@pytest.mark.skipif(not shutil.which("dpkg"), reason="dpkg is the referee, and not installed")
def test_debian_versions_follow_as_dpkg_says() -> None:
    order = order_of("Debian")
    assert order is not None
    for one in DEBIAN_VERSIONS:
        for other in DEBIAN_VERSIONS:
            said = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False).returncode == 0
            assert bool(order(one) < order(other)) is said, (one, other)


RPM_VERSIONS_WORDS = (
    "1.0-1 1.0-1.el9 1:0.1-1 1.0~rc1-1 1.0^git1-1 1.0a-1 1.0.1-1 2.0-1 1.0-10 1.0-9 010-1 10-1 1.0-1.el9_2.1 1.0^-1"
)
RPM_VERSIONS = tuple(RPM_VERSIONS_WORDS.split())


@pytest.mark.skipif(not shutil.which("rpm"), reason="rpm is the referee, and not installed")
def test_rpm_versions_follow_as_rpm_says() -> None:
    order = order_of("Rocky Linux")
    assert order is not None
    pairs = [(one, other) for one in RPM_VERSIONS for other in RPM_VERSIONS]
    script = "".join(f"print(rpm.vercmp('{one}','{other}') .. ' ')" for one, other in pairs)
    said = subprocess.run(
        ["rpm", "--eval", f"%{{lua:{script}}}"], capture_output=True, text=True, check=True
    ).stdout.split()
    for (one, other), answer in zip(pairs, said, strict=True):
        assert bool(order(one) < order(other)) is (answer == "-1"), (one, other)


def test_alpine_versions() -> None:
    """By the rules of apk-tools: letters, suffixes before and after a release, revisions."""
    order = order_of("Alpine")
    assert order is not None
    words = "1.0_alpha1 1.0_beta 1.0_rc2 1.0 1.0-r1 1.0-r10 1.0_p1 1.0a 1.0.1 1.1 1.10 2.0"
    rising = words.split()
    made = [order(each) for each in rising]
    for place, one in enumerate(made):
        for number, other in enumerate(made):
            assert bool(one < other) is (place < number), (rising[place], rising[number])


def test_python_versions_follow_as_packaging_says() -> None:
    from packaging.version import Version

    order = order_of("PyPI")
    assert order is not None
    versions = ["1.0", "1.0.post1", "1.0rc1", "1.0.dev1", "1!0.1", "1.0a1", "1.0+local", "1.0.1", "1.10", "1.9"]
    for one in versions:
        for other in versions:
            assert bool(order(one) < order(other)) is (Version(one) < Version(other))
