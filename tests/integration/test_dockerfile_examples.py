"""Every Dockerfile of `examples/dockerfile` is built by the real command, read by umoci and skopeo, started by runc.

The names of base images are the public ones; what they stand for is made by `tests/support/standins.py` and found in a
registry on loopback as in a mirror. Stand-ins that do less than the real thing: `mvn`, `docker-php-ext-install`, `git`,
nginx's entrypoint; tcc plays gcc, Debian's Go and Python play newer ones.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import bases, debian, httpd, layouts, packages, standin_layers, standins
from tests.support.command import ROOT, Pybuild
from tests.support.examples import Example
from tests.support.registry import RegistryServer, write_config
from tests.support.trees import File, Unpacked

pytestmark = pytest.mark.xdist_group("dockerfile-examples")
EXAMPLES = ROOT / "examples" / "dockerfile"


def test_every_dockerfile_is_tested() -> None:
    here, listed = Path(__file__).read_text(), (EXAMPLES / "README.md").read_text()
    for folder in sorted(each for each in EXAMPLES.iterdir() if each.is_dir()):
        assert f'"{folder.name}"' in here, f"examples/dockerfile/{folder.name} has no test"
        assert (folder / "README.md").is_file(), f"examples/dockerfile/{folder.name} has no README"
        assert f"[{folder.name}]({folder.name})" in listed


Builder = Callable[..., Example]


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all examples: what several start from is fetched and laid out once."""
    return tmp_path_factory.mktemp("dockerfile-examples") / "store"


@pytest.fixture(scope="module")
def stand_ins(registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-ins in the registry, and the `registries.toml` that names it as the mirror of their hosts."""
    for name in standins.STANDINS:
        standins.push(name, registry.name)
    file = tmp_path_factory.mktemp("stand-ins") / "registries.toml"
    return write_config(file, registry.name, mirrors={host: [registry.name] for host in standins.HOSTS})


@pytest.fixture
def machine(pybuild: Pybuild, shared_store: Path, stand_ins: Path) -> Pybuild:
    """The command, with the shared store and the stand-ins."""
    return replace(pybuild, store=shared_store, registries=stand_ins)


@pytest.fixture
def example(machine: Pybuild, tmp_path: Path) -> Builder:
    """Copies an example to where the test may write."""

    def copy(name: str, *arguments: str) -> Example:
        return Example.copy(machine, f"dockerfile/{name}", *arguments, into=tmp_path)

    return copy


def test_build_checks_find_nothing(machine: Pybuild) -> None:
    """The two that start from what only a command line explains are left out."""
    files = [file for file in sorted(EXAMPLES.rglob("Dockerfile")) if file.parent.name != "app"]
    assert machine.ok("check", *files).output == "exit code 0\n"


def built(example: Example, *arguments: str) -> Unpacked:
    """Build an example as a Docker user does, and unpack the image."""
    archive = example.directory.parent / f"{len(list(example.directory.parent.iterdir()))}.tar"
    example.build("-o", f"type=oci,dest={archive}", *arguments)
    return example.archive(str(archive))


def added(image: Unpacked, base: str) -> dict[str, File]:
    """What is in an image, but not in the stand-in that it started from."""
    known = set().union(*map(standin_layers.names_of, standins.STANDINS[base]()[0]))
    return {path: file for path, file in image.files().items() if path.lstrip("/") not in known}


def test_go(example: Builder) -> None:
    go = example("go", "--build-arg", "VERSION=1.4.2")
    image = built(go)
    assert sorted(added(image, "gcr.io/distroless/static-debian12:nonroot")) == [
        "/usr",
        "/usr/local",
        "/usr/local/bin",
        "/usr/local/bin/server",
    ]
    assert image.run() == "hello, world, says version 1.4.2\n"
    assert image.run("/usr/local/bin/server") == "hello, nobody, says version 1.4.2\n"
    assert image.config["config"]["Entrypoint"] == ["/usr/local/bin/server"]
    assert image.config["config"]["User"] == "nonroot:nonroot"
    assert go.ran() == 0

    go.build("--target", "test")
    source = go.directory / "internal" / "greeting" / "greeting.go"
    source.write_text(source.read_text().replace("hello, ", "hallo, "))
    wrong = go.pybuild("build", ".", "--target", "test", cwd=go.directory)
    assert wrong.code != 0
    assert "Dockerfile:20" in wrong.stderr
    assert 'got "hallo, world"' in wrong.stderr
    assert built(go).run() == "hallo, world, says version 1.4.2\n"


LOGIN = "reader:correct-horse-battery"
HUMANIZE = "def precisedelta(seconds):\n    return f'{seconds:.0f} seconds'\n"


def index(directory: Path) -> Path:
    """A package index with an imitation of what the Python examples need; gives the wheel."""
    directory.mkdir()
    return packages.wheel(directory, "humanize", "4.9.0", HUMANIZE)


def test_python_pip(example: Builder, tmp_path: Path) -> None:
    wheel = index(tmp_path / "index")
    with httpd.serve(tmp_path / "index", password=LOGIN) as served:
        pip = tmp_path / "pip.conf"
        pip.write_text(f"[global]\nindex-url = http://{LOGIN}@127.0.0.1:{served.port}/simple\n")
        report = example("python-pip", "--secret", f"id=pip.conf,src={pip}")
        hashed(report.directory / "requirements.txt", wheel)
        image = built(report)
        assert image.run() == "up for 90 seconds\n"
        assert image.config["config"]["Healthcheck"]["Timeout"] == 3_000_000_000
        assert "/opt/venv/bin/python" in image.files()
        assert not [path for path in image.files() if path.startswith(("/root/.cache", "/etc/pip.conf", "/tmp/"))]
        unknown(LOGIN.partition(":")[2], image.rootfs)
        assert report.ran() == 0


def hashed(file: Path, wheel: Path) -> None:
    """Put the hash of a wheel where a lock file has another."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    file.write_text(re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{digest}", file.read_text()))


