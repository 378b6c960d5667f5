"""`pybuild key`: keys that sign images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json
from buildkit_py.cli.passwords import add_password, password_of
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from buildkit_py.trust.keys import PrivateKey

_KINDS = ("ecdsa-p256", "ed25519")
_NAME = "pybuild"


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    parser.add_argument("action", choices=("generate",), metavar="ACTION", help="generate: make a new key")
    parser.add_argument(
        "-o", "--output", default="pybuild", metavar="NAME", help="write NAME.key and NAME.pub (default: pybuild)"
    )
    parser.add_argument(
        "--type", choices=_KINDS, default=_KINDS[0], metavar="KIND", help="ecdsa-p256 or ed25519 (default: ecdsa-p256)"
    )
    parser.add_argument(
        "--notary",
        action="store_true",
        help="for the Notary Project: also NAME.crt, the key's certificates, and NAME.root.crt, the one to trust",
    )
    parser.add_argument("--name", metavar="TEXT", help="the common name in the certificate (default: pybuild)")
    add_password(parser)
    add_json(parser)


def run(args: Namespace, shell: Shell) -> int:
    """Make a key and write its files."""
    from buildkit_py.trust.keyfile import write_new
    from buildkit_py.trust.keys import PrivateKey

    if args.notary and args.type != _KINDS[0]:
        raise UsageError("the Notary Project knows no Ed25519 keys", hint="leave --type out")
    if args.name is not None and not args.notary:
        raise UsageError("--name is of a certificate", hint="add --notary")
    paths = [Path(f"{args.output}{suffix}") for suffix in (".key", ".pub", *((".crt", ".root.crt") * args.notary))]
    for path in paths:
        if path.exists():
            raise UsageError(f"{path} is there already, and keys are never replaced", hint="choose another name for -o")
    password = password_of(args, shell, new=True)()
    key = PrivateKey.generate(args.type)
    write_new(dict(zip(paths, _contents(key, password, args), strict=True)))
    if args.json:
        told = {"fingerprint": key.public.fingerprint, "type": args.type, "files": [str(path) for path in paths]}
        shell.print(json.dumps(told, indent=2))
    else:
        shell.print(f"made {', '.join(map(str, paths))}")
        shell.print(f"the key is {key.public.fingerprint}")
    return 0


def _contents(key: PrivateKey, password: bytes, args: Namespace) -> list[tuple[bytes, int]]:
    """Bytes and mode of each file, in the order of their names."""
    from buildkit_py.trust.keyfile import pkcs8, sealed

    if not args.notary:
        return [(sealed(key, password), 0o600), (key.public.pem, 0o644)]
    from buildkit_py.trust.certificates import make_chain, to_pem

    leaf, root = make_chain(key, args.name or _NAME)
    chain, trusted = to_pem([leaf, root]), to_pem([root])
    return [(pkcs8(key, password), 0o600), (key.public.pem, 0o644), (chain, 0o644), (trusted, 0o644)]


KEY = Command(
    "key",
    usage="generate [options]",
    about=(
        "Make a key that signs images: NAME.key, encrypted with a password, in the form of cosign, and NAME.pub for\n"
        "those who check. Files that are there are never replaced."
    ),
    examples=(
        ("pybuild key generate -o release", "release.key and release.pub; the terminal asks for a password"),
        ("pybuild key generate --type ed25519 -o ci --password-file pw", "another kind, without a terminal"),
        ("pybuild key generate --notary --name team -o team", "for the Notary Project, with certificates"),
    ),
    prepare=prepare,
    run=run,
)
