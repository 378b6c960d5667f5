"""Checks of single values of a graph. Each raises `GraphError`; what passes can be written, shown and used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from buildkit_py.address import refuse_password
from buildkit_py.dataclass import fields
from buildkit_py.digest import Digest
from buildkit_py.errors import GraphError, IntegrityError, SourceInputError, UsageError
from buildkit_py.platform import Platform
from buildkit_py.reference import LOCAL, Reference
from buildkit_py.source import Span

MAX_ID = 2**32 - 2
MAX_NUMBER = 2**63 - 1
MAX_NAME = 255
MAX_PATH = 4095
_OCTAL = re.compile(r"[0-7]{3,4}\Z")
_CLAUSE = r"[ugoa]*(?:[-+=][rwxXstugo]*)+"
_MODE = re.compile(rf"[0-7]{{3,4}}\Z|{_CLAUSE}(?:,{_CLAUSE})*\Z")
_OWNER = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?(?::[A-Za-z0-9_][A-Za-z0-9_.-]*\$?)?\Z|:[A-Za-z0-9_][A-Za-z0-9_.-]*\Z"
)
_NUMBER = re.compile(r"[-+]?[0-9]+\Z")
_VARIABLE = re.compile(r"[^=\0]+\Z")
_ID = re.compile(r"[^\0\n]{1,256}\Z")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?\Z")
MAX_HOSTNAME = 64
LIMITS = frozenset(
    {
        *("as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue"),
        *("nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"),
    }
)
_WORD = re.compile(r"'([^']*)'")
_STORED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}\Z")


@contextmanager
def written_at(span: Span | None) -> Iterator[None]:
    """A fault found inside was written at `span`, unless it knows better."""
    try:
        yield
    except GraphError as error:
        raise GraphError(error.message, hint=error.hint, span=error.span or span) from None


def texts(plain: Any, *, free: bool = False) -> None:
    """Refuse every string of a JSON value that can't be written as UTF-8, or holds NUL. The content of a file, which
    stands under `text`, is `free` to hold NUL."""
    kind = type(plain)
    if kind is str:
        _text(plain, free=free)
    elif kind is list or kind is tuple:
        for value in plain:
            texts(value)
    elif isinstance(plain, Mapping):
        for key, value in plain.items():
            _text(key, free=False)
            texts(value, free=key == "text")


def _text(value: str, *, free: bool) -> None:
    if "\0" in value and not free:
        raise GraphError(f"a text can't hold a NUL character: {_shown(value)}")
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError:
        raise GraphError(f"not Unicode text, it has unpaired surrogates: {_shown(value)}") from None


def _shown(value: str) -> str:
    return ascii(value[:80])


def words(part: Any) -> None:
    """Every field of an op or a mount that takes one of a few words."""
    for name, choices in _choices(part.__class__):
        word = getattr(part, name)
        if word not in choices:
            raise GraphError(f"{name!r} is one of {', '.join(choices)}, not {_shown(str(word))}")


@cache
def _choices(cls: type[Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    written = ((item.name, str(item.type)) for item in fields(cls))
    return tuple((name, tuple(_WORD.findall(text))) for name, text in written if text.startswith("Literal["))


def line(text: str, what: str) -> None:
    """One printable line of 1 to 255 characters: a name that is shown, stored and put into file names."""
    if not 0 < len(text) <= MAX_NAME or not text.isprintable():
        raise GraphError(f"not {what}: {_shown(text)}", hint="it is one printable line of up to 255 characters")


def url(text: str) -> None:
    """The address of a source, which stands in keys, locks and records."""
    line(text[:MAX_NAME], "a URL")
    try:
        refuse_password(text)
    except SourceInputError as error:
        raise GraphError(error.message, hint=error.hint) from None


def path(text: str) -> None:
    """An absolute path of a tree."""
    if not text.startswith("/"):
        raise GraphError(f"not an absolute path: {_shown(text)}")
    components(text)


def components(text: str) -> None:
    """A path or a glob, absolute or not, that Linux could have."""
    if not text:
        raise GraphError("a path is empty")
    data = text.encode()
    if len(data) > MAX_PATH or any(len(part) > MAX_NAME for part in data.split(b"/")):
        raise GraphError(
            f"no path of Linux is so long: {_shown(text)}…",
            hint=f"a name has at most {MAX_NAME} bytes and a path {MAX_PATH}",
        )


def check_mode(text: str) -> None:
    """Raise `GraphError` unless `text` is an octal or symbolic mode."""
    if not _MODE.match(text):
        raise GraphError(f"not a file mode: {text!r}", hint="write octal digits as 0644, or symbols as u+x,go-w")


def octal(text: str) -> None:
    """An octal mode: there is no mode before it that symbols could change."""
    if not _OCTAL.match(text):
        raise GraphError(f"not an octal file mode: {_shown(text)}", hint="write octal digits as 0644")


def check_owner(text: str) -> None:
    """Raise `GraphError` unless `text` is `user[:group]` of names or numbers in range."""
    if not _OWNER.match(text):
        raise GraphError(f"not an owner: {text!r}", hint="write user or user:group, names or numbers")
    _in_range(text)


def user(text: str) -> None:
    """The user of an image, perhaps one that a base declares: names of any sort, but numbers in range."""
    if text.count(":") > 1 or not text.isprintable():
        raise GraphError(f"not a user: {_shown(text)}", hint="write user or user:group, names or numbers")
    _in_range(text)


def _in_range(text: str) -> None:
    for part in text.split(":"):
        if _NUMBER.match(part) and (not part.isdigit() or len(part) > 10 or int(part) > MAX_ID):
            raise GraphError(f"user and group numbers go from 0 to {MAX_ID}: {_shown(part)}")


def variable(name: str) -> None:
    """The name of an environment variable."""
    if not _VARIABLE.match(name):
        raise GraphError(f"not an environment variable: {_shown(name)}")


def identifier(text: str) -> None:
    """The id of a secret, an agent or a cache."""
    if not _ID.match(text):
        raise GraphError(f"not an id: {_shown(text)}")


def number(value: object, what: str, least: int = 0) -> None:
    """A number that fits into 63 bits; `None` means that there is none."""
    if value is not None and (type(value) is not int or not least <= value <= MAX_NUMBER):
        raise GraphError(f"not {what}: {_shown(str(value))}")


def hostname(text: str) -> None:
    """What a machine may be called."""
    if len(text) > MAX_HOSTNAME or not _HOST.match(text):
        raise GraphError(
            f"not a host name: {_shown(text)}", hint=f"it has up to {MAX_HOSTNAME} letters, digits, and . - _ inside"
        )


def host(name: str, address: str) -> None:
    """A line of a hosts file."""
    import ipaddress

    if not _HOST.match(name):
        raise GraphError(f"not a host name: {_shown(name)}", hint="write letters and digits, and . - _ inside")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise GraphError(f"not an address: {_shown(address)}", hint="write one as 192.0.2.1 or 2001:db8::1") from None


def limit(name: str, soft: int, hard: int) -> None:
    """A resource limit; -1 is none."""
    if name not in LIMITS:
        raise GraphError(f"unknown resource limit: {_shown(name)}", hint=f"there are {', '.join(sorted(LIMITS))}")
    for value in (soft, hard):
        number(value, f"a limit of {name}", least=-1)
    if hard != -1 and not -1 < soft <= hard:
        raise GraphError(f"the soft limit of {name} is above the hard one: {soft}, {hard}")


def digest(text: str) -> None:
    """A SHA-256 digest."""
    try:
        Digest.parse(text)
    except IntegrityError as error:
        raise GraphError(error.message, hint=error.hint) from None


def platform(text: str) -> None:
    """A platform that is known."""
    try:
        Platform.parse(text)
    except UsageError as error:
        raise GraphError(error.message, hint=error.hint) from None


def image(text: str) -> None:
    """A registry reference, or a layout or an archive below the directory of the build."""
    kind, colon, rest = text.partition(":")
    if kind + colon not in LOCAL:
        try:
            Reference.parse(text)
        except (UsageError, IntegrityError) as error:
            raise GraphError(error.message, hint=error.hint) from None
        return
    place, colon, name = (rest, "", "") if kind == "dir" else rest.partition(":")
    components(place)
    if place.startswith("/") or ".." in place.split("/") or (colon and not name):
        raise GraphError(
            f"not an image below the directory of the build: {_shown(text)}",
            hint=f"write {kind}:PATH or {kind}:PATH:NAME",
        )


def stored(text: str) -> None:
    """A name in the store."""
    if not _STORED.match(text):
        raise GraphError(f"not a name for the store: {_shown(text)}", hint="write letters, digits and . _ - / :")
