"""`pybuild login` and `pybuild logout`: passwords are checked at their registry, and kept where other tools look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from buildkit_py.registry.credentials import Credential
    from buildkit_py.registry.login import Place

_MOST_SECRET = 1 << 16
_HUB = "docker.io"
_FILE_HELP = "the file that keeps logins (default: $REGISTRY_AUTH_FILE, else as docs/registries.md says)"


def prepare_login(parser: Parser) -> None:
    """Add the arguments of `login`."""
    parser.add_argument(
        "registry", nargs="*", metavar="REGISTRY", help="HOST[:PORT], or HOST/TEAM[/NAME] (default: docker.io)"
    )
    parser.add_argument("-u", "--username", metavar="USER", help="the user name (default: it is asked for)")
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    parser.add_argument("-p", "--password", metavar="PASSWORD", help="refused: every user of the machine could read it")
    parser.add_argument("--authfile", type=Path, metavar="FILE", help=_FILE_HELP)
    add_json(parser)


def run_login(args: Namespace, shell: Shell) -> int:
    """Check a login, then keep it."""
    from buildkit_py.registry.config import load
    from buildkit_py.registry.login import Scope, check, keep

    if args.password is not None:
        raise UsageError(
            "a password among the arguments can be read by every user of the machine, and stays in the shell's history",
            hint="give it by --password-stdin, or leave it out to be asked for it",
        )
    scope = Scope.parse(_only(args.registry))
    config = load(environ=shell.environ)
    credential = _credential(args, shell)
    checked = check(scope, credential, config, shell.environ)
    place = keep(scope, credential, shell.environ, args.authfile)
    if args.json:
        shell.print(json.dumps({"registry": str(scope), "checked": checked, **_plain(place)}, indent=2))
        return 0
    if not checked:
        shell.complain(f"note: {scope.registry} lets everybody in, so the password could not be checked\n")
    shell.print(f"logged in to {scope}; the login is kept {'by' if place.helper else 'in'} {place}")
    return 0


def _only(words: list[str]) -> str:
    """The one argument. What follows it may be a password, so it is never shown."""
    if len(words) > 1:
        raise UsageError("there is one REGISTRY", hint="a password is given by --password-stdin, or asked for")
    return words[0] if words else _HUB


def _credential(args: Namespace, shell: Shell) -> Credential:
    from buildkit_py.registry.credentials import Credential

    if args.password_stdin and args.username is None:
        raise UsageError("--password-stdin needs the user name too", hint="give it with -u USER")
    asked = shell.stdin.isatty()
    if not asked and not args.password_stdin:
        raise UsageError("there is no terminal to ask for the password", hint="give it by --password-stdin")
    if asked and args.password_stdin:
        raise UsageError(
            "--password-stdin reads the password from a file or a program, and this is a terminal, which would show it",
            hint="leave --password-stdin out to be asked for it",
        )
    username = args.username if args.username is not None else _ask_name(shell)
    _check_name(username)
    password = _read_password(shell) if args.password_stdin else _ask_password(shell)
    if not password:
        raise UsageError("the password is empty")
    return Credential.of(username, password)


def _ask_name(shell: Shell) -> str:
    shell.complain("user name: ")
    return shell.stdin.readline().strip()


def _check_name(name: str) -> None:
    if not name or ":" in name or not name.isprintable():
        raise UsageError(f"not a user name: {name!r}", hint="it has one character or more, and no colon")


def _ask_password(shell: Shell) -> str:
    from getpass import getpass

    try:
        return getpass("password: ", shell.err)
    except EOFError:
        return ""


def _read_password(shell: Shell) -> str:
    raw = shell.stdin.buffer.read(_MOST_SECRET + 1)
    try:
        text = raw.decode() if len(raw) <= _MOST_SECRET else None
    except UnicodeDecodeError:
        text = None
    if text is None or "\0" in text:
        raise UsageError(f"the password on standard input is not text of at most {_MOST_SECRET} bytes")
    return text.removesuffix("\n").removesuffix("\r")


def _plain(place: Place) -> dict[str, str | None]:
    return {"key": place.key, "file": str(place.path), "helper": place.helper}


def prepare_logout(parser: Parser) -> None:
    """Add the arguments of `logout`."""
    parser.add_argument(
        "registry", nargs="*", metavar="REGISTRY", help="HOST[:PORT], or HOST/TEAM[/NAME] (default: docker.io)"
    )
    parser.add_argument("-a", "--all", action="store_true", help="forget every login")
    parser.add_argument("--authfile", type=Path, metavar="FILE", help="only in this file (default: wherever it is)")
    add_json(parser)


def run_logout(args: Namespace, shell: Shell) -> int:
    """Forget a login, and say where it was."""
    from buildkit_py.registry.login import Scope, forget, forget_all

    if args.all:
        if args.registry:
            raise UsageError("either --all or a REGISTRY")
        what, places = "any registry", forget_all(shell.environ, args.authfile)
    else:
        scope = Scope.parse(_only(args.registry))
        what, places = str(scope), forget(scope, shell.environ, args.authfile)
    if args.json:
        shell.print(json.dumps([_plain(place) for place in places], indent=2))
        return 0
    for place in places:
        shell.print(f"forgot the login for {place.key} in {place}")
    if not places:
        shell.print(f"not logged in to {what}")
    return 0


LOGIN = Command(
    "login",
    usage="[options] [REGISTRY]",
    about=(
        "Check a user name and a password at a registry, and keep them where pybuild and the tools of Docker and\n"
        "Podman look for them: by a credential helper where one is configured, else in a file that only you can read."
    ),
    examples=(
        ("pybuild login registry.example", "asks for name and password"),
        ("pybuild login -u me --password-stdin registry.example < token", "for scripts"),
        ("pybuild login -u bot --authfile ci.json registry.example/team", "for some repositories, in another file"),
    ),
    prepare=prepare_login,
    run=run_login,
)
LOGOUT = Command(
    "logout",
    usage="[options] [REGISTRY] | --all",
    about="Forget the login for a registry, in every place where pybuild would find it.",
    examples=(
        ("pybuild logout registry.example", "one"),
        ("pybuild logout --all", "all of them"),
    ),
    prepare=prepare_logout,
    run=run_logout,
)
