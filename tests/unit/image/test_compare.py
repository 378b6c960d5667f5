"""Two images by their documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.image.compare import compare_configs, compare_layers, shared
from buildkit_py.image.subject import Subject, stored_subject
from buildkit_py.oci.media_types import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from buildkit_py.store import Store
from tests.support.images import make_image


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as store:
        yield store


def subject(store: Store, *layers: bytes, **config: Any) -> Subject:
    types = (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER)
    store.images.put("x", make_image(*layers, config=config, types=types).store(store.blobs).to_plain())
    return stored_subject(store, "x")


def test_fields_one_by_one(opened: Store) -> None:
    one = subject(opened, Env=["A=1", "B=2"], Cmd=["a"], Labels={"v": "1"}, User=None, WorkingDir="/x")
    other = subject(opened, Env=["B=2", "A=1 2", "C=3"], Cmd=["a", "b"], WorkingDir="/x")
    rows = compare_configs(one, other)
    told = [(row["field"], row["key"], row["change"], row["before"], row["after"]) for row in rows]
    assert told == [
        ("Cmd", None, "changed", ["a"], ["a", "b"]),
        ("Env", "A", "changed", "1", "1 2"),
        ("Env", "C", "added", None, "3"),
        ("Labels", "v", "removed", "1", None),
    ]
    assert compare_configs(one, one) == []


def test_layers_by_digest(opened: Store) -> None:
    one, other = subject(opened, b"base", b"a", b"late"), subject(opened, b"base", b"b", b"late")
    assert shared(one, other) == 1
    told = [(row["in"], row["size"]) for row in compare_layers(one, other)]
    assert told == [("both", 4), ("before", 1), ("both", 4), ("after", 1)]
    assert {row["in"] for row in compare_layers(one, one)} == {"both"}
    assert shared(one, one) == 3
