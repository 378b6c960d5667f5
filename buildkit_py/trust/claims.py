"""What a signature says, and what came of checking it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from buildkit_py.dataclass import dataclass, field
from buildkit_py.digest import Digest

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.x509 import Certificate

    from buildkit_py.trust.keys import PublicKey

Form = Literal["cosign", "bundle", "notary", "simple"]
"""`cosign`: by the tag `sha256-HEX.sig`; `bundle`: a sigstore bundle; `notary`: the Notary Project's; `simple`: OpenPGP
from lookaside storage."""
FORMS: tuple[Form, ...] = ("cosign", "bundle", "notary")
"""The forms that are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What was signed: the image by its digest, as which reference (if that is said), and what else was said of it."""

    digest: Digest
    reference: str | None = None
    annotations: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One signature, checked. `problem` says why it counts for nothing, None where it holds.

    `place` is the digest (or the address) of what holds it, `signer` the fingerprint of the key or certificate,
    `name` the certificate's subject, `signed` the time that the signer claims. `claims` are only there where the
    signature holds: nothing of what is not signed by a trusted key is believed or shown.
    """

    form: Form
    place: str
    problem: str | None = None
    signer: str | None = None
    name: str | None = None
    signed: str | None = None
    claims: Claims | None = None

    @property
    def holds(self) -> bool:
        """Whether a trusted key made it, for this image."""
        return self.problem is None

    def to_plain(self) -> dict[str, Any]:
        """As a JSON value."""
        return {
            "form": self.form,
            "verified": self.holds,
            "place": self.place,
            "problem": self.problem,
            "signer": self.signer,
            "name": self.name,
            "signed": self.signed,
            "digest": str(self.claims.digest) if self.claims else None,
            "reference": self.claims.reference if self.claims else None,
            "annotations": dict(self.claims.annotations) if self.claims else {},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """Who is believed: keys, and certificates that chains of the Notary Project must lead to. `now` decides whether
    certificates are valid."""

    keys: tuple[PublicKey, ...] = ()
    roots: tuple[Certificate, ...] = ()
    now: datetime | None = None
