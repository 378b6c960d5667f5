"""Credentials that pybuild itself uses go where they belong and nowhere else: of registries, proxies, git and keys."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support import bases
from tests.support.canary import found_in, holds, planted
from tests.support.command import Pybuild, Result
from tests.support.faulty_registry import FaultyRegistry, Handler, faulty_registry
from tests.support.httpd import serve
from tests.support.planted import FRONTENDS
from tests.support.registry import write_config

TEXTS = {
    "Buildfile": 'buildfile 1\nimage a {\nfrom "@BASE@"\n@STEPS@\n}\n',
    "Dockerfile": "FROM @BASE@\n@STEPS@\n",
}


def write(directory: Path, frontend: str, *steps: str, base: str = "oci:base") -> None:
    directory.mkdir(exist_ok=True)
    text = TEXTS[frontend].replace("@BASE@", base).replace("@STEPS@", "\n".join(steps))
    (directory / frontend).write_text(text)


def by_token(registry: FaultyRegistry, password: str, token: str) -> None:
    """Have a registry want a token, which it gives for the password of `me`."""

    def ask(handler: Handler) -> bool:
        sent = handler.headers.get("Authorization")
        if handler.path.startswith("/token"):
            good = sent == "Basic " + base64.b64encode(f"me:{password}".encode()).decode()
            handler.reply(200 if good else 401, json.dumps({"token": token} if good else {}).encode())
        elif sent != f"Bearer {token}":
            realm = f'Bearer realm="http://{registry.name}/token",service="tests"'
            handler.reply(401, WWW_Authenticate=realm)
        else:
            return False
        return True

    registry.faults.append(ask)


def offer(registry: FaultyRegistry, layout: Path) -> None:
    """The one image of a layout as `base:1`."""
    for blob in (layout / "blobs/sha256").iterdir():
        registry.put(blob.read_bytes())
    (row,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    registry.add_manifest("base", "1", registry.blobs[row["digest"]], row["mediaType"])


def log_in(pybuild: Pybuild, registry: FaultyRegistry, password: str) -> None:
    docker = pybuild.home / ".docker"
    docker.mkdir(exist_ok=True)
    auth = base64.b64encode(f"me:{password}".encode()).decode()
    (docker / "config.json").write_text(json.dumps({"auths": {registry.name: {"auth": auth}}}))


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_registrys_password_and_token_are_kept_nowhere(pybuild: Pybuild, tmp_path: Path, frontend: str) -> None:
    """A build that pulls, pushes, and sends and fetches caches; then one that is refused."""
    password, token = planted(), planted().replace(":", "-")
    said: list[Result] = []
    with faulty_registry() as registry:
        offer(registry, bases.layout("tiny"))
        by_token(registry, password, token)
        log_in(pybuild, registry, password)
        named = Pybuild(
            home=pybuild.home, store=pybuild.store, registries=write_config(tmp_path / "registries.toml", registry.name)
        )
        write(
            tmp_path / "project", frontend, *_run(frontend, "env; cat /proc/1/environ"), base=f"{registry.name}/base:1"
        )
        place = f"type=registry,ref={registry.name}/cache,mode=max"
        words = ("build", "--progress", "json", f"--timings={tmp_path}/trace.json", "-t", f"{registry.name}/app:1")
        more = ("--push", "--cache-to", place, "--cache-from", place, ".")
        said.append(named.ok(*words, *more, cwd=tmp_path / "project"))
        assert registry.asked("PUT", "/v2/app/manifests/") and registry.asked("GET", "/token")
        kept = b"".join((*registry.blobs.values(), *(raw for raw, _ in registry.manifests.values())))
        log_in(named, registry, wrong := planted())
        said.append(named("push", f"{registry.name}/app:1", f"{registry.name}/other:1"))
        assert said[-1].code == 10
    said += [named.ok("builds", "--json"), named.ok("timings", "--json")]
    assert not [each for each in said if holds(each.output.encode(), password, token, wrong)]
    assert not holds(kept, password, token)
    assert found_in(tmp_path, password, token, wrong) == [pybuild.home / ".docker/config.json"]


def _run(frontend: str, script: str) -> tuple[str, ...]:
    return ("with network", f"run {script}") if frontend == "Buildfile" else (f"RUN {script}",)


@pytest.mark.parametrize("login", ["me:@PASSWORD@", "@PASSWORD@"])
def test_a_proxys_password_is_in_no_log_and_no_layer(pybuild: Pybuild, tmp_path: Path, login: str) -> None:
    """A step prints the variable, and as the header that programs make of it; what keeps it fails."""
    password = planted()
    bases.place("tiny", tmp_path / "project/base")
    proxy = f"http://{login.replace('@PASSWORD@', quote(password, safe=''))}@proxy.test:3128"
    words = ("build", "--progress", "json", "--build-context", "base=oci-layout://base")
    given = ("--build-arg", f"HTTP_PROXY={proxy}", "--build-arg", f"https_proxy={proxy}", ".")
    prints = "echo $HTTP_PROXY $https_proxy; printf %s ${HTTP_PROXY#*//} | cut -d@ -f1 | base64 -w 0"
    write(tmp_path / "project", "Dockerfile", f"RUN {prints}", base="base")
    result = pybuild.ok(*words, *given, cwd=tmp_path / "project")
    assert "http://***@proxy.test:3128 http://***@proxy.test:3128" in result.stdout
    write(tmp_path / "project", "Dockerfile", "RUN --mount=type=cache,target=/c echo $HTTP_PROXY > /c/x", base="base")
    cached = pybuild(*words, *given, cwd=tmp_path / "project")
    write(tmp_path / "project", "Dockerfile", "RUN echo $HTTP_PROXY > /etc/proxy", base="base")
    kept = pybuild(*words, *given, cwd=tmp_path / "project")
    assert (cached.code, kept.code) == (7, 7), cached.output + kept.output
    assert "the secret 'the password in HTTP_PROXY' was found in /etc/proxy\n" in kept.stderr
    assert not [each for each in (result, cached, kept) if holds(each.output.encode(), password)]
    assert found_in(tmp_path, password, quote(password, safe="")) == []


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_gits_own_credentials_are_kept_nowhere(pybuild: Pybuild, tmp_path: Path, frontend: str) -> None:
    """Git is told by its configuration who it is, as on servers that build; the repository's own data is kept too."""
    password = planted()
    origin = tmp_path / "served/origin"
    origin.mkdir(parents=True)
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(origin))
    for words in (("init", "-q", "-b", "main"), ("commit", "-q", "--allow-empty", "-m", "x"), ("update-server-info",)):
        subprocess.run([*git, *words], check=True)
    bases.place("tiny", tmp_path / "project/base")
    with serve(tmp_path / "served", password=f"me:{password}") as server:
        address = f"me:{quote(password, safe='')}@127.0.0.1:{server.port}"
        config = f'[url "http://{address}/"]\n\tinsteadOf = http://127.0.0.1:{server.port}/\n'
        (pybuild.home / ".gitconfig").write_text(config)
        url = f"http://127.0.0.1:{server.port}/origin/.git"
        step = f'git "{url}" to /src' if frontend == "Buildfile" else f"ADD --keep-git-dir=true {url} /src"
        base = "oci:base" if frontend == "Buildfile" else "base"
        write(tmp_path / "project", frontend, step, base=base)
        named = () if frontend == "Buildfile" else ("--build-context", "base=oci-layout://base")
        words = ("build", "--progress", "json", *named, ".")
        said = [pybuild.ok(*words, cwd=tmp_path / "project")]
        write(tmp_path / "project", frontend, step.replace("/origin/", "/none/"), base=base)
        said.append(pybuild(*words, cwd=tmp_path / "project"))
        assert said[-1].code == 14 or said[-1].code == 3, said[-1].output
    assert not [each for each in said if holds(each.output.encode(), password)]
    assert found_in(tmp_path, password) == [pybuild.home / ".gitconfig"]


