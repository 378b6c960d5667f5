"""What `with` gives a step: `RUN --mount`, `--network`, `--security`, `--device`."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from frontends.dockerfile import syntax
from frontends.dockerfile.conversion.language import UntoldError, is_variable
from frontends.dockerfile.conversion.origins import origin_of
from frontends.dockerfile.conversion.stage import StageConversion
from frontends.dockerfile.mounts import MountModel, read_mounts

_DEFAULT_MODES = {"cache": 0o755, "secret": 0o400, "ssh": 0o600}
_SIZES = ((1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k"))


def grants(stage: StageConversion, node: syntax.Run, *, network: bool) -> tuple[str, ...]:
    """The grants of a step; `network` says whether it may need one where it does not refuse it."""
    if node.security is not None and node.security.value == "insecure":
        hint = "name what it needs: with capability(…)"
        stage.differs("--security=insecure has no equivalent", hint, node.security.span)
    for device in node.devices:
        stage.differs("--device has no equivalent", None, device.span)
    wanted = network and not (node.network is not None and node.network.value == "none")
    models = read_mounts(node, lambda text: stage.scope.text(text, node.span))
    given = [_Mount(stage, spec, model).grant() for spec, model in zip(node.mounts, models, strict=True)]
    return (*(["network"] if wanted else []), *given)


class _Mount:
    """One mount as a grant."""

    def __init__(self, stage: StageConversion, spec: syntax.MountSpec, model: MountModel) -> None:
        self._stage = stage
        self._model = model
        self._span = spec.flag.span

    def grant(self) -> str:
        return {
            "bind": self._bind, "cache": self._cache, "tmpfs": self._tmpfs, "secret": self._secret, "ssh": self._ssh
        }[self._model.kind]()  # fmt: skip

    def _written(self, name: str, *arguments: str) -> str:
        given = [argument for argument in arguments if argument]
        return f"{name}({', '.join(given)})" if given else name

    def _word(self, key: str, text: str | None) -> str:
        return f"{key}: {self._stage.marks.word(text)}" if text else ""

    def _target(self) -> str:
        return self._stage.absolute(self._model.target or ".").rstrip("/") or "/"

    def _bind(self) -> str:
        model, stage = self._model, self._stage
        source = posixpath.normpath("/" + (model.source or "").lstrip("/"))
        origin = origin_of(stage, model.from_, self._span) if model.from_ else None
        if origin is None:
            source = f".{source}"
            look = stage.shared.look
            is_file = look is not None and look(stage.plain(source.removeprefix("."))) == {"file"}
            if stage.shared.patterns and not is_file:
                stage.warn("a mount shows also what the ignore file leaves out", span=self._span)
        writable = "" if model.read_only else "writable: true"
        place = self._word("at", self._target())
        return self._written("mount", stage.marks.word(source), place, f"from: {origin}" if origin else "", writable)

    def _cache(self) -> str:
        model = self._model
        if model.from_:
            self._stage.differs("from= of a cache has no equivalent: a cache begins empty", None, self._span)
        if model.read_only:
            self._stage.differs("a cache can always be written to", None, self._span)
        self._check_owner()
        target = self._target()
        name = model.id if model.id not in (target, posixpath.normpath(model.target or "")) else None
        sharing = model.sharing if model.sharing != "shared" else None
        return self._written(
            "cache", self._stage.marks.word(target), self._word("id", name), self._word("sharing", sharing)
        )

    def _tmpfs(self) -> str:
        size = self._model.size
        unit = next(((unit, name) for unit, name in _SIZES if size and not size % unit), (1, ""))
        text = f"{size // unit[0]}{unit[1]}" if size else ""
        return self._written("tmpfs", self._stage.marks.word(self._target()), self._word("size", text))

    def _secret(self) -> str:
        model, stage = self._model, self._stage
        self._check_owner()
        identity = model.id or ""
        name = stage.shared.secret(identity, self._span)
        if model.env and not is_variable(model.env):
            raise UntoldError(f"no variable can be called {model.env}")
        target = stage.absolute(model.target) if model.target else None
        if target is None and model.env is None and name != identity:
            target = f"/run/secrets/{posixpath.basename(identity)}"
        if target == f"/run/secrets/{name}" and not model.env:
            target = None
        return self._written(
            "secret",
            stage.marks.word(name),
            self._word("env", model.env),
            self._word("target", target),
            self._optional(),
        )

    def _ssh(self) -> str:
        model = self._model
        if model.target:
            self._stage.differs("target= of an ssh agent has no equivalent: SSH_AUTH_SOCK names it", None, self._span)
        self._check_owner()
        name = self._stage.marks.word(model.id) if model.id and model.id != "default" else ""
        return self._written("ssh", name, self._optional())

    def _optional(self) -> str:
        return "" if self._model.required else "optional: true"

    def _check_owner(self) -> None:
        """What is granted belongs to whom the step runs as, and has one mode."""
        model, stage = self._model, self._stage
        usual = _DEFAULT_MODES[model.kind]
        if model.mode not in (None, usual):
            text = f"mode={model.mode:04o} of this {model.kind} has no equivalent: it is {usual:04o}"
            self._say(text, certain=not stage.is_root)
        for wanted in _owners(model):
            user = stage.user.partition(":")[0]
            if wanted != int(user) if user.isdigit() else wanted != 0 or not stage.is_root:
                whom = stage.plain(stage.user) or "root"
                text = f"this {model.kind} belongs to {whom}, whom the step runs as, and not to {wanted}"
                self._say(text, certain=stage.is_root)

    def _say(self, text: str, *, certain: bool) -> None:
        if certain:
            self._stage.differs(text, None, self._span)
        else:
            self._stage.warn(text, span=self._span)


def _owners(model: MountModel) -> Iterator[int]:
    if model.uid is not None:
        yield model.uid
