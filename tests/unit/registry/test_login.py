from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from buildkit_py.errors import MissingToolError, RegistryError, UsageError
from buildkit_py.registry.config import HostSettings, RegistryConfig
from buildkit_py.registry.credentials import Credential, find_credential
from buildkit_py.registry.login import Scope, check, forget, forget_all, keep
from buildkit_py.registry.retry import Retry
from tests.support.faulty_registry import Fault, FaultyRegistry, Handler, faulty_registry, on

SECRET = "s3cret-P4ssword"
BASIC = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
ME = Credential(username="me", password=SECRET)
TOKEN = Credential.of("<token>", SECRET)
HELPER = r"""#!/bin/sh
# One file a server, named by its digest; the first line is the server.
dir=$HOME/kept; mkdir -p "$dir"
echo "$1" >> "$HOME/calls"
case $1 in
store) read -r line; server=$(printf %s "$line" | sed 's/.*"ServerURL": *"\([^"]*\)".*/\1/')
       printf %s "$line" > "$dir/$(printf %s "$server" | md5sum | cut -c1-32)" ;;
get)   read -r server; file=$dir/$(printf %s "$server" | md5sum | cut -c1-32)
       [ -e "$file" ] || { echo "credentials not found in native keychain"; exit 1; }
       cat "$file" ;;
erase) read -r server; rm -f "$dir/$(printf %s "$server" | md5sum | cut -c1-32)" ;;
list)  printf '{'; sep=
       for file in "$dir"/*; do [ -e "$file" ] || continue
       printf '%s' "$sep"; sed 's/.*"ServerURL": *\("[^"]*"\).*/\1: "me"/' "$file" | tr -d '\n'; sep=,; done
       printf '}' ;;
esac
"""


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as server:
        yield server


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "bin").mkdir()
    for name in ("one", "two"):
        program = tmp_path / f"bin/docker-credential-{name}"
        program.write_text(HELPER)
        program.chmod(0o755)
    return {
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "PATH": f"{tmp_path}/bin:/usr/bin:/bin",
    }


def write(path: Path, plain: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain))
    return path


def held(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_text())
    return found


def ask(registry: FaultyRegistry, credential: Credential = ME, *others: FaultyRegistry) -> bool:
    hosts = {item.name: HostSettings(plain_http=True) for item in (registry, *others)}
    config = RegistryConfig(hosts=hosts, path=Path("registries.toml"))
    return check(Scope(registry.name), credential, config, {}, Retry(sleep=lambda _: None))


def wants(scheme: str, value: str) -> Fault:
    def answer(handler: Handler) -> bool:
        if handler.path != "/v2/":
            return False
        right = handler.headers.get("Authorization") == value
        handler.reply(200 if right else 401, b"", **({} if right else {"WWW_Authenticate": scheme}))
        return True

    return answer


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("r.example", "r.example"),
        ("r.example:5000/", "r.example:5000"),
        ("https://r.example/v2/", "r.example"),
        ("http://localhost", "localhost"),
        ("r.example/team/app", "r.example/team/app"),
        ("r.example/team/v1", "r.example/team/v1"),
        ("docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io/me", "docker.io/me"),
        ("[::1]:5000", "[::1]:5000"),
    ],
)
def test_scopes(text: str, scope: str) -> None:
    assert str(Scope.parse(text)) == scope


@pytest.mark.parametrize(
    "text", ["", "team", "team/app", "r.example/a:1", "r.example/A", "r.exa mple", "r.example:99999", "a.b/../c"]
)
def test_what_is_no_scope(text: str) -> None:
    with pytest.raises(UsageError):
        Scope.parse(text)


def test_basic(registry: FaultyRegistry) -> None:
    registry.faults.append(wants('Basic realm="x"', BASIC))
    assert ask(registry)
    assert [item.headers.get("Authorization") for item in registry.requests] == [None, BASIC]


