"""Payloads of simple signing, which are read as one thing or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.trust.foreign import MAX_BYTES, from_base64, json_object, to_base64
from buildkit_py.trust.payload import ATOMIC, COSIGN, claims_of, payload

DIGEST = Digest.of(b"manifest")


def plain() -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(payload(DIGEST, "registry.example/app:1", {"build": "42"}))
    return raw


def test_what_is_said_comes_back() -> None:
    claims = claims_of(payload(DIGEST, "registry.example/app:1", {"build": "42"}), COSIGN, "p")
    assert (claims.digest, claims.reference, claims.annotations) == (DIGEST, "registry.example/app:1", {"build": "42"})
    assert json.loads(payload(DIGEST, "a/b", {}))["optional"] is None


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.pop("critical"),
        lambda it: it.update(more=1),
        lambda it: it.update(optional=[]),
        lambda it: it["critical"].update(type=ATOMIC),
        lambda it: it["critical"].update(more=1),
        lambda it: it["critical"].pop("identity"),
        lambda it: it["critical"]["identity"].update({"docker-reference": 7}),
        lambda it: it["critical"]["identity"].update({"Docker-Reference": "x"}),
        lambda it: it["critical"]["image"].update({"docker-manifest-digest": "sha256:../../x"}),
        lambda it: it["critical"]["image"].update({"docker-manifest-digest": None}),
        lambda it: it["critical"].update(image=[]),
    ],
)
def test_what_is_no_payload(change: Any) -> None:
    value = plain()
    change(value)
    with pytest.raises(IntegrityError):
        claims_of(json.dumps(value).encode(), COSIGN, "p")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b'{"critical": NaN}',
        b'{"critical": {}, "critical": {}}',
        b'{"a": {"b": 1, "b": 2}}',
        b"[" * 100_000,
        b" " * (MAX_BYTES + 1),
    ],
)
def test_what_is_no_json_of_one_meaning(raw: bytes) -> None:
    with pytest.raises(IntegrityError):
        claims_of(raw, COSIGN, "p")


def test_fields_are_typed() -> None:
    fields = json_object(b'{"a": "text", "b": true, "c": ["x", 1], "d": 3}', "it")
    with pytest.raises(IntegrityError, match="'b' is not an integer"):
        fields.number("b")
    with pytest.raises(IntegrityError, match="'c' is not a list of strings"):
        fields.texts("c")
    assert fields.text("a") == "text"
    with pytest.raises(IntegrityError, match="it has no field 'a'"):
        fields.text("a")
    with pytest.raises(IntegrityError, match="it has an unknown field 'd'"):
        fields.end()


@pytest.mark.parametrize("text", ["a", "AAA", "A===", "AA AA", "é", "AA=A"])
def test_base64_is_strict(text: str) -> None:
    with pytest.raises(IntegrityError, match="x is not base64"):
        from_base64(text, "x")


@pytest.mark.parametrize("text", ["AA==", "A", "A+/A", "é"])
def test_base64_of_addresses_is_strict(text: str) -> None:
    with pytest.raises(IntegrityError, match="x is not base64"):
        from_base64(text, "x", url=True)


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", b"\xfb\xff\xfe"])
def test_base64_comes_back(data: bytes) -> None:
    assert from_base64(to_base64(data), "x") == data
    assert from_base64(to_base64(data, url=True), "x", url=True) == data
