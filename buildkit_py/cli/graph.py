"""`pybuild graph`."""

from __future__ import annotations

from buildkit_py.cli.parser import Command, Namespace, Parser, add_definition, add_store
from buildkit_py.cli.shell import Shell
from buildkit_py.cli.words import plain
from buildkit_py.errors import PybuildError
from buildkit_py.events import Event, Note


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    add_definition(parser)
    shown = parser.add_argument_group("what is shown")
    shown.add_argument(
        "--format", choices=("tree", "json", "dot", "svg"), default="tree", metavar="KIND",
        help="tree: text (default); json: the whole graph, for `build --graph`; dot: for Graphviz; svg: a drawing",
    )  # fmt: skip
    shown.add_argument("--out", metavar="FILE", help="write to a file")
    add_store(shown)


def run(args: Namespace, shell: Shell) -> int:
    """Compile, pin, and draw; nothing is run."""
    from buildkit_py.cli.files import replace_file
    from buildkit_py.cli.request import opened, options_of
    from buildkit_py.cli.settings import GRANTS

    # Nothing is run: what a build would first have to allow can be seen here.
    args.allow = GRANTS
    options = options_of(args, shell)
    shell.folders.append(args.context)

    def tell(event: Event) -> None:
        if isinstance(event, Note):
            shell.complain(f"{event.level}: {event.text}\n")

    with shell.engine(args.store) as engine:
        try:
            with opened(args, options, engine, shell) as found:
                definition = engine.definition(found, tell)
        except PybuildError:
            shell.sources.update(engine.texts.files)
            raise
    if args.format == "json":
        text = definition.to_json().decode() + "\n"
    else:
        from buildkit_py.graph import render

        text = {"tree": render.tree, "dot": render.dot, "svg": render.svg}[args.format](definition)
    if args.out:
        replace_file(args.out, text)
    else:
        shell.write(text)
    return 0


GRAPH = Command(
    "graph",
    usage="[options] [DIR | URL | -]",
    about=(
        "Show the graph that a build file compiles to: every step, what it needs,\n"
        "and the layers and images made of them. Nothing is run."
    ),
    examples=(
        ("pybuild graph", "as a tree of text"),
        ("pybuild graph --format svg --out graph.svg", "as a drawing"),
        ("pybuild graph --format json > graph.json", "for `pybuild build --graph graph.json`, or for programs"),
        ("pybuild graph --target web --param variant=debug", "of one image, with a param"),
    ),
    prepare=prepare,
    run=run,
    words=plain,
)
