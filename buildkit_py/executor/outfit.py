"""Outfitting a sandbox: from an op's environment, user and mounts to a spec of files on this machine."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from buildkit_py.errors import SandboxError, SourceInputError
from buildkit_py.executor import sandbox
from buildkit_py.executor.ssh import forwarded
from buildkit_py.executor.tools import HOST_PATH
from buildkit_py.executor.waiting import enter_patiently
from buildkit_py.executor.workshop import Workshop, input_of, local_source
from buildkit_py.graph.op import (
    BindMount,
    CacheMount,
    Copy,
    ExecStep,
    FileMount,
    Host,
    Mount,
    Run,
    SecretMount,
    SshMount,
    TmpfsMount,
)
from buildkit_py.layer.draft import materialise
from buildkit_py.layer.entry import EMPTY_TREE, content_id
from buildkit_py.layer.fileops import apply_op
from buildkit_py.layer.owner import User, resolve_owner, resolve_user
from buildkit_py.layer.tree import EmptyTree, Tree, resolve
from buildkit_py.protocol import StepTask, TaskInput

if TYPE_CHECKING:
    from buildkit_py.executor.snapshotter import Snapshotter
    from buildkit_py.store.caches import Sharing
    from buildkit_py.store.snapshots import Area

ROOT = User(uid=0, gid=0, groups=(0,), home="/root")
SECRETS = "/run/secrets"


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
        self.caches: dict[str, Path] = {}
        """The cache directories that the step may write to, by where it sees them."""

    def spec(self, op: ExecStep, root: sandbox.OverlayRoot | sandbox.DirectoryRoot, tree: Tree) -> sandbox.SandboxSpec:
        """The spec of the step over the view `root` of its base, whose merged tree is `tree`."""
        self._directories = self._take_caches([mount for mount in op.mounts if isinstance(mount, CacheMount)])
        mounts = [mount for given in op.mounts for mount in self._mounts(given, tree)]
        if isinstance(op, Run):
            return self._run(op, root, tree, mounts)
        return self._host(op, root, mounts)

    def _run(
        self, op: Run, root: sandbox.OverlayRoot | sandbox.DirectoryRoot, tree: Tree, mounts: list[sandbox.Mount]
    ) -> sandbox.SandboxSpec:
        user = resolve_user(tree, op.user) if op.user else ROOT
        environment = {"HOME": user.home or "/", **_authorities(op, tree), **dict(op.env), **self._env}
        return sandbox.SandboxSpec(
            root=root,
            args=op.args,
            env=tuple(sorted(environment.items())),
            cwd=op.cwd,
            uid=user.uid,
            gid=user.gid,
            groups=user.groups,
            mounts=(*self._workdir(op, tree), *sandbox.network_mounts(op.network), *mounts),
            network=op.network,
            capabilities=(*sandbox.DEFAULT_CAPABILITIES, *op.capabilities),
        )

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
        environment = {"HOME": "/tmp", "PATH": ":".join(HOST_PATH), **authorities, **dict(op.env), **self._env}
        environment["ROOTFS"] = sandbox.ROOTFS
        return sandbox.SandboxSpec(
            root=outer,
            args=op.args,
            env=tuple(sorted(environment.items())),
            cwd=op.cwd,
            mounts=(*below, *sandbox.network_mounts(op.network), *mounts),
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
        given = input_of(self._task, mount.input)
        content = self._laid_out(given, mount) if local_source(given) else given.content_id
        trees = self._shop.trees
        return self._snapshotter.mount(mount, trees.directories(content), trees.tree(content), self._place())

    def _place(self) -> Path:
        """A new directory's name, below what is removed with the step."""
        return self._area.path / f"shown-{next(self._places)}"

    def _laid_out(self, given: TaskInput, mount: BindMount) -> str:
        """What a mount shows of a local directory, as a snapshot: the step sees what its key was made of."""
        parent = mount.source.rstrip("/").rpartition("/")[0]
        op = Copy(sources=(mount.source,), dest=f"{parent}/", owner="0:0", mode="auto")
        draft = apply_op(op, EmptyTree(), self._shop.tree(given))
        if draft.diff and not self._shop.store.snapshots.has(draft.diff.digest):
            with self._shop.store.snapshots.area() as area:
                size = materialise(draft, area.fs, self._task.epoch)
                self._shop.store.snapshots.commit(area, draft.diff.digest, draft.diff.encoded, size)
        content = content_id(EMPTY_TREE, draft.diff)
        if draft.diff:
            self._shop.store.trees.put(content, EMPTY_TREE, draft.diff.digest)
        return content

    def _take_caches(self, mounts: Sequence[CacheMount]) -> dict[str, Path]:
        """The directory of each mount, by target. Sorted by id and each once, so that no two steps wait in a circle."""
        taken: dict[str, Path] = {}
        for name in sorted({mount.id for mount in mounts if mount.sharing != "private"}):
            users = [mount for mount in mounts if mount.id == name and mount.sharing != "private"]
            alone = any(mount.sharing == "locked" for mount in users)
            path = self._take_cache(name, "locked" if alone else "shared")
            taken |= {mount.target: path for mount in users}
        # A private one is never waited for.
        return taken | {
            each.target: self._take_cache(each.id, "private") for each in mounts if each.target not in taken
        }

    def _take_cache(self, name: str, sharing: Sharing) -> Path:
        caches = self._shop.store.caches
        return enter_patiently(
            self._stack, lambda seconds: caches.directory(name, sharing=sharing, timeout=seconds), self._cancelled
        )

    def _cache(self, mount: CacheMount, tree: Tree) -> sandbox.Mount:
        path = self._directories[mount.target]
        if not mount.read_only:
            self.caches[mount.target] = path
        uid, gid = resolve_owner(tree, mount.owner)
        if not any(path.iterdir()):
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
        if spec is None:
            if mount.required:
                raise SourceInputError(f"no ssh agent {mount.id!r} was given", hint=f"give one with --ssh {mount.id}")
            return
        uid, gid = resolve_owner(tree, mount.owner)
        directory = Path(self._stack.enter_context(_short_directory()))
        path = self._stack.enter_context(forwarded(spec, directory, mode=int(mount.mode, 8), uid=uid, gid=gid))
        target = mount.target or f"/run/ssh/{mount.id}"
        self._env["SSH_AUTH_SOCK"] = target
        yield sandbox.BindMount(source=str(directory), path=f"/{path.name}", target=target, read_only=False)


def _text(name: str, value: bytes) -> str:
    if b"\0" in value:
        raise SandboxError(f"the secret {name!r} holds a NUL byte: it can't be an environment variable")
    return os.fsdecode(value)


def _has(tree: Tree, path: str) -> bool:
    return not path.strip("/") or tree.lookup(resolve(tree, path)) is not None


def _authorities(op: ExecStep, tree: Tree) -> dict[str, str]:
    """Variables that name the builder's CA bundle, for programs of a tree that has none. They are in no key, as the
    network itself is not."""
    if op.network == "none" or any(_has(tree, place) for place in sandbox.CA_PLACES):
        return {}
    return dict.fromkeys(sandbox.CA_ENVIRONMENT, sandbox.CA_BUNDLE)


def _short_directory() -> tempfile.TemporaryDirectory[str]:
    """A private directory whose path is short enough for the name of a socket."""
    return tempfile.TemporaryDirectory(prefix="pybuild-ssh-")
