"""`pybuild prune`."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store, at_least, repeatable
from buildkit_py.cli.shell import Shell
from buildkit_py.cli.units import seconds, size
from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from buildkit_py.store import PruneReport, Store
    from buildkit_py.store.explain import Explanation
    from buildkit_py.store.gc import Rules

_DIGEST = re.compile(r"(sha\d+:[0-9a-f]{12})[0-9a-f]{52,}")
_KINDS = ("blob", "snapshot", "cache", "build", "partial")
_PLURAL = {"blobs": "blob", "snapshots": "snapshot", "caches": "cache", "builds": "build", "partials": "partial"}


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    what = parser.add_argument_group("what to remove (default: only what nothing refers to)")
    what.add_argument("-a", "--all", action="store_true", help="all that no image needs, step results included")
    what.add_argument("--older-than", type=seconds, metavar="TIME", help="what was not used for so long: 7d, 12h")
    what.add_argument(
        "--keep", type=size, metavar="SIZE", help="the least recently used, until the store has this size: 10GB"
    )
    what.add_argument(
        "--kind", action="append", default=[], metavar="KIND", type=_kind, help=f"all of a kind: {_list()}"
    )
    what.add_argument("--images", action="store_true", help="names of images too, by the same rules")
    kept = parser.add_argument_group("what to keep")
    kept.add_argument(
        "--keep-last", type=at_least(1), metavar="N", help="what the last N builds used, the failed ones counted"
    )
    repeatable(kept, "--keep-name", "PATTERN", "images and caches so called; may hold * and ?; repeatable")
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("-n", "--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    shown.add_argument(
        "-v", "--verbose", action="store_true", help="name every object, also those that are kept, and why"
    )
    shown.add_argument(
        "--explain", metavar="WHAT", help="say why an object is there, and whether it would go; remove nothing"
    )
    add_json(shown)
    add_store(shown)


def _list() -> str:
    return ", ".join(_KINDS)


def _kind(text: str) -> str:
    from argparse import ArgumentTypeError

    found = _PLURAL.get(text, text)
    if found not in _KINDS:
        raise ArgumentTypeError(f"not a kind of object: {text!r}; it is one of {_list()}")
    return found


def run(args: Namespace, shell: Shell) -> int:
    """Remove, and say what and why."""
    rules_given = args.all or args.keep is not None or args.older_than is not None or args.keep_last
    if args.images and not rules_given:
        raise UsageError(
            "--images needs a rule that says which names may go",
            hint="add --older-than 30d, --keep-last 5, --keep 20GB or --all; --keep-name PATTERN keeps some",
        )
    with shell.store(args.store, make=False, removing=True) as store:
        rules = _rules(args, store)
        if args.explain is not None:
            from buildkit_py.store.explain import explain

            _show(explain(store, args.explain, rules), args, shell)
            return 0
        report = store.prune_by(rules, dry_run=args.dry_run)
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


def _rules(args: Namespace, store: Store) -> Rules:
    from buildkit_py.store.gc import Rules

    since = None
    if args.keep_last:
        began = store.builds.began(args.keep_last)
        # Where there were not so many builds, whatever one used is of the last of them.
        since = began if began is not None else 0.0
    return Rules(
        keep_bytes=args.keep,
        older_than=args.older_than,
        all=args.all,
        since=since,
        last=args.keep_last or 0,
        names=tuple(args.keep_name),
        kinds=frozenset(args.kind),
        images=args.images,
    )


def _pruned(report: PruneReport, *, dry_run: bool, verbose: bool) -> str:
    from buildkit_py.graph.title import clip
    from buildkit_py.progress.text import clean, count, size, table

    verb = "would remove" if dry_run else "removed"
    items = [(verb, item) for item in report.removed] + [("kept", item) for item in report.kept if verbose]
    rows = [(word, item.kind, size(item.bytes), clip(clean(item.label), 80), clean(item.why)) for word, item in items]
    shown = table(rows, right=frozenset({2})) if verbose else ""
    kept = sum(item.bytes for item in report.kept)
    return (
        f"{shown}{verb} {count(len(report.removed), 'object')}, {size(report.bytes)};"
        f" {'would keep' if dry_run else 'kept'} {count(len(report.kept), 'object')}, {size(kept)}\n"
    )


def _show(found: list[Explanation], args: Namespace, shell: Shell) -> None:
    if args.json:
        plain = [
            {**asdict(each.item), "remove": each.remove, "chains": [list(chain) for chain in each.chains]}
            for each in found
        ]
        shell.print(json.dumps(plain, indent=2))
        return
    shell.write("\n".join(map(_explained, found)))


def _explained(each: Explanation) -> str:
    from buildkit_py.progress.text import clean, size

    item = each.item
    lines = [
        f"{item.kind} {clean(item.label)}" + (f" ({size(item.bytes)})" if item.kind != "image" else ""),
        f"  {'would be removed' if each.remove else 'is kept'}: {clean(item.why)}",
        *(f"  {' → '.join(map(_short, chain))}" for chain in each.chains),
    ]
    return "\n".join(lines) + "\n"


def _short(text: str) -> str:
    from buildkit_py.progress.text import clean

    return _DIGEST.sub(r"\1", clean(text))


PRUNE = Command(
    "prune",
    about=(
        "Free space in the store. Named images (without --images) and whatever a running build uses always stay;\n"
        "the least recently used goes first. What fits one of the rules to keep stays."
    ),
    examples=(
        ("pybuild prune --dry-run --all -v", "see what could go, and why the rest stays"),
        ("pybuild prune --older-than 7d", "what was not used for a week"),
        ("pybuild prune --keep 20GB", "until 20 GB are left"),
        ("pybuild prune --keep-last 3", "all that the last three builds did not use"),
        ("pybuild prune --kind cache --keep-name 'pip*'", "the cache directories but for those of pip"),
        ("pybuild prune --images --older-than 30d --keep-name '*:release-*'", "old images, but no releases"),
        ("pybuild prune --explain 3f2a91c", "why an object is there"),
    ),
    prepare=prepare,
    run=run,
)