SUM = f"sha256:{'1' * 64}"
ADDRESSES = {
    "Buildfile": [
        'fetch "{url}/x" to /x digest "{sum}"',
        'fetch "{url}/x" to /x',
        'git "{url}/x.git" at {commit} to /x',
    ],
    "Dockerfile": ["ADD --checksum={sum} {url}/x /x", "ADD {url}/x /x", "ADD {url}/x.git#{commit} /x"],
}


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("number", range(3))
def test_a_password_in_an_address_gets_nowhere(pybuild: Pybuild, tmp_path: Path, frontend: str, number: int) -> None:
    """It would stand in history, keys, events and records: the build is refused before it begins."""
    password = planted()
    bases.place("tiny", tmp_path / "project/base")
    url = f"https://me:{quote(password, safe='')}@127.0.0.1:1"
    step = ADDRESSES[frontend][number].format(
        url="$where" if frontend == "Dockerfile" else "${where}", sum=SUM, commit="1" * 40
    )
    named = ("--build-context", "base=oci-layout://base") if frontend == "Dockerfile" else ()
    write(tmp_path / "project", frontend, "ARG where", step, base="base") if named else write(
        tmp_path / "project", frontend, step
    )
    if not named:
        file = tmp_path / "project/Buildfile"
        file.write_text(file.read_text().replace("image a", "param where: string\nimage a"))
    option = "--build-arg" if named else "--param"
    result = pybuild("build", *named, "--progress", "json", option, f"where={url}", ".", cwd=tmp_path / "project")
    assert result.code in (3, 4, 14), result.output
    assert "has a user or a password in it" in result.stderr
    assert "BuildStarted" not in result.stdout
    assert not holds(result.output.encode(), password, quote(password, safe=""))
    assert found_in(tmp_path, password, quote(password, safe="")) == []


