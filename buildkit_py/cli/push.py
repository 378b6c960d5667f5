"""`pybuild push`: an image of the store goes to a registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store
from buildkit_py.cli.passwords import add_password, password_of
from buildkit_py.cli.shell import Shell

if TYPE_CHECKING:
    from buildkit_py.oci import Descriptor
    from buildkit_py.reference import Reference
    from buildkit_py.registry.push import PushReport
    from buildkit_py.store import Store
    from buildkit_py.trust.sign import Signer


def prepare(parser: Parser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="NAME", help="an image's name in the store, or its digest, or how that begins")
    parser.add_argument(
        "target", nargs="?", metavar="TARGET", help="where to, as registry.example/team/app:1 (default: NAME)"
    )
    parser.add_argument("--sign-key", metavar="FILE", help="sign what was pushed by this private key")
    parser.add_argument(
        "--sign-format",
        choices=("cosign", "bundle", "notary"),
        default="cosign",
        metavar="FORM",
        help="cosign, bundle or notary (default: cosign)",
    )
    add_password(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the reference with its digest")
    add_json(parser)
    add_store(parser)


def run(args: Namespace, shell: Shell) -> int:
    """Push, and say what had to be sent."""
    from buildkit_py.image.view import find
    from buildkit_py.reference import Reference

    target = Reference.parse((args.target or args.name).removeprefix("docker://"))
    signer = _signer(args, shell)
    with shell.store(args.store, make=False) as store, store.lease():
        report = _push(store, find(store, args.name), target)
    if signer is not None:
        _sign(report, target, signer)
    if args.json:
        fields = ("reference", "digest", "uploaded", "mounted", "existing", "bytes")
        shell.print(json.dumps({name: getattr(report, name) for name in fields}, indent=2, default=list))
    elif args.quiet:
        shell.print(f"{report.reference}@{report.digest}")
    else:
        shell.print(f"{_told(report)}\n{report.digest}")
    return 0


def _told(report: PushReport) -> str:
    from buildkit_py.progress.text import count, size

    return (
        f"pushed {report.reference}: {count(len(report.uploaded), 'blob')} uploaded ({size(report.bytes)}), "
        f"{len(report.mounted)} mounted from other repositories, {len(report.existing)} there before"
    )


def _signer(args: Namespace, shell: Shell) -> Signer | None:
    """Who signs what is pushed: known before, so that a wrong password pushes nothing."""
    if args.sign_key is None:
        return None
    from buildkit_py.trust.sign import Signer

    return Signer.load(Path(args.sign_key), args.sign_format, password_of(args, shell))


def _sign(report: PushReport, target: Reference, signer: Signer) -> None:
    from buildkit_py.digest import Digest
    from buildkit_py.registry.client import RegistryClient
    from buildkit_py.registry.config import load
    from buildkit_py.trust.sign import sign

    sign(RegistryClient(load()), target, signer, digest=Digest.parse(report.digest))


def _push(store: Store, descriptor: Descriptor, target: Reference) -> PushReport:
    """Layers of bases that were never fetched are mounted where the registry has them, else fetched and sent."""
    from buildkit_py.executor.source.image import Images
    from buildkit_py.image.stored import closure
    from buildkit_py.reference import Reference, is_local

    images = Images(store, Path())
    seen = {str(blob.digest): store.memo.get("origin", str(blob.digest)) for blob in closure(store, descriptor)}
    origins = {digest: Reference.parse(ref) for digest, ref in seen.items() if ref is not None and not is_local(ref)}
    report = images.client.push(
        target, descriptor, store.blobs, origins=origins, bring=lambda missing: images.fetch([missing])
    )
    images.remember(report.uploaded, str(target).partition("@")[0])
    return report


PUSH = Command(
    "push",
    usage="[options] NAME [TARGET]",
    about=(
        "Send an image of the store to a registry. What the registry has already is not sent; what another of\n"
        "its repositories has is mounted from there. The tag comes last, when everything else is there."
    ),
    examples=(
        ("pybuild push registry.example/team/app:1", "an image that is called after its place"),
        ("pybuild push app:1 registry.example/team/app:1", "another name there"),
        ("pybuild push --sign-key release.key registry.example/team/app:1", "and sign it"),
        ("pybuild push 3f2a91c registry.example/app:test", "by how its digest begins"),
    ),
    prepare=prepare,
    run=run,
)
