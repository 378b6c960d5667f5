"""`pybuild login` and `logout`: against a registry with real passwords, beside other tools, and what leaks."""

from __future__ import annotations

import base64
import json
import os
import pty
import secrets
import select
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from urllib.parse import quote

import pytest

from tests.integration.test_registry import token_service
from tests.support import bases
from tests.support.command import Pybuild
from tests.support.dockerd import serve_dockerd
from tests.support.faulty_registry import Handler, faulty_registry, on
from tests.support.registry import RegistryServer, available, htpasswd, serve_registry, write_config

pytestmark = pytest.mark.skipif(not available(), reason="docker-registry is not installed")
SECRET = secrets.token_hex(16)
PAIR = base64.b64encode(f"me:{SECRET}".encode()).decode()
HELPER = r"""
file=$HOME/helper-keeps
case $1 in
store) cat > "$file" ;;
get)   cat "$file" 2> /dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) rm -f "$file" ;;
esac
"""


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that lets in `me` alone."""
    directory = tmp_path_factory.mktemp("locked")
    (directory / "htpasswd").write_text(htpasswd("me", SECRET))
    with serve_registry(
        directory, auth={"htpasswd": {"realm": "tests", "path": str(directory / "htpasswd")}}
    ) as server:
        yield server


@pytest.fixture
def pybuild(tmp_path: Path, locked: RegistryServer) -> Pybuild:
    home = tmp_path / "home"
    home.mkdir()
    bases.place("tiny", home / "base")
    (home / "Dockerfile").write_text("FROM base\nCOPY Dockerfile /d\n")
    return Pybuild(
        home=home,
        store=tmp_path / "store",
        registries=write_config(tmp_path / "registries.toml", locked.name),
        environment={"XDG_RUNTIME_DIR": str(tmp_path / "run")},
    )


@pytest.fixture
def app(pybuild: Pybuild) -> str:
    """An image in the store, made without a registry."""
    pybuild.ok("build", "-q", "--build-context", "base=oci-layout://base", "-t", "app:1", ".")
    return "app:1"


def tool(pybuild: Pybuild, *words: str, check: bool = True, stdin: str = "") -> str:
    (pybuild.home.parent / "run").mkdir(exist_ok=True)
    done = subprocess.run(
        words, env=pybuild.variables(), input=stdin, capture_output=True, text=True, cwd=pybuild.home, check=False
    )
    assert (done.returncode == 0) is check, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def login(pybuild: Pybuild, registry: str, *more: str, password: str = SECRET) -> str:
    result = pybuild.ok("login", "-u", "me", "--password-stdin", *more, registry, stdin=f"{password}\n".encode())
    assert SECRET not in result.output and PAIR not in result.output
    return result.stdout


def test_a_login_is_good_for_every_tool(pybuild: Pybuild, locked: RegistryServer, app: str) -> None:
    target = f"{locked.name}/team/app:1"
    refused = pybuild("push", app, target)
    assert refused.code == 10
    assert f"pybuild login {locked.name}" in refused.stderr
    file = pybuild.home / ".docker/config.json"
    assert login(pybuild, locked.name) == f"logged in to {locked.name}; the login is kept in {file}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    pybuild.ok("push", app, target)
    assert "team/app" in tool(pybuild, "skopeo", "inspect", "--tls-verify=false", f"docker://{target}")
    assert tool(pybuild, "skopeo", "login", "--get-login", locked.name) == "me"
    assert tool(pybuild, "buildah", "login", "--get-login", locked.name) == "me"
    pybuild.ok("logout", locked.name)
    assert pybuild("push", app, target).code == 10
    tool(pybuild, "skopeo", "inspect", "--tls-verify=false", f"docker://{target}", check=False)
    assert pybuild.ok("logout", locked.name).stdout == f"not logged in to {locked.name}\n"


def test_the_login_of_another_tool_is_used_and_replaced(pybuild: Pybuild, locked: RegistryServer, app: str) -> None:
    words = ("skopeo", "login", "--tls-verify=false", "-u", "me", "--password-stdin", locked.name)
    tool(pybuild, *words, stdin=SECRET)
    podman = pybuild.home.parent / "run/containers/auth.json"
    assert podman.exists()
    pybuild.ok("push", app, f"{locked.name}/theirs:1")
    told = json.loads(login(pybuild, locked.name, "--json"))
    assert told == {"registry": locked.name, "checked": True, "key": locked.name, "file": str(podman), "helper": None}
    assert tool(pybuild, "skopeo", "login", "--get-login", locked.name) == "me"
    tool(pybuild, "skopeo", "logout", locked.name)
    assert pybuild("push", app, f"{locked.name}/theirs:2").code == 10


def test_a_file_of_its_own_and_a_part_of_a_registry(pybuild: Pybuild, locked: RegistryServer, app: str) -> None:
    file = pybuild.home / "ci.json"
    login(pybuild, f"{locked.name}/team", "--authfile", str(file))
    assert list(json.loads(file.read_text())["auths"]) == [f"{locked.name}/team"]
    assert not (pybuild.home / ".docker").exists()
    bot = pybuild.having(REGISTRY_AUTH_FILE=str(file))
    bot.ok("push", app, f"{locked.name}/team/own:1")
    assert bot("push", app, f"{locked.name}/other/own:1").code == 10
    target = f"docker://{locked.name}/team/own:1"
    tool(pybuild, "skopeo", "inspect", "--tls-verify=false", "--authfile", str(file), target)
    (gone,) = json.loads(pybuild.ok("logout", "--authfile", str(file), "--json", "--all").stdout)
    assert gone["key"] == f"{locked.name}/team"


def test_a_token_service_decides(pybuild: Pybuild, app: str, tmp_path: Path) -> None:
    with token_service(tmp_path) as (auth, asked), serve_registry(tmp_path / "tokens", auth=auth) as server:
        write_config(tmp_path / "registries.toml", server.name)
        words = ("login", "-u", "me", "--password-stdin", server.name)
        refused = pybuild(*words, stdin=b"not the password")
        assert (refused.code, (pybuild.home / ".docker").exists()) == (10, False)
        assert "does not accept this user name and password" in refused.stderr
        pybuild.ok(*words, stdin=b"password\n")
        assert asked == [[], []]
        pybuild.ok("push", app, f"{server.name}/team/app:1")
        assert ["repository:team/app:pull,push"] in asked


@pytest.mark.skipif(not all(map(shutil.which, ("docker", "dockerd"))), reason="docker is not installed")
def test_docker_is_logged_in_too(pybuild: Pybuild, locked: RegistryServer, app: str, tmp_path: Path) -> None:
    """Each by what the other has kept: in Docker's file, and by a helper that both ask."""
    target = f"{locked.name}/docker/app:1"
    write_helper(pybuild.home / "bin/docker-credential-kept", HELPER)
    helped = pybuild.having(PATH=f"{pybuild.home}/bin:{pybuild.variables()['PATH']}")
    (tmp_path / "helped").mkdir()
    (tmp_path / "helped/config.json").write_text('{"credsStore": "kept"}')
    with TemporaryDirectory(prefix="d-") as short, serve_dockerd(Path(short) / "d") as daemon:
        for one in (pybuild, helped.having(DOCKER_CONFIG=str(tmp_path / "helped"))):
            docker = ("docker", "--host", daemon.host)
            login(one, locked.name)
            one.ok("push", app, target)
            tool(one, *docker, "pull", target)
            tool(one, *docker, "logout", locked.name)
            assert one("push", app, target).code == 10
            tool(one, *docker, "login", "-u", "me", "--password-stdin", locked.name, stdin=SECRET)
            one.ok("push", app, target)
            one.ok("logout", locked.name)
            tool(one, *docker, "pull", target, check=False)
    assert not holds((tmp_path / "helped/config.json").read_bytes())


