"""`pybuild df`, `pybuild prune` and `pybuild store`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store
from buildkit_py.cli.shell import Shell
from buildkit_py.cli.units import seconds, size

if TYPE_CHECKING:
    from buildkit_py.store import PruneReport, Usage

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
    add_json(parser)
    add_store(parser)


def run_df(args: Namespace, shell: Shell) -> int:
    """Show the use of space."""
    with shell.store(args.store, make=False) as store:
        usage = store.df()
    if args.json:
        plain = {
            "bytes": usage.bytes,
            "reclaimable": usage.reclaimable,
            "kinds": [asdict(kind) for kind in usage.kinds],
        }
        shell.print(json.dumps(plain, indent=2))
    else:
        shell.write(_usage(usage))
    return 0


def _usage(usage: Usage) -> str:
    from buildkit_py.progress.text import size, table

    rows = [("WHAT", "NUMBER", "SIZE", "CAN BE FREED")]
    for kind in usage.kinds:
        rows.append((_KINDS[kind.kind], str(kind.count), size(kind.bytes), size(kind.reclaimable)))
    number = sum(kind.count for kind in usage.kinds)
    rows.append(("all", str(number), size(usage.bytes), size(usage.reclaimable)))
    return table(rows, right=frozenset({1, 2, 3}))


def prepare_prune(parser: Parser) -> None:
    """Add the arguments of `prune`."""
    what = parser.add_argument_group("what to remove (default: only what nothing refers to)")
    what.add_argument("-a", "--all", action="store_true", help="all that no image needs, step results included")
    what.add_argument("--older-than", type=seconds, metavar="TIME", help="what was not used for so long: 7d, 12h")
    what.add_argument(
        "--keep", type=size, metavar="SIZE", help="the least recently used, until the store has this size: 10GB"
    )
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("-n", "--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    shown.add_argument(
        "-v", "--verbose", action="store_true", help="name every object, also those that are kept, and why"
    )
    add_json(shown)
    add_store(shown)


def run_prune(args: Namespace, shell: Shell) -> int:
    """Remove, and say what and why."""
    with shell.store(args.store) as store:
        report = store.prune(keep_bytes=args.keep, older_than=args.older_than, all=args.all, dry_run=args.dry_run)
    if args.json:
        plain = {
            "dry_run": args.dry_run,
            "bytes": report.bytes,
            "removed": [asdict(item) for item in report.removed],
            "kept": [asdict(item) for item in report.kept],
        }
        shell.print(json.dumps(plain, indent=2))
    else:
        shell.write(_pruned(report, dry_run=args.dry_run, verbose=args.verbose))
    return 0


def _pruned(report: PruneReport, *, dry_run: bool, verbose: bool) -> str:
    from buildkit_py.graph.title import clip
    from buildkit_py.progress.text import count, size, table

    verb = "would remove" if dry_run else "removed"
    items = [(verb, item) for item in report.removed] + [("kept", item) for item in report.kept if verbose]
    rows = [(word, item.kind, size(item.bytes), clip(item.label, 60), item.why) for word, item in items]
    shown = table(rows, right=frozenset({2})) if verbose else ""
    kept = sum(item.bytes for item in report.kept)
    return (
        f"{shown}{verb} {count(len(report.removed), 'object')}, {size(report.bytes)};"
        f" {'would keep' if dry_run else 'kept'} {count(len(report.kept), 'object')}, {size(kept)}\n"
    )


def prepare_store(parser: Parser) -> None:
    """Add the arguments of `store`."""
    parser.add_argument(
        "action",
        choices=("check", "path"),
        metavar="ACTION",
        help="check: verify every object; path: say where the store is",
    )
    parser.add_argument(
        "--repair", action="store_true", help="with check: remove what is damaged, so that it is made again"
    )
    add_json(parser)
    add_store(parser)


def run_store(args: Namespace, shell: Shell) -> int:
    """Check the store, or say where it is."""
    with shell.store(args.store) as store:
        if args.action == "path":
            shell.print(json.dumps({"path": str(store.root)}) if args.json else str(store.root))
            return 0
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
        hint = "" if args.repair else "; `pybuild store check --repair` removes it, so that it is made again"
        shell.complain(f"{count(len(findings), 'object')} damaged{hint}\n")
    return 0 if all(finding.repaired for finding in findings) else DAMAGED


DF = Command(
    "df",
    about="Show what the store's space is used for, and how much of it `pybuild prune --all` would free.",
    examples=(("pybuild df", "to read"), ("pybuild df --json", "for programs")),
    prepare=prepare_df,
    run=run_df,
)
PRUNE = Command(
    "prune",
    about=(
        "Free space in the store. Named images and whatever a running build uses always stay;\n"
        "the least recently used goes first."
    ),
    examples=(
        ("pybuild prune --dry-run --all -v", "see what could go, and why the rest stays"),
        ("pybuild prune --older-than 7d", "what was not used for a week"),
        ("pybuild prune --keep 20GB", "until 20 GB are left"),
    ),
    prepare=prepare_prune,
    run=run_prune,
)
STORE = Command(
    "store",
    usage="check|path [options]",
    about="Check every object of the store against its digest, or say where the store is.",
    examples=(
        ("pybuild store check", "exit code 1 if something is damaged"),
        ("pybuild store check --repair", "remove what is damaged, so that it is made again"),
        ("pybuild store path", "where the store is"),
    ),
    prepare=prepare_store,
    run=run_store,
)
