"""The trust policy at the source of a copy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from buildkit_py.errors import TrustError
from buildkit_py.oci.media_types import OCI_INDEX
from buildkit_py.transfer.ends import Ends
from buildkit_py.transfer.place import Place
from buildkit_py.transfer.plan import Wishes, read_plan
from tests.support.transfers import Pair


def test_an_index_without_manifests_is_held_against_the_policy(pair: Pair, tmp_path: Path) -> None:
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    pair.source.add_manifest("team/app", "none", raw, OCI_INDEX)
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "reject"}]}')
    place = Place.parse(f"docker://{pair.source.name}/team/app:none", tmp_path)
    plan = read_plan(pair.client.reader(place.reference), Wishes(every=True))  # type: ignore[arg-type]

    def no_store(make: bool) -> None:
        raise AssertionError(make)

    with Ends(no_store, tmp_path, str(policy)) as ends, pytest.raises(TrustError):  # type: ignore[arg-type]
        ends.admit(place, plan)
