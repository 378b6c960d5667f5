"""`pybuild shell`: a locked-down shell in an image."""

from __future__ import annotations

from argparse import REMAINDER

from buildkit_py.cli.parser import Command, Namespace, Parser, add_store, repeatable
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import UsageError


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="IMAGE", help="an image's name in the store, or its digest, or how that begins")
    parser.add_argument(
        "command", nargs=REMAINDER, metavar="COMMAND", help="what to run, with its arguments (default: a shell)"
    )
    what = parser.add_argument_group("what it is given")
    what.add_argument("--write", action="store_true", help="let it write to the image; what it writes is thrown away")
    what.add_argument("--network", action="store_true", help="the network of this machine (default: none)")
    repeatable(what, "--mount", "SRC:DST[:ro]", "a file or directory of this machine; repeatable")
    repeatable(what, "-e --env", "NAME=VALUE", "a variable; NAME alone: as it is here; repeatable")
    what.add_argument("-u", "--user", default="", metavar="USER[:GROUP]", help="who it runs as (default: the image's)")
    what.add_argument("-w", "--workdir", default="", metavar="DIR", help="where it starts (default: the image's)")
    how = parser.add_argument_group("how it runs")
    how.add_argument("--platform", metavar="P", help="of several, this one, as linux/arm64 (default: this machine's)")
    how.add_argument(
        "--runtime",
        choices=("auto", "runc", "crun", "bwrap"),
        default="auto",
        metavar="NAME",
        help="what it runs in: runc, crun, bwrap (default: the first of them that is here)",
    )
    add_store(how)


def run(args: Namespace, shell: Shell) -> int:
    """Run it, and end as it does."""
    from buildkit_py.cli.fetching import Fetching
    from buildkit_py.engine.interactive import Wish, bind, enter
    from buildkit_py.executor.sandbox.console import Console
    from buildkit_py.platform import Platform

    console = Console()
    wish = Wish(
        args=tuple(args.command),
        env=tuple(pair for text in args.env for pair in _variable(text, shell)),
        user=args.user,
        workdir=args.workdir,
        network="host" if args.network else "none",
        mounts=tuple(map(bind, args.mount)),
        writable=args.write,
        runtime=args.runtime,
    )
    with shell.store(args.store, make=False) as store:
        return enter(
            store,
            args.name,
            wish,
            console,
            platform=Platform.parse(args.platform) if args.platform else None,
            environ=shell.environ,
            tell=Fetching(shell),
            note=lambda text: shell.complain(f"pybuild: {text}\n"),
        )


def _variable(text: str, shell: Shell) -> list[tuple[str, str]]:
    name, equals, value = text.partition("=")
    if not name:
        raise UsageError(f"can't read --env {text!r}", hint="write --env NAME=VALUE, or --env NAME")
    if equals:
        return [(name, value)]
    return [(name, shell.environ[name])] if name in shell.environ else []


SHELL = Command(
    "shell",
    usage="[options] IMAGE [COMMAND ...]",
    about=(
        "Run a shell, or a COMMAND, in an image: in the sandbox of a step, without a network, as the image's user,\n"
        "with a root that can't be written. Ends with its exit status, and keeps nothing. Options stand before IMAGE."
    ),
    examples=(
        ("pybuild shell app:1", "look around"),
        ("pybuild shell --write --network app:1", "try something; what is written is thrown away"),
        ("pybuild shell app:1 -- cat /etc/os-release", "one command"),
        ("pybuild shell --mount .:/src:ro -w /src app:1 make test", "on files of this machine"),
    ),
    prepare=prepare,
    run=run,
)
