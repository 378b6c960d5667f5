"""`pybuild tags`, `pybuild delete` and `pybuild sync`: what is done to registries without an image at hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkit_py.cli.moving import as_plain, move
from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_policy
from buildkit_py.cli.shell import Shell

if TYPE_CHECKING:
    from buildkit_py.errors import PybuildError
    from buildkit_py.registry.client import RegistryClient
    from buildkit_py.transfer.ends import Ends
    from buildkit_py.transfer.sync import Entry, Job

_DOCKER = "docker://"


def prepare_tags(parser: Parser) -> None:
    """Add the arguments of `tags`."""
    parser.add_argument("name", metavar="REPO", help="a repository, as docker://registry.example/team/app")
    add_json(parser)


def run_tags(args: Namespace, shell: Shell) -> int:
    """List the tags of a repository."""
    from buildkit_py.transfer.place import Place

    reference = Place.in_registry(args.name).reference
    assert reference is not None
    tags = _client().tags(reference)
    if args.json:
        shell.print(json.dumps({"repository": reference.name, "tags": tags}, indent=2))
    else:
        shell.write("".join(f"{tag}\n" for tag in tags))
    return 0


def prepare_delete(parser: Parser) -> None:
    """Add the arguments of `delete`."""
    parser.add_argument("name", metavar="docker://REF", help="the image, with its tag or its digest")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the reference with its digest")
    add_json(parser)


def run_delete(args: Namespace, shell: Shell) -> int:
    """Remove an image from a registry."""
    from buildkit_py.errors import UsageError
    from buildkit_py.reference import Reference

    written = args.name.removeprefix(_DOCKER)
    if written == args.name:
        raise UsageError(
            "`pybuild delete` removes images from registries alone",
            hint=f"write docker://{written}; from the store, `pybuild rmi {written}` removes it",
        )
    reference = Reference.parse(written)
    if reference.digest is None and ":" not in written.rpartition("/")[2]:
        raise UsageError(f"{written} names no image", hint=f"name it by a tag, as {written}:latest, or by its digest")
    found = _client().delete(reference)
    if args.json:
        shell.print(json.dumps({"reference": str(reference), "digest": str(found.digest)}, indent=2))
    elif args.quiet:
        shell.print(f"{reference.name}@{found.digest}")
    else:
        shell.print(f"deleted {reference.name}@{found.digest}, with every tag that it had")
    return 0


def _client() -> RegistryClient:
    from buildkit_py.registry.client import RegistryClient
    from buildkit_py.registry.config import load

    return RegistryClient(load())


def prepare_sync(parser: Parser) -> None:
    """Add the arguments of `sync`."""
    parser.add_argument("file", metavar="FILE", help="what comes from where, as TOML")
    parser.add_argument("-n", "--dry-run", action="store_true", help="say what would be copied, and copy nothing")
    add_policy(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors")
    add_json(parser)


def run_sync(args: Namespace, shell: Shell) -> int:
    """Copy what is missing; one failure does not stop the others, and the first gives the exit code."""
    from buildkit_py.transfer.ends import Ends
    from buildkit_py.transfer.sync import read_file

    entries = read_file(Path(args.file))
    rows: list[dict[str, Any]] = []
    codes: list[int] = []
    with Ends(lambda make: shell.store(None, make=make), Path(), args.policy) as ends:
        for row in (row for entry in entries for row in _entry(args, shell, ends, entry, codes)):
            rows.append(row)
            if not (args.json or args.quiet):
                shell.write(_line(row))
                shell.out.flush()
    if args.json:
        shell.print(json.dumps(rows, indent=2))
    elif not args.quiet:
        shell.write(_sum(rows))
    return codes[0] if codes else 0


def _entry(args: Namespace, shell: Shell, ends: Ends, entry: Entry, codes: list[int]) -> Iterator[dict[str, Any]]:
    """What became of each image of an entry, as soon as it is known; exit codes of failures go to `codes`."""
    from buildkit_py.errors import Cancelled, PybuildError
    from buildkit_py.transfer.sync import jobs_of

    where = {"source": f"{_DOCKER}{entry.source.name}", "destination": str(entry.target)}
    try:
        jobs = list(jobs_of(entry, ends.client))
    except PybuildError as error:
        yield {**where, "outcome": "failed", **_failed(shell, error, codes)}
        return
    if not jobs:
        shell.complain(f"note: no tag of {where['source']} fits {', '.join(entry.tags) or 'anything'}\n")
    for job in jobs:
        where = {"source": str(job.source), "destination": str(job.target)}
        try:
            done = _one(args, shell, ends, job)
        except Cancelled:
            raise
        except PybuildError as error:
            done = {"outcome": "failed", **_failed(shell, error, codes)}
        yield {**where, **done}


def _one(args: Namespace, shell: Shell, ends: Ends, job: Job) -> dict[str, Any]:
    from buildkit_py.transfer.sync import is_there

    if is_there(job, ends):
        return {"outcome": "there before"}
    if args.dry_run:
        return {"outcome": "would copy"}
    report = move(shell, ends, job.source, job.target, job.wishes, quiet=args.quiet or args.json)
    return {"outcome": "copied", **as_plain(report)}


def _failed(shell: Shell, error: PybuildError, codes: list[int]) -> dict[str, Any]:
    from buildkit_py.cli.faults import render

    codes.append(error.exit_code)
    shell.complain(render(error, shell))
    return {"error": error.message}


def _line(row: dict[str, Any]) -> str:
    from buildkit_py.progress.text import clean

    return f"{row['outcome']:12}  {clean(row['source'])}  {clean(row['destination'])}\n"


def _sum(rows: list[dict[str, Any]]) -> str:
    from buildkit_py.progress.text import count

    outcomes = [row["outcome"] for row in rows]
    told = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))
    return f"{count(len(rows), 'image')}{f': {told}' if told else ''}\n"


TAGS = Command(
    "tags",
    usage="[options] REPO",
    about="List the tags of a repository in a registry, in the registry's order.",
    examples=(
        ("pybuild tags docker://registry.example/team/app", "one a line"),
        ("pybuild tags --json python", "for programs"),
    ),
    prepare=prepare_tags,
    run=run_tags,
)
DELETE = Command(
    "delete",
    usage="[options] docker://REF",
    about=(
        "Remove an image from a registry: the manifest that the tag stands for goes, and with it every other tag of\n"
        "the same image. The bytes of layers go when the registry collects them."
    ),
    examples=(("pybuild delete docker://registry.example/team/app:1", "by its tag"),),
    prepare=prepare_delete,
    run=run_delete,
)
SYNC = Command(
    "sync",
    usage="[options] FILE",
    about=(
        "Copy images that a TOML file names from registries to others, or into a layout. What is there already is\n"
        "not copied; one failure does not stop the rest."
    ),
    examples=(
        ("pybuild sync --dry-run mirror.toml", "see what is missing"),
        ("pybuild sync mirror.toml", "copy it"),
    ),
    prepare=prepare_sync,
    run=run_sync,
)
