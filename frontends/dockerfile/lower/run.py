"""RUN: a process in the tree, what it is given, and its line of history."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from buildkit_py import graph
from frontends.dockerfile import syntax
from frontends.dockerfile.faults import fault, lowering
from frontends.dockerfile.heredoc import opening
from frontends.dockerfile.lower.config import command_line
from frontends.dockerfile.mounts import MountModel, read_mounts

if TYPE_CHECKING:
    from buildkit_py.source import Span
    from frontends.dockerfile.lower.stage import StageLowering

CAPABILITIES = ("MKNOD",)
"""What packages expect beside the default set: they make device nodes, which open nothing in a build."""

ROOT = "0"
"""Who a process runs as where there is no USER: looked up in the image, for its home and groups."""

HOSTNAME = "buildkitsandbox"
"""What processes of a Dockerfile find as the name of their machine everywhere."""

CACHE_MODE = 0o755
"""What is left of a cache directory's mode: elsewhere the builder's umask cuts it."""

_PIPES = "/dev/pipes"


def run(stage: StageLowering, node: syntax.Run) -> None:
    """Add the vertex and the layer of a RUN."""
    image, settings = stage.image, stage.lowering.settings
    for device in node.devices:
        raise fault("devices can't be given to a step here", device.span, hint="leave --device out")
    stage.make_workdir(node.span)
    words, script = _command(stage, node)
    mounts, inputs = _Mounts(stage, node).lower()
    if script is not None:
        mounts.append(script)
    if settings.shm_size is not None:
        mounts.append(graph.TmpfsMount(target="/dev/shm", size=settings.shm_size))
    op = graph.Run(
        args=words,
        env=tuple(image.env.items()),
        cwd=_inside(image.config.workdir),
        user=image.config.user or ROOT,
        network=_network(stage, node),
        mounts=tuple(mounts),
        capabilities=CAPABILITIES,
        platform=str(image.platform),
        hostname=stage.lowering.given.get("BUILDKIT_SANDBOX_HOSTNAME", HOSTNAME),
        hosts=settings.hosts,
        limits=settings.limits,
        set_id=True,
        proxy=True,
        security=_security(stage, node),
        xattrs="capabilities",
        system_directories="stay",
        surroundings="plain",
    )
    with lowering(node.span):
        tip = stage.add(op, node.span, {"base": image.tip, **inputs})
    image.layer(f"RUN {_shown(stage, words)} # buildkit", tip, stage.stage.number, node.span)


def _command(stage: StageLowering, node: syntax.Run) -> tuple[tuple[str, ...], graph.FileMount | None]:
    """The words to run, and the script that a here-document with an interpreter of its own is."""
    if not node.heredocs:
        words = command_line(stage, node.command)
        if not words:
            raise fault("RUN has an empty command", node.span, hint='write the program first: RUN ["prog", "word"]')
        return words, None
    first, text = node.heredocs[0], " ".join(node.command.words)
    script = None
    if not is_heredoc_alone(node):
        text += "".join(f"\n{document.raw}{document.name}" for document in node.heredocs)
    elif first.text.startswith("#!"):
        text = f"{_PIPES}/{first.name}"
        script = graph.FileMount(target=text, text=first.text, mode="0755")
    else:
        text = first.text
    return command_line(stage, syntax.Command(form="shell", words=(text,))), script


def is_heredoc_alone(node: syntax.Run) -> bool:
    """Whether the whole command is one here-document, and not a shell line that uses some."""
    return len(node.heredocs) == 1 and opening(node.command.words[0]) is not None


def _shown(stage: StageLowering, words: tuple[str, ...]) -> str:
    """The command as a history shows it, after the arguments that were declared."""
    image = stage.image
    values = [f"{name}={image.env.get(name, value or '')}" for name, value in image.args.items()]
    return " ".join([f"|{len(values)}", *values, *words] if values else words)


def _network(stage: StageLowering, node: syntax.Run) -> Literal["none", "host"]:
    flag, settings = node.network, stage.lowering.settings
    wanted = flag.value if flag is not None else settings.network
    if wanted == "default":
        wanted = settings.network
    if flag is not None and wanted == "host" and not _allows_host(stage):
        raise fault(
            "--network=host is not allowed in this build",
            flag.span,
            hint="allow it on the command line with --allow network.host, or leave the flag out",
        )
    return "none" if wanted == "none" else "host"


def _allows_host(stage: StageLowering) -> bool:
    settings = stage.lowering.settings
    return settings.network == "host" or "network.host" in settings.allow or settings.check


def _security(stage: StageLowering, node: syntax.Run) -> Literal["sandbox", "insecure"]:
    flag, settings = node.security, stage.lowering.settings
    if flag is None or flag.value == "sandbox":
        return "sandbox"
    if "security.insecure" not in settings.allow and not settings.check:
        raise fault(
            "--security=insecure is not allowed in this build",
            flag.span,
            hint="it takes the sandbox away: allow it with --allow security.insecure if you trust this file",
        )
    return "insecure"


class _Mounts:
    """The mounts of one RUN, and the trees that they show, by role."""

    def __init__(self, stage: StageLowering, node: syntax.Run) -> None:
        self._stage = stage
        self._node = node
        self._inputs: dict[str, str] = {}
        self._agents = 0

    def lower(self) -> tuple[list[graph.Mount], dict[str, str]]:
        models = read_mounts(self._node, lambda text: self._stage.word(text, self._node.span))
        mounts = [mount for number, model in enumerate(models) for mount in self._one(number, model)]
        return mounts, self._inputs

    def _one(self, number: int, model: MountModel) -> Iterator[graph.Mount]:
        span = self._node.mounts[number].flag.span
        make = {
            "bind": self._bind,
            "cache": self._cache,
            "tmpfs": self._tmpfs,
            "secret": self._secret,
            "ssh": self._ssh,
        }
        yield make[model.kind](f"mount{number}", model, span)

    def _target(self, model: MountModel, span: Span) -> str:
        path = posixpath.normpath(posixpath.join("/", self._stage.image.config.workdir, model.target or ""))
        path = "/" + path.lstrip("/")
        if path == "/":
            raise fault(
                "a mount can't take the place of the root", span, hint="give it a target: target=/some/directory"
            )
        return path

    def _bind(self, role: str, model: MountModel, span: Span) -> graph.Mount:
        self._inputs[role] = self._stage.mounted(model.from_, span)
        return graph.BindMount(
            target=self._target(model, span),
            input=role,
            source=_inside(model.source),
            read_only=model.read_only,
        )

    def _cache(self, role: str, model: MountModel, span: Span) -> graph.Mount:
        if model.from_:
            self._inputs[role] = self._stage.mounted(model.from_, span)
        space = self._stage.lowering.given.get("BUILDKIT_CACHE_MOUNT_NS", "")
        target = self._target(model, span)
        name = f"{space}/{model.id or posixpath.normpath(model.target or target)}"
        return graph.CacheMount(
            target=target,
            id=name + _apart(model),
            sharing=model.sharing or "shared",
            read_only=model.read_only,
            mode=f"{(0o755 if model.mode is None else model.mode) & CACHE_MODE:04o}",
            owner=f"{model.uid or 0}:{model.gid or 0}",
            input=role if model.from_ else None,
            source=_inside(model.source) if model.from_ else "/",
        )

    def _tmpfs(self, role: str, model: MountModel, span: Span) -> graph.Mount:
        return graph.TmpfsMount(target=self._target(model, span), size=model.size or None)

    def _secret(self, role: str, model: MountModel, span: Span) -> graph.Mount:
        name = model.id or posixpath.basename(model.target or "")
        target = model.target
        if model.env is None and not target:
            target = f"/run/secrets/{posixpath.basename(name)}"
        self._stage.lowering.builder.secret(name)
        return graph.SecretMount(
            id=name,
            target=posixpath.join("/", self._stage.image.config.workdir, target) if target else None,
            env=model.env,
            required=model.required,
            mode=f"{0o400 if model.mode is None else model.mode:04o}",
            owner=f"{model.uid or 0}:{model.gid or 0}",
        )

    def _ssh(self, role: str, model: MountModel, span: Span) -> graph.Mount:
        target = model.target or f"/run/buildkit/ssh_agent.{self._agents}"
        self._agents += 1
        return graph.SshMount(
            id=model.id or "default",
            target=posixpath.join("/", self._stage.image.config.workdir, target),
            required=model.required,
            mode=f"{0o600 if model.mode is None else model.mode:04o}",
            owner=f"{model.uid or 0}:{model.gid or 0}",
        )


def _apart(model: MountModel) -> str:
    """What keeps the caches apart whose directories belong to others, or have other modes."""
    given = (model.mode, model.uid, model.gid)
    return "" if given == (None, None, None) else f" {model.mode or 0o755:o} {model.uid or 0}:{model.gid or 0}"


def _inside(path: str | None) -> str:
    """A path inside a tree: it can't lead above its root."""
    return "/" + posixpath.normpath(posixpath.join("/", path or "")).lstrip("/")
