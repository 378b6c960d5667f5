"""Stand-ins for the public base images that `examples/dockerfile` names: small, made here, kept in the tests' cache.

What runs in them is real: Go, tcc, a JDK cut down by jlink, nginx, PHP and OpenSSH are Debian's packages laid over the
base `debian`; Python, Node.js and uv are those of `bases.py` and of a wheel. What an image's own authors add is written
by hand as short scripts: `mvn`, `docker-php-ext-install`, nginx's entrypoint, `git` (see `standin_scripts.py`).
"""

from __future__ import annotations

import inspect
import re
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support import bases, cache, debian, layouts, standin_layers, standin_scripts
from tests.support.layouts import ARCHITECTURE, FOREIGN, Entry, Image, folder, layer, link, write_index, write_layout
from tests.support.standin_layers import debian_layers, layers, names_of, packages, tell_history, with_user

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MIRROR = "mirror.example"
"""The host in the `sources.list` of `debian:bookworm-slim`: a build reaches it through a proxy."""


def golang() -> Image:
    """Go's compiler and sources; its libraries are compiled when they are first needed."""
    unneeded = re.compile(r"/pkg/linux_|/go-[0-9.]+/(test|api|misc)/|/testdata/|_test\.go$")
    environment = [f"PATH=/go/bin:{PATH}", "GOPATH=/go", "GOTOOLCHAIN=local", "GOFLAGS=-vet=off"]
    config = {"Env": environment, "WorkingDir": "/go", "Cmd": ["bash"]}
    return [*debian_layers(), packages("golang-go", without=unneeded), layer([folder("go", 0o777)])], config


def gcc() -> Image:
    """tcc under gcc's name, with make and the C library's headers."""
    names = [link(f"usr/local/bin/{name}", "/usr/bin/tcc") for name in ("gcc", "cc")]
    names.append(Entry(name="usr/local/bin/ar", data=b'#!/bin/sh\nexec tcc -ar "$@"\n', mode=0o755))
    tree = packages("tcc", "libc6-dev", "make", without=re.compile(r"/bin/[a-z0-9]+-tcc$|/lib(c|m|m-[0-9.]+|mvec)\.a$"))
    return [*debian_layers(), tree, layer(names)], {"Env": [f"PATH={PATH}"]}


def jdk() -> Image:
    """A JDK that compiles, packs and runs, and Maven's `mvn` as a script."""
    return _java("jdk.compiler,jdk.jartool,jdk.jlink", Entry(name="usr/bin/mvn", data=standin_scripts.MVN, mode=0o755))


def jre() -> Image:
    """A Java that runs."""
    return _java("java.base")


def _java(modules: str, *more: Entry) -> Image:
    smaller = "--strip-java-debug-attributes --no-header-files --no-man-pages"
    options = f"--add-modules {modules} {smaller} --output /opt/java/openjdk"
    jlink = "$(cd $1 && ls usr/lib/jvm/java-*-openjdk-*/bin/jlink | head -n 1)"
    hooks = ("--setup-hook=mkdir -p $1/opt $1/proc", f"--extract-hook=chroot $1 /{jlink} {options}")
    tree = packages("default-jdk-headless", only=re.compile(r"opt/"), hooks=hooks)
    env = ["JAVA_HOME=/opt/java/openjdk", f"PATH=/opt/java/openjdk/bin:{PATH}"]
    return [*debian_layers(), tree, layer(more)], {"Env": env, "Cmd": ["jshell"]}


