"""How bad a vulnerability is: by its CVSS vector, else by the word of who wrote the advisory, else `medium`."""

from __future__ import annotations

from typing import Any

from buildkit_py.scan.libraries import library
from buildkit_py.scan.model import Severity
from buildkit_py.scan.osv.advisories import listed

_WORDS: dict[str, Severity] = {
    "critical": "critical",
    "important": "high",
    "high": "high",
    "moderate": "medium",
    "medium": "medium",
    "low": "low",
    "negligible": "low",
    "unimportant": "low",
    "none": "low",
}
_VECTORS = {"CVSS_V4": "CVSS4", "CVSS_V3": "CVSS3", "CVSS_V2": "CVSS2"}


def severity_of(advisory: dict[str, Any], entry: dict[str, Any]) -> Severity:
    """Of an advisory and the entry that holds for the package."""
    for kind in _VECTORS:
        for each in (*listed(entry, "severity"), *listed(advisory, "severity")):
            if isinstance(each, dict) and each.get("type") == kind and isinstance(each.get("score"), str):
                found = _of_vector(_VECTORS[kind], each["score"])
                if found is not None:
                    return found
    for each in (*listed(entry, "severity"), *listed(advisory, "severity")):
        # Ubuntu's and others' own scale is a word in place of a vector.
        found = _WORDS.get(str(each.get("score")).lower()) if isinstance(each, dict) else None
        if found is not None:
            return found
    for more in (entry.get("ecosystem_specific"), entry.get("database_specific"), advisory.get("database_specific")):
        for key in ("severity", "urgency"):
            found = _WORDS.get(str(more.get(key)).lower().rstrip("*")) if isinstance(more, dict) else None
            if found is not None:
                return found
    return "medium"


def _of_vector(kind: str, vector: str) -> Severity | None:
    cvss = library("cvss")
    try:
        made = getattr(cvss, kind)(vector)
    except cvss.CVSSError:
        return None
    # Version 4 has one severity, the others base, temporal and environmental.
    word = made.severity if kind == "CVSS4" else made.severities()[0]
    return _WORDS.get(str(word).lower())
