"""SARIF 2.1.0 (OASIS), which code scanning services read.

A result's location is the file in the image (`uriBaseId` `IMAGE`), with the line in it for texts; the line of the build
file that made its layer is a related location.
"""

from __future__ import annotations

import hashlib
import posixpath
from typing import Any
from urllib.parse import quote

from buildkit_py import __version__
from buildkit_py.scan.documents.plain import finding_as_plain
from buildkit_py.scan.model import Finding, Report, Rule, Severity
from buildkit_py.scan.rules import RULES

_LEVELS: dict[Severity, str] = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
_SCORES: dict[Severity, str] = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}
"""Of GitHub's `security-severity`: one number inside of each of its bands."""
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_sarif(report: Report) -> dict[str, Any]:
    """A report as a SARIF log of one run; what is ignored is a suppressed result with its reason."""
    all_findings = [(each, None) for each in report.findings] + [(each.finding, each.reason) for each in report.ignored]
    rules = {_rule_id(finding): _rule(finding) for finding, _ in all_findings}
    places = {name: place for place, name in enumerate(rules)}
    run = {
        "tool": {"driver": {"name": "pybuild", "version": __version__, "rules": list(rules.values())}},
        "originalUriBaseIds": {"IMAGE": {"description": {"text": f"the root of {report.name}@{report.digest}"}}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, reason, places, report) for finding, reason in all_findings],
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [{"level": "note", "message": {"text": note}} for note in report.notes],
            }
        ],
        "properties": {"image": report.name, "digest": report.digest, "platform": report.platform},
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule_id(finding: Finding) -> str:
    return finding.vulnerability.id if finding.vulnerability is not None else finding.rule


def _rule(finding: Finding) -> dict[str, Any]:
    known = RULES.get(finding.rule) or Rule(id=finding.rule, severity=finding.severity, about=finding.message)
    advisory = finding.vulnerability
    severity = finding.severity if advisory is not None else known.severity
    about = f"{advisory.id} {' '.join(advisory.aliases)}".strip() if advisory is not None else known.about
    rule: dict[str, Any] = {
        "id": _rule_id(finding),
        "shortDescription": {"text": about},
        "defaultConfiguration": {"level": _LEVELS[severity]},
        "properties": {"security-severity": _SCORES[severity], "tags": ["security", finding.rule]},
    }
    return rule


def _result(finding: Finding, reason: str | None, places: dict[str, int], report: Report) -> dict[str, Any]:
    name = _rule_id(finding)
    result: dict[str, Any] = {
        "ruleId": name,
        "ruleIndex": places[name],
        "level": _LEVELS[finding.severity],
        "message": {"text": message(finding)},
        "locations": [_location(finding, report)],
        "partialFingerprints": {"finding/v1": _identity(finding)},
        "properties": finding_as_plain(finding, report),
    }
    line = report.layers[finding.layer - 1].line if finding.layer is not None else None
    if line is not None:
        file, _, number = line.rpartition(":")
        place: dict[str, Any] = {"artifactLocation": {"uri": quote(file)}}
        if number.isdigit() and int(number) > 0:
            place["region"] = {"startLine": int(number)}
        result["relatedLocations"] = [{"physicalLocation": place, "message": {"text": "the layer was made here"}}]
    if reason is not None:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": reason}]
    return result


def message(finding: Finding) -> str:
    """A finding in one sentence."""
    place = finding.place if finding.state == "config" else f"/{finding.place}"
    gone = f", {finding.state} in layer {finding.gone}" if finding.gone is not None else ""
    return f"{place}: {finding.message}{gone}"


def _location(finding: Finding, report: Report) -> dict[str, Any]:
    logical = {"fullyQualifiedName": f"{report.name}/{finding.place}", "kind": "resource"}
    if finding.state == "config":
        # SARIF has no place for a part of a document that is no text: services want an artifact all the same.
        return {
            "physicalLocation": {"artifactLocation": {"uri": "config.json", "uriBaseId": "IMAGE"}},
            "logicalLocations": [logical],
        }
    physical: dict[str, Any] = {
        "artifactLocation": {"uri": quote(posixpath.normpath(finding.place)), "uriBaseId": "IMAGE"}
    }
    if finding.line is not None:
        physical["region"] = {"startLine": finding.line}
    return {"physicalLocation": physical, "logicalLocations": [logical]}


def _identity(finding: Finding) -> str:
    """The same for the same finding in the next image, whatever its layers are called."""
    advisory = finding.vulnerability
    parts = (_rule_id(finding), finding.place, finding.fingerprint or "", advisory.purl if advisory is not None else "")
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
