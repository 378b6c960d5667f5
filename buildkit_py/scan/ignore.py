"""Findings that are known and accepted, each with a reason: a TOML file of `[[ignore]]` tables.

[[ignore]]
rule = "setuid"              # a rule, or the id or an alias of an advisory; * and ? as in file names
path = "usr/local/bin/*"     # of findings that have a path; without it every path
reason = "started by operators only"
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SourceInputError
from buildkit_py.scan.model import Finding, Ignored

_HINT = 'a table has `rule` or `path` or both, as texts, and a `reason`: [[ignore]] rule = "setuid" reason = "…"'
_FIELDS = frozenset(("rule", "path", "reason"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One table."""

    rule: str
    path: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Whether a finding is meant."""
        advisory = finding.vulnerability
        names = [finding.rule, *((advisory.id, *advisory.aliases) if advisory is not None else ())]
        return any(_fits(name, self.rule) for name in names) and _fits(finding.place, self.path.lstrip("/"))

    def __str__(self) -> str:
        return f"rule {self.rule!r}, path {self.path!r}"


def _fits(text: str, pattern: str) -> bool:
    """Brackets stand for themselves: places in a configuration have them."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def read(file: Path) -> tuple[Accepted, ...]:
    """The tables of a file; raises `SourceInputError`."""
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SourceInputError(f"{file} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise SourceInputError(f"{file} is not TOML: {error}") from None
    tables = document.get("ignore", [])
    if set(document) - {"ignore"} or not isinstance(tables, list):
        raise SourceInputError(f"{file} has more than [[ignore]] tables", hint=_HINT)
    return tuple(_accepted(file, number, table) for number, table in enumerate(tables, 1))


def _accepted(file: Path, number: int, table: Any) -> Accepted:
    fields: Mapping[str, Any] = table if isinstance(table, dict) else {}
    wrong = not all(isinstance(value, str) and value.strip() for value in fields.values())
    if wrong or set(fields) - _FIELDS or "reason" not in fields or len(fields) < 2:
        raise SourceInputError(f"{file}: the {number}. [[ignore]] table is wrong", hint=_HINT)
    return Accepted(rule=fields.get("rule", "*"), path=fields.get("path", "*"), reason=fields["reason"])


def split(
    findings: Iterable[Finding], accepted: Sequence[Accepted]
) -> tuple[list[Finding], list[Ignored], list[Accepted]]:
    """What is left of the findings, what is ignored by the first table that covers it, and the tables that cover
    nothing."""
    left: list[Finding] = []
    ignored: list[Ignored] = []
    used: set[int] = set()
    for finding in findings:
        number = next((place for place, each in enumerate(accepted) if each.covers(finding)), None)
        if number is None:
            left.append(finding)
        else:
            used.add(number)
            ignored.append(Ignored(finding=finding, reason=accepted[number].reason))
    return left, ignored, [each for place, each in enumerate(accepted) if place not in used]
