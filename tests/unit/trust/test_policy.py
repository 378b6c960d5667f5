"""Policies: what is read, what is refused, which scope counts; and which references a signature may name."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.errors import UsageError
from buildkit_py.reference import Reference
from buildkit_py.trust.foreign import Fields
from buildkit_py.trust.identity import Identity, identity_of
from buildkit_py.trust.policy import (
    Accept,
    Policy,
    Reject,
    SignedBy,
    SigstoreSigned,
    docker_scopes,
    load,
    parse,
    path_scopes,
    places,
)

PATH = Path("/p/policy.json")
ACCEPT: dict[str, Any] = {"type": "insecureAcceptAnything"}
REJECT: dict[str, Any] = {"type": "reject"}
SIGNED: dict[str, Any] = {"type": "sigstoreSigned", "keyPath": "/k.pub"}
HEX = "ab" * 32


def read(plain: Any) -> Policy:
    return parse(json.dumps(plain).encode(), PATH)


def test_every_requirement_is_read() -> None:
    gpg = {"type": "signedBy", "keyType": "GPGKeys", "keyPaths": ["/a", "/b"]}
    data = {"type": "sigstoreSigned", "keyDatas": [base64.b64encode(b"key").decode()]}
    policy = read({"default": [REJECT], "transports": {"docker": {"": [ACCEPT, SIGNED, gpg, data]}, "dir": {}}})
    assert policy.default == (Reject(),)
    accept, signed, by, held = policy.transports["docker"][""]
    assert accept == Accept()
    assert isinstance(signed, SigstoreSigned)
    assert (signed.keys.paths, signed.identity) == (("/k.pub",), Identity())
    assert isinstance(by, SignedBy)
    assert by.keys.paths == ("/a", "/b")
    assert isinstance(held, SigstoreSigned)
    assert held.keys.data == (b"key",)


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        ([], "is not a JSON object"),
        ({}, "has no field 'default'"),
        ({"default": []}, "'default' is empty"),
        ({"default": [ACCEPT], "more": 1}, "has an unknown field 'more'"),
        ({"default": [{"type": "sure"}]}, "there is no requirement 'sure'"),
        ({"default": [{"type": "reject", "keyPath": "x"}]}, "has an unknown field 'keyPath'"),
        ({"default": [{}]}, "has no field 'type'"),
        ({"default": [7]}, "is not a JSON object"),
        ({"default": [ACCEPT], "transports": {"docker": {"a": []}}}, "'a' is empty"),
        ({"default": [ACCEPT], "transports": {"docker": []}}, "is not a JSON object"),
        ({"default": [{"type": "sigstoreSigned"}]}, "exactly one of keyPath"),
        ({"default": [{**SIGNED, "keyData": "AAAA"}]}, "exactly one of keyPath"),
        ({"default": [{"type": "sigstoreSigned", "keyPaths": []}]}, "'keyPaths' is empty"),
        ({"default": [{"type": "sigstoreSigned", "keyPath": ["x"]}]}, "'keyPath' is not a string"),
        ({"default": [{"type": "sigstoreSigned", "keyData": "!"}]}, "'keyData' is not base64"),
        ({"default": [{"type": "sigstoreSigned", "fulcio": {}}]}, "'fulcio' asks for a certificate authority"),
        ({"default": [{**SIGNED, "rekorPublicKeyPath": "/r"}]}, "'rekorPublicKeyPath' asks for"),
        ({"default": [{"type": "signedBy", "keyPath": "/k"}]}, "has no field 'keyType'"),
        ({"default": [{"type": "signedBy", "keyType": "X509", "keyPath": "/k"}]}, "of the type 'X509'"),
        ({"default": [{**SIGNED, "signedIdentity": {"type": "matchAny"}}]}, "there is no identity 'matchAny'"),
        ({"default": [{**SIGNED, "signedIdentity": {"type": "matchExact", "x": 1}}]}, "an unknown field 'x'"),
        (
            {"default": [{**SIGNED, "signedIdentity": {"type": "exactReference", "dockerReference": "a/b"}}]},
            "neither a tag nor a digest",
        ),
        (
            {"default": [{**SIGNED, "signedIdentity": {"type": "exactRepository", "dockerRepository": "a/b:1"}}]},
            "not only a repository",
        ),
        (
            {
                "default": [
                    {**SIGNED, "signedIdentity": {"type": "remapIdentity", "prefix": "a:b:c", "signedPrefix": "x"}}
                ]
            },
            "not a host, namespace or repository",
        ),
    ],
)
def test_what_is_no_policy(plain: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        read(plain)
    assert str(PATH) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("raw", [b"", b"{", b'{"default": 1, "default": 2}', b"\xff", b"[" * 100_000])
def test_what_is_no_json(raw: bytes) -> None:
    with pytest.raises(UsageError, match="is not usable JSON"):
        parse(raw, PATH)


def test_the_most_specific_scope_counts_alone() -> None:
    scopes = {
        "r.example/team/app:1": [SIGNED],
        "r.example/team/app": [REJECT],
        "r.example/team": [ACCEPT, ACCEPT],
        "*.example": [ACCEPT, REJECT],
        "": [ACCEPT],
    }
    policy = read({"default": [REJECT], "transports": {"docker": scopes}})

    def of(text: str) -> Any:
        return policy.requirements("docker", tuple(docker_scopes(Reference.parse(text))))[1]

    assert isinstance(of("r.example/team/app:1")[0], SigstoreSigned)
    assert of("r.example/team/app:2") == (Reject(),)
    assert of("r.example/team/other:1") == (Accept(), Accept())
    assert of("r.example/teams/app:1") == (Accept(), Reject())
    assert of("other.test/app") == (Accept(),)
    assert policy.requirements("oci", ("/x",)) == ("the default", (Reject(),))


def test_the_scopes_of_an_image() -> None:
    assert list(docker_scopes(Reference.parse("a.b.example:5000/x/y:1"))) == [
        "a.b.example:5000/x/y:1",
        "a.b.example:5000/x/y",
        "a.b.example:5000/x",
        "a.b.example:5000",
        "*.b.example",
        "*.example",
    ]
    assert next(docker_scopes(Reference.parse(f"busybox@sha256:{HEX}"))) == f"docker.io/library/busybox@sha256:{HEX}"
    assert list(path_scopes(Path("/a/b"), "n")) == ["/a/b:n", "/a/b", "/a"]


def test_where_a_policy_is_looked_for(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert places(home)[0] == tmp_path / ".config/containers/policy.json"
    assert places({**home, "XDG_CONFIG_HOME": "/x"})[0] == Path("/x/containers/policy.json")
    assert places({**home, "PYBUILD_POLICY": "/p"}) == (Path("/p"),)
    assert places({**home, "PYBUILD_POLICY": "/p"}, Path("/q")) == (Path("/q"),)
    with pytest.raises(UsageError, match="there is no trust policy"):
        load(home, tmp_path / "none")
    own = tmp_path / ".config/containers/policy.json"
    own.parent.mkdir(parents=True)
    own.write_text(json.dumps({"default": [REJECT]}))
    found = load(home)
    assert found is not None
    assert (found.path, found.default) == (own, (Reject(),))
    with pytest.raises(UsageError, match="can't be read"):
        load(home, tmp_path)


def image(text: str) -> Reference:
    return Reference.parse(text)


@pytest.mark.parametrize(
    ("kind", "named", "signed", "fits"),
    [
        ("matchRepoDigestOrExact", "r.io/a:1", "r.io/a:1", True),
        ("matchRepoDigestOrExact", "r.io/a:1", "r.io/a:2", False),
        ("matchRepoDigestOrExact", "r.io/a:1", "r.io/a", False),
        ("matchRepoDigestOrExact", "r.io/a:latest", "r.io/a", False),
        ("matchRepoDigestOrExact", f"r.io/a@sha256:{HEX}", "r.io/a:7", True),
        ("matchRepoDigestOrExact", f"r.io/a@sha256:{HEX}", "r.io/a", True),
        ("matchRepoDigestOrExact", f"r.io/a@sha256:{HEX}", "r.io/b:7", False),
        ("matchRepoDigestOrExact", f"r.io/a:1@sha256:{HEX}", "r.io/a:1", True),
        ("matchRepoDigestOrExact", f"r.io/a:1@sha256:{HEX}", "r.io/a:2", False),
        ("matchExact", "r.io/a:1", "r.io/a:1", True),
        ("matchExact", f"r.io/a@sha256:{HEX}", "r.io/a:1", False),
        ("matchExact", f"r.io/a@sha256:{HEX}", f"r.io/a@sha256:{HEX}", True),
        ("matchRepository", "r.io/a:1", "r.io/a", True),
        ("matchRepository", "r.io/a:1", "r.io/a:9", True),
        ("matchRepository", "busybox", "docker.io/library/busybox", True),
        ("matchRepository", "r.io/a:1", "r.io/ab", False),
        ("matchRepository", "r.io/a:1", "R.IO/../a", False),
        ("matchRepository", "r.io/a:1", "", False),
    ],
)
def test_what_a_signature_may_name(kind: Any, named: str, signed: str, fits: bool) -> None:
    assert Identity(kind=kind).fits(image(named), signed) is fits
    assert not Identity(kind=kind).fits(None, signed)
    assert not Identity(kind=kind).fits(image(named), None)


def test_references_that_the_policy_names() -> None:
    exact = Identity(kind="exactReference", reference="v.io/p:1")
    assert exact.fits(image("r.io/a:1"), "v.io/p:1")
    assert exact.fits(None, "v.io/p:1")
    assert not exact.fits(image("r.io/a:1"), "v.io/p:2")
    assert not exact.fits(image("r.io/a:1"), "v.io/p")
    repository = Identity(kind="exactRepository", reference="v.io/p")
    assert repository.fits(None, "v.io/p:2")
    assert not repository.fits(None, "v.io/q:2")


def test_mirrors_are_named_as_what_they_mirror() -> None:
    mapped = Identity(kind="remapIdentity", prefix="m.io:5000/v", signed_prefix="v.io")
    assert mapped.fits(image("m.io:5000/v/p:1"), "v.io/p:1")
    assert not mapped.fits(image("m.io:5000/v/p:1"), "v.io/p:2")
    assert not mapped.fits(image("m.io:5000/v/p:1"), "m.io:5000/v/p:1")
    assert mapped.fits(image("m.io:5000/vx/p:1"), "m.io:5000/vx/p:1")
    assert mapped.fits(image(f"m.io:5000/v/p@sha256:{HEX}"), "v.io/p:3")
    assert not Identity(kind="remapIdentity", prefix="m.io", signed_prefix="docker.io").fits(
        image("m.io/busybox:1"), "docker.io/library/busybox:1"
    )


def test_the_identity_of_a_requirement() -> None:
    def of(value: Any) -> Identity:
        return identity_of(Fields({"signedIdentity": value}, "it", UsageError))

    assert identity_of(Fields({}, "it", UsageError)) == Identity(kind="matchRepoDigestOrExact")
    assert of({"type": "exactReference", "dockerReference": "a/b:1"}).reference == "a/b:1"
    assert of({"type": "exactRepository", "dockerRepository": "a/b"}).reference == "a/b"
    assert of({"type": "remapIdentity", "prefix": "h:1/n", "signedPrefix": "g"}).signed_prefix == "g"