def test_everybody_is_let_in(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/v2/", lambda handler: handler.reply(200)))
    assert not ask(registry)
    assert "Authorization" not in registry.requests[0].headers


@pytest.mark.parametrize("credential", [Credential(username="me", password="other"), TOKEN])
def test_wrong_password(registry: FaultyRegistry, credential: Credential) -> None:
    registry.faults.append(wants('Basic realm="x"', BASIC))
    with pytest.raises(RegistryError, match="does not accept this user name and password") as caught:
        ask(registry, credential)
    assert SECRET not in f"{caught.value!r} {caught.value.hint}"


@pytest.mark.parametrize(("credential", "method"), [(ME, "GET"), (TOKEN, "POST")])
def test_bearer(registry: FaultyRegistry, credential: Credential, method: str) -> None:
    with faulty_registry() as tokens:
        registry.faults.append(wants(f'Bearer realm="http://{tokens.name}/token",service="s"', "Bearer tok1"))
        tokens.faults.append(
            on(method, "/token", lambda handler: (handler.body(), handler.reply(200, b'{"token": "tok1"}'))[1])
        )
        assert ask(registry, credential, tokens)
        (asked,) = tokens.requests
        assert "scope" not in parse_qs(urlsplit(asked.path).query)
        assert SECRET not in asked.path


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_token_service_that_refuses(registry: FaultyRegistry, status: int) -> None:
    said = json.dumps({"errors": [{"code": "DENIED", "message": f"no {SECRET}"}]}).encode()
    with faulty_registry() as tokens:
        registry.faults.append(wants(f'Bearer realm="http://{tokens.name}/token"', "Bearer tok1"))
        tokens.faults.append(on("GET", "/token", lambda handler: handler.reply(status, said)))
        with pytest.raises(RegistryError, match="does not accept this user name and password") as caught:
            ask(registry, ME, tokens)
        assert SECRET not in f"{caught.value!r} {caught.value.hint}"


def test_no_registry(registry: FaultyRegistry) -> None:
    with pytest.raises(RegistryError, match="answered 404") as caught:
        ask(registry)
    assert "no registry at this address" in str(caught.value.hint)


def test_a_redirect_decides_nothing(registry: FaultyRegistry) -> None:
    with faulty_registry() as evil:
        registry.faults.append(
            on("GET", "/v2/", lambda handler: handler.reply(302, Location=f"http://{evil.name}/v2/"))
        )
        evil.faults.append(wants(f'Bearer realm="http://{evil.name}/token"', "Bearer tok1"))
        with pytest.raises(RegistryError):
            ask(registry, ME, evil)
        assert not evil.asked("GET", "/token")


def test_a_registry_that_is_busy_is_asked_again(registry: FaultyRegistry) -> None:
    answers = [503, 503]
    registry.faults.append(lambda handler: bool(answers) and (handler.reply(answers.pop()), True)[1])
    registry.faults.append(wants('Basic realm="x"', BASIC))
    assert ask(registry)


def test_docker_s_file_is_the_usual_one(tmp_path: Path, environ: dict[str, str]) -> None:
    place = keep(Scope("r.example"), ME, environ)
    assert (place.path, place.helper) == (tmp_path / ".docker/config.json", None)
    assert held(place.path) == {"auths": {"r.example": {"auth": BASIC[6:]}}}
    assert find_credential("r.example", "a/b", environ) == ME


def test_docker_hub_is_called_as_each_tool_calls_it(tmp_path: Path, environ: dict[str, str]) -> None:
    keep(Scope("docker.io"), ME, environ)
    assert list(held(tmp_path / ".docker/config.json")["auths"]) == ["https://index.docker.io/v1/"]  # type: ignore[call-overload]
    keep(Scope("docker.io"), ME, environ, tmp_path / "auth.json")
    assert list(held(tmp_path / "auth.json")["auths"]) == ["docker.io"]  # type: ignore[call-overload]


def test_the_file_that_would_be_read_first_is_written(tmp_path: Path, environ: dict[str, str]) -> None:
    podman = write(
        tmp_path / "run/containers/auth.json", {"auths": {"https://r.example/v2/": {"auth": "eDp5"}, "b": {}}}
    )
    assert keep(Scope("r.example"), ME, environ).path == podman
    assert held(podman) == {"auths": {"b": {}, "r.example": {"auth": BASIC[6:]}}}
    assert keep(Scope("b"), ME, environ).path == tmp_path / ".docker/config.json"
    named = tmp_path / "named.json"
    assert keep(Scope("r.example"), ME, {**environ, "REGISTRY_AUTH_FILE": str(named)}).path == named


def test_a_part_of_a_registry(tmp_path: Path, environ: dict[str, str]) -> None:
    keep(Scope("r.example", "team"), ME, environ)
    keep(Scope("r.example"), Credential(username="all", password="p"), environ)
    assert find_credential("r.example", "team/app", environ) == ME
    assert find_credential("r.example", "other/app", environ) == Credential(username="all", password="p")
    assert [place.key for place in forget(Scope("r.example", "team"), environ)] == ["r.example/team"]
    assert find_credential("r.example", "team/app", environ) == Credential(username="all", password="p")


def test_identity_tokens(tmp_path: Path, environ: dict[str, str]) -> None:
    place = keep(Scope("r.example"), TOKEN, environ)
    assert held(place.path) == {"auths": {"r.example": {"identitytoken": SECRET}}}
    assert find_credential("r.example", "a", environ) == TOKEN


@pytest.mark.parametrize("credential", [ME, TOKEN])
@pytest.mark.parametrize("plain", [{"credsStore": "one"}, {"credHelpers": {"r.example": "one"}, "credsStore": "two"}])
def test_helpers(tmp_path: Path, environ: dict[str, str], plain: dict[str, object], credential: Credential) -> None:
    path = write(tmp_path / ".docker/config.json", {**plain, "auths": {"r.example": {"auth": "eDp5"}}})
    assert keep(Scope("r.example"), credential, environ).helper == "one"
    assert find_credential("r.example", "a", environ) == credential
    assert SECRET not in path.read_text() and "eDp5" not in path.read_text()
    assert held(path).get("auths") == ({} if "credHelpers" in plain else {"r.example": {}})
    (place,) = forget(Scope("r.example"), environ)
    assert place.helper == "one"
    assert find_credential("r.example", "a", environ) is None
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_helper_that_is_missing_loses_nothing(tmp_path: Path, environ: dict[str, str]) -> None:
    path = write(tmp_path / ".docker/config.json", {"credsStore": "none", "auths": {"r.example": {"auth": "eDp5"}}})
    before = path.read_bytes()
    with pytest.raises(MissingToolError):
        keep(Scope("r.example"), ME, environ)
    assert path.read_bytes() == before


def test_a_helper_keeps_one_login_a_registry(tmp_path: Path, environ: dict[str, str]) -> None:
    write(tmp_path / ".docker/config.json", {"credHelpers": {"r.example": "one"}})
    with pytest.raises(UsageError, match="one login a registry"):
        keep(Scope("r.example", "team"), ME, {**environ, "REGISTRY_AUTH_FILE": str(tmp_path / ".docker/config.json")})


def test_a_login_is_forgotten_wherever_it_is(tmp_path: Path, environ: dict[str, str]) -> None:
    entry = {"auths": {"r.example": {"auth": BASIC[6:]}, "other": {"auth": "eDp5"}}}
    files = [
        tmp_path / name for name in ("run/containers/auth.json", ".config/containers/auth.json", ".docker/config.json")
    ]
    for path in files:
        write(path, entry)
    old = write(tmp_path / ".dockercfg", {"https://r.example/v1/": {"auth": BASIC[6:]}, "other": {"auth": "eDp5"}})
    assert [place.path for place in forget(Scope("r.example"), environ)] == [*files, old]
    assert find_credential("r.example", "a", environ) is None
    assert all(held(path) == {"auths": {"other": {"auth": "eDp5"}}} for path in files)
    assert held(old) == {"other": {"auth": "eDp5"}}
    assert forget(Scope("r.example"), environ) == []


def test_only_in_one_file(tmp_path: Path, environ: dict[str, str]) -> None:
    one = write(tmp_path / "one.json", {"auths": {"r.example": {"auth": BASIC[6:]}}})
    keep(Scope("r.example"), ME, environ)
    assert [place.path for place in forget(Scope("r.example"), environ, one)] == [one]
    assert find_credential("r.example", "a", environ) == ME


def test_everything_is_forgotten(tmp_path: Path, environ: dict[str, str]) -> None:
    write(tmp_path / ".docker/config.json", {"credHelpers": {"h.example": "two"}, "credsStore": "one", "x": 1})
    for name in ("a.example", "h.example", "docker.io"):
        keep(Scope(name), ME, environ)
    keep(Scope("b.example"), ME, environ, tmp_path / "run/containers/auth.json")
    keys = {place.key for place in forget_all(environ)}
    assert keys == {"a.example", "h.example", "https://index.docker.io/v1/", "b.example"}
    for name in ("a.example", "h.example", "docker.io", "b.example"):
        assert find_credential(name, "a", environ) is None
    assert held(tmp_path / ".docker/config.json") == {
        "credHelpers": {"h.example": "two"}, "credsStore": "one", "x": 1, "auths": {}
    }  # fmt: skip
    assert forget_all(environ) == []
