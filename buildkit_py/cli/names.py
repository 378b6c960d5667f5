"""`pybuild tag`, `pybuild untag` and `pybuild rmi`: names of images in the store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store
from buildkit_py.cli.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buildkit_py.image.names import Named
    from buildkit_py.store.removal import Removal


def prepare_tag(parser: Parser) -> None:
    """Add the arguments of `tag`."""
    parser.add_argument("source", metavar="SRC", help="an image's name in the store, or its digest, or how that begins")
    parser.add_argument("names", nargs="+", metavar="NAME", help="a name to give it; one that another image has moves")
    add_json(parser)
    add_store(parser)


def run_tag(args: Namespace, shell: Shell) -> int:
    """Give an image names, and say which of them moved."""
    from buildkit_py.cli.outputs import store_name
    from buildkit_py.image.names import give
    from buildkit_py.image.view import find

    names = [store_name(name) for name in args.names]
    with shell.store(args.store, make=False) as store, store.lease():
        given = give(store, find(store, args.source), names)
    if args.json:
        fields = ("name", "digest", "before")
        shell.print(json.dumps([{field: getattr(each, field) for field in fields} for each in given], indent=2))
        return 0
    for each in given:
        shell.print(told(each))
    return 0


def told(named: Named) -> str:
    """What giving a name changed, on one line."""
    from buildkit_py.progress.text import clean, short_digest

    name, digest = clean(named.name), short_digest(named.digest)
    if named.before is None:
        return f"{name} is {digest}"
    lost = ", which has no other name: the next `pybuild prune` may remove it" if named.nameless else ""
    return f"moved {name} to {digest} from {short_digest(named.before)}{lost}"


def prepare_untag(parser: Parser) -> None:
    """Add the arguments of `untag`."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="a name to take away")
    add_json(parser)
    add_store(parser)


def run_untag(args: Namespace, shell: Shell) -> int:
    """Take names away; no byte goes."""
    from buildkit_py.image.names import records_of
    from buildkit_py.progress.text import clean, short_digest
    from buildkit_py.store.removal import take_names

    with shell.store(args.store, make=False) as store:
        records = records_of(store, args.names)
        take_names(store, records)
        left = {record.descriptor["digest"] for record in store.images.list()}
    rows = [
        {"name": record.name, "digest": record.descriptor["digest"], "named": record.descriptor["digest"] in left}
        for record in records
    ]
    if args.json:
        shell.print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        lost = "" if row["named"] else "; it has no other name: the next `pybuild prune` may remove it"
        shell.print(f"{clean(row['name'])} is no name of {short_digest(row['digest'])} any more{lost}")
    return 0


def prepare_rmi(parser: Parser) -> None:
    """Add the arguments of `rmi`."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a name, or a digest or how it begins: then all names of the image"
    )
    parser.add_argument("-f", "--force", action="store_true", help="take several names of one digest away at once")
    parser.add_argument("-n", "--dry-run", action="store_true", help="say what would go, and take nothing away")
    add_json(parser)
    add_store(parser)


def run_rmi(args: Namespace, shell: Shell) -> int:
    """Remove images, and say what that freed."""
    from buildkit_py.image.names import doomed
    from buildkit_py.store.removal import remove_images

    with shell.store(args.store, make=False, removing=True) as store:
        removal = remove_images(store, doomed(store, args.images, force=args.force), dry_run=args.dry_run)
        left = {record.descriptor["digest"]: record.name for record in store.images.list()}
    if args.json:
        shell.print(json.dumps(_plain(removal, dry_run=args.dry_run), indent=2))
        return 0
    for line in _lines(removal, {} if args.dry_run else left, dry_run=args.dry_run):
        shell.print(line)
    return 0


def _plain(removal: Removal, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "names": [{"name": record.name, "digest": record.descriptor["digest"]} for record in removal.names],
        "bytes": removal.bytes,
        "removed": [{"digest": digest, "bytes": size} for digest, size in removal.removed],
        "kept": [
            {"digest": blob.digest, "bytes": blob.bytes, "why": blob.why, "pid": blob.pid} for blob in removal.kept
        ],
    }


def _lines(removal: Removal, left: dict[str, str], *, dry_run: bool) -> Iterator[str]:
    """The names, one a line; then what that frees, and what stays with who holds it."""
    from buildkit_py.progress.text import clean, count, short_digest, size
    from buildkit_py.store.removal import CACHED

    for record in removal.names:
        digest = record.descriptor["digest"]
        other = f", which is {clean(left[digest])} too" if digest in left else ""
        verb = "would take away" if dry_run else "took away"
        yield f"{verb} the name {clean(record.name)} of {short_digest(digest)}{other}"
    blobs = count(len(removal.removed), "blob")
    yield f"{'would free' if dry_run else 'freed'} {size(removal.bytes)}, {blobs}"
    kept: dict[str, int] = {}
    for blob in removal.kept:
        why = f"the process {blob.pid} uses it; `pybuild prune` frees it afterwards" if blob.pid else blob.why
        why = f"{why}; `pybuild prune --all` frees it" if why == CACHED else why
        kept[why] = kept.get(why, 0) + blob.bytes
    for why, total in kept.items():
        yield f"{'would keep' if dry_run else 'kept'} {size(total)}: {clean(why)}"


TAG = Command(
    "tag",
    usage="[options] SRC NAME ...",
    about=(
        "Give an image of the store further names. Names are what keeps an image: FROM, push and ls go by them.\n"
        "A name that another image has moves to this one, and that is said."
    ),
    examples=(
        ("pybuild tag app:1 app:latest", "a second name"),
        ("pybuild tag 3f2a91c registry.example/team/app:1 app:1", "two names, by how its digest begins"),
    ),
    prepare=prepare_tag,
    run=run_tag,
)
UNTAG = Command(
    "untag",
    usage="[options] NAME ...",
    about="Take names of images away, all or none. No byte goes: `pybuild prune` removes what has no name left.",
    examples=(("pybuild untag app:old app:test", "both names go"),),
    prepare=prepare_untag,
    run=run_untag,
)
RMI = Command(
    "rmi",
    usage="[options] IMAGE ...",
    about=(
        "Remove images: their names, and the blobs that nothing else needs. What another image, a running process or\n"
        "a later build can use stays, and is named."
    ),
    examples=(
        ("pybuild rmi app:1", "this name; with the last one the image goes"),
        ("pybuild rmi --dry-run 3f2a91c", "what would go with an image, by how its digest begins"),
        ("pybuild rmi --force sha256:3f2a91c", "an image under all its names"),
    ),
    prepare=prepare_rmi,
    run=run_rmi,
)
