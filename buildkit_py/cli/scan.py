"""`pybuild scan`: what an image consists of, and what was left in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store
from buildkit_py.cli.shell import Shell
from buildkit_py.cli.subject import IMAGE
from buildkit_py.errors import OutputError, UsageError

if TYPE_CHECKING:
    from buildkit_py.image.stored import StoredImage
    from buildkit_py.scan.model import Report
    from buildkit_py.scan.osv.advisories import Advisories
    from buildkit_py.store import Store

FOUND = 1
"""The exit code where there are findings of `--fail-on` or worse."""
LEVELS = ("critical", "high", "medium", "low", "never")
SBOMS = ("cyclonedx", "spdx")


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="IMAGE", help=IMAGE)
    what = parser.add_argument_group("what is looked for")
    what.add_argument(
        "--platform", metavar="P", help="of several platforms this one, as linux/arm64 (default: this machine's)"
    )
    what.add_argument(
        "--osv", metavar="DIR", help="known vulnerabilities too, by the advisories in a directory (OSV, JSON)"
    )
    what.add_argument("--ignore", metavar="FILE", help="a TOML file of findings that are accepted, with reasons")
    what.add_argument(
        "--fail-on", choices=LEVELS, default="high", metavar="SEVERITY",
        help="end with 1 for findings as bad as that: critical, high (default), medium, low, never",
    )  # fmt: skip
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("-v", "--verbose", action="store_true", help="name every finding, and every package")
    shown.add_argument("--sarif", action="store_true", help="print SARIF 2.1.0")
    shown.add_argument(
        "--sbom", choices=SBOMS, metavar="KIND", help="print the packages alone: cyclonedx (1.6) or spdx (2.3), as JSON"
    )
    shown.add_argument("-o", "--output", metavar="FILE", help="write that document to a file instead")
    add_json(shown)
    add_store(shown)


def run(args: Namespace, shell: Shell) -> int:
    """Scan, tell, and end by the worst finding."""
    from buildkit_py.scan.ignore import read
    from buildkit_py.scan.model import at_least
    from buildkit_py.scan.run import ScanOptions, scan

    if sum(map(bool, (args.json, args.sarif, args.sbom))) > 1:
        raise UsageError("--json, --sarif and --sbom exclude each other", hint="scan twice for two documents")
    if args.output and not (args.json or args.sarif or args.sbom):
        raise UsageError("--output is for --json, --sarif or --sbom", hint="say which document FILE shall hold")
    options = ScanOptions(
        findings=not args.sbom,
        osv=_advisories(args.osv) if args.osv and not args.sbom else None,
        accepted=read(Path(args.ignore)) if args.ignore else (),
    )
    with shell.store(args.store, make=False) as store, store.lease():
        image = _image(store, args, shell)
        report = scan(image, args.name, options, lambda number: _tell(shell, image, number))
    _show(report, args, shell)
    failing = args.fail_on != "never" and any(at_least(each.severity, args.fail_on) for each in report.findings)
    return FOUND if failing else 0


def _advisories(directory: str) -> Advisories:
    """What is in a directory; that it is one is seen before anything is fetched or read."""
    from buildkit_py.scan.osv.advisories import Advisories

    return Advisories(Path(directory))


def _image(store: Store, args: Namespace, shell: Shell) -> StoredImage:
    """The image in the store, all its layers included; what is missing of it is fetched."""
    from buildkit_py.cli.subject import bring, subject_of
    from buildkit_py.image.stored import StoredImage
    from buildkit_py.progress.text import count, size

    subject = subject_of(store, args.name, args.platform)
    missing = [layer for layer in subject.layers if not store.blobs.has(str(layer.digest))]
    if missing:
        shell.complain(f"fetching {count(len(missing), 'layer')}, {size(sum(layer.size for layer in missing))}\n")
        bring(store, subject, missing)
    return StoredImage.load(store, subject.manifest.descriptor)


def _tell(shell: Shell, image: StoredImage, number: int) -> None:
    from buildkit_py.progress.text import short_digest, size

    layer = image.layers[number - 1]
    shell.complain(f"layer {number} of {len(image.layers)}  {short_digest(str(layer.digest))}  {size(layer.size)}\n")


def _show(report: Report, args: Namespace, shell: Shell) -> None:
    """The document that was asked for, or the report for people, which also stands beside a file."""
    from buildkit_py.cli.scanned import as_text

    document = _document(report, args)
    if document is None or (args.output and not args.sbom):
        shell.write(as_text(report, verbose=args.verbose))
    if document is not None and args.output:
        try:
            Path(args.output).write_text(document, "utf-8")
        except OSError as error:
            raise OutputError(f"{args.output} can't be written: {error.strerror}") from None
    elif document is not None:
        shell.write(document)


def _document(report: Report, args: Namespace) -> str | None:
    if args.sbom == "cyclonedx":
        from buildkit_py.scan.documents.cyclonedx import as_cyclonedx

        return as_cyclonedx(report)
    if args.sbom == "spdx":
        from buildkit_py.scan.documents.spdx import as_spdx

        return as_spdx(report)
    if args.sarif:
        from buildkit_py.scan.documents.sarif import as_sarif

        return f"{json.dumps(as_sarif(report), indent=2)}\n"
    if args.json:
        from buildkit_py.scan.documents.plain import as_plain

        return f"{json.dumps(as_plain(report), indent=2)}\n"
    return None


SCAN = Command(
    "scan",
    usage="[options] IMAGE",
    about=(
        "Say what an image consists of and what was left in it: packages; secrets and private keys in files of any\n"
        "layer, deleted ones too; files with more rights than needed. Nothing of the image is executed."
    ),
    examples=(
        ("pybuild scan web", "findings, the worst first; ends with 1 where one is high or critical"),
        ("pybuild scan web --sbom cyclonedx -o web.cdx.json", "its packages as CycloneDX"),
        ("pybuild scan web --osv advisories --fail-on critical", "known vulnerabilities too, without a network"),
        ("pybuild scan docker://registry.example/app:1 --sarif", "an image of a registry, for code scanning"),
    ),
    prepare=prepare,
    run=run,
)
