"""Whether the reference that a signature names is the image's: `signedIdentity` of containers-policy.json(5)."""

from __future__ import annotations

import re
from typing import Literal, cast, get_args

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.errors import IntegrityError, UsageError
from buildkit_py.reference import Reference
from buildkit_py.trust.foreign import Fields

Kind = Literal[
    "matchExact", "matchRepoDigestOrExact", "matchRepository", "exactReference", "exactRepository", "remapIdentity"
]
_KINDS = get_args(Kind)
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the signature must name. `reference` is that of the two `exact…` kinds; `prefix` is exchanged for
    `signed_prefix` by `remapIdentity`."""

    kind: Kind = "matchRepoDigestOrExact"
    reference: str = ""
    prefix: str = ""
    signed_prefix: str = ""

    def fits(self, image: Reference | None, signed: str | None) -> bool:
        """Whether a signature that names `signed` is one of `image`, which is None where no registry is meant."""
        named = _parsed(signed)
        if named is None:
            return False
        if self.kind == "exactReference":
            return _exact(Reference.parse(self.reference), named)
        if self.kind == "exactRepository":
            return named.name == Reference.parse(self.reference).name
        if image is None:
            return False
        if self.kind == "matchRepository":
            return named.name == image.name
        if self.kind == "matchExact":
            return _exact(image, named)
        return _exact_or_digest(self._mapped(image), named)

    def _mapped(self, image: Reference) -> Reference | None:
        """The image under the name that it was signed by; a mapping that gives no name fits nothing."""
        name, prefix = image.name, self.prefix
        if self.kind != "remapIdentity" or not (name == prefix or name.startswith(f"{prefix}/")):
            return image
        text = self.signed_prefix + name[len(prefix) :]
        mapped = _parsed(text)
        if mapped is None or mapped.name != text:
            return None
        return replace(mapped, tag=image.tag, digest=image.digest)

    def __str__(self) -> str:
        detail = self.reference or (f"{self.prefix} → {self.signed_prefix}" if self.prefix else "")
        return f"{self.kind} {detail}".rstrip()


def identity_of(fields: Fields) -> Identity:
    """The `signedIdentity` of a requirement; the usual one where there is none. Raises `UsageError`."""
    if "signedIdentity" not in fields:
        return Identity()
    table = fields.table("signedIdentity")
    kind = table.text("type")
    if kind not in _KINDS:
        raise UsageError(f"{table.what}: there is no identity {kind[:60]!r}", hint=f"it is one of {', '.join(_KINDS)}")
    made = Identity(kind=cast("Kind", kind))
    if kind == "exactReference":
        made = replace(made, reference=_checked(table.text("dockerReference"), table.what, exact=True))
    elif kind == "exactRepository":
        made = replace(made, reference=_checked(table.text("dockerRepository"), table.what, exact=False))
    elif kind == "remapIdentity":
        made = replace(made, prefix=table.text("prefix"), signed_prefix=table.text("signedPrefix"))
        for text in (made.prefix, made.signed_prefix):
            if not _PREFIX.match(text):
                raise UsageError(f"{table.what}: not a host, namespace or repository: {text[:100]!r}")
    table.end()
    return made


def _checked(text: str, what: str, *, exact: bool) -> str:
    parsed = _parsed(text)
    if parsed is None:
        raise UsageError(f"{what}: not an image name: {text[:100]!r}")
    if exact and ":" not in text.rpartition("/")[2] and "@" not in text:
        raise UsageError(f"{what}: {text[:100]!r} has neither a tag nor a digest", hint="exactRepository takes any tag")
    if not exact and (":" in text.rpartition("/")[2] or "@" in text):
        raise UsageError(f"{what}: {text[:100]!r} is not only a repository", hint="exactReference takes a tag")
    return text


def _parsed(text: str | None) -> Reference | None:
    """A reference without the tag that nobody wrote: what a signature leaves out, it does not say."""
    try:
        ref = Reference.parse(text or "")
    except (UsageError, IntegrityError):
        return None
    bare = ":" not in (text or "").rpartition("/")[2]
    return replace(ref, tag=None) if bare and ref.digest is None else ref


def _exact(image: Reference, named: Reference) -> bool:
    """The same tag, or where the image has none the same digest."""
    if image.name != named.name:
        return False
    if image.tag is not None:
        return named.tag == image.tag and named.digest is None
    return image.digest is not None and named.digest == image.digest


def _exact_or_digest(image: Reference | None, named: Reference) -> bool:
    if image is None:
        return False
    return _exact(image, named) if image.tag is not None else named.name == image.name