def nginx() -> Image:
    """Debian's nginx, arranged as the image for it is."""
    scripts = (
        Entry(name="docker-entrypoint.sh", data=standin_scripts.NGINX_ENTRYPOINT, mode=0o755),
        Entry(name="docker-entrypoint.d/20-envsubst-on-templates.sh", data=standin_scripts.NGINX_TEMPLATES, mode=0o755),
        Entry(name="etc/nginx/nginx.conf", data=standin_scripts.NGINX_CONF),
        Entry(name="etc/nginx/conf.d/default.conf", data=b"server { listen 80; root /usr/share/nginx/html; }\n"),
        Entry(name="usr/share/nginx/html/index.html", data=b"Welcome to nginx!\n"),
        folder("var/cache/nginx"),
        *with_user("nginx:x:101:101:nginx user:/nonexistent:/bin/false", "nginx:x:101:"),
    )
    config = {
        "Env": [f"PATH={PATH}", "NGINX_VERSION=1.22"],
        "ExposedPorts": {"80/tcp": {}},
        "Entrypoint": ["/docker-entrypoint.sh"],
        "Cmd": ["nginx", "-g", "daemon off;"],
        "StopSignal": "SIGQUIT",
    }
    return [*debian_layers(), packages("nginx-light", "gettext-base"), layer(scripts)], config


def php() -> Image:
    """Debian's PHP, with the scripts that the image for it has."""
    tree = packages("php-cli")
    names = names_of(tree)
    program = next(name for name in names if re.fullmatch(r"usr/bin/php[0-9.]+", name))
    version = program.removeprefix("usr/bin/php")
    entries = [
        link("usr/local/bin/php", f"/{program}"),
        link(f"etc/php/{version}/cli", "/usr/local/etc/php"),
        folder("usr/local/etc/php/conf.d"),
        Entry(name="usr/local/etc/php/php.ini-production", data=b"display_errors = Off\nmemory_limit = 128M\n"),
        *(Entry(name=f"usr/local/bin/{name}", data=data, mode=0o755) for name, data in standin_scripts.PHP.items()),
    ]
    config = {
        "Env": [f"PATH={PATH}", "PHP_INI_DIR=/usr/local/etc/php", f"PHP_VERSION={version}"],
        "Entrypoint": ["docker-php-entrypoint"],
        "Cmd": ["php", "-a"],
    }
    return [*debian_layers(), tree, layer(entries)], config


def git() -> Image:
    """A `git` that clones what nobody has, where the ssh agent holds a key."""
    program = Entry(name="usr/bin/git", data=standin_scripts.GIT, mode=0o755)
    return [*debian_layers(), packages("openssh-client"), layer([program])], {
        "Env": [f"PATH={PATH}"], "WorkingDir": "/git", "Entrypoint": ["git"]
    }  # fmt: skip


def python() -> Image:
    """Debian's Python under the names that the image for it has."""
    names = layer([link(f"usr/local/bin/{name}", "/usr/bin/python3") for name in ("python", "python3")])
    return [*layers("python"), names], {"Env": [f"PATH={PATH}", "LANG=C.UTF-8"], "Cmd": ["python3"]}


def python_distroless() -> Image:
    """Python without a shell or a package manager, whose program is Python."""
    gone = [Entry(name=f"usr/bin/.wh.{name}") for name in ("sh", "dash", "bash", "apt", "apt-get", "dpkg", "perl")]
    users = with_user("nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin", "nonroot:x:65532:")
    config = {
        "Env": [f"PATH={PATH}", "LANG=C.UTF-8"],
        "User": "65532",
        "WorkingDir": "/home/nonroot",
        "Entrypoint": ["/usr/bin/python3"],
    }
    return [*layers("python"), layer([*gone, *users])], config


def distroless() -> Image:
    """What a static program needs: a user, a place for temporary files, nothing that runs."""
    entries = [
        *map(folder, ("etc", "home")),
        folder("tmp", 0o1777),
        Entry(name="home/nonroot", kind=tarfile.DIRTYPE, mode=0o700, uid=65532, gid=65532),
        Entry(name="etc/passwd", data=b"root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532::/home/nonroot:\n"),
        Entry(name="etc/group", data=b"root:x:0:\nnonroot:x:65532:\n"),
    ]
    return [layer(entries)], {"Env": [f"PATH={PATH}"], "User": "65532", "WorkingDir": "/home/nonroot"}


