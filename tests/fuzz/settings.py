"""Targets that are files of the person who builds: locks, credentials, registries, policies, accepted findings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from buildkit_py.lockfile import LockFile
from buildkit_py.reference import Reference
from buildkit_py.registry import config as registries
from buildkit_py.registry.authfile import AuthFile
from buildkit_py.registry.credentials import find_credential
from buildkit_py.registry.transport import Origin
from buildkit_py.scan import ignore
from buildkit_py.trust import lookaside, policy
from tests.fuzz.contract import Target, attempt
from tests.fuzz.scratch import scratch, written

_DIGEST = b"sha256:" + b"ab" * 32
_LOCK = b"""# Made by pybuild.
version = 1

[image."docker.io/library/python:3.12"]
"linux/amd64" = "%(digest)s"
"linux/arm64" = "%(digest)s"

[url."https://example.org/a.tar.gz"]
digest = "%(digest)s"

[git."https://example.org/a.git"]
"main" = "0123456789abcdef0123456789abcdef01234567"

[import."lib/users.build"]
digest = "%(digest)s"
""" % {b"digest": _DIGEST}


def _lock(data: bytes) -> None:
    """What was read is written as text that reads the same."""
    lock = LockFile.load(written("Buildfile.lock", data))
    again = LockFile.load(written("Again.lock", lock.text().encode()))
    assert again.pins == lock.pins


def _credentials(data: bytes) -> None:
    """Credentials are found, and others are added beside what the file holds."""
    path = written("auth/config.json", data)
    for environ in ({"REGISTRY_AUTH_FILE": str(path)}, {"HOME": "/nonexistent", "DOCKER_CONFIG": str(path.parent)}):
        for registry, repository in (("docker.io", "library/a"), ("r.example", "team/app"), ("r.example:5000", "a")):
            found = attempt(find_credential, registry, repository, {**environ, "PATH": "/nonexistent"})
            if found is not None:
                assert found.basic.isascii() and found.secrets is not None

    def add(plain: dict[str, Any]) -> bool:
        plain["added"] = {"auth": "YTpi"}
        return True

    if attempt(AuthFile(path).change, add):
        assert (AuthFile(path).read() or {})["added"] == {"auth": "YTpi"}


_AUTHS = {
    "auths": {
        "https://index.docker.io/v1/": {"auth": "bWU6c2VjcmV0"},
        "r.example/team": {"username": "me", "password": "secret"},
        "r.example:5000": {"identitytoken": "token", "registrytoken": "token"},
    },
    "credHelpers": {"other.example": "none"},
    "credsStore": "",
    "HttpHeaders": {"a": 1.5},
}


def _registries(data: bytes) -> None:
    """Everything that is configured of hosts can be asked."""
    found = registries.load(written("registries.toml", data))
    for host in (*found.hosts, "docker.io", "r.example:5000"):
        for endpoint in found.endpoints(host):
            attempt(Origin.of, endpoint.base)
            if (ca := found.settings(endpoint.host).ca) is not None:
                assert "\0" not in str(ca)


_REGISTRIES = (
    b'[registry."docker.io"]\nmirrors = ["127.0.0.1:5000", "mirror.example/hub"]\n\n'
    b'[registry."127.0.0.1:5000"]\nplain_http = true\n\n[registry."r.example"]\nca = "~/ca.pem"\n'
)
_KEY = {"type": "sigstoreSigned", "keyData": "a2V5", "signedIdentity": {"type": "matchRepository"}}
_GPG = {"type": "signedBy", "keyType": "GPGKeys", "keyPaths": ["/a", "/b"]}
_EXACT = {"type": "exactReference", "dockerReference": "r.example/a:1"}
_REMAP = {"type": "remapIdentity", "prefix": "r.example/a", "signedPrefix": "s.example/b"}
_POLICY = {
    "default": [{"type": "reject"}],
    "transports": {
        "docker": {
            "r.example/team": [_KEY, {**_GPG, "signedIdentity": _EXACT}],
            "*.example": [{**_KEY, "signedIdentity": _REMAP}],
            "": [{"type": "insecureAcceptAnything"}],
        },
        "oci": {"/srv": [{"type": "reject"}]},
    },
}
_REFS = tuple(map(Reference.parse, ("r.example/team/app:1", "r.example/a/b@sha256:" + "ab" * 32, "alpine")))


def _policy(data: bytes) -> None:
    """Which requirements hold for some images, and which identities they take."""
    found = policy.parse(data, Path("/p/policy.json"))
    for ref in _REFS:
        for requirement in found.requirements("docker", list(policy.docker_scopes(ref)))[1]:
            identity = getattr(requirement, "identity", None)
            if identity is not None:
                identity.fits(ref, str(ref))
                identity.fits(None, "r.example/a:1")
                assert str(identity)


def _lookaside(data: bytes) -> None:
    """Where the signatures of some images are."""
    directory = scratch() / "xdg" / "containers" / "registries.d"
    shutil.rmtree(directory, ignore_errors=True)
    written("xdg/containers/registries.d/a.yaml", data)
    for ref in _REFS:
        base = attempt(lookaside.base_of, ref, {"XDG_CONFIG_HOME": str(scratch() / "xdg"), "HOME": "/nonexistent"})
        if base is not None and base.startswith("file:///nonexistent"):
            attempt(lookaside._from_file, f"{base}/signature-1")


_LOOKASIDE = (
    b"default-docker:\n  lookaside: https://sigs.example/all\n  lookaside-staging: file:///nonexistent\n"
    b"docker:\n  r.example/team:\n    lookaside: file:///nonexistent/sigs\n  r.example:\n"
    b"    sigstore: http://sigs.example/\n    use-sigstore-attachments: true\n",
    b"# c\ndocker: {alpine: {lookaside: 'https://a.example'}, \"docker.io\": &a {sigstore: file:///nonexistent}}\n",
)


def _accepted(data: bytes) -> None:
    for table in ignore.read(written("ignore.toml", data)):
        assert str(table)


_ACCEPTED = (
    b'[[ignore]]\nrule = "setuid"\npath = "usr/local/bin/*"\nreason = "started by operators"\n'
    b'[[ignore]]\nrule = "CVE-2026-*"\nreason = "not reachable"\n'
)

TARGETS: dict[str, Target] = {
    "lock-file": Target(run=_lock, seeds=lambda: [_LOCK], form="text"),
    "auth-file": Target(
        run=_credentials,
        seeds=lambda: [json.dumps(_AUTHS).encode(), json.dumps(_AUTHS["auths"]).encode()],
        form="json",
    ),
    "registries": Target(run=_registries, seeds=lambda: [_REGISTRIES], form="text"),
    "policy": Target(run=_policy, seeds=lambda: [json.dumps(_POLICY).encode()], form="json"),
    "lookaside": Target(run=_lookaside, seeds=lambda: _LOOKASIDE, form="text"),
    "accepted-findings": Target(run=_accepted, seeds=lambda: [_ACCEPTED], form="text"),
}
