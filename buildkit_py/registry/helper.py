"""Credential helper programs: `docker-credential-NAME get|store|erase|list` (Docker's protocol).

What an action needs comes on standard input, never among the arguments; what it answers is JSON on standard output. A
helper gets no more of the environment than it needs, so that a build's own secrets do not reach it. What it prints is
never shown: it may be a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from buildkit_py.errors import MissingToolError, RegistryError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_LIMIT = 1 << 16
_SECONDS = 60
_PASSED = re.compile(
    r"(?:PATH|HOME|USER|LOGNAME|LANG|LC_.*|TERM|TMPDIR|XDG_.*|DBUS_.*|DISPLAY|WAYLAND_DISPLAY|GNUPGHOME|GPG_TTY"
    r"|PASSWORD_STORE_.*|DOCKER_.*|AWS_.*|GOOGLE_.*|CLOUDSDK_.*|AZURE_.*|(?:https?|no)_proxy|(?:HTTPS?|NO)_PROXY)\Z"
)


def ask_helper(name: str, server: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The helper's (user name, secret) for `server`, None where it knows none.

    Raises `MissingToolError` where there is no such program, `RegistryError` where it fails.
    """
    answer = _call(name, "get", server, f"{server}\n", environ)
    if answer is None:
        return None
    plain = _read(answer, name)
    username, secret = plain.get("Username"), plain.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str):
        raise _senseless(name)
    return username, secret


def tell_helper(name: str, server: str, username: str, secret: str, environ: Mapping[str, str]) -> None:
    """Have the helper keep a secret. Raises as `ask_helper`."""
    words = json.dumps({"ServerURL": server, "Username": username, "Secret": secret})
    _call(name, "store", server, words, environ)


def clear_helper(name: str, server: str, environ: Mapping[str, str]) -> None:
    """Have the helper forget what it keeps for `server`. Raises as `ask_helper`."""
    _call(name, "erase", server, f"{server}\n", environ)


def list_helper(name: str, environ: Mapping[str, str]) -> list[str]:
    """The servers that the helper keeps secrets for. Raises as `ask_helper`."""
    answer = _call(name, "list", "all registries", "", environ)
    return sorted(_read(answer or b"{}", name))


def _call(name: str, action: str, server: str, words: str, environ: Mapping[str, str]) -> bytes | None:
    """What the helper answers; None where it says that it knows nothing of it."""
    import shutil
    import subprocess

    program = f"docker-credential-{name}"
    found = shutil.which(program, path=environ.get("PATH")) if _NAME.match(name) else None
    if found is None:
        raise MissingToolError(
            f"the credential helper {program[:80]!r} for {server} is not installed",
            hint="install it, or take it out of the Docker configuration",
        )
    passed = {key: value for key, value in environ.items() if _PASSED.match(key)}
    try:
        done = subprocess.run(
            [found, action],
            input=words.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=passed,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RegistryError(f"the credential helper {program} did not answer within {_SECONDS} s") from None
    except OSError as error:
        raise RegistryError(f"the credential helper {program} can't be run: {error.strerror}") from None
    if done.returncode != 0:
        if b"credentials not found" in done.stdout:
            return None
        raise RegistryError(f"the credential helper {program} failed for {server} (exit status {done.returncode})")
    return done.stdout


def _read(output: bytes, name: str) -> dict[str, Any]:
    try:
        plain = json.loads(output) if len(output) <= _LIMIT else None
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict):
        raise _senseless(name)
    return plain


def _senseless(name: str) -> RegistryError:
    return RegistryError(f"the credential helper docker-credential-{name} gave an answer that makes no sense")
