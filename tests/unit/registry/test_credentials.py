from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.errors import MissingToolError, RegistryError
from buildkit_py.registry.authfile import auth_files
from buildkit_py.registry.credentials import Credential, find_credential


def auth(name: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:pw-{name}".encode()).decode()}


def place(path: Path, plain: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain))


def found(tmp_path: Path, registry: str = "r.example", repository: str = "a/b", **environ: str) -> str | None:
    elsewhere = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "none")}
    credential = find_credential(registry, repository, {**elsewhere, **environ})
    return credential.username if credential else None


def test_none(tmp_path: Path) -> None:
    assert found(tmp_path) is None


def test_order_of_files(tmp_path: Path) -> None:
    def entry(name: str) -> dict[str, Any]:
        return {"auths": {"r.example": auth(name)}}

    place(tmp_path / ".dockercfg", entry("old")["auths"])
    assert found(tmp_path) == "old"
    place(tmp_path / ".docker/config.json", entry("docker"))
    assert found(tmp_path) == "docker"
    place(tmp_path / "dc/config.json", entry("docker-config"))
    assert found(tmp_path, DOCKER_CONFIG=str(tmp_path / "dc")) == "docker-config"
    place(tmp_path / ".config/containers/auth.json", entry("home"))
    assert found(tmp_path) == "home"
    place(tmp_path / "run/containers/auth.json", entry("run"))
    assert found(tmp_path, XDG_RUNTIME_DIR=str(tmp_path / "run")) == "run"
    place(tmp_path / "named.json", {"auths": {"other": auth("other")}})
    assert next(file.path for file in auth_files({"HOME": "/h"})) == Path(f"/run/containers/{os.getuid()}/auth.json")
    named = {"REGISTRY_AUTH_FILE": str(tmp_path / "named.json"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    assert found(tmp_path, **named) is None


@pytest.mark.parametrize(
    ("key", "registry", "repository", "matches"),
    [
        ("r.example", "r.example", "a/b", True),
        ("https://r.example/v1/", "r.example", "a/b", True),
        ("https://r.example", "r.example", "a/b", True),
        ("r.example/a", "r.example", "a/b", True),
        ("r.example/a/b", "r.example", "a/b", True),
        ("r.example/a/bc", "r.example", "a/b", False),
        ("example", "r.example", "a/b", False),
        ("r.example:443", "r.example", "a/b", False),
        ("r.example", "r.example:5000", "a/b", False),
        ("evil-r.example", "r.example", "a/b", False),
        ("https://index.docker.io/v1/", "docker.io", "library/x", True),
        ("docker.io", "docker.io", "library/x", True),
        ("docker.io/library", "docker.io", "library/x", True),
        ("docker.io", "127.0.0.1:5000", "library/x", False),
    ],
)
def test_keys(tmp_path: Path, key: str, registry: str, repository: str, matches: bool) -> None:
    place(tmp_path / ".docker/config.json", {"auths": {key: auth("me")}})
    assert (found(tmp_path, registry, repository) == "me") is matches


def test_the_most_specific_wins(tmp_path: Path) -> None:
    auths = {"r.example": auth("host"), "r.example/a": auth("group"), "r.example/a/b": auth("repository")}
    place(tmp_path / ".docker/config.json", {"auths": auths})
    assert found(tmp_path, repository="a/b") == "repository"
    assert found(tmp_path, repository="a/c") == "group"
    assert found(tmp_path, repository="x") == "host"


@pytest.mark.parametrize(
    "plain",
    [
        [],
        {"auths": []},
        {"auths": {"r.example": {"auth": "!!!"}}},
        {"auths": {"r.example": {"identitytoken": 5}}},
        {"auths": {"r.example": {"username": "\ud800", "password": "x"}}},
    ],
)
def test_malformed(tmp_path: Path, plain: Any) -> None:
    place(tmp_path / ".docker/config.json", plain)
    if plain == {"auths": []}:
        assert found(tmp_path) is None
        return
    with pytest.raises(RegistryError, match="credential"):
        found(tmp_path)


def test_no_secret_in_errors_or_repr(tmp_path: Path) -> None:
    path = tmp_path / ".docker/config.json"
    path.parent.mkdir()
    path.write_text('{"auths": {"r.example": {"auth": "c2VjcmV0OnNlY3JldA=="')
    with pytest.raises(RegistryError) as caught:
        found(tmp_path)
    assert "c2Vj" not in repr(caught.value)
    assert "secret" not in repr(Credential(username="secret", password="secret", identity_token="secret"))


def helper(tmp_path: Path, script: str) -> dict[str, str]:
    program = tmp_path / "bin/docker-credential-test"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}


def test_helper(tmp_path: Path) -> None:
    place(tmp_path / ".docker/config.json", {"credHelpers": {"r.example": "test"}})
    answer = 'echo "{\\"Username\\": \\"$s\\", \\"Secret\\": \\"x\\"}"'
    script = f'[ "$1" = get ] && read -r s && env > {tmp_path}/env && {answer}'
    environ = helper(tmp_path, script)
    assert found(tmp_path, PLANTED="canary", AWS_PROFILE="kept", **environ) == "r.example"
    seen = (tmp_path / "env").read_text()
    assert "canary" not in seen
    assert "AWS_PROFILE=kept" in seen


def test_store_is_asked_last_and_by_the_hub_s_own_name(tmp_path: Path) -> None:
    place(
        tmp_path / ".docker/config.json", {"credsStore": "test", "auths": {"r.example": auth("file"), "docker.io": {}}}
    )
    environ = helper(tmp_path, 'read -r s; echo "{\\"Username\\": \\"$s\\", \\"Secret\\": \\"x\\"}"')
    assert found(tmp_path, **environ) == "file"
    assert found(tmp_path, "docker.io", **environ) == "https://index.docker.io/v1/"


def test_helper_that_knows_nothing(tmp_path: Path) -> None:
    place(tmp_path / ".docker/config.json", {"credsStore": "test"})
    environ = helper(tmp_path, "echo 'credentials not found in native keychain'; exit 1")
    assert found(tmp_path, **environ) is None


def test_helper_with_a_token(tmp_path: Path) -> None:
    place(tmp_path / ".docker/config.json", {"credsStore": "test"})
    environ = helper(tmp_path, """echo '{"Username": "<token>", "Secret": "idtok"}'""")
    credential = find_credential("r.example", "a", {"HOME": str(tmp_path), **environ})
    assert credential is not None
    assert credential.identity_token == "idtok"


@pytest.mark.parametrize("script", ["echo topsecret; exit 1", "echo topsecret", "echo '{\"Username\": 1}'"])
def test_helper_that_fails(tmp_path: Path, script: str) -> None:
    place(tmp_path / ".docker/config.json", {"credsStore": "test"})
    environ = helper(tmp_path, script)
    with pytest.raises(RegistryError, match="docker-credential-test") as caught:
        found(tmp_path, **environ)
    assert "topsecret" not in repr(caught.value)


@pytest.mark.parametrize("name", ["none", "../../bin/sh", "a b", "-x"])
def test_helper_that_is_not_there(tmp_path: Path, name: str) -> None:
    place(tmp_path / ".docker/config.json", {"credsStore": name})
    with pytest.raises(MissingToolError, match="is not installed"):
        found(tmp_path, PATH="/usr/bin:/bin")
