"""Instructions that change the image's configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence

from frontends.dockerfile import syntax
from frontends.dockerfile.conversion.language import UntoldError, is_variable
from frontends.dockerfile.conversion.stage import StageConversion
from frontends.dockerfile.conversion.values import Variable
from frontends.dockerfile.expose import read_ports

DEFAULT_SHELL = ("/bin/sh", "-c")
_OWNER = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?(?::[A-Za-z0-9_][A-Za-z0-9_.-]*\$?)?\Z|:[A-Za-z0-9_][A-Za-z0-9_.-]*\Z"
)
_MILLISECOND, _UNITS = 10**6, ((3600 * 10**9, "h"), (60 * 10**9, "m"), (10**9, "s"), (10**6, "ms"))
_MOST_RETRIES = 9999
_LAST_SIGNAL = 64


def env(stage: StageConversion, node: syntax.Env) -> None:
    """ENV: every value is that from before the instruction."""
    count = len(node.pairs)
    words = [pair.name for pair in node.pairs] + [pair.value or "" for pair in node.pairs]
    cases = stage.scope.cases(words, node.span)
    names = cases[-1].texts[:count]
    for name in names:
        if not is_variable(name):
            raise UntoldError(f"no variable can be called {stage.plain(name)}", "a name is letters, digits and _")

    def build(texts: tuple[str, ...]) -> list[str]:
        pairs = list(zip(texts[:count], texts[count:], strict=True))
        return [f"env {name} = {stage.marks.expression(value)}" for name, value in _ordered(stage, pairs)]

    if len(cases) == 1:
        for line in build(cases[0].texts):
            stage.body.add(line)
    else:
        stage.emit(words, build)
    aliases = {each.text: each for each in stage.scope.variables.values() if each.param is not None}
    for name, value in zip(names, cases[-1].texts[count:], strict=True):
        known = value if len(cases) == 1 else None
        stage.scope.env(name, known)
        alias = aliases.get(known or "")
        if alias is not None:
            made = stage.scope.variables[name]
            stage.scope.variables[name] = Variable(
                kind="env", text=made.text, known=known, param=alias.param, filled=alias.filled
            )
        stage.exported.pop(name, None)
        stage.hidden.pop(name, None)
        stage.path_set = stage.path_set or name == "PATH"


def _ordered(stage: StageConversion, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs so that none uses what one before it has changed."""
    rest, found = list(pairs), []
    while rest:
        for pair in rest:
            others = [value for each, value in rest if (each, value) != pair]
            if not any(f"env.{pair[0]}" in stage.marks.names(value) for value in others):
                found.append(pair)
                rest.remove(pair)
                break
        else:
            raise UntoldError("these variables are made of each other", "write an ENV for each")
    return found


def label(stage: StageConversion, node: syntax.Label) -> None:
    """LABEL."""
    for pair in node.pairs:
        words = [pair.name, pair.value or ""]

        def build(texts: tuple[str, ...]) -> list[str]:
            if not texts[0].strip():
                raise UntoldError("a label has a name")
            return [f"label {stage.marks.string(texts[0])} = {stage.marks.expression(texts[1])}"]

        stage.emit(words, build)


def command_line(stage: StageConversion, command: syntax.Command) -> tuple[str, ...]:
    """The words of a command."""
    if command.form == "exec":
        return command.words
    return (*(stage.shell or DEFAULT_SHELL), " ".join(command.words))


def cmd(stage: StageConversion, node: syntax.Cmd) -> None:
    """CMD."""
    stage.command_set = True
    _listed(stage, "command", command_line(stage, node.command))


def entrypoint(stage: StageConversion, node: syntax.Entrypoint) -> None:
    """ENTRYPOINT."""
    words = command_line(stage, node.command)
    _listed(stage, "entrypoint", words)
    if not words and not stage.command_set:
        stage.body.add("unset command")


def _listed(stage: StageConversion, keyword: str, words: Sequence[str]) -> None:
    if not words:
        stage.body.add(f"unset {keyword}")
        return
    first, *rest = stage.marks.items(words)
    stage.body.add(f"{keyword} {first}", *rest)


def shell(stage: StageConversion, node: syntax.Shell) -> None:
    """SHELL: said with each command that it is for."""
    stage.shell = node.words
    text = "the image does not say any more which shell its builders use: each step says it"
    stage.shared.notes.remark(text, node.span)


def user(stage: StageConversion, node: syntax.User) -> None:
    """USER."""

    def build(texts: tuple[str, ...]) -> list[str]:
        check_owner(stage, texts[0])
        return [f"user {stage.marks.word(texts[0])}"]

    (stage.user,) = stage.emit([node.user.text], build)
    stage.owned = stage.owned or not stage.is_root


