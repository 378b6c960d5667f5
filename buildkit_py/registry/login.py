"""Logging in and out: check a password at its registry, keep it where the other tools find it, forget it.

A login goes to the file that was given; else to the first that knows one for the same registry already, for that would
be read before any other; else to Docker's, which every tool reads. Where the file names a helper program for the
registry, that keeps it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import RegistryError, UsageError
from buildkit_py.reference import Reference
from buildkit_py.registry.auth import Authorizer
from buildkit_py.registry.authfile import AuthFile, auth_files, change, docker_file, hosts_of, keys_of, server_of, table
from buildkit_py.registry.config import RegistryConfig
from buildkit_py.registry.credentials import Credential
from buildkit_py.registry.faults import TransferError, is_page, page_fault, status_fault
from buildkit_py.registry.helper import ask_helper, clear_helper, list_helper, tell_helper
from buildkit_py.registry.retry import Retry
from buildkit_py.registry.transport import Answer, Origin, Transport

_SCHEME = re.compile(r"https?://")
_VERSIONS = ("v1", "v2")
_HUB = "docker.io"
_ERROR_BODY = 1 << 16
_REFUSED = (401, 403)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a login is for: a registry, or a part of its repositories (`team`, `team/app`)."""

    registry: str
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Scope:
        """`HOST[:PORT][/PATH]`, also as Docker takes it (`https://HOST/v1/`). Raises `UsageError`."""
        host, _, path = _SCHEME.sub("", text, count=1).rstrip("/").partition("/")
        path = "" if path in _VERSIONS else path
        if host in hosts_of(_HUB):
            host = _HUB
        if not ("." in host or ":" in host or host == "localhost"):
            raise UsageError(f"not a registry: {text!r}", hint="it is HOST or HOST:PORT, as registry.example")
        if ":" in path or "@" in path:
            raise UsageError(f"a login is for a registry or a repository, not for a tag or digest: {text!r}")
        return cls(Reference.parse(f"{host}/{path or 'any'}/any").registry, path)

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}" if self.path else self.registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a login is kept: under `key` in the file `path`, or by the helper program that this file names."""

    key: str
    path: Path
    helper: str | None = None

    def __str__(self) -> str:
        return f"the credential helper {self.helper}" if self.helper else str(self.path)


@dataclass(frozen=True, slots=True)
class _Helper:
    """A helper program, what it calls the registry, and whether the file names it for this registry alone."""

    name: str
    server: str
    own: bool


def check(
    scope: Scope, credential: Credential, config: RegistryConfig, environ: Mapping[str, str], retry: Retry | None = None
) -> bool:
    """Whether the registry takes the credential; False where it lets everybody in, so that nothing was checked.

    Nothing is sent before the registry asked for it. Raises `RegistryError` where it refuses.
    """
    endpoint, transport = config.origin(scope.registry), Transport(config, environ)
    authorizer = Authorizer(transport, endpoint.base, endpoint.host, (), lambda: credential)
    url = f"{endpoint.base}/v2/"

    def ask() -> bool:
        what = f"can't log in to {scope.registry}"
        with transport.send("GET", url, {}) as answer:
            if answer.status == 200:
                _check_registry(answer, what, scope)
                return False
            challenge = answer.header("WWW-Authenticate")
            if answer.status != 401 or not challenge or Origin.of(answer.url) != Origin.of(url):
                raise _fault(answer, what, scope, credential)
        authorizer.answer(challenge, None, what)
        with transport.send("GET", url, {"Authorization": authorizer.value(what) or ""}) as answer:
            if answer.status != 200:
                raise _fault(answer, what, scope, credential)
            _check_registry(answer, what, scope)
        return True

    try:
        return (retry or Retry()).call(ask)
    except TransferError as error:
        if error.status not in _REFUSED:
            raise
        raise RegistryError(
            f"{scope.registry} does not accept this user name and password",
            hint="check both, and whether the registry wants a token in place of the password; nothing was kept",
            status=error.status,
        ) from None


def _check_registry(answer: Answer, what: str, scope: Scope) -> None:
    """Raise `TransferError` for another kind of server, which says yes to whatever it is asked."""
    if answer.header("Docker-Distribution-Api-Version") is not None:
        return
    body = answer.read_all(_ERROR_BODY)
    if is_page(body):
        raise page_fault(what, scope.registry, answer.status)
    try:
        json.loads(body.strip() or b"{}")
    except (ValueError, RecursionError):
        raise status_fault(what, scope.registry, answer.status, body) from None


def _fault(answer: Answer, what: str, scope: Scope, credential: Credential) -> TransferError:
    fault = status_fault(what, scope.registry, answer.status, answer.read_all(_ERROR_BODY), secrets=credential.secrets)
    if answer.status == 404:
        fault.hint = "there seems to be no registry at this address"
    return fault


