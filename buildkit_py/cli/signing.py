"""`pybuild sign` and `pybuild verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_policy, add_store, repeatable
from buildkit_py.cli.passwords import add_password, password_of
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import NotFoundError, SignatureError, TrustError, UsageError

if TYPE_CHECKING:
    from buildkit_py.digest import Digest
    from buildkit_py.reference import Reference
    from buildkit_py.registry.client import RegistryClient
    from buildkit_py.trust.claims import Form, Trusted, Verdict

FORMS = ("cosign", "bundle", "notary")
_REGISTRY = "docker://"
_MAX_FILE = 1 << 20


def _image(parser: Parser) -> None:
    parser.add_argument(
        "name", metavar="IMAGE", help="an image of the store, else of a registry; docker://REF asks the registry alone"
    )
    parser.add_argument(
        "target", nargs="?", metavar="TARGET", help="where the image of the store was pushed to (default: IMAGE)"
    )


def prepare_sign(parser: Parser) -> None:
    """Add the arguments of `sign`."""
    _image(parser)
    parser.add_argument("--key", required=True, metavar="FILE", help="the private key that signs")
    parser.add_argument(
        "--format", choices=FORMS, default=FORMS[0], metavar="FORM", help="cosign, bundle or notary (default: cosign)"
    )
    parser.add_argument(
        "--certificate-chain", metavar="FILE", help="of notary: the key's certificates (default: beside the key, .crt)"
    )
    parser.add_argument("--identity", metavar="REF", help="the reference that is signed (default: the image's)")
    repeatable(parser, "-a --annotation", "KEY=VALUE", "something else to sign with it; repeatable")
    add_password(parser)
    add_json(parser)
    add_store(parser)


def run_sign(args: Namespace, shell: Shell) -> int:
    """Sign, and say what was signed by whom."""
    from buildkit_py.reference import Reference
    from buildkit_py.trust.sign import Signer, sign

    identity = Reference.parse(args.identity) if args.identity else None
    annotations = dict(map(_annotation, args.annotation))
    chain = Path(args.certificate_chain) if args.certificate_chain else None
    if chain is not None and args.format != "notary":
        raise UsageError("--certificate-chain is of --format notary")
    client = _client()
    ref, digest = _located(args, shell)
    form = cast("Form", args.format)
    signer = Signer.load(Path(args.key), form, password_of(args, shell), chain)
    made = sign(client, ref, signer, digest=digest, identity=identity, annotations=annotations)
    if args.json:
        rows = [{"digest": str(each.digest), "place": str(each.place)} for each in made]
        told = {"reference": str(ref), "format": form, "signer": signer.fingerprint, "signatures": rows}
        shell.print(json.dumps(told, indent=2))
    else:
        for each in made:
            shell.print(f"signed {ref.name}@{each.digest} ({form})")
        shell.print(f"the key is {signer.fingerprint}")
    return 0


def prepare_verify(parser: Parser) -> None:
    """Add the arguments of `verify`."""
    _image(parser)
    whom = parser.add_argument_group("who is trusted (default: whom the trust policy names)")
    repeatable(whom, "--key", "FILE", "a public key; repeatable")
    repeatable(whom, "--ca", "FILE", "certificates that signatures of the Notary Project must lead to; repeatable")
    add_policy(whom)
    shown = parser.add_argument_group("what is shown")
    add_json(shown)
    add_store(shown)


def run_verify(args: Namespace, shell: Shell) -> int:
    """Check the signatures of an image, or hold it against the policy."""
    if (args.key or args.ca) and args.policy:
        raise UsageError("--policy says itself whom to trust", hint="leave --key and --ca out")
    ref, digest = _located(args, shell)
    if args.key or args.ca:
        return _verify_by_keys(args, shell, ref, digest)
    return _verify_by_policy(args, shell, ref, digest)


def _verify_by_keys(args: Namespace, shell: Shell, ref: Reference, digest: Digest | None) -> int:
    from buildkit_py.trust.place import Place
    from buildkit_py.trust.verify import signatures

    trusted = _trusted(args)
    client = _client()
    known, digest = digest, digest or client.resolve(ref).digest
    called = _called(args, ref, digest, stored=known is not None)
    found = list(signatures(Place(client, ref), digest, trusted))
    if args.json:
        plain: dict[str, Any] = {"reference": str(ref), "digest": str(digest)}
        shell.print(json.dumps({**plain, "signatures": [verdict.to_plain() for verdict in found]}, indent=2))
    else:
        shell.print(called)
        _tell(shell, found)
    if not found:
        where = "" if called.startswith(ref.name) else f" in {ref.name}"
        raise TrustError(f"{called} is not signed{where}", hint="`pybuild sign` signs it")
    if not any(verdict.holds for verdict in found):
        raise SignatureError(f"no signature of {called} holds")
    return 0


def _verify_by_policy(args: Namespace, shell: Shell, ref: Reference, digest: Digest | None) -> int:
    from buildkit_py.trust.gate import Candidate, Gate
    from buildkit_py.trust.policy import Accept

    client = _client()
    with shell.store(args.store) as store, store.lease():
        gate = Gate(store, lambda: client, given=Path(args.policy) if args.policy else None, anew=True)
        if gate.policy is None:
            raise UsageError("nobody is trusted: there is no trust policy", hint="say whom: --key FILE, or --ca FILE")
        known, digest = digest, digest or client.resolve(ref).digest
        image = Candidate(name=str(ref), digest=digest)
        scope = gate.admit(image)
        _, requirements = gate.policy.requirements(image.transport, image.scopes)
    signed = any(not isinstance(requirement, Accept) for requirement in requirements)
    told = {"reference": str(ref), "digest": str(digest), "policy": str(gate.policy.path), "scope": scope}
    if args.json:
        shell.print(json.dumps({**told, "accepted": True, "signed": signed}, indent=2))
    called = _called(args, ref, digest, stored=known is not None)
    if not signed:
        # Who goes on after a 0 takes the image for signed.
        raise TrustError(
            f"no signature of {called} was looked at: {gate.policy.path} ({scope}) accepts it without one",
            hint="say whose it must be: --key FILE, --ca FILE, or a --policy that demands one",
        )
    if not args.json:
        shell.print(f"{called} is accepted by {gate.policy.path} ({scope})")
    return 0


def _called(args: Namespace, ref: Reference, digest: Digest, *, stored: bool) -> str:
    """What messages call an image. One of the store may never have been where its name leads."""
    return f"{args.name} ({digest})" if stored and not args.target else f"{ref.name}@{digest}"


def _tell(shell: Shell, found: list[Verdict]) -> None:
    from buildkit_py.progress.text import clean, table

    for verdict in found:
        word = "holds" if verdict.holds else f"does not hold: {clean(verdict.problem or '')}"
        rows: list[tuple[str, str]] = [(verdict.form, word)]
        if verdict.signer:
            rows.append(("  by", clean(" ".join(filter(None, (verdict.signer, verdict.name))))))
        if verdict.signed:
            rows.append(("  at", clean(f"{verdict.signed}, by the signer's clock")))
        if verdict.claims:
            rows += [("  as", clean(verdict.claims.reference))] if verdict.claims.reference else []
            rows += [("  with", clean(f"{key}={value}")) for key, value in verdict.claims.annotations.items()]
        shell.write(table(rows))


def _located(args: Namespace, shell: Shell) -> tuple[Reference, Digest | None]:
    """Where an image is, and the digest that the store knows it by; None where the registry is to say."""
    from buildkit_py.image.view import find
    from buildkit_py.reference import Reference

    if args.name.startswith(_REGISTRY):
        if args.target:
            raise UsageError(f"{args.name} is a place already", hint="leave TARGET out")
        return Reference.parse(args.name.removeprefix(_REGISTRY)), None
    with shell.store(args.store) as store:
        try:
            known = find(store, args.name).digest
        except NotFoundError:
            if args.target:
                raise
            return Reference.parse(args.name), None
    return Reference.parse(args.target or args.name), known


def _client() -> RegistryClient:
    from buildkit_py.registry.client import RegistryClient
    from buildkit_py.registry.config import load

    return RegistryClient(load())


def _trusted(args: Namespace) -> Trusted:
    from buildkit_py.trust.certificates import parse_pem
    from buildkit_py.trust.claims import Trusted
    from buildkit_py.trust.keys import PublicKey

    keys = tuple(PublicKey.parse(_read(file), file) for file in args.key)
    roots = tuple(certificate for file in args.ca for certificate in parse_pem(_read(file), file))
    return Trusted(keys=keys, roots=roots)


def _read(file: str) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            return opened.read(_MAX_FILE)
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}") from None


def _annotation(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"can't read the annotation {text!r}", hint="write KEY=VALUE")
    return key, value


SIGN = Command(
    "sign",
    usage="[options] --key FILE IMAGE [TARGET]",
    about=(
        "Sign an image in a registry; the signature is kept beside it. Of an image of the store it is the digest that\n"
        "the store knows which is signed, and it must have been pushed. Of an image for several platforms the\n"
        "index is signed, and each of its manifests."
    ),
    examples=(
        ("pybuild sign --key release.key registry.example/team/app:1", "for cosign, podman and skopeo"),
        ("pybuild sign --key release.key --format bundle docker://registry.example/app:1", "a sigstore bundle"),
        ("pybuild sign --key team.key --format notary registry.example/app:1", "for the Notary Project"),
        ("pybuild sign --key release.key -a build=42 app:1 registry.example/app:1", "an image of the store"),
    ),
    prepare=prepare_sign,
    run=run_sign,
)
VERIFY = Command(
    "verify",
    usage="[options] IMAGE [TARGET]",
    about=(
        "Check the signatures of an image in a registry, in all forms that `pybuild sign` writes, and say what they\n"
        "claim; or hold the image against the trust policy. The exit code is 18 for an image that is not signed\n"
        "and for a policy that demands no signature, and 19 where no signature holds."
    ),
    examples=(
        ("pybuild verify --key release.pub registry.example/team/app:1", "one of its signatures is by that key"),
        ("pybuild verify --ca team.root.crt registry.example/app:1", "or leads to that certificate"),
        ("pybuild verify --policy policy.json registry.example/app:1", "is it what the policy demands?"),
    ),
    prepare=prepare_verify,
    run=run_verify,
)
