"""Which names `rmi` takes away, and what giving a name says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from buildkit_py.errors import NotFoundError, UsageError
from buildkit_py.image.names import doomed, give, records_of
from buildkit_py.image.stored import described_by
from buildkit_py.image.view import find
from buildkit_py.store import Store
from tests.support.images import make_image


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as store:
        yield store


def put(store: Store, text: bytes, *names: str, implied: tuple[str, ...] = ()) -> str:
    descriptor = make_image(text).store(store.blobs)
    for name in (*names, *implied):
        store.images.put(name, descriptor.to_plain(), given=name not in implied)
    return str(descriptor.digest)


def names(records: object) -> list[str]:
    return sorted(record.name for record in records)  # type: ignore[attr-defined]


def test_a_name_goes_alone_while_another_was_given(opened: Store) -> None:
    put(opened, b"1", "app:1", "app:latest", implied=("web",))
    assert names(doomed(opened, ["app:1"], force=False)) == ["app:1"]
    assert names(doomed(opened, ["web"], force=False)) == ["web"]


def test_the_last_name_that_was_given_takes_those_of_build_files_along(opened: Store) -> None:
    put(opened, b"1", "app:1", implied=("web", "image"))
    assert names(doomed(opened, ["app:1"], force=False)) == ["app:1", "image", "web"]


def test_a_digest_means_all_names_and_several_need_force(opened: Store) -> None:
    digest = put(opened, b"1", "app:1", "app:2", implied=("web",))
    begun = digest.removeprefix("sha256:")[:8]
    with pytest.raises(UsageError, match=r"has several names: app:1, app:2") as error:
        doomed(opened, [begun], force=False)
    assert "--force" in str(error.value.hint)
    assert names(doomed(opened, [begun], force=True)) == ["app:1", "app:2", "web"]
    assert names(doomed(opened, [digest], force=True)) == ["app:1", "app:2", "web"]
    assert names(doomed(opened, ["app:1", "app:2"], force=False)) == ["app:1", "app:2", "web"]


def test_names_that_are_not_there_are_answered_with_the_nearest(opened: Store) -> None:
    put(opened, b"1", "app:1", "docker.io/library/web:latest")
    for word, meant in (("ap:1", "app:1"), ("web", "docker.io/library/web:latest")):
        for ask in (
            lambda word=word: doomed(opened, [word], force=False),
            lambda word=word: find(opened, word),
            lambda word=word: records_of(opened, [word]),
        ):
            with pytest.raises(NotFoundError) as error:
                ask()
            assert f"did you mean {meant!r}?" in str(error.value.hint)
    with pytest.raises(NotFoundError) as error:
        find(opened, "something-else")
    assert error.value.hint == "`pybuild ls` lists the images that are"


def test_giving_a_name_says_who_had_it(opened: Store) -> None:
    one, other = put(opened, b"1", "one"), put(opened, b"2", "two")
    descriptor = described_by(opened.images.get("one") or {})
    first, again, moved = give(opened, descriptor, ["new", "one", "two"])
    assert (first.digest, first.before, first.nameless) == (one, None, False)
    assert (again.before, again.nameless) == (None, False)
    assert (moved.before, moved.nameless) == (other, True)
    assert {record.name for record in opened.images.list()} == {"new", "one", "two"}
