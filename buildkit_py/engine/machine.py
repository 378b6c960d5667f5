"""What pybuild finds on this machine, for `pybuild info`: plain facts, each by itself.

No fact that can't be had costs another: it is left out, and `problems` says why, by the name of the fact.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkit_py import __version__
from buildkit_py.errors import MissingToolError, PybuildError
from buildkit_py.paths import STARTED_AS_ROOT

if TYPE_CHECKING:
    from buildkit_py.executor.sandbox import Runner
    from buildkit_py.store import Store

_PATIENCE = 10.0
_VERSION = re.compile(r"\d+\.\d+\S*")
RESTRICTIONS = (
    "files can belong only to numbers in the user's ranges of /etc/subuid and /etc/subgid",
    "device nodes can't be made, by steps or by unpacking a layer",
)
"""What an ordinary user can't do that root can."""


class Machine:
    """Looks around, with a store at `root` (which need not be there) and `others` that are only read."""

    def __init__(self, root: Path, others: Sequence[Path]) -> None:
        self._root = root
        self._others = others
        self._problems: dict[str, str] = {}

    def facts(self) -> dict[str, Any]:
        """Everything, by the name of the fact; a JSON object."""
        found: dict[str, Any] = {"version": __version__}
        with ExitStack() as stack:
            for name, look in self._looks(stack):
                try:
                    found[name] = look()
                except PybuildError as error:
                    self._problems[name] = f"{error.message}; {error.hint}" if error.hint else error.message
                except (OSError, ValueError, LookupError) as error:
                    self._problems[name] = str(error)
        return {**found, "problems": self._problems}

    def _looks(self, stack: ExitStack) -> Iterator[tuple[str, Callable[[], Any]]]:
        yield "system", _system
        yield "user", _user
        opened: list[Store] = []
        yield "store", lambda: self._store(stack, opened)
        yield "additional_stores", self._additional
        yield "runtimes", _runtimes
        yield "snapshotter", lambda: self._snapshotter(opened)
        yield "cgroups", _cgroups
        yield "registries", _registries
        yield "trust_policy", _trust_policy

    def _store(self, stack: ExitStack, opened: list[Store]) -> dict[str, Any]:
        from buildkit_py.store import Store
        from buildkit_py.store.mounts import Mounts

        there = (self._root / "version").is_file()
        near = _existing(self._root)
        disk = os.statvfs(near)
        found = {
            "path": str(self._root),
            "exists": there,
            "file_system": Mounts().kind(near),
            "free": disk.f_bavail * disk.f_frsize,
            "quota": None,
            "images": 0,
        }
        if there:
            store = stack.enter_context(Store.open(self._root, create=False, others=self._others))
            opened.append(store)
            found |= {"quota": store.space.quota, "images": len(store.images.list())}
        return found

    def _additional(self) -> list[dict[str, Any]]:
        from buildkit_py.store.additional import usable

        return [{"path": str(place), "problem": next(iter(usable([place])[1]), None)} for place in self._others]

    def _snapshotter(self, opened: Sequence[Store]) -> dict[str, Any]:
        """The one that `auto` takes, and what was tried: `refusal` says why one can't be used."""
        from buildkit_py.executor.snapshotter import NAMES, refusal_of

        tried = []
        with self._runner(opened) as (runner, directory):
            for name in NAMES:
                tried.append({"name": name, "refusal": refusal_of(name, runner, directory)})
        return {"used": next(each["name"] for each in tried if each["refusal"] is None), "tried": tried}

    @contextmanager
    def _runner(self, opened: Sequence[Store]) -> Iterator[tuple[Runner, Path]]:
        """What tries an overlay, and a directory on the file system of the snapshots."""
        from buildkit_py.executor.sandbox import Runner, pick_runtime

        with ExitStack() as stack:
            if opened:
                directory = stack.enter_context(opened[0].snapshots.area()).work
                state = opened[0].root / "run"
            else:
                place = tempfile.TemporaryDirectory(dir=_existing(self._root), prefix=".pybuild-info-")
                directory = Path(stack.enter_context(place))
                state = directory / "run"
            yield stack.enter_context(Runner(pick_runtime(), state)), directory


def _existing(path: Path) -> Path:
    """The path, or the nearest directory above it that is there."""
    path = Path(os.path.realpath(path))
    return next(place for place in (path, *path.parents) if place.is_dir())


def _system() -> dict[str, str]:
    from buildkit_py.platform import Platform

    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "platform": str(Platform.host()),
        "python": platform.python_version(),
    }


def _user() -> dict[str, Any]:
    """An ordinary user enters the namespace that builds run in, and becomes root there."""
    if STARTED_AS_ROOT:
        return {"rootless": False, "restrictions": []}
    from buildkit_py.executor.sandbox import enter_user_namespace

    if os.geteuid() != 0:
        enter_user_namespace()
    return {"rootless": True, "restrictions": list(RESTRICTIONS)}


def _runtimes() -> dict[str, Any]:
    """Those that are installed, and the one that `auto` takes: the first."""
    from buildkit_py.executor.sandbox import pick_runtime
    from buildkit_py.executor.sandbox.runtime import NAMES

    found: list[dict[str, Any]] = []
    for name in NAMES:
        try:
            path = pick_runtime(name).path
        except MissingToolError as error:
            found.append({"name": name, "path": None, "version": None, "problem": error.message})
        else:
            found.append({"name": name, "path": path, **_version(path)})
    used = next((each["name"] for each in found if each["path"]), None)
    return {"used": used, "found": found}


def _version(path: str) -> dict[str, str | None]:
    try:
        ran = subprocess.run([path, "--version"], env={}, capture_output=True, text=True, timeout=_PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return {"version": None, "problem": f"it does not tell its version: {error}"}
    found = _VERSION.search(ran.stdout)
    return {"version": found[0] if found else None, "problem": None}


def _cgroups() -> dict[str, Any]:
    """What steps can be limited by: each controller with the version of cgroups that carries it, and why not."""
    from buildkit_py.executor.cgroup import find

    return {
        name: {"version": found.version or None, "refusal": found.refusal or None, "remedy": found.remedy or None}
        for name, found in find().items()
    }


def _registries() -> dict[str, Any]:
    """The configuration in force, by host."""
    from buildkit_py.registry.config import load

    config = load()
    hosts = {
        name: {"mirrors": list(host.mirrors), "plain_http": host.plain_http, "ca": str(host.ca) if host.ca else None}
        for name, host in config.hosts.items()
    }
    return {"path": str(config.path), "exists": config.path is not None and config.path.is_file(), "hosts": hosts}


def _trust_policy() -> dict[str, Any] | None:
    """The policy that base images are held against, with the types of its default requirements; None without one."""
    from buildkit_py.trust.policy import Accept, Reject, SignedBy, load

    policy = load()
    if policy is None:
        return None
    words = {Accept: "insecureAcceptAnything", Reject: "reject", SignedBy: "signedBy"}
    return {"path": str(policy.path), "default": [words.get(type(each), "sigstoreSigned") for each in policy.default]}
