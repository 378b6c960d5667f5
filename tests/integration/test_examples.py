"""Every example is built by the real command, read by umoci and skopeo, started by runc, built again from the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import cache, debian, httpd, packages
from tests.support.command import ROOT, Pybuild
from tests.support.examples import Example

LOGIN = "reader:correct-horse-battery"


def test_every_example_is_tested() -> None:
    """Those in "dockerfile" have a file of tests of their own."""
    here = Path(__file__).read_text()
    for folder in sorted((ROOT / "examples").iterdir()):
        if folder.is_dir():
            assert f'"{folder.name}"' in here, f"examples/{folder.name} has no test"
            assert (folder / "README.md").is_file(), f"examples/{folder.name} has no README"
            assert f"[{folder.name}]({folder.name})" in (ROOT / "examples" / "README.md").read_text()


def test_static_c(pybuild: Pybuild, tmp_path: Path) -> None:
    example = Example.copy(pybuild, "static-c", into=tmp_path)
    example.build()
    image = example.archive("greet.tar")
    assert list(image.files()) == ["/greet"]
    assert image.run("/greet", "runc") == "hello, runc\n"
    assert image.config["config"]["User"] == "65534:65534"
    assert example.ran() == 0
    (example.directory / "greet.c").write_text((example.directory / "greet.c").read_text().replace("hello", "hallo"))
    assert example.ran() > 0
    assert example.archive("greet.tar").run("/greet", "runc") == "hallo, runc\n"


def test_static_site(pybuild: Pybuild, tmp_path: Path) -> None:
    example = Example.copy(pybuild, "static-site", into=tmp_path)
    example.build()
    index = json.loads(cache.run("skopeo", "inspect", "--raw", f"oci:{example.directory / 'out'}"))
    platforms = [row["platform"] for row in index["manifests"]]
    names = {"/".join(filter(None, map(each.get, ("os", "architecture", "variant")))) for each in platforms}
    assert names == {"linux/amd64", "linux/arm64", "linux/arm/v7"}
    files = example.layout().files()
    assert files["/srv/www/home.html"].text == "index.html"
    assert "/srv/www/next.draft.html" not in files
    assert {file.mtime for file in files.values()} == {0}
    assert example.ran() == 0


@pytest.mark.parametrize("name", ["static-c", "static-site"])
def test_two_machines_make_the_same_image(pybuild: Pybuild, tmp_path: Path, name: str) -> None:
    """Another store, place, umask, time zone and language; the digest is the same."""
    digests = set()
    for number, environment in enumerate(({"TZ": "UTC"}, {"TZ": "Pacific/Auckland", "LC_ALL": "C.UTF-8"})):
        place = tmp_path / f"machine-{number}"
        place.mkdir()
        machine = replace(pybuild.having(**environment), store=place / "store")
        example = Example.copy(machine, name, into=place)
        before = os.umask((0o022, 0o077)[number])
        try:
            digests.add(example.build("--quiet").stdout.strip())
        finally:
            os.umask(before)
    assert len(digests) == 1
    assert digests.pop().startswith("sha256:")


def debian_arguments(mirror: str) -> tuple[str, ...]:
    """The params that send mmdebstrap to the local repository."""
    return ("--param", f"suite={debian.SUITE}", "--param", f"mirror={mirror}")


@pytest.mark.xdist_group("mmdebstrap")
def test_quickstart(pybuild: Pybuild, tmp_path: Path, debian_mirror: str) -> None:
    example = Example.copy(pybuild, "quickstart", *debian_arguments(debian_mirror), into=tmp_path)
    example.build()
    image = example.layout()
    assert len(image.manifest["layers"]) == 3
    assert image.run() == "hello from pybuild, as user 10001\n"
    assert example.ran() == 0


@pytest.mark.xdist_group("mmdebstrap")
def test_debian(pybuild: Pybuild, tmp_path: Path, debian_mirror: str) -> None:
    example = Example.copy(pybuild, "debian", *debian_arguments(debian_mirror), into=tmp_path)
    example.build()
    image = example.docker("debian.tar")
    files = image.files()
    assert files["/bin"].text == "usr/bin"
    assert [path for path in files if path.startswith(("/dev/", "/proc/", "/sys/"))] == []
    assert "dpkg" in image.run("dpkg-query", "--show", "--showformat=${Package}\\n").splitlines()
    assert example.ran() == 0


@pytest.mark.xdist_group("mmdebstrap")
def test_service(
    pybuild: Pybuild, tmp_path: Path, bases: Callable[..., str], registry: object, python_index: httpd.Served
) -> None:
    bases("python", "3.11")
    login = tmp_path / "auth.conf"
    with debian.serve(password=LOGIN) as mirror:
        host = mirror.split()[2]
        login.write_text(f"machine {host} login {LOGIN.partition(':')[0]} password {LOGIN.partition(':')[2]}\n")
        params = (*debian_arguments(mirror), "--param", f"index={python_index.url}/simple")
        secret = ("--secret", f"id=mirror_auth,src={login}")
        example = Example.copy(pybuild, "service", *params, *secret, into=tmp_path)
        said = example.build()
        assert "--push" in said.output
        image = example.archive("web.oci.tar")
        assert len(image.manifest["layers"]) == 3
        assert image.run("python3", "-m", "acme", "--version") == "acme 1.4.2\n"
        assert image.files()["/opt/app/manifest.txt"].uid == 10001
        assert image.config["config"]["ExposedPorts"] == {"8080/tcp": {}}
        assert_unknown(LOGIN.partition(":")[2], image.rootfs, pybuild.store)
        assert example.ran() == 0

        example.build("--param", "variant=debug")
        debug = example.archive("web.oci.tar")
        assert debug.manifest["layers"][:3] == image.manifest["layers"]
        assert len(debug.manifest["layers"]) == 4

    wrong = pybuild("build", ".", *params, "--param", "variant=fat", cwd=example.directory)
    assert wrong.code != 0
    assert "slim" in wrong.stderr


def test_rpm(pybuild: Pybuild, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    acme_rpms(repository, tmp_path / "trees")
    with httpd.serve(repository) as served:
        example = Example.copy(pybuild, "rpm", "--param", f"repository={served.url}", into=tmp_path)
        example.build()
        names = cache.run("tar", "--list", "--file", example.directory / "out" / "greet.tar").split()
        assert {"etc/greet.conf", "usr/bin/greet", "bin"} <= {name.removeprefix("./").rstrip("/") for name in names}
        assert not [name for name in names if name.endswith(".log")]
        assert example.ran() == 0


def acme_rpms(repository: Path, trees: Path) -> None:
    """A distribution of two packages: a busybox system, and a program with a script."""
    release, greet = trees / "release", trees / "greet"
    for folder in ("usr/bin", "etc", "tmp", "root", "dev", "proc", "sys"):
        (release / folder).mkdir(parents=True)
    (release / "bin").symlink_to("usr/bin")
    (release / "usr/bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (release / "usr/bin/busybox").chmod(0o755)
    for name in ("sh", "cat", "grep", "echo", "env", "id"):
        (release / "usr/bin" / name).symlink_to("busybox")
    (release / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (release / "etc/group").write_text("root:x:0:\n")
    (greet / "usr/bin").mkdir(parents=True)
    (greet / "usr/bin/greet").write_text("#!/bin/sh\necho hello from an RPM\n")
    (greet / "usr/bin/greet").chmod(0o755)
    packages.rpm(repository, "acme-release", "1", release, relations="Provides: /bin/sh")
    post = "echo 'made by %%post' > /etc/greet.conf"
    packages.rpm(repository, "acme-greet", "1.0", greet, relations="Requires: acme-release", post=post)
    packages.rpm_index(repository)


@pytest.mark.xdist_group("node")
def test_node(pybuild: Pybuild, tmp_path: Path, bases: Callable[..., str], registry: object) -> None:
    bases("node", "22")
    served_from = tmp_path / "npm"
    served_from.mkdir()
    with httpd.serve(served_from) as served:
        code = "module.exports = (text) => (text === '2 days' ? 172800000 : NaN);\n"
        integrity = packages.npm_package(served_from, served.url, "ms", "2.1.3", {"index.js": code})
        example = Example.copy(pybuild, "node", "--param", f"registry={served.url}", into=tmp_path)
        lock = example.directory / "package-lock.json"
        plain = json.loads(lock.read_text())
        plain["packages"]["node_modules/ms"]["integrity"] = integrity
        lock.write_text(json.dumps(plain, indent=2))

        example.build()
        image = example.archive("howlong.tar")
        assert image.run("node", "/app/src/main.js", "2", "days") == "2 days is 172800000 ms\n"
        assert not [path for path in image.files() if path.startswith("/root/.npm")]
        assert example.ran() == 0

        fetched = served.requests.count("/ms/-/ms-2.1.3.tgz")
        plain["packages"][""]["version"] = "1.0.1"
        lock.write_text(json.dumps(plain, indent=2))
        assert example.ran() > 0
        assert served.requests.count("/ms/-/ms-2.1.3.tgz") == fetched == 1


@pytest.fixture
def python_index(tmp_path: Path) -> Iterator[httpd.Served]:
    """A package index with an imitation of what the service needs."""
    index = tmp_path / "index"
    index.mkdir()
    packages.wheel(index, "humanize", "4.9.0", "def precisedelta(seconds):\n    return f'{seconds:.0f} seconds'\n")
    with httpd.serve(index) as served:
        yield served


def test_private(pybuild: Pybuild, tmp_path: Path, bases: Callable[..., str], registry: object) -> None:
    bases("python", "3.11")
    index = tmp_path / "index"
    index.mkdir()
    packages.wheel(index, "acme_private", "1.0", "ANSWER = 42\n")
    (index / "simple" / "acme_private").rename(index / "simple" / "acme-private")
    user, _, password = LOGIN.partition(":")
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {user} password {password}\n")
    with httpd.serve(index, password=LOGIN) as served:
        params = ("--param", f"index={served.url}/simple")
        example = Example.copy(pybuild, "private", *params, into=tmp_path)
        refused = pybuild("build", ".", *params, cwd=example.directory)
        assert refused.code == 2
        assert "index_login" in refused.stderr
        secret = ("--secret", f"id=index_login,src={netrc}")
        said = example.build(*secret)
        assert password not in said.output
        image = example.archive("report.tar")
        assert image.run() == "private: 42\n"
        assert_unknown(password, image.rootfs, pybuild.store)
        assert example.ran(*secret) == 0


def assert_unknown(secret: str, *places: Path) -> None:
    """No file below any of the places holds the secret."""
    for place in places:
        done = subprocess.run(["grep", "-rlaF", "--devices=skip", secret, str(place)], capture_output=True, text=True)
        assert done.stdout == "", f"the secret is in {done.stdout}"


def test_monorepo(pybuild: Pybuild, tmp_path: Path, bases: Callable[..., str], registry: object) -> None:
    bases("tiny", "1.36", name="busybox")
    example = Example.copy(pybuild, "monorepo", into=tmp_path)
    example.build()
    api, worker = example.archive("api-release.tar"), example.archive("worker-release.tar")
    assert api.manifest["layers"][:2] == worker.manifest["layers"][:2]
    assert api.run() == "api listens on 8080\n"
    assert worker.run() == "worker has no port\n"
    assert example.ran() == 0
    example.build("--target", "api", "--param", "variant=debug")
    debug = example.archive("api-debug.tar")
    assert debug.manifest["layers"][:3] == api.manifest["layers"]
    assert len(debug.manifest["layers"]) == 4


def test_graph_api(pybuild: Pybuild, tmp_path: Path, bases: Callable[..., str], registry: object) -> None:
    bases("tiny", "1.36", name="busybox")
    example = Example.copy(pybuild, "graph-api", into=tmp_path)
    environment = {"PATH": "/nonexistent", "HOME": "/nonexistent", "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "sites.py", "sites.toml"]
    done = subprocess.run(program, cwd=example.directory, env=environment, capture_output=True, check=True)
    assert done.stderr.decode() == "fetches docker.io/library/busybox:1.36\n2 images from 6 steps\n"
    (example.directory / "sites.json").write_bytes(done.stdout)
    example.build("--graph", "sites.json")
    for name, rule in (("docs", "Allow"), ("blog", "Disallow")):
        image = example.archive(f"{name}.tar")
        assert image.run("cat", "/srv/www/robots.txt") == f"User-agent: *\n{rule}: /\n"
    assert example.ran("--graph", "sites.json") == 0
