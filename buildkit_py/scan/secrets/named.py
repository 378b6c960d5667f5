"""Files that hold secrets by what they are: their names say how to read them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from buildkit_py.scan.model import Severity
from buildkit_py.scan.secrets.values import Secret, is_example, is_reference

LIMIT = 1 << 20
"""No such file is larger, in bytes."""
Read = Callable[[bytes], Iterator[Secret]]


def reader(path: str) -> Read | None:
    """What reads the file of a path; None where its name says nothing."""
    folder, _, name = path.rpartition("/")
    found = _BY_NAME.get(name) or _BY_FOLDER.get(folder)
    if found is None and f"/{path}".endswith(_ENDS):
        return next(read for end, read in _BY_END.items() if f"/{path}".endswith(end))
    return found


def _values(rule: str, severity: Severity, message: str, pattern: bytes, *, hashed: bool = False) -> Read:
    """Reads what an expression's last group matches, if it is a value and no reference to one; a hash always is."""
    compiled = re.compile(pattern, re.MULTILINE)

    def read(data: bytes) -> Iterator[Secret]:
        for match in compiled.finditer(data):
            value = match[match.lastindex or 0]
            if hashed or not (is_reference(value) or _is_placeholder(value)):
                yield Secret(rule=rule, severity=severity, message=message, at=match.start())

    return read


def _is_placeholder(value: bytes) -> bool:
    return len(value) >= 16 and is_example(value)


def _registry(data: bytes) -> Iterator[Secret]:
    """`config.json` of Docker, `auth.json` of Podman, `.dockercfg`."""
    document = _object(data)
    hosts = document.get("auths", document)
    for host, entry in hosts.items() if isinstance(hosts, dict) else ():
        if isinstance(entry, dict) and any(isinstance(entry.get(key), str) and entry[key] for key in _AUTHS):
            at = max(0, data.find(json.dumps(host).encode()))
            yield Secret(
                rule="registry-credentials",
                severity="critical",
                message=f"credentials for the registry {host[:200]}",
                at=at,
            )


_AUTHS = ("auth", "identitytoken", "password", "registrytoken")


def _object(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


_SHADOW = re.compile(rb"^([^:\n]{1,64}):([^:\n]{0,1024}):", re.MULTILINE)
_HASH = re.compile(rb"(?:\$[A-Za-z0-9.-]{1,16}\$.{8,}|_[./A-Za-z0-9]{19}|[./A-Za-z0-9]{13})\Z")


def _shadow(data: bytes) -> Iterator[Secret]:
    """shadow(5): the second field is a hash, which `!` locks; an empty one lets anybody in."""
    for match in _SHADOW.finditer(data):
        user, value = match[1].decode("utf-8", "replace"), match[2]
        locked = value.startswith(b"!")
        if not value:
            yield Secret(
                rule="empty-password",
                severity="high",
                message=f"the user {user} has an empty password",
                at=match.start(),
            )
        elif _HASH.match(value.lstrip(b"!")):
            severity: Severity = "low" if locked else "high"
            text = f"the hash of a {'locked ' if locked else ''}password of the user {user}"
            yield Secret(rule="password-hash", severity=severity, message=text, at=match.start())


def _store(data: bytes) -> Iterator[Secret]:
    """A key store in a form that is not looked into."""
    yield Secret(rule="key-store", severity="medium", message="a file that holds private keys or passwords")


_NETRC = _values("netrc-password", "high", "a password in a netrc file", rb"\bpassword[ \t\n]+([^ \t\r\n]+)")
_NPMRC = _values(
    "npmrc-credentials",
    "critical",
    "credentials for an npm registry",
    rb"^[^#;\n]*?:?(?:_authToken|_auth|_password)[ \t]*=[ \t]*[\"']?([^\"'\s]+)",
)
_PYPIRC = _values(
    "pypirc-password", "critical", "a password for a Python package index", rb"^[ \t]*password[ \t]*[=:][ \t]*(\S+)"
)
_URLS = _values(
    "url-password",
    "high",
    "a password in a URL",
    rb"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"']{1,200}:([^\s/@\"']{1,200})@",
)
_PGPASS = _values(
    "pgpass-password", "high", "a password for PostgreSQL", rb"^[^#:\n]+:[^:\n]+:[^:\n]+:[^:\n]+:([^\n]+)"
)
_MYCNF = _values("mysql-password", "high", "a password for MySQL", rb"^[ \t]*password[ \t]*=[ \t]*[\"']?([^\s\"']+)")
_HTPASSWD = _values(
    "password-hash",
    "medium",
    "the hash of a password for HTTP",
    rb"^[^#:\n]+:(\$(?:2[aby]?|apr1|5|6)\$[^\s:]{8,}|\{SHA\}\S+)",
    hashed=True,
)
_KUBE = _values(
    "kubeconfig-credentials", "critical", "credentials for Kubernetes",
    rb"^[ \t-]*[\"']?(?:client-key-data|token|password)[\"']?[ \t]*:[ \t]*[\"']?([^\s\"',]{8,})",
)  # fmt: skip

_BY_NAME: Mapping[str, Read] = {
    ".netrc": _NETRC,
    "_netrc": _NETRC,
    ".dockercfg": _registry,
    ".npmrc": _NPMRC,
    "npmrc": _NPMRC,
    ".pypirc": _PYPIRC,
    "pip.conf": _URLS,
    ".git-credentials": _URLS,
    ".gitconfig": _URLS,
    ".pgpass": _PGPASS,
    ".my.cnf": _MYCNF,
    ".htpasswd": _HTPASSWD,
    "kubeconfig": _KUBE,
}
_BY_END: Mapping[str, Read] = {
    "/etc/apt/auth.conf": _NETRC,
    "/.docker/config.json": _registry,
    "/containers/auth.json": _registry,
    "/git/credentials": _URLS,
    "/.git/config": _URLS,
    "/etc/apt/sources.list": _URLS,
    ".repo": _URLS,
    "/.kube/config": _KUBE,
    ".kubeconfig": _KUBE,
    "/etc/shadow": _shadow,
    "/etc/shadow-": _shadow,
    ".p12": _store,
    ".pfx": _store,
    ".kdbx": _store,
}
_BY_FOLDER: Mapping[str, Read] = {
    "etc/apt/auth.conf.d": _NETRC,
    "etc/apt/sources.list.d": _URLS,
    "etc/kubernetes": _KUBE,
}
_ENDS = tuple(_BY_END)