def test_a_wrong_password_is_not_kept(pybuild: Pybuild, locked: RegistryServer) -> None:
    wrong = secrets.token_hex(16)
    result = pybuild("login", "-u", "me", "--password-stdin", locked.name, stdin=wrong.encode())
    assert result.code == 10
    assert "does not accept this user name and password" in result.stderr
    assert wrong not in result.output
    assert not (pybuild.home / ".docker").exists()
    login(pybuild, locked.name)
    before = (pybuild.home / ".docker/config.json").read_bytes()
    assert pybuild("login", "-u", "me", "--password-stdin", locked.name, stdin=wrong.encode()).code == 10
    assert (pybuild.home / ".docker/config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-u", "me", "-p", SECRET, "r.example"), "can be read by every user of the machine"),
        (("-u", "me", f"--password={SECRET}", "r.example"), "can be read by every user of the machine"),
        (("-u", "me", f"-p{SECRET}", "r.example"), "can be read by every user of the machine"),
        (("-u", "me", "r.example", SECRET), "there is one REGISTRY"),
        (("--password-stdin", "r.example"), "needs the user name too"),
        (("-u", "me", "r.example"), "no terminal to ask for the password"),
        (("-u", "a:b", "--password-stdin", "r.example"), "not a user name"),
        (("-u", "me", "--password-stdin", "r.example"), "the password is empty"),
        (("-u", "me", "--password-stdin", "r.example/a:1"), "not for a tag"),
        (("-u", "me", "--password-stdin", "team"), "it is HOST or HOST:PORT"),
    ],
)
def test_mistakes(pybuild: Pybuild, words: tuple[str, ...], said: str) -> None:
    result = pybuild("login", *words)
    assert result.code == 2, result.output
    assert said in result.stderr
    assert SECRET not in result.output


