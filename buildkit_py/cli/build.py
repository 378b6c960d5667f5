"""`pybuild build`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildkit_py.cli.parser import Command, Namespace, Parser, add_definition, add_store, at_least
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import OutputError, PybuildError, UsageError

if TYPE_CHECKING:
    from buildkit_py.engine import BuildResult, Engine
    from buildkit_py.progress import Mode, View


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    add_definition(parser)
    where = parser.add_argument_group("where it goes")
    where.add_argument(
        "-t", "--tag", action="append", default=[], metavar="NAME", help="name the image in the store; repeatable"
    )
    where.add_argument(
        "-o", "--output", action="append", default=[], metavar="SPEC",
        help="also write it: KIND:PLACE, type=KIND,dest=PLACE, or a path; "
        "kinds: archive, layout, docker, rootfs, registry, store",
    )  # fmt: skip
    where.add_argument("--push", action="store_true", help="write registry outputs too")
    where.add_argument("--iidfile", metavar="FILE", help="write the image's digest to a file")
    where.add_argument("--metadata-file", metavar="FILE", help="write what was made as JSON")
    how = parser.add_argument_group("what runs")
    how.add_argument("--no-cache", action="store_true", help="run every step again")
    how.add_argument("--refresh", action="store_true", help="run again the steps that use the network")
    how.add_argument(
        "--keep-going", action="store_true", help="after a failure, finish and publish what does not depend on it"
    )
    how.add_argument("-j", "--jobs", type=at_least(1), metavar="N", help="work on at most N steps at once")
    how.add_argument(
        "--runtime",
        choices=("auto", "runc", "crun", "bwrap"),
        default="auto",
        metavar="NAME",
        help="what steps run in: runc, crun, bwrap (default: the first of them that is here)",
    )
    how.add_argument(
        "--snapshotter",
        choices=("auto", "overlay", "copy"),
        default="auto",
        metavar="NAME",
        help="how file trees are put together: overlay, copy (default: overlay where it works)",
    )
    add_store(how)
    grants = parser.add_argument_group("what steps are given")
    grants.add_argument(
        "--secret",
        action="append",
        default=[],
        metavar="SPEC",
        help="id=NAME and src=FILE, env=VARIABLE or cmd=COMMAND; repeatable",
    )
    grants.add_argument(
        "--ssh", action="append", default=[], metavar="SPEC", help="an ssh agent: default, or NAME=SOCKET; repeatable"
    )
    grants.add_argument(
        "--allow-short-secret", action="store_true", help="take secrets under 8 bytes, for which no search is made"
    )
    shown = parser.add_argument_group("what is shown")
    shown.add_argument(
        "--progress",
        choices=("auto", "tty", "plain", "json"),
        default="auto",
        metavar="KIND",
        help="tty, plain or json (default: tty on a terminal, else plain)",
    )
    shown.add_argument("-q", "--quiet", action="store_true", help="print only the digest")


def run(args: Namespace, shell: Shell) -> int:
    """Build, show how it goes, and write down what was made."""
    from buildkit_py.cli.request import options_of

    options = options_of(args, shell)
    if args.iidfile and len(args.target) > 1:
        raise UsageError("--iidfile takes the digest of one image", hint="use --metadata-file for several")
    from buildkit_py.progress import open_view

    mode: Mode = "quiet" if args.quiet else args.progress
    view = open_view(mode, out=shell.out, err=shell.err, environ=shell.environ)
    shell.folders.append(args.context)
    with shell.engine(args.store) as engine:
        try:
            result = engine.build(options, view)
        except PybuildError as error:
            view.close()
            _explain(error, view, engine, shell)
            if view.model.images:
                # What was made before the failure, or in spite of it.
                _tell(mode, [image.digest for image in view.model.images], view, shell)
            raise
        finally:
            view.close()
    _write_down(args, result)
    _tell(mode, list(result.digests.values()), view, shell)
    return 0


def _explain(error: PybuildError, view: View, engine: Engine, shell: Shell) -> None:
    """Tell of every step that failed; what was told of `error` there is not repeated by the caller."""
    from buildkit_py.cli.faults import excerpts
    from buildkit_py.progress.failure import explains, render

    shell.sources.update(engine.texts.files)
    spans = [step.span for step in view.model.steps.values() if step.span]
    if error.span:
        spans.append(error.span)
    text = render(view.model, error, excerpts(spans, shell))
    if text:
        shell.complain(f"\n{text}")
    if explains(view.model, error):
        shell.told.add(id(error))


def _write_down(args: Namespace, result: BuildResult) -> None:
    from buildkit_py.cli.files import replace_file

    if args.metadata_file:
        import json

        replace_file(args.metadata_file, json.dumps(metadata(result), indent=2) + "\n")
    if args.iidfile:
        if len(result.digests) != 1:
            raise OutputError(
                f"--iidfile takes the digest of one image, and {len(result.digests)} were built",
                hint="choose one with --target, or use --metadata-file",
            )
        replace_file(args.iidfile, next(iter(result.digests.values())))


def metadata(result: BuildResult) -> dict[str, object]:
    """What `--metadata-file` holds: each image by name, with its digest and those of its platforms."""
    return {
        "build": result.build,
        "images": {
            name: {
                "digest": digest,
                "platforms": {image.platform: image.digest for image in result.images if image.name == name},
            }
            for name, digest in result.digests.items()
        },
    }


def _tell(mode: Mode, digests: list[str], view: View, shell: Shell) -> None:
    if mode == "quiet":
        for digest in digests:
            shell.print(digest)
    elif mode != "json":
        from buildkit_py.progress.summary import render

        shell.write(f"\n{render(view.model)}")


BUILD = Command(
    "build",
    usage="[options] [DIR]",
    about=(
        "Build the images that a build file describes. What is in the store already is not done again;\n"
        "a build of the same inputs gives the same digests, on any machine."
    ),
    examples=(
        ("pybuild build", "build ./Buildfile"),
        ("pybuild build -f web.build --target web -t web:dev", "one image, named in the store"),
        ("pybuild build --param variant=debug -o debug.tar", "another variant, as an OCI archive"),
        ("pybuild build --secret id=token,src=token.txt", "give a secret to the steps that ask for it"),
        ("pybuild build --platform linux/amd64,linux/arm64 --push", "two platforms, to the registry"),
        ("pybuild build --locked --progress plain", "in CI"),
    ),
    prepare=prepare,
    run=run,
)
