"""The files in which Docker's and Podman's tools keep credentials: where they are, and how one is changed.

    {"auths": {"registry.example": {"auth": "base64 of name:password"}},
     "credHelpers": {"other.example": "NAME"}, "credsStore": "NAME"}

(containers-auth.json(5); Docker's config.json.) Other programs write them too, so a change replaces the file as a
whole, keeps what else is in it, and starts again where the file was replaced meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import OutputError, RegistryError
from buildkit_py.paths import STARTED_AS

_LIMIT = 1 << 20
_LOCK_SECONDS = 20.0
_PAUSE = 0.02
_HUB = ("docker.io", "https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")
_PATHS = ("/", "/v1/", "/v2/")
Edit = Callable[[dict[str, Any]], bool]
"""Changes what a file holds in place; False where there was nothing to change."""


@dataclass(frozen=True, slots=True)
class AuthFile:
    """A file that may hold credentials; an `old` one (`~/.dockercfg`) is the table of `auths` alone."""

    path: Path
    old: bool = False

    def read(self) -> dict[str, Any] | None:
        """What it holds; None where there is no such file. Raises `RegistryError`."""
        plain = _read(self.path)
        return {"auths": plain} if self.old and plain is not None else plain

    def change(self, edit: Edit) -> bool:
        """As `change`."""
        return change(self.path, (lambda plain: edit({"auths": plain})) if self.old else edit)


def auth_files(environ: Mapping[str, str]) -> Iterator[AuthFile]:
    """Where credentials are looked for, the first that knows a registry wins."""
    if environ.get("REGISTRY_AUTH_FILE"):
        yield AuthFile(Path(environ["REGISTRY_AUTH_FILE"]))
        return
    home = Path(environ.get("HOME") or "/")
    runtime = environ.get("XDG_RUNTIME_DIR")
    yield AuthFile((Path(runtime) / "containers" if runtime else Path(f"/run/containers/{STARTED_AS}")) / "auth.json")
    yield AuthFile(Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json")
    yield docker_file(environ)
    yield AuthFile(home / ".dockercfg", old=True)


def docker_file(environ: Mapping[str, str]) -> AuthFile:
    """Docker's own, which every other tool reads too."""
    home = Path(environ.get("HOME") or "/")
    return AuthFile(Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json")


def hosts_of(registry: str) -> tuple[str, ...]:
    """What a registry is called in these files, the usual name first."""
    return _HUB if registry == "docker.io" else (registry,)


def server_of(registry: str) -> str:
    """What Docker and the helpers call a registry."""
    return _HUB[1] if registry == "docker.io" else registry


def keys_of(registry: str, path: str = "") -> Iterator[str]:
    """The keys of `auths` that mean exactly this registry, or this part of its repositories."""
    hosts = hosts_of(registry)
    if path:
        yield f"{hosts[0]}/{path}"
        return
    for host in hosts:
        yield host
        if "://" not in host:
            yield from (f"{scheme}{host}{rest}" for scheme in ("https://", "http://", "") for rest in _PATHS)
            yield f"https://{host}"
            yield f"http://{host}"


def table(plain: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """An object of the file, empty where it has none."""
    found = plain.get(name) or {}
    if not isinstance(found, dict):
        raise RegistryError(f"can't read the credentials in {path}: {name} is not an object")
    return found


def change(path: Path, edit: Edit) -> bool:
    """Let `edit` change what a file holds, and put the result in its place: whole, for its owner alone, and durable.

    A link is followed. False where there was nothing to change: then nothing is written. Raises `RegistryError` where
    the file can't be read, `OutputError` where it can't be written.
    """
    real = Path(os.path.realpath(path))
    try:
        if not real.parent.is_dir():
            if not edit({}):
                return False
            real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(real.parent):
            return _changed(real, edit)
    except OSError as error:
        raise OutputError(f"the credentials can't be written to {path}: {error.strerror}") from error


def _changed(real: Path, edit: Edit) -> bool:
    scratch = real.with_name(f".{real.name}.pybuild-{os.urandom(4).hex()}")
    while True:
        before, plain = _stamp(real), _read(real) or {}
        if not edit(plain):
            return False
        try:
            _write(scratch, _encoded(plain, real), like=real)
            # A program that knows nothing of our lock may have written meanwhile: what it wrote must stay.
            if _stamp(real) == before:
                scratch.rename(real)
                break
        finally:
            with suppress(FileNotFoundError):
                scratch.unlink()
    _sync(real.parent)
    return True


def _encoded(plain: dict[str, Any], path: Path) -> bytes:
    try:
        return f"{json.dumps(plain, indent=chr(9), allow_nan=False)}\n".encode()
    except ValueError:
        raise RegistryError(f"{path} holds a number that can't be kept, so the file was left as it is") from None


def _write(scratch: Path, data: bytes, *, like: Path) -> None:
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        with suppress(OSError):
            # As root for somebody else: the file stays theirs.
            state = like.stat()
            os.fchown(fd, state.st_uid, state.st_gid)
        file.write(data)
        file.flush()
        os.fsync(fd)


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Let one pybuild at a time change files of a directory; the lock ends with its holder and leaves no file."""
    deadline = time.monotonic() + _LOCK_SECONDS
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OutputError(f"another process holds {directory} and does not let go") from None
                time.sleep(_PAUSE)
        yield
    finally:
        os.close(fd)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            raw = file.read(_LIMIT + 1)
        # podman starts with an empty file where it is given a new one.
        plain = json.loads(raw or b"{}") if len(raw) <= _LIMIT else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        # the text of a JSON error can't hold file content, its `doc` attribute could
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise RegistryError(f"can't read the credentials in {path}: {reason}") from None
    if not isinstance(plain, dict):
        raise RegistryError(f"can't read the credentials in {path}: it is not a credential file")
    return plain
