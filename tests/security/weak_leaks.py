"""Guards against leaks, taken away one by one: each function is called in a process of the command."""

from __future__ import annotations

from typing import Any


def show_all() -> None:
    """Output is shown as steps print it."""
    from buildkit_py.executor.secrets import Redactor

    Redactor.write = lambda self, data: data  # type: ignore[method-assign]


def search_nothing() -> None:
    """What a step leaves is kept unsearched."""
    from buildkit_py.executor import execs

    execs.refuse_secrets = lambda *_, **__: None


def trust_caches() -> None:
    """Caches are left as a step leaves them."""
    from buildkit_py.executor.leaks import CacheWatch

    CacheWatch.purge = lambda self, secrets, step: None  # type: ignore[method-assign]


def doubt_nothing() -> None:
    """A killed build leaves no mark at the caches that its steps wrote to."""
    from buildkit_py.store.caches import Caches

    Caches.doubt = lambda self, paths: lambda: None  # type: ignore[method-assign]


def hand_on() -> None:
    """Runtimes get the step's environment as their own."""
    from buildkit_py.executor.sandbox import init, process

    def spawn(args: Any, fds: Any = None, enter: Any = None, *, stdin: bool = False) -> int:
        return process.spawn(("/usr/bin/env", *given, *args), fds, enter, stdin=stdin)

    given: list[str] = []
    execve = init._execve

    def remember(step: Any, data: Any) -> Any:
        given[:] = [f"{name}={value}" for name, value in step.env]
        return execve(step, data)

    init._execve, init.spawn = remember, spawn


def give_helpers_all() -> None:
    """CVE-2021-3602: programs that help are started with all that pybuild has in its environment."""
    import os
    import subprocess

    class Popen(subprocess.Popen[Any]):
        def __init__(self, args: Any, **more: Any) -> None:
            super().__init__(args, **{**more, "env": {**os.environ, **more["env"]}})

    subprocess.Popen = Popen  # type: ignore[misc]


def take_addresses() -> None:
    """Passwords in addresses are taken."""
    from buildkit_py import address
    from buildkit_py.executor.source import git, http
    from buildkit_py.graph import values

    for module in (address, git, http, values):
        module.refuse_password = lambda url: None  # type: ignore[attr-defined]


def tell_all() -> None:
    """No guard, but a fault: an error that quotes what a step is made from."""
    from buildkit_py.executor.sandbox import Runner

    def fail(self: Runner, spec: object, *_: object, **__: object) -> None:
        raise RuntimeError(repr(spec))

    Runner.run = fail  # type: ignore[method-assign,assignment]