def unknown(secret: str, *places: Path) -> None:
    """No file below any of the places holds the secret."""
    for place in places:
        done = subprocess.run(["grep", "-rlaF", "--devices=skip", secret, str(place)], capture_output=True, text=True)
        assert done.stdout == "", f"the secret is in {done.stdout}"


def test_python_uv(example: Builder, tmp_path: Path) -> None:
    wheel = index(tmp_path / "index")
    with httpd.serve(tmp_path / "index") as served:
        clock = example("python-uv")
        for name in ("pyproject.toml", "uv.lock"):
            file = clock.directory / name
            file.write_text(file.read_text().replace("https://packages.example", served.url))
        hashed(clock.directory / "uv.lock", wheel)
        image = built(clock)
        assert image.run("clock", "90") == "it took 90 seconds\n"
        files = image.files()
        assert {files["/app/.venv/bin/clock"].uid, files["/app/.venv/bin"].gid} == {999}
        assert not {"/bin/uv", "/usr/bin/uv", "/app/src"} & set(files)
        assert [path for path in files if path.endswith(".pyc") and "/humanize" in path]
        source = clock.directory / "src" / "clock" / "__init__.py"
        source.write_text(source.read_text().replace("it took", "all in all"))
        asked = len(served.requests)
        assert built(clock).run("clock", "90") == "all in all 90 seconds\n"
        assert [path for path in served.requests[asked:] if path.endswith(".whl")] == []


