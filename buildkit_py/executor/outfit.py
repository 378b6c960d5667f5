"""Outfitting a sandbox: from an op's environment, user and mounts to a spec of files on this machine."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from threading import Event
from typing import TYPE_CHECKING

from buildkit_py.errors import SandboxError, SourceInputError
from buildkit_py.executor import sandbox
from buildkit_py.executor.shown import Shown
from buildkit_py.executor.ssh import forwarded
from buildkit_py.executor.tools import HOST_PATH
from buildkit_py.executor.waiting import enter_patiently
from buildkit_py.executor.workshop import Workshop
from buildkit_py.graph.op import (
    BindMount,
    CacheMount,
    ExecStep,
    FileMount,
    Host,
    Mount,
    Run,
    SecretMount,
    SshMount,
    TmpfsMount,
)
from buildkit_py.layer.owner import User, resolve_owner, resolve_user
from buildkit_py.layer.tree import Tree, resolve
from buildkit_py.protocol import StepTask, TaskInput

if TYPE_CHECKING:
    from buildkit_py.executor.snapshotter import Snapshotter
    from buildkit_py.store.caches import Sharing
    from buildkit_py.store.snapshots import Area

ROOT = User(uid=0, gid=0, groups=(0,), home="/root")
HOSTNAME = "pybuild"


class Outfitter:
    """Makes the spec of one step. What must be given back afterwards is put on `stack`."""

    def __init__(
        self,
        shop: Workshop,
        task: StepTask,
        area: Area,
        stack: ExitStack,
        snapshotter: Snapshotter,
        cancelled: Event,
    ) -> None:
        self._shop = shop
        self._task = task
        self._area = area
        self._stack = stack
        self._snapshotter = snapshotter
        self._cancelled = cancelled
        self._places = itertools.count()
        self._env: dict[str, str] = {}
        self._agents: dict[str, str] = {}
        self._plain = False
        self._shown = Shown(shop, task, cancelled)
        self.caches: dict[str, Path] = {}
        """The cache directories that the step may write to, by where it sees them."""

    def spec(self, op: ExecStep, root: sandbox.OverlayRoot | sandbox.DirectoryRoot, tree: Tree) -> sandbox.SandboxSpec:
        """The spec of the step over the view `root` of its base, whose merged tree is `tree`."""
        self._plain = isinstance(op, Run) and op.surroundings == "plain"
        self._directories = self._take_caches(op, tree)
        mounts = [mount for given in op.mounts for mount in self._mounts(given, tree)]
        if isinstance(op, Run):
            return self._run(op, root, tree, mounts)
        return self._host(op, root, mounts)

    def _run(
        self, op: Run, root: sandbox.OverlayRoot | sandbox.DirectoryRoot, tree: Tree, mounts: list[sandbox.Mount]
    ) -> sandbox.SandboxSpec:
        user = resolve_user(tree, op.user) if op.user else ROOT
        hostname = op.hostname or HOSTNAME
        names = sandbox.network_mounts(op.network, hostname, op.hosts, plain=op.surroundings == "plain")
        own = (*names, *mounts)
        return sandbox.SandboxSpec(
            root=root,
            args=op.args,
            env=self._environment(op, user, tree),
            cwd=op.cwd,
            uid=user.uid,
            gid=user.gid,
            groups=user.groups,
            mounts=(*self._workdir(op, tree), *sorted(own, key=_depth)),
            network=op.network,
            capabilities=_capabilities(op),
            no_new_privs=not op.set_id and op.security == "sandbox",
            hostname=hostname,
            limits=op.limits,
            insecure=op.security == "insecure",
        )

    def _environment(self, op: Run, user: User, tree: Tree) -> tuple[tuple[str, str], ...]:
        proxies = dict(self._shop.proxies) if op.proxy else {}
        ours = {"HOME": user.home or "/", **_authorities(op, tree), **proxies, **self._agents}
        return tuple(sorted({**ours, **dict(op.env), **self._env}.items()))

    def _workdir(self, op: Run, tree: Tree) -> Iterator[sandbox.Mount]:
        """What a container runtime makes where the image has no such directory; only a test may start in one."""
        if self._task.discard and not _has(tree, op.cwd):
            yield sandbox.TmpfsMount(target=op.cwd, mode=0o755)

    def _host(
        self, op: Host, root: sandbox.OverlayRoot | sandbox.DirectoryRoot, mounts: list[sandbox.Mount]
    ) -> sandbox.SandboxSpec:
        tools = next((given for given in self._task.inputs if given.role == "tools"), None)
        outer, below = self._tools(tools, root) if tools else self._machine(root)
        authorities = _authorities(op, self._shop.tree(tools)) if tools else {}
        ours = {"HOME": "/tmp", "PATH": ":".join(HOST_PATH), **authorities, **self._agents}
        environment = {**ours, **dict(op.env), **self._env}
        environment["ROOTFS"] = sandbox.ROOTFS
        return sandbox.SandboxSpec(
            root=outer,
            args=op.args,
            env=tuple(sorted(environment.items())),
            cwd=op.cwd,
            mounts=(*below, *sandbox.network_mounts(op.network), *sorted(mounts, key=_depth)),
            network=op.network,
            capabilities=(*sandbox.HOST_CAPABILITIES, *op.capabilities),
        )

    def _machine(
        self, root: sandbox.OverlayRoot | sandbox.DirectoryRoot
    ) -> tuple[sandbox.Root, tuple[sandbox.Mount, ...]]:
        view = sandbox.host_view(root)
        return view.root, view.mounts

    def _tools(
        self, tools: TaskInput, root: sandbox.OverlayRoot | sandbox.DirectoryRoot
    ) -> tuple[sandbox.Root, tuple[sandbox.Mount, ...]]:
        """The image of the tools; what the step changes in it is nobody's result."""
        content, trees = tools.content_id, self._shop.trees
        image = self._snapshotter.scratch(trees.directories(content), trees.tree(content), self._place())
        return image, (sandbox.TmpfsMount(target="/tmp"), sandbox.RootMount(root=root, target=sandbox.ROOTFS))

    def _mounts(self, mount: Mount, tree: Tree) -> Iterator[sandbox.Mount]:
        match mount:
            case BindMount():
                yield self._bind(mount)
            case CacheMount():
                yield self._cache(mount, tree)
            case TmpfsMount():
                yield sandbox.TmpfsMount(target=mount.target, size=mount.size)
            case FileMount():
                yield sandbox.FileMount(data=mount.text.encode(), target=mount.target, mode=int(mount.mode, 8))
            case SecretMount():
                yield from self._secret(mount, tree)
            case SshMount():
                yield from self._ssh(mount, tree)

    def _bind(self, mount: BindMount) -> sandbox.Mount:
        content, trees = self._shown.content(mount.input, mount.source), self._shop.trees
        return self._snapshotter.mount(mount, trees.directories(content), trees.tree(content), self._place())

    def _place(self) -> Path:
        """A new directory's name, below what is removed with the step."""
        return self._area.path / f"shown-{next(self._places)}"

    def _take_caches(self, op: ExecStep, tree: Tree) -> dict[str, Path]:
        """The directory of each mount, by target. Sorted by name and each once, so that no two steps wait in a
        circle.

        What a step with a secret writes into a cache is nobody's before it was searched: others could take it along
        into caches of theirs.
        """
        taken: dict[str, Path] = {}
        named = [(self._shown.cache_name(mount), mount) for mount in op.mounts if isinstance(mount, CacheMount)]
        secretive = any(isinstance(mount, SecretMount) and mount.id in self._shop.secrets for mount in op.mounts)
        for name in sorted({name for name, mount in named if mount.sharing != "private"}):
            users = [mount for own, mount in named if own == name and mount.sharing != "private"]
            alone = secretive or any(mount.sharing == "locked" for mount in users)
            path = self._take_cache(name, "locked" if alone else "shared", users[0], tree)
            taken |= {mount.target: path for mount in users}
        # A private one is never waited for.
        alone_now = [(name, mount) for name, mount in named if mount.sharing == "private"]
        return taken | {mount.target: self._take_cache(name, "private", mount, tree) for name, mount in alone_now}

    def _take_cache(self, name: str, sharing: Sharing, mount: CacheMount, tree: Tree) -> Path:
        begin = partial(self._shown.begin, mount, tree) if mount.input is not None else None
        take = partial(self._shop.store.caches.directory, name, sharing=sharing, begin=begin)

        def tell(holder: str) -> None:
            self._shop.note(f"waiting for {holder}, which uses the cache directory of {mount.target}")

        return enter_patiently(self._stack, lambda seconds: take(timeout=seconds), self._cancelled, tell)

    def _cache(self, mount: CacheMount, tree: Tree) -> sandbox.Mount:
        path = self._directories[mount.target]
        if not mount.read_only:
            self.caches[mount.target] = path
        uid, gid = resolve_owner(tree, mount.owner)
        if mount.input is None and not any(path.iterdir()):
            os.chown(path, uid, gid)
            path.chmod(int(mount.mode, 8))
        return sandbox.BindMount(source=str(path), target=mount.target, read_only=mount.read_only)

    def _secret(self, mount: SecretMount, tree: Tree) -> Iterator[sandbox.Mount]:
        value = self._shop.secrets.get(mount.id)
        if value is None and mount.required:
            raise SourceInputError(
                f"the secret {mount.id!r} was not given", hint=f"give it with --secret id={mount.id},src=FILE"
            )
        if mount.env is not None:
            self._env[mount.env] = _text(mount.id, value or b"")
        if mount.target is not None and value is not None:
            uid, gid = resolve_owner(tree, mount.owner)
            yield sandbox.FileMount(data=value, target=mount.target, mode=int(mount.mode, 8), uid=uid, gid=gid)

    def _ssh(self, mount: SshMount, tree: Tree) -> Iterator[sandbox.Mount]:
        spec = next((each for each in self._shop.ssh if each.id == mount.id), None)
        target = mount.target or f"/run/ssh/{mount.id}"
        if spec is None and mount.required:
            raise SourceInputError(f"no ssh agent {mount.id!r} was given", hint=f"give one with --ssh {mount.id}")
        if spec is not None or self._plain:
            self._agents.setdefault("SSH_AUTH_SOCK", target)
        if spec is None:
            return
        uid, gid = resolve_owner(tree, mount.owner)
        directory = self._place()
        directory.mkdir(mode=0o700)
        path = self._stack.enter_context(forwarded(spec, directory, mode=int(mount.mode, 8), uid=uid, gid=gid))
        yield sandbox.BindMount(source=str(directory), path=f"/{path.name}", target=target, read_only=False)


def _depth(mount: sandbox.Mount) -> int:
    """What lies inside another mount comes after it, in whatever order they were written."""
    return len(PurePosixPath(mount.target).parts)


def _capabilities(op: Run) -> tuple[str, ...]:
    if op.security == "insecure":
        return sandbox.current_capabilities()
    return (*sandbox.DEFAULT_CAPABILITIES, *op.capabilities)


def _text(name: str, value: bytes) -> str:
    if b"\0" in value:
        raise SandboxError(f"the secret {name!r} holds a NUL byte: it can't be an environment variable")
    return os.fsdecode(value)


def _has(tree: Tree, path: str) -> bool:
    return not path.strip("/") or tree.lookup(resolve(tree, path)) is not None


def _authorities(op: ExecStep, tree: Tree) -> dict[str, str]:
    """Variables that name the builder's CA bundle, for programs of a tree that has none. They are in no key, as the
    network itself is not."""
    if op.network == "none" or (isinstance(op, Run) and op.surroundings == "plain"):
        return {}
    if any(_has(tree, place) for place in sandbox.CA_PLACES):
        return {}
    return dict.fromkeys(sandbox.CA_ENVIRONMENT, sandbox.CA_BUNDLE)
