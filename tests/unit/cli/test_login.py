from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.faulty_registry import FaultyRegistry, Handler, faulty_registry, on
from tests.support.registry import write_config

SECRET = "s3cret-P4ssword"
PAIR = base64.b64encode(f"me:{SECRET}".encode()).decode()


@pytest.fixture
def registry(cli: Any, tmp_path: Path) -> Iterator[FaultyRegistry]:
    """A registry that lets in `me` alone."""

    def ask(handler: Handler) -> None:
        right = handler.headers.get("Authorization") == f"Basic {PAIR}"
        handler.reply(200 if right else 401, **({} if right else {"WWW_Authenticate": 'Basic realm="x"'}))

    with faulty_registry() as server:
        server.faults.append(on("GET", "/v2/", ask))
        cli.environ |= {
            "PYBUILD_REGISTRIES": str(write_config(tmp_path / "registries.toml", server.name)),
            "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        }
        yield server


def test_in_and_out(cli: Any, registry: FaultyRegistry) -> None:
    file = Path(cli.environ["HOME"]) / ".docker/config.json"
    assert cli("login", "-u", "me", "--password-stdin", f"http://{registry.name}/v2/", stdin=f"{SECRET}\r\n") == 0
    assert cli.out == f"logged in to {registry.name}; the login is kept in {file}\n"
    assert cli.err == ""
    assert json.loads(file.read_text()) == {"auths": {registry.name: {"auth": PAIR}}}
    assert cli("logout", "--json", registry.name) == 0
    assert json.loads(cli.out) == [{"key": registry.name, "file": str(file), "helper": None}]
    assert cli("logout", registry.name) == 0
    assert cli.out == f"not logged in to {registry.name}\n"
    assert cli("logout", "--all") == 0
    assert cli.out == "not logged in to any registry\n"


def test_only_one_line_end_is_taken_off(cli: Any, registry: FaultyRegistry) -> None:
    assert cli("login", "-u", "me", "--password-stdin", registry.name, stdin=f"{SECRET}\n\n") == 10
    assert SECRET not in cli.out + cli.err


def test_a_registry_that_lets_everybody_in(cli: Any, registry: FaultyRegistry) -> None:
    registry.faults.insert(0, on("GET", "/v2/", lambda handler: handler.reply(200)))
    assert cli("login", "-u", "me", "--password-stdin", registry.name, stdin=SECRET) == 0
    assert "lets everybody in, so the password could not be checked" in cli.err
    assert cli("login", "-u", "me", "--password-stdin", "--json", registry.name, stdin=SECRET) == 0
    assert json.loads(cli.out)["checked"] is False


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"<!doctype html>", {}, 10),
        (b"It works!", {}, 10),
        (b"{}", {}, 0),
        (b"true", {"Content_Type": "text/html"}, 0),
        (b"<ok/>", {"Docker_Distribution_Api_Version": "registry/2.0"}, 0),
    ],
)
def test_another_kind_of_server_is_no_registry(
    cli: Any, registry: FaultyRegistry, body: bytes, headers: dict[str, str], code: int
) -> None:
    registry.faults.insert(0, on("GET", "/v2/", lambda handler: handler.reply(200, body, **headers)))
    assert cli("login", "-u", "me", "--password-stdin", registry.name, stdin=SECRET) == code
    assert ("no registry at this address" in cli.err) is (code != 0)
    assert (Path(cli.environ["HOME"]) / ".docker/config.json").exists() is (code == 0)


def test_the_hub_is_meant_where_none_is_named(cli: Any) -> None:
    home = Path(cli.environ["HOME"])
    home.mkdir()
    (home / ".dockercfg").write_text(json.dumps({"https://index.docker.io/v1/": {"auth": PAIR}}))
    cli.environ["XDG_RUNTIME_DIR"] = str(home)
    assert cli("logout") == 0
    assert cli.out.startswith("forgot the login for https://index.docker.io/v1/ in ")


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (("login", "-u", "me", "--password-stdin", "r.example"), "\udcff", "is not text"),
        (("login", "-u", "me", "--password-stdin", "r.example"), "a\0b", "is not text"),
        (("login", "-u", "me", "--password-stdin", "r.example"), "x" * 70000, "is not text"),
        (("login", "-u", "", "--password-stdin", "r.example"), SECRET, "not a user name"),
        (("logout", "--all", "r.example"), "", "either --all or a REGISTRY"),
        (("logout", "r.example", SECRET), "", "there is one REGISTRY"),
    ],
)
def test_mistakes(cli: Any, words: tuple[str, ...], stdin: str, said: str) -> None:
    assert cli(*words, stdin=stdin) == 2
    assert said in cli.err
    assert SECRET not in cli.out + cli.err


def test_an_auth_file_that_is_none(cli: Any, registry: FaultyRegistry) -> None:
    file = Path(cli.environ["HOME"]) / ".docker/config.json"
    file.parent.mkdir(parents=True)
    file.write_text(f'{{"auths": {{"{registry.name}": {{"auth": "{PAIR}"')
    before = file.read_bytes()
    for words in (("login", "-u", "me", "--password-stdin", registry.name), ("logout", registry.name)):
        assert cli(*words, stdin=SECRET) == 10
        assert "it is not JSON" in cli.err
        assert PAIR not in cli.err
    assert file.read_bytes() == before