def test_node(example: Builder, tmp_path: Path) -> None:
    (tmp_path / "npm").mkdir()
    with httpd.serve(tmp_path / "npm") as served:
        days = "module.exports = (text) => (text === '2 days' ? 172800000 : NaN);\n"
        render = "exports.render = (text, values) => text.replace(/{{(.*?)}}/g, (_, name) => values[name]);\n"
        made = {
            "ms": packages.npm_package(tmp_path / "npm", served.url, "ms", "2.1.3", {"index.js": days}),
            "mustache": packages.npm_package(tmp_path / "npm", served.url, "mustache", "4.2.0", {"index.js": render}),
        }
        npmrc = tmp_path / "npmrc"
        npmrc.write_text(f"registry={served.url}/\n")
        howlong = example("node", "--secret", f"id=npmrc,src={npmrc}")
        lock = howlong.directory / "package-lock.json"
        document = json.loads(lock.read_text())
        for name, integrity in made.items():
            document["packages"][f"node_modules/{name}"]["integrity"] = integrity
            document["packages"][f"node_modules/{name}"].pop("bin", None)
        lock.write_text(json.dumps(document, indent=2))

        image = built(howlong)
        assert image.run("node", "dist/main.js", "2", "days") == "2 days is 172800000 ms\n"
        files = image.files()
        assert {path for path in files if re.fullmatch(r"/usr/src/app/(node_modules/)?[a-z][a-z._]+", path)} == {
            "/usr/src/app/dist",
            "/usr/src/app/node_modules",
            "/usr/src/app/node_modules/ms",
            "/usr/src/app/package.json",
        }
        assert files["/usr/src/app/dist/main.js"].uid == files["/usr/src/app/node_modules"].uid == 1000
        assert not [path for path in files if path.startswith("/root/.npm")]
        assert image.config["config"]["User"] == "node"
        assert howlong.ran() == 0