def node() -> Image:
    """The base `node`, with its user."""
    users = with_user("node:x:1000:1000::/home/node:/bin/bash", "node:x:1000:")
    home = Entry(name="home/node", kind=tarfile.DIRTYPE, mode=0o755, uid=1000, gid=1000)
    return [*layers("node"), layer([*users, home])], {"Env": [f"PATH={PATH}", "NODE_VERSION=22"], "Cmd": ["node"]}


def uv() -> Image:
    """Nothing but uv, as its wheel brings it."""
    with tempfile.TemporaryDirectory() as wheels:
        cache.run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", wheels, "uv>=0.8")
        with zipfile.ZipFile(next(Path(wheels).glob("*.whl"))) as wheel:
            members = [name for name in wheel.namelist() if name.endswith(("/uv", "/uvx"))]
            entries = [Entry(name=name.rpartition("/")[2], data=wheel.read(name), mode=0o755) for name in members]
    return [layer(entries)], {"Env": [f"PATH={PATH}"], "Entrypoint": ["/uv"]}


def debian_slim() -> Image:
    """The base `debian`, whose packages come from a host that only a proxy knows."""
    line = f"deb [trusted=yes] http://{MIRROR} {debian.SUITE} main\n"
    clean = b'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };\n'
    entries = [
        Entry(name="etc/apt/sources.list", data=line.encode()),
        Entry(name="etc/apt/apt.conf.d/docker-clean", data=clean),
    ]
    return [*debian_layers(), layer(entries)], {"Env": [f"PATH={PATH}"], "Cmd": ["bash"]}


def tiny() -> Image:
    """The base `tiny`: busybox."""
    return layers("tiny"), {"Env": [f"PATH={PATH}"], "Cmd": ["/bin/sh"]}


STANDINS: Mapping[str, Callable[[], Image]] = {
    "docker.io/library/golang:1.22": golang,
    "docker.io/library/gcc:14": gcc,
    "docker.io/library/maven:3.9-eclipse-temurin-17": jdk,
    "docker.io/library/eclipse-temurin:17-jre": jre,
    "docker.io/library/nginx:1.27-alpine": nginx,
    "docker.io/library/php:8.2-cli": php,
    "docker.io/library/python:3.12-slim": python,
    "docker.io/library/node:22-slim": node,
    "docker.io/library/debian:bookworm-slim": debian_slim,
    "docker.io/library/alpine:3.20": tiny,
    "docker.io/library/busybox:1.36": tiny,
    "docker.io/alpine/git:latest": git,
    "gcr.io/distroless/static-debian12:nonroot": distroless,
    "gcr.io/distroless/python3-debian12:nonroot": python_distroless,
    "ghcr.io/astral-sh/uv:0.8": uv,
}
HOSTS = ("docker.io", "gcr.io", "ghcr.io")
"""The registries that the names are of."""


def push(name: str, registry: str) -> None:
    """Copy the stand-in for an image into a registry (`host:port`, plain HTTP), where a mirror is asked for it."""
    source, target = f"oci:{layout(name)}:latest", f"docker://{registry}/{name.partition('/')[2]}"
    cache.run("skopeo", "copy", "--quiet", "--all", "--dest-tls-verify=false", source, target)


def layout(name: str) -> Path:
    """The OCI layout of a stand-in, made where it is not there yet."""
    make = STANDINS[name]
    parts = (make, _java, standin_layers, standin_scripts, bases, layouts)
    recipe = "".join(inspect.getsource(part) for part in parts) + debian.recipe()
    return cache.once(f"standin-{make.__name__}", recipe, lambda directory: _write(directory, make))


def _write(directory: Path, make: Callable[[], Image]) -> None:
    if make is distroless:
        write_index(directory, {ARCHITECTURE: make(), FOREIGN: make()})
    else:
        write_layout(directory, *make())
    tell_history(directory)
