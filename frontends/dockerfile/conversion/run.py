"""RUN: shell text where that is sure to do the same, a script of its own shell, or a list of words.

    run apt-get update && apt-get install -y gcc    under `-eu` and pipefail, which changes nothing here
    run {                                           as the Dockerfile's shell runs it
        #!/bin/sh
        make; make install
    }
    run ["/opt/shell", "-x", "make"]                where neither can say it

A step sees the params that its text names; others that the Dockerfile's step would see are named in a comment of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from buildkit_py.dataclass import dataclass
from frontends.dockerfile import syntax
from frontends.dockerfile.conversion.grants import grants
from frontends.dockerfile.conversion.kinds import mentioned_paths
from frontends.dockerfile.conversion.language import WIDTH, UntoldError, indented
from frontends.dockerfile.conversion.settings import DEFAULT_SHELL
from frontends.dockerfile.conversion.shelltext import PLAIN, is_strict_alike, layout, mentioned, programs
from frontends.dockerfile.conversion.stage import StageConversion
from frontends.dockerfile.lower.run import is_heredoc_alone

_SHEBANG = re.compile(r"#![ \t]*\S+(?:[ \t]+\S+)?[ \t]*\n")
_COMMENTS = re.compile(r"(?:sh|bash|dash|ash|zsh|ksh|python[0-9.]*|perl|ruby|awk)\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_ALWAYS = frozenset({"PATH", "HOME", "PWD"})
_GIVES_AWAY = re.compile(r"\b(?:chown|chgrp|install\s+.*-o|su|sudo|gosu)\b|--chown|--owner")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """What a step runs: `text` by `shell` (None: it is a script that names its own), `interpreter` as a `#!` line."""

    text: str
    shell: tuple[str, ...] | None
    interpreter: str | None


def run(stage: StageConversion, node: syntax.Run) -> None:
    """RUN."""
    made = _read(stage, node)
    used = _programs(made)
    plain = used is not None and used <= PLAIN
    given = grants(stage, node, network=not plain)
    if re.search(r"\bmknod\b", made.text):
        given = (*given, "capability(MKNOD)")
    if re.search(r"\b(?:sudo|su|doas)\b", made.text):
        stage.warn(
            "a step of a Buildfile gains nothing from set-user-id programs", "write `user` where another is meant"
        )
    lines = _lines(stage, made, plain=plain)
    stage.body.add(*lines, grants=given)
    stage.has_shell = stage.has_shell or node.command.form == "shell"
    _learn(stage, made.text)


def _programs(made: _Text) -> set[str] | None:
    """What a step runs, if that can be told."""
    if made.shell is None:
        return None
    return programs(made.text) if made.text else {made.shell[0].rpartition("/")[2]}


def _learn(stage: StageConversion, text: str) -> None:
    files, folders = mentioned_paths(text, stage.workdir)
    for path in folders:
        stage.paths.learn(path)
    stage.paths.files |= files
    stage.owned = stage.owned or bool(_GIVES_AWAY.search(text))


def _read(stage: StageConversion, node: syntax.Run) -> _Text:
    shell = stage.shell or DEFAULT_SHELL
    if not node.heredocs and node.command.form == "exec":
        if not node.command.words:
            raise UntoldError("a step needs a program")
        return _Text(text="", shell=node.command.words, interpreter=None)
    text = " ".join(node.command.words)
    if not node.heredocs:
        return _Text(text=text, shell=shell, interpreter=_interpreter(shell))
    first = node.heredocs[0]
    if not is_heredoc_alone(node):
        text += "".join(f"\n{document.raw}{document.name}" for document in node.heredocs)
        return _Text(text=text, shell=shell, interpreter=_interpreter(shell))
    body = first.text.removesuffix("\n")
    if first.text.startswith("#!"):
        found = _SHEBANG.match(first.text)
        if found is None:
            raise UntoldError("this `#!` line has several arguments, which a Buildfile would part")
        return _Text(text=body[found.end() :], shell=None, interpreter=found[0].strip())
    return _Text(text=body, shell=shell, interpreter=_interpreter(shell))


def _interpreter(shell: Sequence[str]) -> str | None:
    """The `#!` line that runs a script as a shell runs a text, if there is one."""
    *words, last = shell
    if not words or not re.fullmatch(r"-[a-z]*c", last) or any(re.search(r"\s", word) for word in shell):
        return None
    return " ".join(["#!" + words[0], *words[1:], *([last[:-1]] if last != "-c" else [])])


def _lines(stage: StageConversion, made: _Text, *, plain: bool) -> list[str]:
    arguments = [
        name for name, each in stage.scope.variables.items() if each.kind == "argument" and name not in _ALWAYS
    ]
    direct = [name for name in arguments if stage.scope.variables[name].param == name]
    named = mentioned(made.text)
    others = [name for name in arguments if name not in direct and (not plain or name in named)]
    if made.text and not _is_hidden(stage, made.text) and _can_stand(made.text, made.interpreter):
        reads = [name for name in direct if name not in named and not plain]
        if made.shell in (None, DEFAULT_SHELL) or made.interpreter:
            if reads and made.interpreter and not _COMMENTS.search(_program(made.interpreter)):
                others, reads = [*others, *reads], []
            stage.export(others)
            return _script(stage, made, reads)
    stage.export([*others, *(name for name in direct if not plain or name in named)])
    if made.shell is None:
        raise UntoldError("this script names a param that it must not see, or holds what a Buildfile can't")
    words = (*made.shell, made.text) if made.text else made.shell
    first, *rest = stage.marks.items(words)
    return [f"run {first}", *rest]


def _program(interpreter: str) -> str:
    """The program that a `#!` line names."""
    words = interpreter.removeprefix("#!").split()
    return words[1] if words[0].endswith("/env") and len(words) > 1 else words[0]


def _is_hidden(stage: StageConversion, text: str) -> bool:
    """Whether a step would see a param where the Dockerfile's sees something else of that name."""
    for name in mentioned(text) & stage.shared.params.names():
        variable = stage.scope.variables.get(name)
        known = variable.known if variable is not None else None
        if known != stage.marks.mark(name):
            return True
    return False


def _can_stand(text: str, interpreter: str | None) -> bool:
    """Whether a block can hold a text: nothing that is lost on the way."""
    lines = text.split("\n")
    odd = any(line.isspace() for line in lines) or "$0" in text or _CONTROL.search(text)
    even = bool(interpreter) or any(line[:1] not in ("", " ", "\t") for line in lines)
    return not odd and even and not text.startswith("#!")


def _script(stage: StageConversion, made: _Text, reads: Sequence[str]) -> list[str]:
    note = f"# reads {' '.join(f'${name}' for name in reads)}" if reads else ""
    known = {name for name, each in stage.scope.variables.items()} | _ALWAYS
    if made.shell == DEFAULT_SHELL and is_strict_alike(made.text, known):
        lines = layout(made.text)
        if "\n" not in made.text and not made.text.startswith(("{", "[")):
            comment = f"  {note}" if note else ""
            if not note or (len(lines) == 1 and len(lines[0]) + len(comment) <= WIDTH + 10):
                return [f"run {lines[0]}{comment}", *lines[1:]]
        return ["run {", *indented([*([note] if note else []), *lines]), "}"]
    body = layout(made.text) if made.shell is not None else made.text.split("\n")
    return ["run {", *indented([made.interpreter or "#!/bin/sh", *([note] if note else []), *body]), "}"]