def check_owner(stage: StageConversion, text: str) -> None:
    """Raise `UntoldError` for an owner that can't be written."""
    if not _OWNER.match(stage.plain(text) or "x"):
        raise UntoldError(f"not a user that a Buildfile can name: {stage.plain(text)}", "write user or user:group")


def workdir(stage: StageConversion, node: syntax.Workdir) -> None:
    """WORKDIR; the directory is made by the step below that needs it."""

    def build(texts: tuple[str, ...]) -> list[str]:
        path = stage.absolute(texts[0])
        return [f"workdir {stage.marks.word(path.rstrip('/') or '/')}"]

    (text,) = stage.emit([node.path.text], build)
    stage.workdir = stage.absolute(text).rstrip("/") or "/"
    stage.workdir_is_known = True
    if not stage.paths.is_there(stage.workdir):
        stage.pending = stage.workdir


def expose(stage: StageConversion, node: syntax.Expose) -> None:
    """EXPOSE."""

    def build(texts: tuple[str, ...]) -> list[str]:
        ports = [port for text in texts for port in _ports(stage, text, node)]
        return [f"expose {stage.marks.words(ports)}"]

    stage.emit([port.text for port in node.ports], build)


def _ports(stage: StageConversion, text: str, node: syntax.Expose) -> list[str]:
    """The ports of a word; what is known is split and put into its usual form."""
    if stage.marks.names(text) and " " not in stage.plain(text):
        return [text]
    found = []
    for word in stage.plain(text).split():
        read_ports([word], node.span)
        numbers, _, protocol = word.rpartition(":")[2].partition("/")
        low, _, high = numbers.lstrip("+").partition("-")
        if int(low) < 1 or int(high or low) - int(low) >= 1000:
            raise UntoldError(
                f"not ports that a Buildfile can name: {word}", "a range has at most 1000 ports, from 1 on"
            )
        found.append(numbers.lstrip("+") + (f"/{protocol.lower()}" if protocol.lower() not in ("", "tcp") else ""))
    return found


def volume(stage: StageConversion, node: syntax.Volume) -> None:
    """VOLUME."""

    def build(texts: tuple[str, ...]) -> list[str]:
        for text in texts:
            if not stage.plain(text).startswith("/"):
                raise UntoldError(f"a volume's path begins with /: {stage.plain(text)}")
        return [f"volume {stage.marks.words(texts)}"]

    stage.emit([path.text for path in node.paths], build)


def stop_signal(stage: StageConversion, node: syntax.StopSignal) -> None:
    """STOPSIGNAL."""

    def build(texts: tuple[str, ...]) -> list[str]:
        text = texts[0]
        if not stage.marks.names(text):
            if text.lstrip("+-").isdigit():
                if not 1 <= int(text) <= _LAST_SIGNAL:
                    raise UntoldError(f"not a signal of Linux: {text}")
                text = str(int(text))
            else:
                text = f"SIG{text.upper().removeprefix('SIG')}"
        return [f"stop_signal {stage.marks.word(text)}"]

    stage.emit([node.signal.text], build)


def healthcheck(stage: StageConversion, node: syntax.Healthcheck) -> None:
    """HEALTHCHECK."""
    if node.command is None:
        stage.body.add("healthcheck none")
        return
    if node.start_interval:
        stage.differs("--start-interval of HEALTHCHECK has no equivalent")
    words = node.command.words
    if node.command.form == "shell":
        words = (*(stage.shell or DEFAULT_SHELL), " ".join(words))
    times = {"interval": node.interval, "timeout": node.timeout, "start_period": node.start_period}
    options = [f" {name} {_time(value)}" for name, value in times.items() if value]
    if node.retries:
        options.append(f" retries {min(node.retries, _MOST_RETRIES)}")
    *lines, last = stage.marks.items(words)
    whole = [*lines, last + "".join(options)]
    stage.body.add(f"healthcheck {whole[0]}", *whole[1:])


def _time(nanoseconds: int) -> str:
    if nanoseconds % _MILLISECOND:
        raise UntoldError("a time is whole milliseconds")
    text = ""
    for size, unit in _UNITS:
        count, nanoseconds = divmod(nanoseconds, size)
        text += f"{count}{unit}" if count else ""
    return text


def on_build(stage: StageConversion, node: syntax.OnBuild) -> None:
    """ONBUILD: fired in the stages of the file that begin from this one; an image has no such thing."""
    stage.triggers.append(node.trigger)


def maintainer(stage: StageConversion, node: syntax.Maintainer) -> None:
    """MAINTAINER: the label that took its place."""
    name = "org.opencontainers.image.authors"
    stage.body.add(f"label {stage.marks.string(name)} = {stage.marks.string(node.maintainer.text)}")
    stage.warn(f"an image has no maintainer here: the label {name} says it")
