"""`pybuild df` and `pybuild store`."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from buildkit_py.store import Store, Usage
    from buildkit_py.store.report import Finding

_KINDS = {
    "blob": "blobs (layers, configurations)",
    "snapshot": "snapshots (files of steps)",
    "cache": "cache directories of steps",
    "build": "records of builds",
    "partial": "unfinished downloads",
}
DAMAGED = 1


def prepare_df(parser: Parser) -> None:
    """Add the arguments of `df`."""
    parser.add_argument("-v", "--verbose", action="store_true", help="name every image and every cache directory")
    add_json(parser)
    add_store(parser)


def run_df(args: Namespace, shell: Shell) -> int:
    """Show the use of space."""
    with shell.store(args.store, make=False) as store:
        usage, quota = store.df(), store.space.quota
    if args.json:
        plain = {
            "bytes": usage.bytes,
            "reclaimable": usage.reclaimable,
            "quota": quota,
            "kinds": [asdict(kind) for kind in usage.kinds],
            "images": [asdict(image) for image in usage.images],
            "caches": [asdict(cache) for cache in usage.caches],
        }
        shell.print(json.dumps(plain, indent=2))
    else:
        shell.write(_usage(usage, quota) + (_verbose(usage) if args.verbose else ""))
    return 0


def _usage(usage: Usage, quota: int | None) -> str:
    from buildkit_py.progress.text import size, table

    rows = [("WHAT", "NUMBER", "SIZE", "CAN BE FREED")]
    for kind in usage.kinds:
        rows.append((_KINDS[kind.kind], str(kind.count), size(kind.bytes), size(kind.reclaimable)))
    number = sum(kind.count for kind in usage.kinds)
    rows.append(("all", str(number), size(usage.bytes), size(usage.reclaimable)))
    limit = f"quota: {size(quota)}, {size(max(0, quota - usage.bytes))} free\n" if quota is not None else ""
    return table(rows, right=frozenset({1, 2, 3})) + limit


def _verbose(usage: Usage) -> str:
    from buildkit_py.amounts import ago
    from buildkit_py.progress.text import clean, short_digest, size, table

    now, found = time.time(), ""
    if usage.images:
        rows = [("IMAGE", "DIGEST", "NAMED", "SIZE", "SHARED", "UNIQUE")]
        rows += [
            (
                clean(image.name),
                short_digest(image.digest),
                f"{ago(now - image.created)} ago",
                size(image.bytes),
                size(image.shared),
                size(image.unique),
            )
            for image in usage.images
        ]
        found += "\n" + table(rows, right=frozenset({3, 4, 5}))
    if usage.caches:
        lines = [("CACHE DIRECTORY", "USED", "SIZE")]
        lines += [
            (clean(cache.id), "now" if cache.in_use else f"{ago(now - cache.used)} ago", size(cache.bytes))
            for cache in usage.caches
        ]
        found += "\n" + table(lines, right=frozenset({2}))
    return found


def prepare_store(parser: Parser) -> None:
    """Add the arguments of `store`."""
    parser.add_argument(
        "action",
        choices=("check", "quota", "path"),
        metavar="ACTION",
        help="check: verify every object; quota: show or set how large it may be; path: say where the store is",
    )
    parser.add_argument("size", nargs="?", metavar="SIZE", help="with quota: as 20GB, or none")
    parser.add_argument(
        "--repair", action="store_true", help="with check: remove what is damaged, which is made again; mend the rest"
    )
    add_json(parser)
    add_store(parser)


def run_store(args: Namespace, shell: Shell) -> int:
    """Check the store, show or set its quota, or say where it is."""
    if args.size is not None and args.action != "quota":
        raise UsageError(f"`pybuild store {args.action}` takes no further argument: {args.size!r}")
    with shell.store(args.store, make=args.action == "path" or args.size is not None) as store:
        if args.action == "path":
            shell.print(json.dumps({"path": str(store.root)}) if args.json else str(store.root))
            return 0
        return _quota(args, store, shell) if args.action == "quota" else _check(args, store, shell)


def _quota(args: Namespace, store: Store, shell: Shell) -> int:
    from argparse import ArgumentTypeError

    from buildkit_py.cli import units
    from buildkit_py.progress.text import size

    if args.size is not None:
        try:
            store.space.limit(None if args.size == "none" else units.size(args.size))
        except ArgumentTypeError as error:
            raise UsageError(f"{error}, or as none") from None
    quota, used = store.space.quota, store.df().bytes
    if args.json:
        shell.print(json.dumps({"quota": quota, "bytes": used}))
    elif quota is None:
        shell.print(f"no quota; {size(used)} are used")
    else:
        shell.print(f"quota {size(quota)}; {size(used)} are used")
        if used > quota:
            shell.complain("the next build brings it below that; `pybuild prune --keep SIZE` does it now\n")
    return 0


def _check(args: Namespace, store: Store, shell: Shell) -> int:
    findings = store.check(repair=args.repair)
    if args.json:
        shell.print(json.dumps([asdict(finding) for finding in findings], indent=2))
    elif not findings:
        shell.print("the store is whole")
    else:
        from buildkit_py.progress.text import clean, count, table

        rows = [
            (item.kind, clean(item.id), clean(item.problem), "repaired" if item.repaired else "") for item in findings
        ]
        shell.write(table(rows))
        shell.complain(f"{count(len(findings), 'fault')}{_remedies(findings, done=args.repair)}\n")
    return 0 if all(finding.repaired for finding in findings) else DAMAGED


def _remedies(findings: Sequence[Finding], *, done: bool) -> str:
    """What a repair does about findings, or what is left after one."""
    from buildkit_py.progress.text import count

    left = [finding for finding in findings if not finding.repaired]
    if done:
        return f", {len(left)} not repaired" if left else ", repaired"
    removed, mended = (Counter(item.kind for item in left if item.remedy == way) for way in ("remove", "mend"))
    does = []
    if removed:
        what = " and ".join(count(number, kind) for kind, number in removed.items())
        does.append(f"removes {what}, so that {'it is' if removed.total() == 1 else 'they are'} made again")
    if mended:
        what = " and ".join(
            count(number, f"{kind} item" if kind == "layout" else kind) for kind, number in mended.items()
        )
        does.append(f"mends {what}")
    return f"; `pybuild store check --repair` {', and '.join(does)}" if does else ""


DF = Command(
    "df",
    about="Show what the store's space is used for, and how much of it `pybuild prune --all` would free.",
    examples=(
        ("pybuild df", "to read"),
        ("pybuild df -v", "what each image takes: with others, and alone"),
        ("pybuild df --json", "for programs"),
    ),
    prepare=prepare_df,
    run=run_df,
)
STORE = Command(
    "store",
    usage="check|quota|path [options]",
    about=(
        "Check every object of the store against its digest, limit the store's size, or say where it is. When a build\n"
        "or a pull would pass the quota, the least recently used that nothing needs goes first."
    ),
    examples=(
        ("pybuild store check", "exit code 1 if something is damaged"),
        ("pybuild store check --repair", "remove what is damaged, so that it is made again"),
        ("pybuild store quota 20GB", "how large the store may be; none takes the limit away"),
        ("pybuild store path", "where the store is"),
    ),
    prepare=prepare_store,
    run=run_store,
)