def test_a_registry_that_is_not_there_keeps_nothing(pybuild: Pybuild) -> None:
    result = pybuild("login", "-u", "me", "--password-stdin", "127.0.0.1:1", stdin=SECRET.encode())
    assert result.code == 10
    assert SECRET not in result.output
    assert not (pybuild.home / ".docker").exists()


def test_a_terminal_does_not_show_the_password(pybuild: Pybuild, locked: RegistryServer) -> None:
    leader, follower = pty.openpty()
    words = [sys.executable, "-m", "buildkit_py.cli", "login", locked.name]
    process = subprocess.Popen(
        words,
        env=pybuild.variables(),
        cwd=pybuild.home,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    shown = b""
    answers = {b"user name: ": b"me\n", b"password: ": f"{SECRET}\n".encode()}
    try:
        while True:
            ready, _, _ = select.select([leader], [], [], 60)
            assert ready, shown
            try:
                shown += os.read(leader, 4096)
            except OSError:
                break
            for question in [question for question in answers if question in shown]:
                os.write(leader, answers.pop(question))
    finally:
        os.close(leader)
        code = process.wait(60)
    assert code == 0, shown
    assert b"logged in to" in shown
    assert SECRET.encode() not in shown
    assert (pybuild.home / ".docker/config.json").exists()


def test_nobody_else_sees_the_password(pybuild: Pybuild, locked: RegistryServer, app: str, tmp_path: Path) -> None:
    """Not in arguments or environments while it is at work, and afterwards nowhere but in the file that keeps it."""
    arrived, go_on = Event(), Event()

    def wait(handler: Handler) -> None:
        if "Authorization" not in handler.headers:
            handler.reply(401, WWW_Authenticate='Basic realm="x"')
            return
        arrived.set()
        go_on.wait(60)
        handler.reply(200)

    write_helper(pybuild.home / "bin/docker-credential-slow", f"touch {tmp_path}/helper; sleep 1; cat > /dev/null")
    helped = pybuild.home / "helped.json"
    helped.write_text('{"credsStore": "slow"}')
    with faulty_registry() as slow:
        slow.faults.append(on("GET", "/v2/", wait))
        write_config(tmp_path / "registries.toml", locked.name, slow.name)
        path = f"{pybuild.home}/bin:{pybuild.variables()['PATH']}"
        busy = Thread(target=login, args=(pybuild.having(PATH=path), slow.name, "--authfile", str(helped)))
        busy.start()
        assert arrived.wait(60)
        seen = machine()
        go_on.set()
        while busy.is_alive() and not (tmp_path / "helper").exists():
            busy.join(0.01)
        seen += machine()
        busy.join()
    assert (tmp_path / "helper").exists()
    login(pybuild, locked.name)
    target = f"{locked.name}/team/leak:1"
    build = ("build", "--progress", "json", "--build-context", "base=oci-layout://base", "-t", target, "--push", ".")
    said = [pybuild.ok(*words).output for words in (("push", app, target), build)]
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    places = [path for path in kept if holds(path.read_bytes())]
    assert places == [pybuild.home / ".docker/config.json"]
    assert not holds("".join(said).encode())
    assert not holds(seen)


def write_helper(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def machine() -> bytes:
    """The arguments and environments of every process but this one."""
    found = b""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            for name in ("cmdline", "environ"):
                try:
                    found += (process / name).read_bytes()
                except OSError:
                    continue
    return found


def holds(data: bytes) -> bool:
    """Whether the password is in there, as it is or in one of the forms that it is sent in."""
    forms = {SECRET, quote(SECRET), SECRET.encode().hex(), PAIR}
    for start in range(3):
        encoded = base64.b64encode(b"\0" * start + SECRET.encode())
        forms.add(encoded[(4 if start else 0) : -4].decode())
    return any(form.encode() in data for form in forms)


def test_what_a_search_would_find() -> None:
    assert holds(f"x{SECRET}".encode()) and holds(f"Basic {PAIR}".encode())
    assert not holds(b"nothing of it")
