"""What a secret's value may be told by, and whether it is one: examples in documentation have the same shape."""

from __future__ import annotations

import hashlib
import re

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.scan.model import Severity

_SHOWN = 4
_DIGITS = 12
_EXAMPLE = re.compile(
    rb"example|sample|dummy|placeholder|changeme|redacted|your[-_]|x{4}|\*{3}|\.{3}|0{8}|1234567890|abcdefgh",
    re.IGNORECASE,
)
_TESTS_WORDS = (
    "test tests testing testdata test-data test_data fixtures fixture example examples sample samples spec "
    "specs doc docs documentation demo demos mock mocks __tests__"
)
_TESTS = frozenset(_TESTS_WORDS.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """One secret in a text: its rule, how bad it is, what to say, and what of it may be shown; `at` is where it begins
    in bytes."""

    rule: str
    severity: Severity
    message: str
    at: int = 0
    shown: str | None = None
    fingerprint: str | None = None


def told(secret: Secret, value: bytes) -> Secret:
    """The secret with the first characters of a long random value, and a hash that it can't be guessed from.

    Only for values with a public beginning and enough random behind it: the hash of a password can be searched for.
    """
    shown = value[:_SHOWN].decode("ascii", "replace")
    return replace(secret, shown=f"{shown}…", fingerprint=f"sha256:{hashlib.sha256(value).hexdigest()[:_DIGITS]}")


def is_example(value: bytes, *, fewest: int = 8) -> bool:
    """Whether a value says of itself that it is none, or has fewer different characters than a random one."""
    return _EXAMPLE.search(value) is not None or len(set(value)) < min(fewest, len(value))


def is_reference(value: bytes) -> bool:
    """Whether a value only says where the secret is: a variable, a path, a template."""
    return value[:1] in b"$%{<@/" or value.strip(b"\"' ") in (b"", b"null", b"None", b"none", b"true", b"false", b"~")


def in_tests(path: str) -> bool:
    """Whether a path is that of a test or of documentation: what is there is seldom in use anywhere."""
    return not _TESTS.isdisjoint(path.lower().split("/")[:-1])


def milder(secret: Secret) -> Secret:
    """The same for a file of tests or documentation."""
    return replace(secret, severity="low", message=f"{secret.message} (in a file of tests or documentation)")
