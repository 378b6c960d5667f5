"""`pybuild save` and `pybuild load`: images of the store in one file, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.cli.moving import Lines, as_plain, platform_of, summary, tell
from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_policy, add_store
from buildkit_py.cli.shell import Shell

if TYPE_CHECKING:
    from buildkit_py.registry.blobs import ImageReader
    from buildkit_py.store import Store
    from buildkit_py.transfer.copy import CopyReport
    from buildkit_py.transfer.destination import Destination
    from buildkit_py.transfer.ends import Ends
    from buildkit_py.transfer.load import Loadable
    from buildkit_py.transfer.place import Place
    from buildkit_py.transfer.plan import Wishes
    from buildkit_py.transfer.to_archive import DockerArchive, OciArchive

_STREAM = "-"
"""Standard output, or standard input."""


def prepare_save(parser: Parser) -> None:
    """Add the arguments of `save`."""
    parser.add_argument("names", nargs="+", metavar="IMAGE", help="a name in the store, or how a digest begins")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the file, or - for standard output")
    parser.add_argument(
        "--format",
        choices=("docker-archive", "oci-archive"),
        default="docker-archive",
        metavar="KIND",
        help="docker-archive (default), which holds one platform of each image, or oci-archive",
    )
    parser.add_argument("--platform", metavar="P", help="take this platform, as linux/arm64")
    parser.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors")
    add_json(parser)
    add_store(parser)


def run_save(args: Namespace, shell: Shell) -> int:
    """Write images of the store into one archive."""
    from buildkit_py.errors import UsageError
    from buildkit_py.transfer.ends import Ends
    from buildkit_py.transfer.place import Place
    from buildkit_py.transfer.plan import Wishes

    if args.output == _STREAM and args.json:
        raise UsageError("the archive and --json can't both go to standard output", hint="name a file with -o")
    if args.output == _STREAM:
        shell.check_piped_out()
    platform = platform_of(args.platform)
    wishes = Wishes(every=args.format == "oci-archive" and platform is None, platform=platform)
    with Ends(lambda make: shell.store(args.store, make=make), Path()) as ends:
        store = ends.store(make=False)
        # Asked before the images are: one that loses its name in between is not there, rather than nameless.
        known = {name for name in args.names if store.images.find(name) is not None}
        with _archive(args, store, ends) as archive:
            reports = [
                _moved(
                    shell,
                    ends,
                    ends.source(Place(text=name, kind="store", name=name)).reader,
                    archive,
                    wishes,
                    name=name if name in known else None,
                    called=args.output,
                    quiet=args.quiet,
                )
                for name in args.names
            ]
    if args.json:
        shell.print(json.dumps([as_plain(report) for report in reports], indent=2))
    elif not args.quiet:
        told = "".join(f"{summary(report)}\n" for report in reports)
        (shell.complain if args.output == _STREAM else shell.write)(told)
    return 0


def _archive(args: Namespace, store: Store, ends: Ends) -> OciArchive | DockerArchive:
    from buildkit_py.image.staging import new_file_or_stream
    from buildkit_py.transfer.to_archive import DockerArchive, OciArchive

    path = None if args.output == _STREAM else Path(args.output)
    kind = OciArchive if args.format == "oci-archive" else DockerArchive
    opened = new_file_or_stream(path, store, durable=True)
    return kind(opened, (), ends.client.retry, room=path.parent if path is not None else store.root)


def _moved(
    shell: Shell,
    ends: Ends,
    reader: ImageReader,
    destination: Destination,
    wishes: Wishes,
    *,
    name: str | None,
    called: str,
    quiet: bool,
    source: Place | None = None,
) -> CopyReport:
    """Copy one image; of one that comes from a `source` outside of the store, the trust policy is asked."""
    from buildkit_py.transfer.copy import copy

    with Lines(shell, quiet=quiet) as lines:
        report = copy(
            reader,
            destination,
            wishes,
            called=called,
            name=name,
            retry=ends.client.retry,
            watch=lines.watch(),
            admit=(lambda plan: ends.admit(source, plan)) if source is not None else (lambda _: None),
        )
    tell(shell, report, quiet=quiet)
    return report


def prepare_load(parser: Parser) -> None:
    """Add the arguments of `load`."""
    parser.add_argument(
        "-i", "--input", default=_STREAM, metavar="FILE", help="the archive (default: -, standard input)"
    )
    add_policy(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the digest of each image")
    add_json(parser)
    add_store(parser)


def run_load(args: Namespace, shell: Shell) -> int:
    """Bring every image of an archive into the store, under its names."""
    from buildkit_py.transfer.ends import Ends
    from buildkit_py.transfer.load import archive, loadable

    if args.input == _STREAM:
        shell.check_piped_in(" with -i")
    path = None if args.input == _STREAM else Path(args.input)
    with Ends(lambda make: shell.store(args.store, make=make), Path(), args.policy) as ends:
        store = ends.store(make=True)
        with archive(path, shell.bytes_in, store.root) as files:
            images = loadable(files, args.input)
            reports = [report for image in images for report in _loaded(args, shell, ends, image)]
    if args.json:
        shell.print(json.dumps([as_plain(report) for report in reports], indent=2))
    for report in () if args.json else reports:
        shell.print(report.digest if args.quiet else f"loaded {report.destination}: {report.digest}")
    return 0 if reports else _nothing(args.input)


def _loaded(args: Namespace, shell: Shell, ends: Ends, image: Loadable) -> list[CopyReport]:
    from buildkit_py.dataclass import replace
    from buildkit_py.transfer.load import store_name
    from buildkit_py.transfer.plan import Wishes
    from buildkit_py.transfer.to_store import StoreDestination

    if not image.names:
        shell.complain(f"note: an image without a name was left out; `pybuild copy {image.place} NAME` takes it\n")
    store = ends.store(make=True)
    return [
        _moved(
            shell,
            ends,
            image.reader,
            StoreDestination(store, name, ends.client.retry),
            Wishes(every=True),
            name=name,
            called=name,
            quiet=args.quiet,
            source=replace(image.place, name=there),
        )
        for there in image.names
        for name in [store_name(store, there) if image.tags else there]
    ]


def _nothing(name: str) -> int:
    from buildkit_py.errors import NotFoundError

    raise NotFoundError(f"{name} holds no image that has a name")


SAVE = Command(
    "save",
    usage="[options] -o FILE IMAGE ...",
    about="Write images of the store into one file that `docker load`, `podman load` and `pybuild load` take.",
    examples=(
        ("pybuild save web:1 -o web.tar", "a Docker archive"),
        ("pybuild save web:1 db:1 -o all.tar --format oci-archive", "an OCI archive of two images"),
        ("pybuild save -o - web:1 | docker load", "straight to a daemon"),
    ),
    prepare=prepare_save,
    run=run_save,
)
LOAD = Command(
    "load",
    usage="[options] [-i FILE]",
    about=(
        "Bring every image of an archive into the store, under the names that it has there. Docker archives and OCI\n"
        "archives are told apart by what is in them; they may be compressed."
    ),
    examples=(
        ("pybuild load -i web.tar", "what `pybuild save` or `docker save` wrote"),
        ("docker save web:1 | pybuild load", "from standard input"),
    ),
    prepare=prepare_load,
    run=run_load,
)
