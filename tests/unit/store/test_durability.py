"""Which changes are synced: names of images are, and what came before them with it; rows of a build's steps are not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from buildkit_py.store import Store


@pytest.fixture
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Store, list[bool]]]:
    asked: list[bool] = []
    with Store.open(tmp_path / "store") as store:
        original = store.index.transaction

        @contextmanager
        def noted(*, durable: bool = True) -> Iterator[None]:
            asked.append(durable)
            with original(durable=durable):
                yield

        monkeypatch.setattr(store.index, "transaction", noted)
        yield store, asked


def test_what_steps_leave_is_not_synced_row_by_row(synced: tuple[Store, list[bool]]) -> None:
    store, asked = synced
    store.results.put("key", {}, {}, "build")
    store.memo.put("kind", "key", 1)
    store.trees.put("tree", None, "sha256:" + "0" * 64)
    assert asked == [False] * 3


def test_the_name_of_an_image_is_synced(synced: tuple[Store, list[bool]]) -> None:
    store, asked = synced
    digest = store.blobs.put(b"{}")
    store.images.put("a:1", {"mediaType": "x", "digest": digest, "size": 2})
    assert asked[0] is True
