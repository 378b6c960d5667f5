"""What `pybuild scan` shows to people: counts and a drawing of where the findings are, then the findings themselves."""

from __future__ import annotations

from collections.abc import Iterator

from buildkit_py.progress.text import count, short_digest, size, table
from buildkit_py.scan.model import SEVERITIES, Finding, Report, ScannedLayer

_SHOWN = 8
_BAR = 30
_WIDTH = 60


def as_text(report: Report, *, verbose: bool) -> str:
    """The whole report; without `verbose` at most a few findings of each rule."""
    parts = [_head(report), _drawing(report), *_groups(report, verbose=verbose)]
    if verbose:
        parts.append(_packages(report))
    if report.notes:
        parts.append("".join(f"note: {_shown(note)}\n" for note in report.notes))
    return "\n".join(part for part in parts if part)


def _head(report: Report) -> str:
    kinds: dict[str, int] = {}
    for package in report.packages:
        kinds[package.kind] = kinds.get(package.kind, 0) + 1
    of_kinds = f" ({', '.join(f'{kind} {number}' for kind, number in sorted(kinds.items()))})" if kinds else ""
    ignored = f", {len(report.ignored)} ignored" if report.ignored else ""
    rows = [
        ("image", _shown(report.name)),
        ("digest", report.digest),
        ("platform", report.platform or "-"),
        ("packages", f"{len(report.packages)}{of_kinds}"),
        ("findings", f"{len(report.findings)}{ignored}"),
    ]
    return table(rows)


def _drawing(report: Report) -> str:
    """A bar for each severity, and where the findings are by layer."""
    if not report.findings:
        return ""
    counts = {severity: report.count(severity) for severity in SEVERITIES}
    most = max(counts.values())
    bars = [
        (f"  {severity}", str(number), "█" * -(-number * _BAR // most) if number else "")
        for severity, number in counts.items()
    ]
    return f"{table(bars, right=frozenset({1}))}\n{_by_layer(report)}"


def _by_layer(report: Report) -> str:
    rows = [("  LAYER", "SIZE", *(severity.upper() for severity in SEVERITIES), "MADE BY")]
    for layer in report.layers:
        numbers = [
            sum(each.layer == layer.number and each.severity == severity for each in report.findings)
            for severity in SEVERITIES
        ]
        if any(numbers):
            rows.append(
                (
                    f"  {layer.number}",
                    size(layer.size),
                    *(str(number) if number else "·" for number in numbers),
                    _maker(layer),
                )
            )
    rest = [
        sum(each.layer is None and each.severity == severity for each in report.findings) for severity in SEVERITIES
    ]
    if any(rest):
        rows.append(("  config", "", *(str(number) if number else "·" for number in rest), "the image's configuration"))
    return table(rows, right=frozenset({1, 2, 3, 4, 5}))


def _maker(layer: ScannedLayer) -> str:
    """The line of a build file, else the base, else what the history says."""
    base = f"base {_shown(layer.base)}" if layer.base else ""
    return _shown(layer.line or "") or base or _shown(layer.created_by)[:_WIDTH] or short_digest(layer.digest)


def _groups(report: Report, *, verbose: bool) -> Iterator[str]:
    """The findings of each severity and rule, the worst first."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault((finding.severity, finding.rule), []).append(finding)
    for (severity, rule), findings in groups.items():
        shown = findings if verbose else findings[:_SHOWN]
        lines = [f"{severity}: {rule} ({len(findings)})\n", *(_finding(each, report) for each in shown)]
        if len(shown) < len(findings):
            lines.append(f"  … {count(len(findings) - len(shown), 'finding')} more, with --verbose\n")
        yield "".join(lines)


def _finding(finding: Finding, report: Report) -> str:
    place = finding.place if finding.state == "config" else f"/{finding.place}"
    at = f":{finding.line}" if finding.line is not None else ""
    value = f" {finding.shown}" if finding.shown else ""
    hashed = f" ({finding.fingerprint})" if finding.fingerprint else ""
    more = f", {count(finding.count, 'path')} there" if finding.count > 1 else ""
    fixed = ""
    if finding.vulnerability is not None:
        fixed = (
            f"; fixed in {finding.vulnerability.fixed}"
            if finding.vulnerability.fixed
            else "; no fixed version is known"
        )
    message = f"{_shown(finding.message)}{value}{hashed}{more}{_shown(fixed)}"
    return f"  {_shown(place)}{at}  {message}{_shown(_origin(finding, report))}\n"


def _shown(text: str) -> str:
    """Foreign text of which nothing is dropped: what a terminal would obey must not hide what stands before it."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _origin(finding: Finding, report: Report) -> str:
    if finding.layer is None or finding.layer > len(report.layers):
        return ""
    layer = report.layers[finding.layer - 1]
    line = f", {layer.line}" if layer.line else ""
    gone = f", {finding.state} in layer {finding.gone}" if finding.gone is not None else ""
    return f"  [layer {layer.number}{line}{gone}]"


def _packages(report: Report) -> str:
    rows = [("PACKAGE", "VERSION", "KIND", "LAYER", "LICENCE")]
    for each in report.packages:
        rows.append(
            (_shown(each.name), _shown(each.version), each.kind, str(each.layer), _shown(", ".join(each.licences))[:60])
        )
    return table(rows) if report.packages else ""
