"""The gate: what a policy demands of an image is met, or the image is not used; and what was met is remembered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.digest import Digest
from buildkit_py.errors import PybuildError, RegistryError, SignatureError, TrustError, UsageError
from buildkit_py.oci.media_types import OCI_INDEX, OCI_MANIFEST
from buildkit_py.receipt import text_stamp
from buildkit_py.reference import Reference
from buildkit_py.store import Store
from buildkit_py.trust.gate import Candidate, Gate
from buildkit_py.trust.keys import PrivateKey
from buildkit_py.trust.sign import Signer, sign
from tests.support.clients import make_client
from tests.support.faulty_registry import FaultyRegistry, faulty_registry
from tests.support.images import make_image, make_index

IMAGE = make_image(b"layer")
INDEX, DESCRIBED = make_index(IMAGE, make_image(b"other", platform="linux/arm64"))
KEY = PrivateKey.generate()
ACCEPT = [{"type": "insecureAcceptAnything"}]


@dataclass(slots=True)
class World:
    """A registry, a store, and a policy file that tests change."""

    registry: FaultyRegistry
    store: Store
    home: Path

    def demand(self, *requirements: dict[str, Any], key: PrivateKey = KEY) -> None:
        """A policy whose default this is; without requirements a signature by `key`."""
        (self.home / "k.pub").write_bytes(key.public.pem)
        usual = {"type": "sigstoreSigned", "keyPath": str(self.home / "k.pub")}
        self.write({"default": list(requirements) or [usual]})

    def write(self, plain: Any) -> None:
        (self.home / "policy.json").write_text(json.dumps(plain))

    def gate(self, **more: Any) -> Gate:
        environ = {"HOME": str(self.home)}
        client = make_client(self.registry.name)
        return Gate(self.store, lambda: client, given=self.home / "policy.json", environ=environ, **more)

    def image(self, tag: str = "1", **more: Any) -> Candidate:
        digest = IMAGE.descriptor.digest
        return Candidate(name=f"{self.registry.name}/team/app:{tag}", digest=digest, **more)

    def sign(self, tag: str = "1", key: PrivateKey = KEY, **more: Any) -> None:
        ref = Reference.parse(f"{self.registry.name}/team/app:{tag}")
        sign(make_client(self.registry.name), ref, Signer(key=key, form=more.pop("form", "cosign")), **more)

    def refused(self, image: Candidate | None = None) -> PybuildError:
        with pytest.raises(TrustError) as caught:
            self.gate().admit(image or self.image())
        return caught.value


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with faulty_registry() as registry, Store.open(tmp_path / "store") as store, store.lease():
        registry.add_manifest("team/app", "1", IMAGE.manifest, OCI_MANIFEST)
        yield World(registry, store, tmp_path)


def test_without_a_policy_everything_passes_and_nobody_is_asked(world: World, tmp_path: Path) -> None:
    gate = Gate(world.store, lambda: pytest.fail("asked"), environ={"HOME": str(tmp_path), "PYBUILD_POLICY": ""})
    if gate.policy is None:
        assert gate.admit(world.image()) == "no policy"
    world.demand(*ACCEPT)
    assert world.gate().admit(world.image()) == "the default"
    assert world.registry.requests == []


def test_refused_is_refused(world: World) -> None:
    world.demand({"type": "reject"})
    error = world.refused()
    assert (error.exit_code, error.message) == (18, f"the trust policy refuses {world.image().name}")
    world.demand(*ACCEPT, {"type": "reject"})
    assert world.refused().exit_code == 18
    assert world.registry.requests == []


@pytest.mark.parametrize("form", ["cosign", "bundle"])
def test_a_signature_by_the_right_key_passes(world: World, form: str) -> None:
    world.demand()
    error = world.refused()
    assert error.exit_code == 18
    assert "is not signed" in error.message
    assert str(world.home / "policy.json") in (error.hint or "")
    world.sign(form=form, key=PrivateKey.generate())
    assert (world.refused().exit_code, "none holds" in world.refused().message) == (19, True)
    world.sign(form=form)
    assert world.gate().admit(world.image()) == "the default"


def test_the_name_that_was_signed_counts(world: World) -> None:
    world.demand()
    world.registry.add_manifest("team/app", "2", IMAGE.manifest, OCI_MANIFEST)
    world.sign("2")
    error = world.refused()
    assert error.exit_code == 19
    assert "is signed as" in error.message
    assert "matchRepoDigestOrExact" in error.message
    key = str(world.home / "k.pub")
    world.demand({"type": "sigstoreSigned", "keyPath": key, "signedIdentity": {"type": "matchRepository"}})
    world.gate().admit(world.image())


def test_all_requirements_must_be_met(world: World) -> None:
    other = PrivateKey.generate()
    for name, key in (("a", KEY), ("b", other)):
        (world.home / name).write_bytes(key.public.pem)
    world.demand(*({"type": "sigstoreSigned", "keyPath": str(world.home / name)} for name in ("a", "b")))
    world.sign()
    assert world.refused().exit_code == 19
    world.sign(key=other)
    world.gate().admit(world.image())


def test_keys_may_stand_in_the_policy(world: World) -> None:
    import base64

    world.demand({"type": "sigstoreSigned", "keyData": base64.b64encode(KEY.public.pem).decode()})
    world.sign()
    world.gate().admit(world.image())


def test_the_registry_is_asked_once_and_anew_when_anything_differs(world: World) -> None:
    world.demand()
    world.sign()
    world.gate().admit(world.image())
    world.registry.requests.clear()
    world.gate().admit(world.image())
    assert world.registry.requests == []
    world.gate(anew=True).admit(world.image())
    assert world.registry.requests
    world.registry.requests.clear()
    # Other keys, another name, another image: other questions.
    world.demand(key=PrivateKey.generate())
    assert world.refused().exit_code == 19
    world.demand()
    assert world.refused(world.image("2")).exit_code == 19
    other = Candidate(name=world.image().name, digest=Digest.of(b"another"))
    assert world.refused(other).exit_code == 18


def test_a_refusal_is_not_remembered(world: World) -> None:
    world.demand()
    world.refused()
    world.sign()
    world.gate().admit(world.image())


@pytest.mark.parametrize("how", ["told", "remembered", "by its tag"])
def test_a_signed_index_covers_the_manifests_that_it_names(world: World, how: str) -> None:
    world.demand()
    world.registry.add_manifest("team/app", "1", INDEX, OCI_INDEX)
    digest = DESCRIBED.digest
    world.registry.add_manifest("team/app", str(digest), INDEX, OCI_INDEX)
    from buildkit_py.trust import cosign
    from buildkit_py.trust.place import Place

    place = Place(make_client(world.registry.name), Reference.parse(world.image().name))
    cosign.sign(place, DESCRIBED, KEY, reference=world.image().name, annotations={})
    if how == "remembered":
        world.store.memo.put("root", str(IMAGE.descriptor.digest), str(digest))
        world.registry.add_manifest("team/app", "1", IMAGE.manifest, OCI_MANIFEST)
    world.gate().admit(world.image(index=digest) if how == "told" else world.image())
    stranger = Candidate(name=world.image().name, digest=Digest.of(b"stranger"), index=digest)
    assert world.refused(stranger).exit_code == 18


def test_a_registry_that_can_not_be_asked_lets_nothing_pass(world: World) -> None:
    world.demand()
    world.sign()
    world.registry.faults.append(lambda handler: handler.reply(500) or True)
    with pytest.raises(RegistryError):
        world.gate().admit(world.image())


@pytest.mark.parametrize("name", ["oci:{home}/layout:1", "oci-archive:{home}/a.tar", "dir:{home}/d"])
def test_images_in_files_have_scopes_and_no_signatures(world: World, name: str) -> None:
    image = Candidate(name=name.format(home=world.home), digest=IMAGE.descriptor.digest)
    world.demand()
    assert "carry no signatures" in world.refused(image).message
    key = str(world.home / "k.pub")
    signed = {"type": "sigstoreSigned", "keyPath": key}
    world.write({"default": [signed], "transports": {image.transport: {str(world.home.resolve()): ACCEPT}}})
    assert world.gate().admit(image) == f"{image.transport}: {world.home.resolve()}"
    world.write({"default": ACCEPT, "transports": {image.transport: {"": [{"type": "reject"}]}}})
    assert world.refused(image).exit_code == 18


def test_a_way_with_links_is_no_other_way(world: World) -> None:
    (world.home / "real").mkdir()
    (world.home / "link").symlink_to(world.home / "real")
    scope = str((world.home / "real").resolve())
    world.write({"default": ACCEPT, "transports": {"oci": {scope: [{"type": "reject"}]}}})
    image = Candidate(name=f"oci:{world.home}/link", digest=IMAGE.descriptor.digest)
    assert world.refused(image).exit_code == 18


def test_a_colon_in_a_path_does_not_lead_to_the_scope_before_it(world: World) -> None:
    scope = str((world.home / "ok").resolve())
    accepted = {kind: {scope: ACCEPT} for kind in ("dir", "oci")}
    world.write({"default": [{"type": "reject"}], "transports": accepted})
    other = world.home / "ok:other"
    assert world.refused(Candidate(name=f"dir:{other}/x", digest=IMAGE.descriptor.digest)).exit_code == 18
    for name in (f"oci:{other}", f"dir:{other}"):
        assert world.refused(Candidate(name=name, digest=IMAGE.descriptor.digest, files=(other, None))).exit_code == 18
    found = Candidate(name=f"oci:{scope}:1", digest=IMAGE.descriptor.digest)
    assert world.gate().admit(found) == f"oci: {scope}"


def test_what_was_read_is_known_with_its_stamps(world: World) -> None:
    world.demand()
    world.sign()
    before = {str(path): text_stamp(str(path)) for path in (world.home / "policy.json", world.home / "k.pub")}
    gate = world.gate()
    gate.admit(world.image())
    assert gate.files == before


def test_keys_that_can_not_be_read(world: World) -> None:
    world.demand({"type": "sigstoreSigned", "keyPath": str(world.home / "none")})
    with pytest.raises(UsageError, match="can't be read"):
        world.gate().admit(world.image())
    (world.home / "none").write_text("nothing")
    with pytest.raises(UsageError, match="holds no public key"):
        world.gate().admit(world.image())


def test_errors_are_of_one_tree() -> None:
    assert issubclass(SignatureError, TrustError)
    assert (TrustError.exit_code, SignatureError.exit_code) == (18, 19)
