"""Secrets in an image's configuration: variables, labels, commands and the history, which everybody can read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from buildkit_py.scan.model import Finding, Severity
from buildkit_py.scan.secrets.text import secrets_in
from buildkit_py.scan.secrets.values import Secret, is_example, is_reference

if TYPE_CHECKING:
    from buildkit_py.oci import ImageConfigDoc

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|(?:API|PRIVATE|SECRET|ACCESS)_?KEY|CREDENTIALS?)$",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    r"(?<![A-Za-z0-9_])([A-Za-z_][A-Za-z0-9_]{1,100})=(\"[^\"]{0,4000}\"|'[^']{0,4000}'|[^\s;&|\"']{1,4000})"
)
_URL = re.compile(rb"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"']{1,200}:([^\s/@\"']{1,200})@")
_SHORTEST = 6
_FEWEST = 4
"""People choose passwords: these have fewer different characters than tokens."""


def config_findings(config: ImageConfigDoc) -> Iterator[Finding]:
    """What is found in a configuration."""
    for name, value in config.env:
        yield from _named(name, value, f"Env[{name}]", "environment variable")
        yield from _in(value, f"Env[{name}]")
    for name, value in config.labels.items():
        yield from _in(str(value), f"Labels[{name}]")
    for field, words in (("Entrypoint", config.entrypoint), ("Cmd", config.command), ("OnBuild", config.on_build)):
        for word in words or ():
            yield from _in(word, field)
    test = (config.healthcheck or {}).get("Test")
    yield from _in(" ".join(map(str, test if isinstance(test, list) else ())), "Healthcheck")
    yield from _history(config)


def _history(config: ImageConfigDoc) -> Iterator[Finding]:
    layer = 0
    for number, line in enumerate(config.history, 1):
        layer += not line.empty_layer
        made = None if line.empty_layer else layer
        place = f"history[{number}]"
        for text in (line.created_by, line.comment):
            yield from _in(text, place, made)
            # What an instruction sets for good is found in the configuration itself.
            if not text.lstrip().upper().startswith(("ENV ", "LABEL ", "/BIN/SH -C #(NOP)  ENV")):
                for match in _ASSIGNED.finditer(text):
                    yield from _named(match[1], match[2].strip("\"'"), place, "variable of a build step", made)


def _named(name: str, value: str, place: str, what: str, layer: int | None = None) -> Iterator[Finding]:
    """A variable whose name says that it is secret, with a value that may be one."""
    raw = value.encode("utf-8", "replace")
    if (
        _SECRET_NAME.search(name)
        and len(raw) >= _SHORTEST
        and not is_reference(raw)
        and not is_example(raw, fewest=_FEWEST)
    ):
        severity: Severity = "high" if what.startswith("env") else "medium"
        message = f"the {what} {name} has a value that looks like a secret"
        yield Finding(
            rule="secret-variable", severity=severity, message=message, place=place, layer=layer, state="config"
        )


def _in(text: str, place: str, layer: int | None = None) -> Iterator[Finding]:
    data = text.encode("utf-8", "replace")
    found = list(secrets_in(data))
    if any(not is_reference(match[1]) and not is_example(match[1]) for match in _URL.finditer(data)):
        found.append(Secret(rule="url-password", severity="high", message="a password in a URL"))
    for secret in found:
        yield Finding(
            rule=secret.rule,
            severity=secret.severity,
            message=secret.message,
            place=place,
            layer=layer,
            state="config",
            shown=secret.shown,
            fingerprint=secret.fingerprint,
        )
