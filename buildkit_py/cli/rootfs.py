"""`pybuild import` and `pybuild export`: a root file system as a tar becomes an image, and an image such a tar."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store, repeatable
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import OutputError, SourceInputError, UsageError

if TYPE_CHECKING:
    from buildkit_py.graph.definition import HistoryLine
    from buildkit_py.graph.resolver import ImageConfig
    from buildkit_py.image.stored import StoredImage
    from buildkit_py.platform import Platform
    from buildkit_py.store import Store

STREAM = "-"
_CHANGES = "--change"
_SAID = "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR"
_PACKED = (".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")


def prepare_import(parser: Parser) -> None:
    """Add the arguments of `import`."""
    parser.add_argument(
        "file", metavar="FILE", help="a tar, plain or compressed with gzip, zstd, xz or bzip2; - is standard input"
    )
    parser.add_argument("name", metavar="NAME", help="the image's name in the store; one that another image has moves")
    repeatable(
        parser, "-c --change", "INSTRUCTION", "says of the image what a Dockerfile says: 'CMD [\"sh\"]'; repeatable"
    )
    parser.add_argument("-m", "--message", default="", metavar="TEXT", help="a comment in the history")
    parser.add_argument("--platform", metavar="P", help="what it is made for, as linux/arm64 (default: this machine)")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the digest")
    add_json(parser)
    add_store(parser)


def run_import(args: Namespace, shell: Shell) -> int:
    """Make an image of an archive, and name it."""
    from buildkit_py.cli.names import told
    from buildkit_py.cli.outputs import store_name
    from buildkit_py.cli.request import EPOCH, epoch_of
    from buildkit_py.image.imported import import_archive
    from buildkit_py.image.names import give
    from buildkit_py.platform import Platform

    name, epoch = store_name(args.name), epoch_of(shell.environ.get(EPOCH)) or 0
    platform = Platform.parse(args.platform) if args.platform else Platform.host()
    config, changes = _changed(args.change, platform, shell)
    with shell.store(args.store) as store, store.lease(), _opened(args.file, shell) as archive:
        made = import_archive(
            store,
            archive,
            config=config,
            platform=platform,
            changes=changes,
            message=args.message,
            epoch=epoch,
        )
        (named,) = give(store, made.descriptor, [name])
    if args.quiet and named.before is not None:
        shell.complain(f"note: {told(named)}\n")
    if args.json:
        plain = {"name": name, "digest": named.digest, "before": named.before, "size": made.size}
        shell.print(json.dumps({**plain, "platform": str(platform)}, indent=2))
    else:
        shell.print(named.digest if args.quiet else told(named))
    return 0


def _changed(texts: Sequence[str], platform: Platform, shell: Shell) -> tuple[ImageConfig, list[HistoryLine]]:
    """The configuration of an image from nothing after these instructions, as a Dockerfile's frontend understands them,
    and their lines of history."""
    from buildkit_py.dataclass import replace
    from buildkit_py.engine.compile import load_frontend
    from buildkit_py.graph.op import Mkdir, Scratch
    from buildkit_py.graph.resolver import StaticResolver

    text = shell.sources[_CHANGES] = "\n".join(("FROM scratch", *texts, ""))
    definition = load_frontend("dockerfile").load(text, file=_CHANGES, resolver=StaticResolver(), platforms=(platform,))
    for digest, vertex in definition.vertices.items():
        if not isinstance(vertex.op, Scratch | Mkdir):
            raise UsageError(
                "--change says something of the image, and makes or copies no file",
                hint=f"it is one of {_SAID}",
                span=definition.spans.get(digest),
            )
    target = definition.targets[0]
    return target.config, [replace(line, empty=True) for line in target.history]


@contextmanager
def _opened(file: str, shell: Shell) -> Iterator[BinaryIO]:
    if file == STREAM:
        shell.check_piped_in()
        yield shell.bytes_in
        return
    try:
        opened = open(file, "rb")  # noqa: SIM115 - what is read from it has faults of its own
    except OSError as error:
        hint = "fetch it first: curl -L URL | pybuild import - NAME" if "://" in file else None
        raise SourceInputError(f"{file} can't be read: {error.strerror}", hint=hint) from None
    with opened:
        yield opened


def prepare_export(parser: Parser) -> None:
    """Add the arguments of `export`."""
    parser.add_argument("image", metavar="IMAGE", help="an image's name, or its digest, or how that begins")
    parser.add_argument(
        "-o", "--output", default=STREAM, metavar="FILE", help="where to write the tar (default: -, standard output)"
    )
    parser.add_argument("--platform", metavar="P", help="of an image for several, as linux/arm64 (default: the host's)")
    add_json(parser)
    add_store(parser)


def run_export(args: Namespace, shell: Shell) -> int:
    """Write the files of an image as a plain tar."""
    from buildkit_py.cli.request import EPOCH, epoch_of
    from buildkit_py.image.files import write_tar
    from buildkit_py.image.stored import one_image
    from buildkit_py.image.view import find
    from buildkit_py.platform import Platform

    epoch = epoch_of(shell.environ.get(EPOCH)) or 0
    destination = _destination(args.output, shell, json=args.json)
    platform = Platform.parse(args.platform) if args.platform else None
    with shell.store(args.store, make=False) as store, store.lease():
        image = one_image(store, find(store, args.image), platform)
        _bring(store, image)
        write_tar(store, image.descriptor, destination, epoch=epoch, durable=True)
    if destination is None:
        return 0
    size = destination.stat().st_size
    if args.json:
        plain = {"digest": str(image.descriptor.digest), "platform": str(image.platform or ""), "path": args.output}
        shell.print(json.dumps({**plain, "bytes": size}, indent=2))
    else:
        from buildkit_py.progress.text import clean
        from buildkit_py.progress.text import size as shown

        shell.print(f"wrote {clean(args.output)}, {shown(size)}")
    return 0


def _destination(output: str, shell: Shell, *, json: bool) -> Path | None:
    """The file to write, None for standard output; raises `UsageError`."""
    if output == STREAM:
        if json:
            raise UsageError("--json and the archive can't both go to standard output", hint="write -o FILE")
        shell.check_piped_out()
        return None
    if output.endswith(_PACKED):
        raise UsageError(f"{output!r}: an archive is written as a plain tar", hint="let the name end with .tar")
    if not Path(output).name:
        raise OutputError(f"not a file to write to: {output!r}", hint="write -o FILE")
    return Path.cwd() / output


def _bring(store: Store, image: StoredImage) -> None:
    """Fetch the layers of bases that were left where they are."""
    missing = [layer for layer in image.layers if not store.blobs.has(str(layer.digest))]
    if missing:
        from buildkit_py.cli.subject import images_of

        images_of(store).fetch(missing)


IMPORT = Command(
    "import",
    usage="[options] FILE NAME",
    about=(
        "Make an image of one layer out of a tar of a root file system. Owners, modes, links and the attributes that\n"
        "layers keep stay; every time is SOURCE_DATE_EPOCH, else 0, so equal files give an equal image."
    ),
    examples=(
        ("pybuild import rootfs.tar debian:mine", "a file"),
        ("mmdebstrap --variant=minbase bookworm | pybuild import - debian:mine", "standard input"),
        ("pybuild import -c 'CMD [\"sh\"]' -c 'ENV LANG=C.UTF-8' root.tar.zst base:1", "with a configuration"),
    ),
    prepare=prepare_import,
    run=run_import,
)
EXPORT = Command(
    "export",
    usage="[options] IMAGE",
    about="Write the files of an image, all layers merged, as a plain tar. Nothing of it is run or mounted.",
    examples=(
        ("pybuild export -o rootfs.tar app:1", "into a file"),
        ("pybuild export app:1 | tar -t", "list what is in it"),
        ("pybuild export --platform linux/arm64 -o arm.tar app:1", "of another platform"),
    ),
    prepare=prepare_export,
    run=run_export,
)