def keep(scope: Scope, credential: Credential, environ: Mapping[str, str], given: Path | None = None) -> Place:
    """Keep a login; returns where. Raises `RegistryError`, `MissingToolError`, `OutputError`: then nothing is kept."""
    path = given or _usual(scope, environ)
    helper = _helper(AuthFile(path).read() or {}, scope, path)
    key = _key(scope, path)
    if helper is not None:
        tell_helper(helper.name, helper.server, *credential.pair, environ)

    def enter(held: dict[str, Any]) -> bool:
        auths, same = table(held, "auths", path), tuple(keys_of(scope.registry, scope.path))
        left = {name: value for name, value in auths.items() if name not in same}
        if helper is None:
            left[key] = credential.entry
        elif not helper.own:
            # Docker knows by it what its store holds.
            left[key] = {}
        held["auths"] = left
        return helper is None or left != auths

    change(path, enter)
    return Place(key=key, path=path, helper=helper.name if helper else None)


def _usual(scope: Scope, environ: Mapping[str, str]) -> Path:
    """Where a login goes: what was written for the registry before is what would be read first."""
    files = [file for file in auth_files(environ) if not file.old]
    for file in files:
        plain = file.read() or {}
        auths, helpers = table(plain, "auths", file.path), table(plain, "credHelpers", file.path)
        known = any(auths.get(key) for key in keys_of(scope.registry, scope.path))
        if known or any(host in helpers for host in hosts_of(scope.registry)):
            return file.path
    # Docker's, or the only one there is.
    return files[-1].path


def _key(scope: Scope, path: Path) -> str:
    if scope.path:
        return f"{hosts_of(scope.registry)[0]}/{scope.path}"
    return server_of(scope.registry) if path.name == docker_file({}).path.name else hosts_of(scope.registry)[0]


def _helper(plain: Mapping[str, Any], scope: Scope, path: Path) -> _Helper | None:
    """The helper that a file puts in charge of a login."""
    helpers, store = table(plain, "credHelpers", path), plain.get("credsStore")
    for host in hosts_of(scope.registry):
        name = helpers.get(host)
        if isinstance(name, str):
            if scope.path:
                raise UsageError(
                    f"{path} leaves {scope.registry} to the credential helper {name}, which keeps one login a registry",
                    hint=f"log in to {scope.registry} itself, or name another file with --authfile",
                )
            return _Helper(name, host, own=True)
    if isinstance(store, str) and store and not scope.path:
        return _Helper(store, server_of(scope.registry), own=False)
    return None


def forget(scope: Scope, environ: Mapping[str, str], given: Path | None = None) -> list[Place]:
    """Forget a login wherever it is kept, or in one file; returns where it was. Raises as `keep`."""
    return [place for file in _files(environ, given) for place in _forget_in(file, scope, environ)]


def _forget_in(file: AuthFile, scope: Scope, environ: Mapping[str, str]) -> Iterator[Place]:
    plain = file.read()
    if plain is None:
        return
    if not scope.path:
        helper = _helper(plain, scope, file.path)
        if helper is not None and ask_helper(helper.name, helper.server, environ) is not None:
            clear_helper(helper.name, helper.server, environ)
            yield Place(key=helper.server, path=file.path, helper=helper.name)
    keys = list(keys_of(scope.registry, scope.path))
    yield from _drop(file, [key for key in table(plain, "auths", file.path) if key in keys])


def forget_all(environ: Mapping[str, str], given: Path | None = None) -> list[Place]:
    """Forget every login, of helpers too; returns where they were. Raises as `keep`."""
    return [place for file in _files(environ, given) for place in _forget_all_in(file, environ)]


def _forget_all_in(file: AuthFile, environ: Mapping[str, str]) -> Iterator[Place]:
    plain = file.read()
    if plain is None:
        return
    store = plain.get("credsStore")
    kept = [(name, host) for host, name in table(plain, "credHelpers", file.path).items() if isinstance(name, str)]
    kept += [(store, server) for server in list_helper(store, environ)] if isinstance(store, str) and store else []
    for helper, server in kept:
        if ask_helper(helper, server, environ) is not None:
            clear_helper(helper, server, environ)
            yield Place(key=server, path=file.path, helper=helper)
    yield from _drop(file, list(table(plain, "auths", file.path)))


def _files(environ: Mapping[str, str], given: Path | None) -> list[AuthFile]:
    return [AuthFile(given)] if given is not None else list(auth_files(environ))


def _drop(file: AuthFile, keys: Sequence[str]) -> list[Place]:
    """Take keys out of a file; those that held something are named."""
    dropped: list[Place] = []

    def edit(held: dict[str, Any]) -> bool:
        auths = table(held, "auths", file.path)
        dropped[:] = [Place(key=key, path=file.path) for key in keys if auths.get(key)]
        return bool([auths.pop(key) for key in keys if key in auths])

    if keys:
        file.change(edit)
    return dropped
