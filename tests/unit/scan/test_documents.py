"""The forms that other programs read, held against the validators of who defines them."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from buildkit_py.scan.documents.cyclonedx import as_cyclonedx
from buildkit_py.scan.documents.plain import as_plain
from buildkit_py.scan.documents.sarif import as_sarif
from buildkit_py.scan.documents.spdx import as_spdx
from buildkit_py.scan.ignore import Accepted, read
from buildkit_py.scan.model import Report
from buildkit_py.scan.osv.advisories import Advisories
from buildkit_py.scan.rules import RULES
from tests.support import sarif
from tests.support.layouts import Entry
from tests.support.scans import letters, pem_key, scanned

STATUS = b"Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2+b7\n"
COPYRIGHT = b"Format: x\nLicense: GPL-3+\nLicense: BSD-3-clause and MIT\n"


@pytest.fixture
def report(tmp_path: Path) -> Report:
    advisory = {
        "id": "X-1",
        "aliases": ["CVE-1"],
        "affected": [{"package": {"ecosystem": "npm", "name": "a"}, "versions": ["1.0.0"]}],
        "database_specific": {"severity": "HIGH"},
    }
    (tmp_path / "osv").mkdir()
    (tmp_path / "osv/x.json").write_text(json.dumps(advisory))
    layers = (
        {
            "etc/os-release": b"ID=debian\nVERSION_ID=12\n",
            "var/lib/dpkg/status": STATUS,
            "usr/share/doc/bash/copyright": COPYRIGHT,
            "app/node_modules/a/package.json": b'{"name": "a", "version": "1.0.0", "license": "MIT"}',
            "lib/p/x-1.dist-info/METADATA": b"Name: x\nVersion: 1\nLicense-Expression: MIT OR Apache-2.0\n",
            "key with space": pem_key("ec"),
            "bin/tool": Entry(name="", mode=0o4755),
        },
        {".wh.key with space": b"", "token": f"glpat-{letters(20)}".encode()},
    )
    accepted = (
        Accepted(rule="setuid", path="bin/*", reason="it has to"),
        Accepted(rule="nothing", path="*", reason="idle"),
    )
    return scanned(
        tmp_path / "store",
        *layers,
        config={"Env": ["A_TOKEN=s3cr3t-value"]},
        osv=Advisories(tmp_path / "osv"),
        accepted=accepted,
    )


def test_json(report: Report) -> None:
    plain = json.loads(json.dumps(as_plain(report)))
    assert plain["counts"] == {"critical": 2, "high": 2, "medium": 0, "low": 0}
    key = next(each for each in plain["findings"] if each["rule"] == "private-key")
    assert (key["state"], key["gone"], key["layer"]["number"]) == ("deleted", 2, 1)
    assert key["layer"]["digest"] == report.layers[0].digest
    (ignored,) = plain["ignored"]
    assert (ignored["rule"], ignored["reason"]) == ("setuid", "it has to")
    assert {each["name"] for each in plain["packages"]} == {"bash", "a", "x"}
    assert [note for note in plain["notes"] if "nothing is ignored by: rule 'nothing'" in note]


def test_sarif_fits_its_schema(report: Report) -> None:
    document = as_sarif(report)
    jsonschema.Draft7Validator(sarif.schema()).validate(document)
    (run,) = document["runs"]
    by_rule = {each["ruleId"]: each for each in run["results"]}
    assert set(by_rule) == {"private-key", "gitlab-token", "secret-variable", "setuid", "X-1"}
    for each in run["results"]:
        assert run["tool"]["driver"]["rules"][each["ruleIndex"]]["id"] == each["ruleId"]
    assert by_rule["setuid"]["suppressions"][0]["justification"] == "it has to"
    place = by_rule["private-key"]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "key%20with%20space", "uriBaseId": "IMAGE"}
    assert "deleted in layer 2" in by_rule["private-key"]["message"]["text"]


def test_sarif_of_nothing_fits_too(tmp_path: Path) -> None:
    jsonschema.Draft7Validator(sarif.schema()).validate(as_sarif(scanned(tmp_path / "store", {"a": b"a"})))


def test_cyclonedx_is_valid_and_the_same_again(report: Report) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = as_cyclonedx(report)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert as_cyclonedx(report) == text
    document = json.loads(text)
    found = {each["name"]: each for each in document["components"]}
    assert set(found) == {"bash", "a", "x"}
    assert found["bash"]["purl"].startswith("pkg:deb/debian/bash@")
    assert found["x"]["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    assert found["a"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert document["metadata"]["component"]["version"] == report.digest


def test_spdx_is_valid_and_the_same_again(report: Report, tmp_path: Path) -> None:
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    text = as_spdx(report)
    assert as_spdx(report) == text
    file = tmp_path / "x.spdx.json"
    file.write_text(text)
    document = parse_file(str(file))
    assert not validate_full_spdx_document(document)
    found: dict[str, Any] = {each.name: each for each in document.packages}
    assert set(found) == {"image", "bash", "a", "x"}
    assert str(found["x"].license_declared) == "MIT OR Apache-2.0"
    assert found["bash"].license_comment == "stated as: GPL-3+, BSD-3-clause and MIT"


def test_every_finding_has_a_rule_that_is_explained(report: Report) -> None:
    assert {each.rule for each in report.findings} <= set(RULES)
    for rule in RULES.values():
        assert rule.about.endswith(".")


@pytest.mark.parametrize(
    ("rule", "path", "hit"),
    [
        ("*", "*", True),
        ("secret-*", "Env[A_TOKEN]", True),
        ("secret-variable", "Env[*]", True),
        ("secret-variable", "Env[B_TOKEN]", False),
        ("jwt", "*", False),
    ],
)
def test_what_an_accepted_finding_covers(report: Report, rule: str, path: str, hit: bool) -> None:
    (finding,) = [each for each in report.findings if each.rule == "secret-variable"]
    assert Accepted(rule=rule, path=path, reason="x").covers(finding) is hit


def test_an_advisory_is_accepted_by_an_alias(report: Report) -> None:
    (finding,) = [each for each in report.findings if each.rule == "vulnerability"]
    assert Accepted(rule="CVE-1", path="*", reason="x").covers(finding)
    assert not Accepted(rule="CVE-2", path="*", reason="x").covers(finding)


def test_ignore_files(tmp_path: Path) -> None:
    from buildkit_py.errors import SourceInputError

    file = tmp_path / "ignore.toml"
    file.write_text('[[ignore]]\nrule = "setuid"\npath = "/usr/*"\nreason = "so it is"\n')
    (accepted,) = read(file)
    assert (accepted.rule, accepted.reason) == ("setuid", "so it is")
    for text in (
        '[[ignore]]\nrule = "a"\n',
        '[[ignore]]\nreason = "a"\n',
        '[[ignore]]\nrule = 1\nreason = "a"\n',
        "x = 1\n",
        "[ignore",
        'ignore = "x"\n',
        '[[ignore]]\nrule = "a"\nreason = "b"\nmore = "c"\n',
    ):
        file.write_text(text)
        with pytest.raises(SourceInputError):
            read(file)
    with pytest.raises(SourceInputError, match="can't be read"):
        read(tmp_path / "nowhere")
