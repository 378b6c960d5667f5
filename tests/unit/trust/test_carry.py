"""Signatures that go along with an image to another registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from buildkit_py.oci.media_types import OCI_INDEX, OCI_MANIFEST
from buildkit_py.reference import Reference
from buildkit_py.trust.bundle import BUNDLE
from buildkit_py.trust.carry import carry
from buildkit_py.trust.certificates import make_chain
from buildkit_py.trust.claims import FORMS, Form, Trusted
from buildkit_py.trust.keys import PrivateKey
from buildkit_py.trust.place import Place, tag_of
from buildkit_py.trust.sign import Signer, sign
from buildkit_py.trust.verify import signatures
from tests.support.clients import make_client
from tests.support.faulty_registry import FaultyRegistry, faulty_registry
from tests.support.images import make_image

KEY, OTHER = PrivateKey.generate(), PrivateKey.generate()
CHAIN = make_chain(KEY, "team")
IMAGE = make_image(b"layer")
DIGEST = IMAGE.descriptor.digest
SIG = tag_of(DIGEST, ".sig")


@pytest.fixture
def source() -> Iterator[FaultyRegistry]:
    with faulty_registry() as server:
        server.referrers = True
        server.add_manifest("team/app", "1", IMAGE.manifest, OCI_MANIFEST)
        yield server


@pytest.fixture(params=[True, False], ids=["api", "fallback"])
def target(request: pytest.FixtureRequest) -> Iterator[FaultyRegistry]:
    with faulty_registry() as server:
        server.referrers = request.param
        server.add_manifest("team/app", "1", IMAGE.manifest, OCI_MANIFEST)
        yield server


def place(registry: FaultyRegistry) -> Place:
    return Place(make_client(registry.name), Reference.parse(f"{registry.name}/team/app:1"))


def signed(registry: FaultyRegistry, form: Form, key: PrivateKey = KEY) -> None:
    ref = Reference.parse(f"{registry.name}/team/app:1")
    sign(make_client(registry.name), ref, Signer(key=key, form=form, chain=CHAIN))


def held(registry: FaultyRegistry, *keys: PrivateKey) -> list[Any]:
    trusted = Trusted(keys=tuple(key.public for key in keys), roots=CHAIN[1:])
    return [verdict for verdict in signatures(place(registry), DIGEST, trusted) if verdict.holds]


def carried(source: FaultyRegistry, target: FaultyRegistry) -> list[str]:
    return [str(digest) for digest in carry(place(source), place(target), DIGEST)]


def test_all_forms_come_along_and_only_once(source: FaultyRegistry, target: FaultyRegistry) -> None:
    assert carried(source, target) == []
    for form in FORMS:
        signed(source, form)
    assert len(carried(source, target)) == len(FORMS)
    assert {verdict.form for verdict in held(target, KEY)} == set(FORMS)
    assert target.manifests["team/app", SIG] == source.manifests["team/app", SIG]
    before = len(target.requests)
    assert len(carried(source, target)) == len(FORMS)
    assert {item.method for item in target.requests[before:]} <= {"GET", "HEAD"}
    assert len(held(target, KEY)) == len(FORMS)


def test_signatures_that_are_there_stay(source: FaultyRegistry, target: FaultyRegistry) -> None:
    signed(source, "cosign")
    signed(target, "cosign", OTHER)
    signed(target, "bundle", OTHER)
    carried(source, target)
    assert len(held(target, KEY)) == 1
    assert len(held(target, OTHER)) == 2
    assert carried(source, target)
    assert len(json.loads(target.manifests["team/app", SIG][0])["layers"]) == 2


def test_what_is_no_signature_of_the_image_stays_behind(source: FaultyRegistry, target: FaultyRegistry) -> None:
    signed(source, "bundle")
    (raw,) = (raw for raw, _ in source.manifests.values() if b'"subject":' in raw)
    other = json.loads(raw) | {"subject": {**json.loads(raw)["subject"], "digest": "sha256:" + "a" * 64}}
    sbom = json.loads(raw) | {"artifactType": "application/spdx+json"}
    listed = []
    for plain in (other, sbom):
        made = json.dumps(plain).encode()
        digest = source.add_manifest("team/app", "x", made, OCI_MANIFEST)
        listed.append({"mediaType": OCI_MANIFEST, "digest": digest, "size": len(made), "artifactType": BUNDLE})
    # An index that says what it likes of what refers to an image.
    source.referrers = False
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}).encode()
    source.add_manifest("team/app", tag_of(DIGEST), index, OCI_INDEX)
    assert carried(source, target) == []
