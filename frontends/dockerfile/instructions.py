"""How the arguments of each instruction are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from buildkit_py.source import Diagnostic, visible
from buildkit_py.suggest import suggest
from frontends.dockerfile import syntax
from frontends.dockerfile.call import Call
from frontends.dockerfile.copying import copy
from frontends.dockerfile.durations import read_duration, read_retries
from frontends.dockerfile.flags import Kind
from frontends.dockerfile.forms import parted, read_command, read_list, read_words
from frontends.dockerfile.mounts import read_spec
from frontends.dockerfile.pairs import read_arguments, read_pairs
from frontends.dockerfile.text import Part
from frontends.dockerfile.words import SPACES

NETWORKS = ("default", "none", "host")
SECURITIES = ("sandbox", "insecure")

_FROM_FLAGS: Mapping[str, Kind] = {"platform": "text"}
_RUN_FLAGS: Mapping[str, Kind] = {"device": "texts", "mount": "texts", "network": "text", "security": "text"}
_HEALTHCHECK_FLAGS: Mapping[str, Kind] = {
    "interval": "text",
    "timeout": "text",
    "start-period": "text",
    "start-interval": "text",
    "retries": "text",
}
_STAGE_NAME = re.compile(r"[a-z][a-z0-9._-]*\Z")
_ONBUILD = re.compile(r"[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*", re.IGNORECASE)
_NOT_TRIGGERS = frozenset({"ONBUILD", "FROM", "MAINTAINER"})


def read(call: Call) -> syntax.Instruction:
    """Read an instruction; raises `SourceError` with one fault, others are in `call.faults`."""
    reader = _READERS.get(call.head.text.lower())
    if reader is None:
        raise _unknown(call)
    return reader(call)


def _unknown(call: Call) -> Exception:
    word = visible(call.head.text)
    close = suggest(call.head.text, NAMES, same_case=False)
    if call.is_lost:
        hint = "only RUN, COPY and ADD open here-documents, with a word of its own such as <<EOF; is one meant above?"
    elif not word:
        hint = f"write an instruction behind the {call.escape}"
    elif close:
        hint = f"did you mean {close}?"
    elif word.startswith(("&&", "||", "|", "-", ";")):
        hint = f"if this belongs to the instruction above, end the line before it with {call.escape}"
    elif word.startswith("//"):
        hint = "comments and directives begin with #"
    else:
        hint = f"instructions are {', '.join(NAMES)}"
    message = f"there is no instruction {word}" if word else "there is no instruction on this line"
    return call.wrong(message, hint)


# --- stages


def _from(call: Call) -> syntax.From:
    given = call.flags(_FROM_FLAGS)
    words = parted(call.args)
    stage, keyword = None, None
    if len(words) == 3 and words[1].text.lower() == "as":
        keyword, stage = words[1].text, words[2]
        _check_stage_name(call, stage)
    elif len(words) != 1:
        raise _from_shape(call, words)
    return syntax.From(
        base=words[0], platform=given.once.get("platform"), stage=stage, as_keyword=keyword, **call.common()
    )


def _check_stage_name(call: Call, stage: syntax.Word) -> None:
    if _STAGE_NAME.match(stage.text.lower()):
        return
    hint = "a name begins with a letter and holds letters, digits, - _ and . only"
    raise call.wrong(f"a stage can't be called {visible(stage.text)}", hint, _part(call, stage))


def _part(call: Call, word: syntax.Word) -> Part:
    """The part of the line that a word without white space was read from."""
    start = call.args.text.rindex(word.text)
    return call.args.part(start, start + len(word.text))


def _from_shape(call: Call, words: tuple[syntax.Word, ...]) -> Exception:
    hint = "write FROM image, or FROM image AS name"
    if not words:
        return call.wrong("FROM needs the name of an image or a stage", hint)
    extra = words[1]
    if extra.text.startswith("#"):
        hint = "a comment needs a line of its own"
    elif words[-1].text.lower() == "as":
        hint = f"write a name behind {words[-1].text}"
    start = call.args.text.index(extra.text, len(words[0].text))
    message = "FROM takes an image, and perhaps AS and a name"
    return call.wrong(message, hint, call.args.part(start, call.args.end - call.args.start))


# --- variables and labels


def _arg(call: Call) -> syntax.Arg:
    call.require("ARG NAME, or ARG NAME=default")
    return syntax.Arg(pairs=read_arguments(call.args, call.escape), **call.common())


def _env(call: Call) -> syntax.Env:
    call.flags({})
    call.require("ENV NAME=value")
    return syntax.Env(pairs=read_pairs(call.name, call.args, call.escape), **call.common())


def _label(call: Call) -> syntax.Label:
    call.flags({})
    call.require('LABEL name="value"')
    return syntax.Label(pairs=read_pairs(call.name, call.args, call.escape), **call.common())


# --- commands


def _run(call: Call) -> syntax.Run:
    given = call.flags(_RUN_FLAGS)
    mounts = tuple(spec for flag in given.all("mount") if (spec := read_spec(flag, call.faults)) is not None)
    network, security = given.once.get("network"), given.once.get("security")
    _check_choice(call, network, NETWORKS)
    _check_choice(call, security, SECURITIES)
    return syntax.Run(
        command=read_command(call.args),
        mounts=mounts,
        network=network,
        security=security,
        devices=given.all("device"),
        heredocs=call.heredocs,
        **call.common(),
    )


def _check_choice(call: Call, flag: syntax.Flag | None, choices: tuple[str, ...]) -> None:
    if flag is None or flag.value in choices:
        return
    close = suggest(flag.value or "", choices)
    hint = f"did you mean {close}?" if close else f"write one of {', '.join(choices)}"
    message = f"--{flag.name} can't be {visible(flag.value or '')!r}"
    call.faults.append(Diagnostic(message=message, span=flag.value_span or flag.span, hint=hint))


def _cmd(call: Call) -> syntax.Cmd:
    call.flags({})
    return syntax.Cmd(command=read_command(call.args), **call.common())


def _entrypoint(call: Call) -> syntax.Entrypoint:
    call.flags({})
    return syntax.Entrypoint(command=read_command(call.args), **call.common())


def _shell(call: Call) -> syntax.Shell:
    example = 'SHELL ["/bin/sh", "-c"]'
    call.flags({})
    call.require(example)
    words = read_list(call.args)
    if words is None:
        raise call.wrong("SHELL needs a JSON list", f"write {example}", call.args)
    if not words:
        raise call.wrong("SHELL has an empty list", f"write {example}", call.args)
    return syntax.Shell(words=tuple(words), **call.common())


def _healthcheck(call: Call) -> syntax.Healthcheck:
    call.require("HEALTHCHECK CMD command, or HEALTHCHECK NONE")
    text = call.args.text
    kind = text.split(maxsplit=1)[0]
    rest = call.args.part(len(kind), len(text)).stripped()
    if kind.upper() == "NONE":
        if rest.text and read_list(rest) != []:
            raise call.wrong("HEALTHCHECK NONE takes no arguments", "take them away", rest)
        return syntax.Healthcheck(command=None, **call.common())
    given = call.flags(_HEALTHCHECK_FLAGS)
    if kind.upper() != "CMD":
        hint = "write HEALTHCHECK CMD command, or HEALTHCHECK NONE; options stand before CMD"
        raise call.wrong(f"HEALTHCHECK takes CMD or NONE, not {visible(kind)}", hint, call.args.part(0, len(kind)))
    command = read_command(rest)
    if not command.words:
        raise call.wrong("HEALTHCHECK CMD has no command", "write it behind CMD", call.args.part(0, len(kind)))
    return syntax.Healthcheck(
        command=command,
        interval=read_duration(given.once.get("interval")),
        timeout=read_duration(given.once.get("timeout")),
        start_period=read_duration(given.once.get("start-period")),
        start_interval=read_duration(given.once.get("start-interval")),
        retries=read_retries(given.once.get("retries")),
        **call.common(),
    )


def _onbuild(call: Call) -> syntax.OnBuild:
    call.flags({})
    call.require("ONBUILD and another instruction")
    inner = call.inner()
    if inner.name in _NOT_TRIGGERS:
        hint = "write the instruction that later builds run behind ONBUILD"
        raise call.wrong(f"ONBUILD can't fire {inner.name}", hint, inner.head)
    first = _ONBUILD.sub("", call.command.whole.line.text, count=1)
    documents = "".join(f"\n{document.raw}{document.name}" for document in call.heredocs)
    return syntax.OnBuild(expression=first + documents, trigger=read(inner), **call.common())


# --- other settings of the image


def _workdir(call: Call) -> syntax.Workdir:
    call.flags({})
    call.require("WORKDIR /path")
    return syntax.Workdir(path=call.args.word, **call.common())


def _user(call: Call) -> syntax.User:
    call.flags({})
    call.require("USER name, or USER name:group")
    return syntax.User(user=call.args.word, **call.common())


def _expose(call: Call) -> syntax.Expose:
    call.flags({})
    call.require("EXPOSE 80, or EXPOSE 53/udp")
    return syntax.Expose(ports=parted(call.args), **call.common())


def _volume(call: Call) -> syntax.Volume:
    call.flags({})
    call.require("VOLUME /path")
    words = read_words(call.args)
    if not words:
        raise call.wrong("VOLUME has an empty list", "write VOLUME /path", call.args)
    paths = tuple(syntax.Word(text=word.text.strip(SPACES), span=word.span) for word in words)
    if not all(path.text for path in paths):
        raise call.wrong("VOLUME names an empty path", "write a path, as VOLUME /data", call.args)
    return syntax.Volume(paths=paths, **call.common())


def _stop_signal(call: Call) -> syntax.StopSignal:
    call.require("STOPSIGNAL SIGTERM")
    return syntax.StopSignal(signal=call.args.word, **call.common())


def _maintainer(call: Call) -> syntax.Maintainer:
    call.flags({})
    call.require("LABEL org.opencontainers.image.authors=…, as MAINTAINER is deprecated")
    return syntax.Maintainer(maintainer=call.args.word, **call.common())


_READERS: Mapping[str, Callable[[Call], syntax.Instruction]] = {
    "add": copy,
    "arg": _arg,
    "cmd": _cmd,
    "copy": copy,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "from": _from,
    "healthcheck": _healthcheck,
    "label": _label,
    "maintainer": _maintainer,
    "onbuild": _onbuild,
    "run": _run,
    "shell": _shell,
    "stopsignal": _stop_signal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
NAMES = tuple(sorted(name.upper() for name in _READERS))
