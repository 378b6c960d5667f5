"""What services and the units that they name may be called."""

from __future__ import annotations

import re

from buildkit_py.errors import UsageError
from buildkit_py.reference import Reference

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?\Z")
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@-]{0,200}\.(?:service|socket|target|mount|path|timer|device)\Z")


def is_name(word: str) -> bool:
    """Whether a service may be called so: 1 to 63 of a-z 0-9 _ -, without - or _ at its ends."""
    return _NAME.match(word) is not None


def checked_name(word: str) -> str:
    """The name of a service; raises `UsageError`."""
    if not is_name(word):
        raise UsageError(f"not a name of a service: {word!r}", hint="it is 1 to 63 of a-z 0-9 - _, as web or db-2")
    return word


def name_of(image: str) -> str:
    """What a service is called after its image: the last part of the repository. Raises `UsageError`."""
    try:
        name = Reference.parse(image).repository.rpartition("/")[2]
    except UsageError:
        name = ""
    if not is_name(name):
        raise UsageError(f"no name for a service follows from {image!r}", hint="give one with --name NAME")
    return name


def unit_of(word: str) -> str:
    """The unit that a word of --after or --requires means: NAME is `NAME.service`. Raises `UsageError`."""
    if _UNIT.match(word):
        return word
    return f"{checked_name(word)}.service"


def service_in(unit: str) -> str | None:
    """The service of pybuild that may be meant by a unit."""
    name = unit.removesuffix(".service")
    return name if unit.endswith(".service") and is_name(name) else None
