"""Signatures at a registry: written and found again, by the referrers API and without it, from mirrors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from buildkit_py.errors import IntegrityError, RegistryError
from buildkit_py.oci.media_types import OCI_INDEX, OCI_MANIFEST
from buildkit_py.reference import Reference
from buildkit_py.registry.config import HostSettings
from buildkit_py.trust.certificates import make_chain
from buildkit_py.trust.claims import FORMS, Form, Trusted, Verdict
from buildkit_py.trust.cosign import PAYLOAD, SIGNATURE
from buildkit_py.trust.keys import PrivateKey
from buildkit_py.trust.place import Artifact, Place, tag_of
from buildkit_py.trust.sign import Signer, sign
from buildkit_py.trust.verify import signatures
from tests.support.clients import make_client
from tests.support.faulty_registry import FaultyRegistry, Handler, faulty_registry, on
from tests.support.images import digest_of, make_image, make_index

KEY = PrivateKey.generate()
CHAIN = make_chain(KEY, "team")
TRUSTED = Trusted(keys=(KEY.public,), roots=CHAIN[1:])
IMAGE = make_image(b"layer")


@pytest.fixture(params=[True, False], ids=["api", "fallback"])
def registry(request: pytest.FixtureRequest) -> Iterator[FaultyRegistry]:
    with faulty_registry() as server:
        server.referrers = request.param
        server.add_manifest("team/app", "1", IMAGE.manifest, OCI_MANIFEST)
        yield server


def ref_of(registry: FaultyRegistry, tag: str = "1") -> Reference:
    return Reference.parse(f"{registry.name}/team/app:{tag}")


def place_of(registry: FaultyRegistry, **hosts: HostSettings) -> Place:
    return Place(make_client(registry.name, hosts=hosts), ref_of(registry))


def signed(registry: FaultyRegistry, form: Form, key: PrivateKey = KEY, **more: Any) -> None:
    signer = Signer(key=key, form=form, chain=CHAIN)
    sign(make_client(registry.name), ref_of(registry), signer, **more)


def found(registry: FaultyRegistry, trusted: Trusted = TRUSTED) -> list[Verdict]:
    return list(signatures(place_of(registry), IMAGE.descriptor.digest, trusted))


@pytest.mark.parametrize("form", FORMS)
def test_what_is_signed_is_found_and_holds(registry: FaultyRegistry, form: Form) -> None:
    assert found(registry) == []
    signed(registry, form, annotations={"build": "42"})
    (verdict,) = found(registry)
    assert verdict.holds
    assert verdict.form == form
    assert verdict.claims is not None
    assert verdict.claims.annotations == {"build": "42"}
    (other,) = found(registry, Trusted(keys=(PrivateKey.generate().public,)))
    assert not other.holds
    assert other.claims is None


def test_all_forms_hang_side_by_side(registry: FaultyRegistry) -> None:
    for form in (*FORMS, *FORMS):
        signed(registry, form)
    forms = sorted(verdict.form for verdict in found(registry) if verdict.holds)
    # Of cosign's form there is one: the same words by the same key are said once.
    assert forms == ["bundle", "bundle", "cosign", "notary", "notary"]


def test_signatures_are_added_not_replaced(registry: FaultyRegistry) -> None:
    other = PrivateKey.generate()
    signed(registry, "cosign")
    signed(registry, "cosign", other)
    signed(registry, "cosign", annotations={"build": "43"})
    both = Trusted(keys=(KEY.public, other.public))
    signers = [verdict.signer for verdict in found(registry, both)]
    assert signers == [KEY.public.fingerprint, other.public.fingerprint, KEY.public.fingerprint]


def test_what_others_wrote_meanwhile_is_kept(registry: FaultyRegistry) -> None:
    """Another signer writes the tag between our look and our writing, and once more after it."""
    target = ("team/app", tag_of(IMAGE.descriptor.digest, ".sig"))
    other, kept = PrivateKey.generate(), []
    signed(registry, "cosign", other)
    theirs = registry.manifests[target]

    def replace(handler: Handler) -> bool:
        if len(kept) < 2 and handler.command == "PUT" and handler.path.endswith(".sig"):
            kept.append(handler.body())
            handler.reply(201)
            registry.manifests[target] = theirs
            return True
        return False

    registry.faults.append(replace)
    signed(registry, "cosign")
    assert len(kept) == 2
    assert len([v for v in found(registry, Trusted(keys=(KEY.public, other.public))) if v.holds]) == 2


def test_an_index_and_each_of_its_manifests_are_signed(registry: FaultyRegistry) -> None:
    images = [make_image(b"a"), make_image(b"b", platform="linux/arm64")]
    index, described = make_index(*images)
    for image in images:
        registry.add_manifest("team/app", str(image.descriptor.digest), image.manifest, OCI_MANIFEST)
    registry.add_manifest("team/app", "2", index, OCI_INDEX)
    signer = Signer(key=KEY, form="cosign")
    made = sign(make_client(registry.name), ref_of(registry, "2"), signer)
    digests = [described.digest, *(image.descriptor.digest for image in images)]
    assert [each.digest for each in made] == digests
    for digest in digests:
        (verdict,) = signatures(place_of(registry), digest, TRUSTED)
        assert verdict.claims is not None
        assert verdict.claims.reference == f"{registry.name}/team/app:2"


@pytest.mark.parametrize("form", FORMS)
def test_a_signature_of_one_image_is_none_of_another(registry: FaultyRegistry, form: Form) -> None:
    """Whoever may write to the repository hangs the signature of a harmless image on another."""
    other = make_image(b"another")
    registry.add_manifest("team/app", "1", other.manifest, OCI_MANIFEST)
    signed(registry, form)
    for (name, target), (raw, kind) in list(registry.manifests.items()):
        moved = raw.replace(str(other.descriptor.digest).encode(), str(IMAGE.descriptor.digest).encode())
        tag = target.replace(other.descriptor.digest.hex, IMAGE.descriptor.digest.hex)
        registry.add_manifest(name, tag if ":" not in tag else f"t{len(registry.manifests)}", moved, kind)
    relist(registry)
    (verdict,) = found(registry)
    assert not verdict.holds
    assert "another image" in (verdict.problem or "")
    assert verdict.claims is None


def relist(registry: FaultyRegistry) -> None:
    """Have the index of the fallback tag name the manifests that were changed."""
    tag = tag_of(IMAGE.descriptor.digest)
    moved = [
        (raw, kind)
        for (_, target), (raw, kind) in registry.manifests.items()
        if ":" in target and IMAGE.descriptor.digest.hex.encode() in raw and b'"subject"' in raw
    ]
    listed = [{"mediaType": kind, "digest": digest_of(raw), "size": len(raw)} for raw, kind in moved]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
    registry.add_manifest("team/app", tag, json.dumps(index).encode(), OCI_INDEX)


def test_what_is_not_there_can_not_be_signed(registry: FaultyRegistry) -> None:
    with pytest.raises(RegistryError, match="is not in the registry"):
        sign(make_client(registry.name), ref_of(registry, "9"), Signer(key=KEY, form="cosign"))


@pytest.mark.parametrize("form", FORMS)
def test_a_registry_that_fails_is_no_registry_without_signatures(registry: FaultyRegistry, form: Form) -> None:
    signed(registry, form)
    registry.faults.append(lambda handler: handler.command == "GET" and (handler.reply(500) or True))
    with pytest.raises(RegistryError):
        found(registry)


def test_mirrors_are_asked_first_and_what_they_lack_is_asked_of_the_registry(registry: FaultyRegistry) -> None:
    signed(registry, "cosign")
    signed(registry, "bundle")
    with faulty_registry() as mirror:
        hosts = {
            registry.name: HostSettings(plain_http=True, mirrors=(mirror.name,)),
            mirror.name: HostSettings(plain_http=True),
        }
        place = Place(make_client(hosts=hosts), ref_of(registry))
        assert [verdict.holds for verdict in signatures(place, IMAGE.descriptor.digest, TRUSTED)] == [True, True]
        assert mirror.asked("GET", ".sig")
        # A mirror that serves what it likes is passed over.
        mirror.faults.append(on("GET", "/v2/", lambda handler: handler.reply(200, b"{}")))
        place = Place(make_client(hosts=hosts), ref_of(registry))
        assert [verdict.holds for verdict in signatures(place, IMAGE.descriptor.digest, TRUSTED)] == [True, True]


def layer_of(registry: FaultyRegistry, raw: bytes, annotations: Any) -> dict[str, Any]:
    return {"mediaType": PAYLOAD, "digest": registry.put(raw), "size": len(raw), "annotations": annotations}


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (lambda r: layer_of(r, b"{}", {}), "has no signature"),
        (lambda r: layer_of(r, b"{}", {SIGNATURE: "!"}), "is not base64"),
        (lambda r: layer_of(r, b"{}", {SIGNATURE: "AAAA"}), "no key that is trusted made it"),
        (lambda r: {**layer_of(r, b"{}", {SIGNATURE: "AAAA"}), "size": 1}, "has 2 bytes where its descriptor says 1"),
        (lambda r: {**layer_of(r, b"{}", {SIGNATURE: "AAAA"}), "size": 1 << 30}, "too large"),
        (lambda r: {**layer_of(r, b"{}", {}), "digest": f"sha256:{'0' * 64}"}, "although a manifest names it"),
    ],
)
def test_hostile_layers_are_told_and_hide_no_other(registry: FaultyRegistry, layer: Any, told: str) -> None:
    signed(registry, "cosign")
    tag = tag_of(IMAGE.descriptor.digest, ".sig")
    plain = json.loads(registry.manifests["team/app", tag][0])
    plain["layers"].insert(0, layer(registry))
    registry.add_manifest("team/app", tag, json.dumps(plain).encode(), OCI_MANIFEST)
    bad, good = found(registry)
    assert told in (bad.problem or "")
    assert good.holds


@pytest.mark.parametrize("raw", [b"", b"{", b'{"schemaVersion": 2}', b'{"manifests": []}'])
def test_hostile_manifests_are_told(registry: FaultyRegistry, raw: bytes) -> None:
    tag = tag_of(IMAGE.descriptor.digest, ".sig")
    registry.add_manifest("team/app", tag, raw, OCI_MANIFEST)
    assert all(not verdict.holds for verdict in found(registry))


def test_a_list_of_referrers_that_is_none_is_an_error_and_hides_no_signature(registry: FaultyRegistry) -> None:
    signed(registry, "cosign")
    registry.referrers = False
    registry.add_manifest("team/app", tag_of(IMAGE.descriptor.digest), b'{"manifests": 7}', OCI_INDEX)
    verdicts = signatures(place_of(registry), IMAGE.descriptor.digest, TRUSTED)
    assert next(verdicts).holds
    with pytest.raises(IntegrityError):
        next(verdicts)


def test_referrers_that_are_no_signatures_are_passed_over(registry: FaultyRegistry) -> None:
    place = place_of(registry)
    place.attach(IMAGE.descriptor, "application/spdx+json", Artifact(raw=b"{}", media_type="text/x", more={}), {})
    sbom = Artifact(raw=b"{}", media_type="application/spdx+json", more={})
    place.attach(IMAGE.descriptor, "application/vnd.dev.sigstore.bundle.v0.3+json", sbom, {})
    assert len(place.referrers(IMAGE.descriptor.digest)) == 2
    assert found(registry) == []


def test_pages_without_an_end_end(registry: FaultyRegistry) -> None:
    page = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()

    def endless(handler: Handler) -> bool:
        if "/referrers/" not in handler.path:
            return False
        handler.reply(200, page, Content_Type=OCI_INDEX, Link=f'<{handler.path}>; rel="next"')
        return True

    registry.faults.append(endless)
    assert place_of(registry).referrers(IMAGE.descriptor.digest) == ()
    assert len(registry.asked("GET", "/referrers/")) == 20
