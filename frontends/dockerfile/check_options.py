"""What `# check=` says: `skip=A,B;error=true;experimental=C`, each part at most once, in any order.

`skip=all` and `experimental=all` mean every rule. The names of rules are kept in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from buildkit_py.suggest import suggest
from frontends.dockerfile.faults import fault
from frontends.dockerfile.syntax import CheckOptions, File

ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
"""The build argument whose value takes the place of a file's `# check=`."""

_OPTIONS = ("skip", "error", "experimental")
_ALL = "all"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_DIRECTIVE = re.compile(r"check\s*=\s*(\S+)", re.IGNORECASE)


class CheckOptionError(Exception):
    """A text is no list of options."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def read_check_options(text: str) -> CheckOptions:
    """Read what stands behind `check=`; raises `CheckOptionError`."""
    given = dict(_option(part) for part in text.strip().split(";", 2)) if text.strip() else {}
    skip, experimental = _rules(given.get("skip")), _rules(given.get("experimental"))
    return CheckOptions(
        skip=() if skip == (_ALL,) else tuple(name.lower() for name in skip),
        skip_all=skip == (_ALL,),
        error=_truth(given.get("error", "false")),
        experimental=() if experimental == (_ALL,) else tuple(name.lower() for name in experimental),
        experimental_all=experimental == (_ALL,),
    )


def options_of(file: File, given: Mapping[str, str]) -> CheckOptions:
    """The options of a whole file; raises `SourceError` where the client's can't be read."""
    if ARGUMENT not in given:
        return file.check
    try:
        return read_check_options(given[ARGUMENT])
    except CheckOptionError as error:
        raise fault(f"{ARGUMENT}: {error.message}", None, hint=error.hint) from None


def options_above(comments: Iterable[str]) -> CheckOptions | None:
    """What the first `check=` among the comments above an instruction says; one that can't be read says nothing."""
    for comment in comments:
        found = _DIRECTIVE.match(comment)
        if found:
            try:
                return read_check_options(found[1])
            except CheckOptionError:
                return None
    return None


def _option(part: str) -> tuple[str, str]:
    name, equals, value = part.partition("=")
    name = name.strip()
    if equals and name in _OPTIONS:
        return name, value.strip()
    close = suggest(name, _OPTIONS)
    hint = f"did you mean {close}=?" if close else "write skip=RULE,RULE or skip=all, error=true, experimental=RULE"
    raise CheckOptionError(f"not an option of checks: {part.strip()!r}", hint)


def _rules(value: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",")) if value else ()


def _truth(value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise CheckOptionError(f"error is true or false, not {value!r}", "write error=true")