def test_java(example: Builder) -> None:
    orders = example("java")
    image = built(orders)
    assert re.fullmatch(r"3 teapots on Java \d+\n", image.run())
    files = image.files()
    assert files["/app/app.jar"].size > 0
    assert "/opt/java/openjdk/bin/javac" not in files
    config = image.config["config"]
    assert config["Healthcheck"]["Test"] == ["CMD-SHELL", "curl -fsS http://localhost:8080/health || exit 1"]
    assert config["Labels"] == {
        "org.opencontainers.image.title": "orders",
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    assert orders.ran() == 0


def test_nginx(example: Builder) -> None:
    site = example("nginx")
    image = built(site)
    files = image.files()
    assert files["/docker-entrypoint.d/30-robots.sh"].mode == 0o755
    assert files["/usr/share/nginx/html/index.html"].uid == 101
    assert files["/usr/share/nginx/html/css/site.css.gz"].gid == 101
    assert not {"/usr/share/nginx/html/draft.html", "/etc/nginx/conf.d/default.conf"} & set(files)
    assert "listen 8080;" in image.run("/docker-entrypoint.sh", "cat", "/etc/nginx/conf.d/default.conf")
    image.run("/docker-entrypoint.sh", "nginx", "-t")
    config = image.config["config"]
    assert config["ExposedPorts"] == {"80/tcp": {}, "8080/tcp": {}}
    assert config["StopSignal"] == "SIGQUIT"
    assert config["Cmd"] == ["nginx", "-g", "daemon off;"]
    assert site.ran() == 0


def test_php(example: Builder) -> None:
    easter = example("php")
    image = built(easter)
    assert image.run("app-entrypoint", "easter", "2025") == "2025-04-20\n"
    assert image.run("app-entrypoint", "php", "-r", "echo ini_get('memory_limit');") == "64M"
    assert "calendar\n" in image.run("app-entrypoint", "php", "-m")
    files = image.files()
    assert files["/app/src/easter.php"].uid == files["/app/public"].uid == 33
    assert files["/usr/local/bin/app-entrypoint"].mode == 0o755
    assert "/app/docker" not in files
    config = image.config["config"]
    assert config["Volumes"] == {"/app/var": {}}
    assert config["Entrypoint"] == ["app-entrypoint"]
    easter.build("--target", "test")
    assert easter.ran() == 0


def test_distroless(example: Builder) -> None:
    image = built(example("distroless"))
    assert sorted(added(image, "gcr.io/distroless/python3-debian12:nonroot")) == ["/app", "/app/report.pyc"]
    assert image.run() == "user 65532, shell None\n"
    config = image.config["config"]
    assert config["Entrypoint"] == ["/usr/bin/python3"]
    assert config["Cmd"] == ["-O", "report.pyc"]
    assert config["WorkingDir"] == "/app"


def test_heredocs(example: Builder) -> None:
    image = built(example("heredocs"), "--build-arg", "VERSION=8")
    assert image.run() == "one of 8\n"
    files = image.files()
    assert json.loads(files["/srv/app/made.json"].text) == {"by": "python", "version": "8"}
    assert files["/srv/app/stdin.txt"].text == "from standard input\n"
    assert files["/etc/app/expanded.conf"].text == 'home = /srv/app\nversion = "8"\ncost = $5\n'
    assert files["/etc/app/expanded.conf"].mode == 0o644
    assert files["/usr/local/bin/start"].text == '#!/bin/sh\nexec cat "${APP_HOME}/$1.txt"\n'
    assert files["/usr/local/bin/start"].mode == 0o755
    assert files["/usr/share/app/robots.txt"].text == "User-agent: *\nDisallow: /\n"
    assert files["/usr/share/app/humans.txt"].text == "made by somebody\n"
    assert files["/srv/app/first.txt"].text == "first: /srv/app\n"
    assert files["/srv/app/second.txt"].text == "second: $APP_HOME\n"
    assert len(image.manifest["layers"]) == 2 + 7


def test_debian_apt(example: Builder) -> None:
    status = example("debian-apt", "--build-arg", "STATUS_REVISION=abc")
    with debian.serve() as mirror:
        image = built(status, "--build-arg", f"http_proxy={mirror.split()[2]}")
    assert image.run() == "status 1.0.0 as 2000:2000 in /var/lib/status\n"
    files = image.files()
    assert files["/usr/share/status.txt"].text == "status 1.0.0 as 0:0 in /\n"
    assert files["/var/lib/status"].uid == 2000
    assert "/etc/mime.types" in files
    assert not [path for path in files if path.endswith((".deb", "_Packages"))]
    config = image.config["config"]
    assert config["ExposedPorts"] == {"9000/tcp": {}, "9001/tcp": {}, "9002/tcp": {}, "9000/udp": {}}
    assert config["Healthcheck"] == {
        "Test": ["CMD", "status", "--check"],
        "Interval": 60_000_000_000,
        "Timeout": 5_000_000_000,
        "StartPeriod": 10_000_000_000,
        "Retries": 2,
    }
    assert config["StopSignal"] == "SIGINT"
    assert config["Shell"] == ["/bin/bash", "-euxo", "pipefail", "-c"]
    assert config["Labels"]["org.opencontainers.image.revision"] == "abc"
    assert not [each for each in config["Env"] if "proxy" in each.lower()]
    # A proxy is no part of a step's key, so nothing asks this one.
    assert status.ran("--build-arg", "http_proxy=http://127.0.0.1:9") == 0


def test_c(example: Builder) -> None:
    encode = example("c")
    image = built(encode)
    assert image.run("encode", "hello") == "aGVsbG8=\n"
    files = added(image, "docker.io/library/debian:bookworm-slim")
    texts = {path: file.text for path, file in files.items() if path.startswith("/usr/share/doc/encode/")}
    assert sorted(path for path, text in texts.items() if text) == [
        "/usr/share/doc/encode/de/usage.txt",
        "/usr/share/doc/encode/en/usage.txt",
    ]
    assert files["/usr/bin/encode"].mode == 0o755
    assert files["/etc/encode.conf"].uid == 65534
    assert encode.ran() == 0
    (encode.directory / "src" / "log" / "NOTES.md").write_text("Other words.\n")
    assert encode.ran() == 0


def test_secrets(example: Builder, tmp_path: Path) -> None:
    token, key = tmp_path / "token", tmp_path / "key"
    token.write_text("correct-horse-battery-staple")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    secrets = example("secrets")
    machine = secrets.pybuild.having(ACCOUNT="account-of-acme")
    given = ("--secret", f"id=token,src={token}", "--secret", "id=account,env=ACCOUNT", "--ssh", f"default={key}")
    secrets = replace(secrets, pybuild=machine, arguments=given)
    image = built(secrets)
    files = {path: file.text for path, file in image.files().items() if file.kind == "file"}
    digest = hashlib.sha256(b"account-of-acme correct-horse-battery-staple").hexdigest()
    assert files == {"/etc/site.conf": "port = 8080\n", "/srv/model.txt": f"{digest[:8]}\n"}
    assert "correct-horse" not in json.dumps(image.config)
    assert secrets.ran() == 0
    token.write_text("another-horse-battery-staple")
    assert secrets.ran() == 0

    for missing in ("token", "ssh"):
        others = [each for each in zip(given[::2], given[1::2], strict=True) if missing not in "".join(each)]
        wrong = machine("build", ".", "--no-cache", *(word for pair in others for word in pair), cwd=secrets.directory)
        assert wrong.code != 0
        assert missing in wrong.stderr


def test_onbuild(example: Builder, registry: RegistryServer) -> None:
    name = f"{registry.name}/acme/service:1"
    both = example("onbuild")
    base = replace(both, directory=both.directory / "base")
    app = replace(both, directory=both.directory / "app")
    base.build("-t", name, "--push")
    image = built(app, "--build-arg", f"BASE={name}", "--build-arg", "SERVICE=orders")
    assert image.run() == "orders as user 10001: --port 8080\n"
    files = image.files()
    assert files["/app/service.py"].uid == 10001
    assert "/app/Dockerfile" not in files
    assert files["/etc/service"].text == "orders\n"
    assert "OnBuild" not in image.config["config"]
    assert image.config["config"]["User"] == "app"
    nameless = built(app, "--build-arg", f"BASE={name}")
    assert nameless.run() == "unnamed as user 10001: --port 8080\n"


def test_cross(example: Builder, tmp_path: Path) -> None:
    where = example("cross")
    image = built(where, "--platform", f"linux/{layouts.ARCHITECTURE},linux/{layouts.FOREIGN}")
    assert image.run() == f"runs on linux/{layouts.ARCHITECTURE}\n"
    assert image.config["architecture"] == layouts.ARCHITECTURE
    for architecture, machine in (("amd64", 62), ("arm64", 183)):
        place = tmp_path / architecture
        where.build("--platform", f"linux/{architecture}", "-o", str(place), "--target", "binary")
        program = (place / "where").read_bytes()
        assert int.from_bytes(program[18:20], "little") == machine
        assert sorted(path.name for path in place.iterdir()) == ["where"]
    foreign = built(where, "--platform", f"linux/{layouts.FOREIGN}")
    files = {path: file.text for path, file in foreign.files().items()}
    assert files["/etc/where.conf"] == (where.directory / "files" / f"{layouts.FOREIGN}.conf").read_text()
    assert files["/notes.txt"] == f"built on linux/{layouts.ARCHITECTURE} for linux/{layouts.FOREIGN}\n"


def test_contexts(example: Builder, tmp_path: Path) -> None:
    everything = example("contexts")
    base = replace(everything, directory=everything.directory / "base")
    app = replace(everything, directory=everything.directory / "app")
    (base.directory / "rootfs.tar").write_bytes(layouts.layers_of(bases.layout("tiny"))[0])
    layout = tmp_path / "base-layout"
    base.build("-o", f"type=oci,dest={layout},tar=false")
    named = ("--build-context", f"base=oci-layout://{layout}", "--build-context", "theme=../theme")
    image = built(app, *named)
    assert image.run() == "<p>Home.</p>\n"
    files = image.files()
    assert files["/srv/css/theme.css"].text == "p { color: teal; }\n"
    assert files["/srv/LICENSE.txt"].text == "CC0\n"
    assert files["/srv/pages/names.txt"].text == "teal\n"
    assert "/theme" not in files
    assert "LANG=C.UTF-8" in image.config["config"]["Env"]
    assert app.ran(*named) == 0
