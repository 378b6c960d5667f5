"""Build checks of single instructions, made as each is lowered: `checks` is what `Checks.above` its comments gives."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Sequence

from buildkit_py.dataclass import dataclass, field
from buildkit_py.patterns import Rules
from buildkit_py.secret_names import sounds_secret
from buildkit_py.source import Span
from buildkit_py.suggest import suggest
from frontends.dockerfile import syntax
from frontends.dockerfile.checks import Checks
from frontends.dockerfile.scope import NOT_IN_ENVIRONMENT

_EVERYTHING = frozenset({"*", "**", "**/*"})
"""Patterns that leave nothing of a context."""


def undefined(
    names: Iterable[str],
    *,
    env: Collection[str],
    declared: Collection[str],
    node: syntax.Instruction,
    word: Span,
    checks: Checks,
) -> None:
    """Variables of one word that have no value: told unless they are `declared` by ARG. `env` are those with one."""
    for name in sorted(set(names) - set(declared) - NOT_IN_ENVIRONMENT):
        close = suggest(name, env)
        checks.report(
            "UndefinedVar",
            f"${name} is not defined here",
            node.head,
            word=word,
            hint=f"did you mean ${close}?"
            if close
            else f"define it above in this stage: ARG {name} or ENV {name}=value",
        )


def on_env(node: syntax.Env, checks: Checks, *, names: Sequence[str] | None = None) -> None:
    """ENV. `names` are those of the variables after expansion."""
    for number, pair in enumerate(node.pairs):
        _legacy(node, pair, checks)
        _secret(node, names[number] if names is not None else pair.name, pair.span, checks)


def on_arg(node: syntax.Arg, checks: Checks) -> None:
    """ARG inside a stage."""
    for pair in node.pairs:
        _secret(node, pair.name, pair.span, checks)


def on_label(node: syntax.Label, checks: Checks) -> None:
    """LABEL."""
    for pair in node.pairs:
        _legacy(node, pair, checks)


def _legacy(node: syntax.Env | syntax.Label, pair: syntax.Pair, checks: Checks) -> None:
    if pair.legacy:
        checks.report(
            "LegacyKeyValueFormat",
            f"{node.name} {pair.name} is written without an equals sign",
            node.head,
            word=pair.span,
            hint=f"write {node.name} {pair.name}=value, with quotes around a value that has spaces",
        )


def _secret(node: syntax.Instruction, name: str, word: Span, checks: Checks) -> None:
    if sounds_secret(name):
        checks.report(
            "SecretsUsedInArgOrEnv",
            f"{node.name} {name} sounds like a secret, and would be kept in the image",
            node.head,
            word=word,
            hint="use --mount=type=secret: RUN --mount=type=secret,id=NAME,env=NAME gives it to one command",
        )


@dataclass(slots=True)
class Single:
    """What a stage has one of, CMD, ENTRYPOINT and HEALTHCHECK, with where each was written last."""

    _places: dict[str, Span] = field(default_factory=dict)

    def mark(self, node: syntax.Instruction, checks: Checks) -> None:
        """One stands here. Where it takes the place of an earlier one, that is told, at the earlier."""
        place = checks.place(node.head)
        earlier = self._places.get(node.name)
        if earlier is not None:
            checks.report(
                "MultipleInstructionsDisallowed",
                f"this {node.name} counts for nothing: there is another below in the stage (line {place.line})",
                earlier,
                hint="take this one out",
            )
        self._places[node.name] = place


def on_command(node: syntax.Cmd | syntax.Entrypoint, checks: Checks, *, has_shell: bool) -> None:
    """CMD and ENTRYPOINT. `has_shell`: SHELL was set, here or in what the stage stands on, so a shell is meant."""
    if node.command.form == "shell" and not has_shell:
        checks.report(
            "JSONArgsRecommended",
            f"{node.name} is written in the shell form: a shell gets the signals that are meant for the program",
            node.head,
            hint=f'write {node.name} ["program", "argument"]; if the shell is meant, set it with SHELL',
        )


def on_workdir(node: syntax.Workdir, path: str, checks: Checks, *, is_known: bool) -> None:
    """WORKDIR. `is_known`: a WORKDIR stands above, in this stage or one that it stands on in this file."""
    if not is_known and not path.startswith("/"):
        checks.report(
            "WorkdirRelativePath",
            f"{path} is relative, and what it is relative to depends on the base image",
            node.head,
            word=node.path.span,
            hint="write the whole path: WORKDIR /…",
        )


def on_expose(node: syntax.Expose, ports: Iterable[str], checks: Checks) -> None:
    """EXPOSE. `ports` are its words after expansion; they are valid."""
    spans = {word.text: word.span for word in node.ports}
    for port in ports:
        before, _, last = port.rpartition(":")
        number, _, protocol = last.partition("/")
        if protocol != protocol.lower():
            checks.report(
                "ExposeProtoCasing",
                f"the protocol of {port} is not in lower case",
                node.head,
                word=spans.get(port),
                hint=f"write {number}/{protocol.lower()}",
            )
        if before.strip(":"):
            checks.report(
                "ExposeInvalidFormat",
                f"{port} names an address or a port of the host, which an image does not choose",
                node.head,
                word=spans.get(port),
                hint=f"write {last.lower()}; who runs the image says where it is published",
            )


def on_copy(node: syntax.Copy, source: str, word: Span, ignore: Sequence[str], checks: Checks) -> None:
    """One source of COPY or ADD that is taken from the build context, after expansion; `ignore` are the patterns of
    the context's ignore file."""
    if ignore and _leaves_out(ignore, source):
        checks.report(
            "CopyIgnoredFile",
            f"{source} is left out by the ignore file, and {node.name} asks for it",
            node.head,
            word=word,
            hint="take it in again in the ignore file with a line that begins with !, or leave it out here",
        )


def _leaves_out(ignore: Sequence[str], source: str) -> bool:
    """Whether patterns leave out a source as it is written, or a directory that it lies in.

    Where one takes something in again, nothing is said: a directory that is left out may still hold that.
    """
    if any(pattern.startswith("!") for pattern in ignore):
        return False
    path = posixpath.normpath(source)
    everything = any(pattern in _EVERYTHING for pattern in ignore)
    return everything if path in (".", "/") else everything or Rules(ignore).excludes(path)
