"""Credential helper programs: `docker-credential-NAME get`, the server on standard input, JSON on standard output.

A helper gets no more of the environment than it needs, so that a build's own secrets do not reach it. What it prints is
never shown: it may be a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

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
            [found, "get"],
            input=f"{server}\n".encode(),
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
    return _read(done.stdout, program)


def _read(output: bytes, program: str) -> tuple[str, str]:
    try:
        plain = json.loads(output) if len(output) <= _LIMIT else {}
        username, secret = plain["Username"], plain["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        username = secret = None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise RegistryError(f"the credential helper {program} gave an answer that makes no sense")
    return username, secret