def test_a_password_in_the_address_of_a_context_gets_nowhere(pybuild: Pybuild, tmp_path: Path) -> None:
    password = planted()
    url = f"http://me:{quote(password, safe='')}@127.0.0.1:1"
    for words in (
        (f"{url}/x.git",),
        (f"{url}/x.tar",),
        ("-f", f"{url}/Dockerfile", "."),
        ("--build-context", f"x={url}/x.tar", "."),
    ):
        result = pybuild("build", *words)
        assert result.code in (2, 14), result.output
        assert "has a user or a password in it" in result.stderr
        assert not holds(result.output.encode(), password, quote(password, safe=""))
    assert found_in(tmp_path, password, quote(password, safe="")) == []


def test_the_password_of_a_key_is_kept_nowhere(pybuild: Pybuild, tmp_path: Path) -> None:
    """A key is made, an image signed with it and pushed; then the wrong password is given."""
    password = planted()
    owner = pybuild.having(PYBUILD_KEY_PASSWORD=password)
    said = [owner.ok("key", "generate", "-o", "mine")]
    bases.place("tiny", tmp_path / "project/base")
    write(tmp_path / "project", "Dockerfile", "RUN env; cat /proc/*/environ", base="base")
    with faulty_registry() as registry:
        own = Pybuild(
            home=pybuild.home,
            store=pybuild.store,
            registries=write_config(tmp_path / "registries.toml", registry.name),
            environment=owner.environment,
        )
        words = ("build", "--progress", "json", "--build-context", "base=oci-layout://base", "-t", "app", ".")
        said.append(own.ok(*words, cwd=tmp_path / "project"))
        said.append(own.ok("push", "app", f"{registry.name}/app:1", "--sign-key", pybuild.home / "mine.key"))
        wrong = own.having(PYBUILD_KEY_PASSWORD=(other := planted()))
        said.append(wrong("sign", f"{registry.name}/app:1", "--key", pybuild.home / "mine.key"))
        assert said[-1].code == 2, said[-1].output
        kept = b"".join((*registry.blobs.values(), *(raw for raw, _ in registry.manifests.values())))
    assert not [each for each in said if holds(each.output.encode(), password, other)]
    assert not holds(kept, password)
    assert found_in(tmp_path, password, other) == []
