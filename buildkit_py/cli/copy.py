"""`pybuild copy` and `pybuild pull`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.cli.moving import add_platforms, as_plain, move, platform_of, summary
from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_policy, add_store
from buildkit_py.cli.shell import Shell

if TYPE_CHECKING:
    from buildkit_py.transfer.place import Place
    from buildkit_py.transfer.plan import Wishes

_PLACES = "docker://REF, oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME], dir:PATH"


def prepare_copy(parser: Parser) -> None:
    """Add the arguments of `copy`."""
    parser.add_argument("source", metavar="SRC", help=f"{_PLACES}, or a name in the store")
    parser.add_argument("target", metavar="DST", help="the same; what is called so there is replaced")
    what = parser.add_argument_group("what to copy")
    add_platforms(what)
    changed = parser.add_argument_group("what is changed on the way (default: nothing)")
    changed.add_argument("--format", choices=("oci", "docker"), metavar="KIND", help="oci or docker: other media types")
    changed.add_argument(
        "--compress", choices=("gzip", "zstd", "none"), metavar="HOW", help="gzip, zstd or none: layers that are not so"
    )
    what.add_argument(
        "--signatures", action="store_true", help="take what signs the image along, from a registry to a registry"
    )
    add_policy(what)
    changed.add_argument("--preserve-digests", action="store_true", help="fail rather than change a digest")
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("-q", "--quiet", action="store_true", help="print only the digest at the destination")
    add_json(shown)
    add_store(shown)


def run_copy(args: Namespace, shell: Shell) -> int:
    """Copy one image."""
    from buildkit_py.transfer.place import Place
    from buildkit_py.transfer.plan import Wishes

    wishes = Wishes(
        every=args.all,
        platform=platform_of(args.platform, every=args.all),
        format=args.format,
        compress=args.compress,
        preserve=args.preserve_digests,
    )
    source, target = Place.parse(args.source, Path()), Place.parse(args.target, Path())
    return _run(args, shell, source, target, wishes, signatures=args.signatures)


def prepare_pull(parser: Parser) -> None:
    """Add the arguments of `pull`."""
    parser.add_argument("name", metavar="NAME", help="a reference, as python:3.12 or docker://registry.example/app:1")
    add_platforms(parser)
    add_policy(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the digest")
    add_json(parser)
    add_store(parser)


def run_pull(args: Namespace, shell: Shell) -> int:
    """Copy one image into the store, under the name that it was asked for by."""
    from buildkit_py.errors import UsageError
    from buildkit_py.reference import is_local
    from buildkit_py.transfer.place import Place
    from buildkit_py.transfer.plan import Wishes

    if is_local(args.name):
        raise UsageError(
            f"`pybuild pull` asks registries alone: {args.name!r}", hint=f"write `pybuild copy {args.name} NAME`"
        )
    source = Place.in_registry(args.name)
    target = Place(text=args.name.removeprefix("docker://"), kind="store", name=args.name.removeprefix("docker://"))
    wishes = Wishes(every=args.all, platform=platform_of(args.platform, every=args.all))
    return _run(args, shell, source, target, wishes)


def _run(
    args: Namespace, shell: Shell, source: Place, target: Place, wishes: Wishes, *, signatures: bool = False
) -> int:
    from buildkit_py.transfer.ends import Ends

    with Ends(lambda make: shell.store(args.store, make=make), Path(), args.policy) as ends:
        report = move(shell, ends, source, target, wishes, quiet=args.quiet, signatures=signatures)
    if args.json:
        shell.print(json.dumps(as_plain(report), indent=2))
    elif args.quiet:
        shell.print(report.digest)
    else:
        shell.print(f"{summary(report)}\n{report.digest}")
    return 0


COPY = Command(
    "copy",
    usage="[options] SRC DST",
    about=(
        "Copy an image between registries, layouts, archives, directories and the store. Only what is missing at\n"
        "the destination is moved; digests stay as they are unless something else is asked for."
    ),
    examples=(
        ("pybuild copy docker://python:3.12 oci:images:python", "from a registry into a layout"),
        ("pybuild copy --all docker://a.example/app:1 docker://b.example/app:1", "all platforms, straight through"),
        ("pybuild copy --all --signatures docker://a.example/app:1 docker://b.example/app:1", "and what signs them"),
        ("pybuild copy web docker-archive:web.tar", "from the store, for `docker load`"),
        ("pybuild copy --compress zstd oci:images:web docker://a.example/web:1", "with layers of zstd"),
    ),
    prepare=prepare_copy,
    run=run_copy,
)
PULL = Command(
    "pull",
    usage="[options] NAME",
    about=(
        "Bring an image from a registry into the store, where it is called NAME. What the store has is not fetched\n"
        "again; what an interrupted pull left is taken up."
    ),
    examples=(
        ("pybuild pull python:3.12", "this machine's platform"),
        ("pybuild pull --all registry.example/app:1", "every platform"),
    ),
    prepare=prepare_pull,
    run=run_pull,
)
