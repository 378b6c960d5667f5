"""The password of a key: from a file, the environment or the terminal, never from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.cli.parser import Group, Namespace, Parser
from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildkit_py.cli.shell import Shell

VARIABLES = ("PYBUILD_KEY_PASSWORD", "COSIGN_PASSWORD")
_MAX_BYTES = 4096


def add_password(parser: Parser | Group) -> None:
    """The option that says where a password is."""
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="the first line is the key's password (default: $PYBUILD_KEY_PASSWORD, else the terminal asks)",
    )


def password_of(args: Namespace, shell: Shell, *, new: bool = False) -> Callable[[], bytes]:
    """What gives the password when it is needed; a `new` one is asked for twice, and must not be empty. It raises
    `UsageError`."""

    def give() -> bytes:
        password = _given(args, shell)
        if password is None:
            password = _asked(new)
        if new and not password:
            raise UsageError("the password of a key must not be empty", hint="a key without one is anybody's")
        return password

    return give


def _given(args: Namespace, shell: Shell) -> bytes | None:
    if args.password_file:
        try:
            with Path(args.password_file).open("rb") as file:
                return file.readline(_MAX_BYTES).rstrip(b"\r\n")
        except OSError as error:
            raise UsageError(f"the password can't be read from {args.password_file}: {error.strerror}") from None
    return next((shell.environ[name].encode() for name in VARIABLES if name in shell.environ), None)


def _asked(new: bool) -> bytes:
    import getpass
    import os

    try:
        # Without a terminal the library would read standard input, and show what is typed.
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        password = getpass.getpass("password of the key: ")
        if new and getpass.getpass("once more: ") != password:
            raise UsageError("the two passwords are not the same")
    except (OSError, EOFError):
        raise UsageError(
            "the key needs a password, and there is no terminal to ask for it",
            hint="set PYBUILD_KEY_PASSWORD, or give --password-file",
        ) from None
    return password.encode()
