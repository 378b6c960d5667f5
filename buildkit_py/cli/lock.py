"""`pybuild update`."""

from __future__ import annotations

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_policy, add_store
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import PybuildError


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="what to look up again, as the build file names it (default: everything)",
    )
    parser.add_argument("-C", "--context", default=".", metavar="DIR", help="the directory of the build (default: .)")
    parser.add_argument(
        "-f", "--file", metavar="FILE", help="the build file (default: Buildfile, else Dockerfile, in DIR)"
    )
    parser.add_argument(
        "--platform",
        action="append",
        default=[],
        metavar="P[,P]",
        help="as linux/arm64; repeatable (default: what the file names)",
    )
    parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="give a param its value")
    add_policy(parser)
    add_json(parser)
    add_store(parser)
    parser.set_defaults(target=[], locked=False)


def run(args: Namespace, shell: Shell) -> int:
    """Look up, write the lock file, and say what moved."""
    from buildkit_py.cli.request import options_of

    options = options_of(args, shell)
    shell.folders.append(args.context)
    with shell.engine(args.store) as engine:
        try:
            changes = engine.update(options, tuple(args.names))
        except PybuildError:
            shell.sources.update(engine.texts.files)
            raise
    if args.json:
        import json

        rows = [{"name": name, "old": old, "new": new} for name, old, new in changes]
        shell.print(json.dumps(rows, indent=2))
        return 0
    from buildkit_py.progress.text import table

    shell.write(table([(name, _short(old), "→", _short(new)) for name, old, new in changes]))
    if not changes:
        shell.print("nothing moved")
    return 0


def _short(pin: str | None) -> str:
    """A digest or a commit, short."""
    from buildkit_py.progress.text import short_digest

    if pin is None:
        return "(none)"
    return short_digest(pin) if ":" in pin else pin[:12]


UPDATE = Command(
    "update",
    usage="[options] [NAME ...]",
    about=(
        "Look up again what Buildfile.lock pins (tags, URLs, git refs, imports),\n"
        "write the lock file, and say what moved. Nothing is built."
    ),
    examples=(
        ("pybuild update", "everything"),
        ("pybuild update python:3.12", "one image"),
        ("pybuild update https://example.org/app.git", "the refs of one repository"),
    ),
    prepare=prepare,
    run=run,
)
