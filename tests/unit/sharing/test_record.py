"""Records of a shared cache: one form, and nothing else is read."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py import canonical
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_LAYER_GZIP
from buildkit_py.sharing.record import CONFIG, DIFF, MAX_CONFIG, MAX_DIFF, Record, parse, tag_of


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def blob(media_type: str, text: str = "x", size: int = 5) -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.parse(digest(text)), size=size)


KEY, TREE, CHANGE = digest("key"), digest("tree"), digest("diff")
STEP = Record(
    kind="step",
    key=KEY,
    facts={"content_id": TREE, "diff": CHANGE},
    diffs=(blob(DIFF, "diff"),),
    layers=(blob(OCI_LAYER_GZIP),),
)

digests = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format)
descriptors = st.builds(
    Descriptor, media_type=st.just(OCI_LAYER_GZIP), digest=digests.map(Digest.parse), size=st.integers(0, 1 << 40)
)


@st.composite
def records(draw: Any) -> Record:
    kind = draw(st.sampled_from(["step", "bare step", "no tree", "selection", "check", "layer", "names"]))
    key = draw(digests)
    if kind in ("step", "bare step"):
        diff = draw(digests)
        whole = kind == "step"
        diffs = (Descriptor(media_type=DIFF, digest=Digest.parse(diff), size=draw(st.integers(0, MAX_DIFF))),)
        layers = tuple(draw(st.lists(descriptors, max_size=3)))
        facts = {"content_id": draw(digests), "diff": diff}
        return Record(kind="step", key=key, facts=facts, diffs=diffs if whole else (), layers=layers if whole else ())
    if kind == "no tree":
        return Record(kind="step", key=key, facts={"content_id": None, "diff": None})
    if kind == "selection":
        return Record(kind="selection", key=key, facts={"selection": draw(digests)})
    if kind == "layer":
        return Record(kind="layer", key=key, facts={"diff_id": draw(digests)}, layers=(draw(descriptors),))
    if kind == "names":
        diffs = tuple(
            Descriptor(media_type=DIFF, digest=Digest.parse(each), size=1)
            for each in draw(st.lists(digests, max_size=4))
        )
        return Record(kind="names", key=key, facts={"content_id": draw(digests)}, diffs=diffs)
    return Record(kind="check", key=key)


def nothing(descriptor: Descriptor) -> bytes:
    raise AssertionError("the configuration is in the manifest")


@given(records())
def test_what_is_written_is_read(record: Record) -> None:
    assert parse(record.manifest, record.kind, record.key, nothing) == record
    assert record.tag == f"k-{record.key.removeprefix('sha256:')}"


@given(records())
def test_the_configuration_may_lie_beside_the_manifest(record: Record) -> None:
    plain = json.loads(record.manifest)
    del plain["config"]["data"]
    assert parse(canonical.dumps(plain), record.kind, record.key, lambda _: record.config) == record
    with pytest.raises(IntegrityError):
        parse(canonical.dumps(plain), record.kind, record.key, lambda _: b"{}")


@given(records(), st.binary(max_size=60))
def test_other_bytes_are_refused_and_nothing_else_happens(record: Record, junk: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse(junk, record.kind, record.key, nothing)


def configured(**changes: Any) -> bytes:
    """The manifest of `STEP` with another configuration."""
    config = canonical.dumps({**json.loads(STEP.config), **changes})
    plain = json.loads(STEP.manifest)
    plain["config"] = {**Descriptor.of(config, CONFIG).to_plain(), "data": base64.b64encode(config).decode()}
    return canonical.dumps(plain)


def listed(change: Callable[[dict[str, Any]], None]) -> bytes:
    plain = json.loads(STEP.manifest)
    change(plain)
    return canonical.dumps(plain)


def _other_config(plain: dict[str, Any]) -> None:
    plain["config"]["data"] = base64.b64encode(b"{}").decode()


def _large_config(plain: dict[str, Any]) -> None:
    plain["config"]["size"] = MAX_CONFIG + 1


def _no_base64(plain: dict[str, Any]) -> None:
    plain["config"]["data"] = "%%%"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (configured(key=digest("other")), "record of another key"),
        (configured(kind="layer"), "of the kind 'layer', not 'step'"),
        (configured(v=2), "of version 2"),
        (configured(v=True), "of version True"),
        (configured(more=1), "other fields"),
        (configured(content_id="sha256:no"), "not a digest"),
        (configured(content_id=5), "not a digest"),
        (configured(diff=digest("third")), "not the one that it names"),
        (listed(_other_config), "configuration"),
        (listed(_large_config), f"{MAX_CONFIG} is the most"),
        (listed(_no_base64), "not in base64"),
        (listed(lambda plain: plain["config"].update(mediaType="application/json")), "no record of a cache"),
        (listed(lambda plain: plain["layers"].append(blob("text/html").to_plain())), "of the type 'text/html'"),
        (listed(lambda plain: plain["layers"].append(blob(DIFF, "second").to_plain())), "lists other blobs"),
        (listed(lambda plain: plain["layers"].pop(0)), "lists other blobs"),
        (listed(lambda plain: plain["layers"][0].update(size=MAX_DIFF + 1)), f"{MAX_DIFF} is the most"),
        (listed(lambda plain: plain.update(layers=plain["layers"] * 100)), "lists 200 blobs"),
        (b'{"schemaVersion":2,"manifests":[]}', "no record of a cache"),
    ],
)
def test_what_is_no_record_of_that_key(raw: bytes, said: str) -> None:
    with pytest.raises(IntegrityError, match=said.replace("[", r"\[")):
        parse(raw, "step", KEY, nothing)


def test_a_record_says_nothing_of_its_machine() -> None:
    assert json.loads(STEP.config) == {"v": 1, "kind": "step", "key": KEY, "content_id": TREE, "diff": CHANGE}
    assert set(json.loads(STEP.manifest)) == {"schemaVersion", "mediaType", "config", "layers"}


def test_a_record_without_blobs_lists_the_empty_one() -> None:
    (item,) = json.loads(Record(kind="check", key=KEY).manifest)["layers"]
    assert item["mediaType"] == "application/vnd.oci.empty.v1+json"


def test_a_tag_is_made_of_a_digest_only() -> None:
    with pytest.raises(IntegrityError):
        tag_of("sha256:../../x")
