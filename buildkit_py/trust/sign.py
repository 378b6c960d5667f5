"""Signing an image in a registry: the index or manifest that a name stands for, and every manifest of the index.

Tools that take one platform of an image look for signatures of that platform's manifest, others for those of the index.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.digest import Digest
from buildkit_py.errors import RegistryError, UsageError
from buildkit_py.oci import Descriptor, Index
from buildkit_py.oci.media_types import DOCUMENTS
from buildkit_py.reference import Reference
from buildkit_py.trust import bundle, cosign, keyfile, notary
from buildkit_py.trust.certificates import parse_pem
from buildkit_py.trust.claims import Form
from buildkit_py.trust.keys import PrivateKey
from buildkit_py.trust.place import Place

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from buildkit_py.registry.client import RegistryClient

_MAX_CHAIN = 1 << 20
_MOST_LEVELS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who signs, and in which form; `chain` is needed for that of the Notary Project."""

    key: PrivateKey
    form: Form
    chain: tuple[Certificate, ...] = ()

    @classmethod
    def load(cls, path: Path, form: Form, password: keyfile.Password, chain: Path | None = None) -> Signer:
        """From files; the chain is looked for beside the key (`NAME.crt`) if it is not given. Raises `UsageError`."""
        certificates = _chain(chain or path.with_suffix(".crt")) if form == "notary" else ()
        return cls(key=keyfile.load(path, password), form=form, chain=certificates)

    @property
    def fingerprint(self) -> str:
        """That of the key."""
        return self.key.public.fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """One signature that was made: of which manifest or index, and the digest of what holds it."""

    digest: Digest
    place: Digest


def sign(
    client: RegistryClient,
    ref: Reference,
    signer: Signer,
    *,
    digest: Digest | None = None,
    identity: Reference | None = None,
    annotations: Mapping[str, str] | None = None,
) -> list[Signed]:
    """Sign what `ref` stands for, or `digest` in its repository; the signature names it as `identity`, else as `ref`.

    Raises `UsageError`, `RegistryError`, `IntegrityError`.
    """
    place = Place(client, ref)
    named = identity or ref
    reference = str(replace(named, digest=None)) if named.tag else named.name
    return [
        Signed(digest=subject.digest, place=_one(place, subject, signer, reference, annotations or {}))
        for subject in _subjects(place, str(digest or ref.digest or ref.tag))
    ]


def _subjects(place: Place, target: str, levels: int = _MOST_LEVELS) -> Iterator[Descriptor]:
    document = place.document(target)
    if document is None:
        where = f"{place.ref.name}{'@' if ':' in target else ':'}{target}"
        raise RegistryError(f"{where} is not in the registry, so nothing can hang on it", hint="push it first")
    yield document.descriptor
    if isinstance(document, Index) and levels:
        for item in document.manifests:
            if item.media_type in DOCUMENTS:
                yield from _subjects(place, str(item.digest), levels - 1)


def _one(place: Place, subject: Descriptor, signer: Signer, reference: str, annotations: Mapping[str, str]) -> Digest:
    if signer.form == "notary":
        return notary.sign(place, subject, signer.key, signer.chain, annotations=annotations)
    make = bundle.sign if signer.form == "bundle" else cosign.sign
    return make(place, subject, signer.key, reference=reference, annotations=annotations)


def _chain(path: Path) -> tuple[Certificate, ...]:
    try:
        with path.open("rb") as file:
            return parse_pem(file.read(_MAX_CHAIN), str(path))
    except OSError as error:
        raise UsageError(
            f"the chain of certificates {path} can't be read: {error.strerror}",
            hint="`pybuild key generate --notary -o NAME` makes NAME.key and NAME.crt",
        ) from None
