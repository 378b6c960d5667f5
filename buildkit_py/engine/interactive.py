"""A shell in an image: the sandbox of a step, with the person at its terminal instead of a build around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from threading import Event
from typing import TYPE_CHECKING, Literal

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.engine.check import can_run
from buildkit_py.engine.unpacked import UnpackedImage, unpacked
from buildkit_py.errors import MissingToolError, NotFoundError, UsageError
from buildkit_py.executor.outfit import Outfitter
from buildkit_py.executor.sandbox import BindMount, Runner, SandboxSpec, pick_runtime
from buildkit_py.executor.sandbox.console import Console
from buildkit_py.executor.sandbox.program import DEFAULT_PATH
from buildkit_py.executor.snapshotter import pick_snapshotter
from buildkit_py.graph.codec import encode
from buildkit_py.graph.op import Run
from buildkit_py.layer.tree import resolve
from buildkit_py.platform import Platform
from buildkit_py.protocol import StepTask

if TYPE_CHECKING:
    from buildkit_py.executor.source.image import Tell
    from buildkit_py.layer.tree import Tree
    from buildkit_py.store import Store

SHELLS = (
    *(("/bin/bash",), ("/usr/bin/bash",), ("/bin/sh",), ("/usr/bin/sh",), ("/bin/ash",)),
    *(("/busybox/sh",), ("/bin/busybox", "sh"), ("/usr/bin/busybox", "sh")),
)
"""What is taken for a shell where no command is given: the first that the image has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to run in an image, and how. Without `args` it is a shell; `user` and `workdir` are the image's own where
    they are empty; `mounts` are directories and files of this machine."""

    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    user: str = ""
    workdir: str = ""
    network: Literal["none", "host"] = "none"
    mounts: tuple[BindMount, ...] = ()
    writable: bool = False
    runtime: str = "auto"


def enter(
    store: Store,
    name: str,
    wish: Wish,
    console: Console,
    *,
    platform: Platform | None,
    environ: Mapping[str, str],
    tell: Tell,
    note: Callable[[str], None],
) -> int:
    """Run it in the image of that name, connected with the console; returns the exit status. Nothing of it is kept.

    `environ` is this process's environment, of which the terminal's kind is taken. Raises `NotFoundError` for an image
    without a shell, `MissingToolError` for one of another machine, `SandboxError`, and what unpacking raises.
    """
    runtime = pick_runtime(wish.runtime)
    with unpacked(store, name, platform, tell=tell, note=note) as found, ExitStack() as stack:
        _refuse_foreign(name, found)
        op = _step(name, found, wish, environ if console.terminal else {})
        runner = stack.enter_context(Runner(runtime, store.root / "run"))
        area = stack.enter_context(store.snapshots.area())
        snapshotter = pick_snapshotter("auto", runner, area.work, note)
        task = StepTask(key="shell", op=encode(op), inputs=(), platform="", discard=True)
        root = snapshotter.scratch(found.directories, found.tree, area.path / "tree")
        spec = Outfitter(found.shop, task, area, stack, snapshotter, Event()).spec(op, root, found.tree)
        stack.enter_context(console)
        return runner.attach(_beyond_a_step(spec, wish), console).exit


def _refuse_foreign(name: str, found: UnpackedImage) -> None:
    platform = found.image.platform
    if platform is not None and not can_run(platform):
        raise MissingToolError(
            f"{name} is for {platform}, whose programs this machine can't run",
            hint="install the packages qemu-user-static and binfmt-support; `pybuild mount` shows its files as it is",
        )


def _step(name: str, found: UnpackedImage, wish: Wish, environ: Mapping[str, str]) -> Run:
    config = found.image.config
    kind = {"TERM": environ["TERM"]} if environ.get("TERM") else {}
    env = {"PATH": DEFAULT_PATH, **kind, **dict(config.env), **dict(wish.env)}
    return Run(
        args=wish.args or _shell(name, found),
        env=tuple(sorted(env.items())),
        cwd=str(PurePosixPath("/", config.workdir, wish.workdir)),
        user=wish.user or config.user,
        network=wish.network,
    )


def _shell(name: str, found: UnpackedImage) -> tuple[str, ...]:
    for words in SHELLS:
        if _is_there(found.tree, words[0]):
            return words
    config = found.image.config
    command = [*(config.entrypoint or ()), *(config.command or ())]
    has = f"it runs {' '.join(command)}" if command else "it says not what it runs"
    raise NotFoundError(
        f"{name} has no shell; {has}",
        hint=f"pybuild shell {name} -- COMMAND runs a program of it; pybuild mount {name} DIR shows its files",
    )


def _is_there(tree: Tree, path: str) -> bool:
    entry = tree.lookup(resolve(tree, path))
    return entry is not None and entry.type in ("file", "hardlink")


def _beyond_a_step(spec: SandboxSpec, wish: Wish) -> SandboxSpec:
    """With what no step can have: a root that can't be written, and mounts of this machine."""
    ordered = sorted((*spec.mounts, *wish.mounts), key=lambda mount: len(PurePosixPath(mount.target).parts))
    return replace(spec, mounts=tuple(ordered), read_only=not wish.writable)


def bind(text: str) -> BindMount:
    """`SOURCE:TARGET` or `SOURCE:TARGET:ro`; raises `UsageError`."""
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    path = Path(source)
    if not source or not target.startswith("/") or mode not in ("", "ro", "rw"):
        raise UsageError(f"can't read --mount {text!r}", hint="write --mount SOURCE:/TARGET, or SOURCE:/TARGET:ro")
    if not path.exists():
        raise UsageError(f"--mount {text!r}: there is no {source} on this machine")
    real = path.resolve()
    return BindMount(source=str(real.parent), path=f"/{real.name}", target=target, read_only=mode == "ro")
