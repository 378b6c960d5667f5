"""Every signature of an image, wherever it hangs: checked one by one, so that who needs only one stops early."""

from __future__ import annotations

from collections.abc import Iterator

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.oci import Descriptor, Manifest
from buildkit_py.oci.media_types import OCI_EMPTY
from buildkit_py.trust.claims import Form, Trusted, Verdict
from buildkit_py.trust.place import Place

MOST = 64
"""As many signatures of an image are looked at."""


def signatures(place: Place, digest: Digest, trusted: Trusted) -> Iterator[Verdict]:
    """The verdicts on all signatures of a manifest or index; one that is damaged has a verdict too.

    Raises `RegistryError`, and `IntegrityError` where the list of what refers to the image is damaged.
    """
    from buildkit_py.trust import cosign

    try:
        yield from cosign.verdicts(place, digest, trusted)
    except IntegrityError as error:
        yield Verdict(form="cosign", place=f"{place.ref.name}@{digest}", problem=error.message)
    looked = 0
    for descriptor in place.referrers(digest):
        if looked < MOST and may_be_signature(descriptor):
            looked += 1
            yield from _referrer(place, descriptor, digest, trusted)


def _referrer(place: Place, descriptor: Descriptor, digest: Digest, trusted: Trusted) -> Iterator[Verdict]:
    from buildkit_py.trust import bundle, notary

    where, form = str(descriptor.digest), _form(descriptor.artifact_type)
    try:
        manifest = place.document(where)
        if not isinstance(manifest, Manifest) or len(manifest.layers) != 1:
            return
        form = _form(manifest.artifact_type or manifest.config.media_type) or form
        if form == "bundle" and manifest.layers[0].media_type.startswith(bundle.FAMILY):
            yield bundle.verdict(place.blob(manifest.layers[0]), where, digest, trusted)
        elif form == "notary" and manifest.layers[0].media_type == notary.ENVELOPE:
            yield notary.verdict(place.blob(manifest.layers[0]), where, digest, trusted)
        elif form == "notary":
            problem = f"its envelope is of a type that is not read: {manifest.layers[0].media_type}"
            yield Verdict(form="notary", place=where, problem=problem)
    except IntegrityError as error:
        if form is not None:
            yield Verdict(form=form, place=where, problem=error.message)


def may_be_signature(descriptor: Descriptor) -> bool:
    """Registries and tools do not always say of what type a referrer is: then it has to be looked at."""
    return descriptor.artifact_type in (None, "", OCI_EMPTY) or _form(descriptor.artifact_type) is not None


def is_signature(manifest: Manifest) -> bool:
    """Whether a referrer holds a signature, by the type that it says itself."""
    return len(manifest.layers) == 1 and _form(manifest.artifact_type or manifest.config.media_type) is not None


def _form(kind: str | None) -> Form | None:
    from buildkit_py.trust import bundle, notary

    if kind is None:
        return None
    if kind == notary.KIND:
        return "notary"
    return "bundle" if kind.startswith(bundle.FAMILY) else None
