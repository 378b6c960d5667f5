"""From words to an exit code: finds the command, and is the one place where errors become text."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from buildkit_py.cli import INTERRUPTED
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import OutputError, PybuildError, UsageError

TERMINATED = 143
BROKEN_PIPE = 141
INTERNAL = 70
_DEBUG = ("-D", "--debug")
_BUILDS = (("buildx", "build"), ("buildx", "b"), ("image", "build"), ("builder", "build"))
_ONLY_BUILD = "of docker's commands only `build` is one here; there is no daemon and no builder to manage"
_NO_CONTAINERS = "pybuild makes images and starts none: -o type=docker,dest=FILE writes one for docker or podman"
_SHELL = "`pybuild shell IMAGE -- COMMAND` runs a command in an image, in a sandbox that is gone afterwards"
_ELSEWHERE = {
    **dict.fromkeys(("buildx", "builder", "image", "system"), f"{_ONLY_BUILD}. `pybuild ls` lists the images"),
    **dict.fromkeys(("create", "start", "ps"), _NO_CONTAINERS),
    **dict.fromkeys(("run", "exec"), _SHELL),
    "unmount": "`pybuild umount` does that",
    "images": "`pybuild ls` lists the images",
}
"""Words that people of other tools begin with, and where to look for what they do."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: stop as an interrupt does, with another exit code."""


def run(words: Sequence[str], shell: Shell | None = None) -> int:
    """Run a command line; every fault ends as text on `err` and an exit code."""
    shell = shell or Shell()
    try:
        with _terminable():
            code = dispatch(words, shell)
            shell.flush()
        return code
    except SystemExit as leaving:
        # argparse leaves this way after --help.
        return leaving.code if isinstance(leaving.code, int) else 0
    except PybuildError as error:
        from buildkit_py.cli.faults import report

        report(error, shell)
        return error.exit_code
    except Terminated:
        shell.complain("\npybuild: terminated\n")
        return TERMINATED
    except KeyboardInterrupt:
        shell.complain("\npybuild: interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        _silence(shell)
        return BROKEN_PIPE
    except Exception as error:
        from buildkit_py.cli.faults import crash, refused

        if refused(error, shell):
            return OutputError.exit_code
        crash(error, words, shell)
        return INTERNAL


def dispatch(words: Sequence[str], shell: Shell) -> int:
    """Run the command that the first word names."""
    if not words:
        from buildkit_py.cli.help import OVERVIEW

        shell.complain(OVERVIEW)
        return UsageError.exit_code
    words = _unwrapped(words)
    name, rest = words[0], words[1:]
    if name in ("-h", "--help", "help"):
        return _help(rest, shell)
    if name in ("version", "--version", "-V"):
        return _version(rest, shell)
    shell.words = rest
    if name == "build":
        from buildkit_py.cli.again import again

        if again(rest, shell):
            return 0
    return command(name)(rest, shell)


def _unwrapped(words: Sequence[str]) -> Sequence[str]:
    """A command line of docker with the first word exchanged, as `buildx build` or `image build`: it is `build`."""
    start = next((place for place, word in enumerate(words) if word not in _DEBUG), 0)
    if tuple(words[start : start + 2]) in _BUILDS:
        return ["build", *words[start + 2 :]]
    return words[start:]


def command(name: str) -> Callable[[Sequence[str], Shell], int]:
    """The command of that name, ready to take its words; raises `UsageError` with what may have been meant."""
    from buildkit_py.cli.commands import COMMANDS, load

    if name not in COMMANDS:
        from buildkit_py.cli.near import hint

        what = "option" if name.startswith("-") else "command"
        told = _ELSEWHERE.get(name) or hint(name, COMMANDS) or "`pybuild help` lists the commands"
        raise UsageError(f"no such {what}: {name!r}", hint=told)
    return load(name).run_words


def _help(rest: Sequence[str], shell: Shell) -> int:
    from buildkit_py.cli.help import OVERVIEW, TOPICS

    if not rest:
        shell.write(OVERVIEW)
    elif rest[0] in TOPICS:
        shell.write(TOPICS[rest[0]])
    elif rest[0] == "version":
        shell.write("usage: pybuild version\n\nPrint the version of pybuild.\n")
    else:
        return command(rest[0])(["--help"], shell)
    return 0


def _version(rest: Sequence[str], shell: Shell) -> int:
    if rest:
        return _help(["version"], shell) if rest[0] in ("-h", "--help") else _no_more(rest[0])
    from buildkit_py import __version__

    shell.print(f"pybuild {__version__}")
    return 0


def _no_more(word: str) -> NoReturn:
    raise UsageError(f"`pybuild version` takes no arguments: {word!r}")


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop the work as Ctrl-C does, so that nothing is left running or mounted."""
    import signal
    import threading

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # A signal that is ignored on purpose (nohup) stays ignored.
    wanted = [sign for sign in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(sign) is signal.SIG_DFL]
    for sign in wanted:
        signal.signal(sign, stop)
    try:
        yield
    finally:
        for sign in wanted:
            signal.signal(sign, signal.SIG_DFL)


def _silence(shell: Shell) -> None:
    """Point stdout at nothing, so that the interpreter's last flush can't fail either."""
    if shell.out is sys.stdout:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
