"""The JSON of `pybuild scan --json`."""

from __future__ import annotations

from typing import Any

from buildkit_py.dataclass import fields
from buildkit_py.scan.model import SEVERITIES, Finding, Report


def as_plain(report: Report) -> dict[str, Any]:
    """A report as one JSON value."""
    return {
        "name": report.name,
        "digest": report.digest,
        "platform": report.platform,
        "counts": {severity: report.count(severity) for severity in SEVERITIES},
        "layers": [_record(layer) for layer in report.layers],
        "findings": [finding_as_plain(each, report) for each in report.findings],
        "ignored": [{**finding_as_plain(each.finding, report), "reason": each.reason} for each in report.ignored],
        "packages": [_record(package) for package in report.packages],
        "notes": list(report.notes),
    }


def finding_as_plain(finding: Finding, report: Report) -> dict[str, Any]:
    """A finding with the digest and the origin of its layer."""
    plain = _record(finding)
    layer = (
        report.layers[finding.layer - 1] if finding.layer is not None and finding.layer <= len(report.layers) else None
    )
    plain["layer"] = _record(layer) if layer is not None else None
    return plain


def _record(value: Any) -> dict[str, Any]:
    """The fields of a record; what is empty stays, so that programs find it."""
    plain = {each.name: getattr(value, each.name) for each in fields(value)}
    return {name: _plain(each) for name, each in plain.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float) else _record(value)
