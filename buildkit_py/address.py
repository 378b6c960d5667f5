"""Addresses of sources as people may see them: no password is in one."""

from __future__ import annotations

import re

from buildkit_py.errors import SourceInputError

_USER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<user>[^/?#@]*(?:@[^/?#@]*)*)@")


def shown(url: str) -> str:
    """The address with `***` for who asks."""
    return _USER.sub(r"\g<scheme>://***@", url)


def refuse_password(url: str) -> None:
    """Raise `SourceInputError` for what would put a password or token into locks, records and keys."""
    found = _USER.match(url)
    if found and (found["scheme"].lower() != "ssh" or ":" in found["user"]):
        raise SourceInputError(
            f"{shown(url)} has a user or a password in it, which would stand in the lock file and in records",
            hint="leave it out; a `secret` mount in a step, or a credential helper of git, is where it belongs",
        )
