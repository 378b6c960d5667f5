from __future__ import annotations

from collections.abc import Iterator

import pytest

from buildkit_py.errors import RegistryError
from buildkit_py.reference import Reference
from tests.support.clients import make_client
from tests.support.faulty_registry import FaultyRegistry, faulty_registry, on, times
from tests.support.images import make_image

IMAGE = make_image(b"layer")


@pytest.fixture
def registry() -> Iterator[FaultyRegistry]:
    with faulty_registry() as server:
        for tag in ("1", "2", "3", "latest", "b"):
            server.add_manifest("team/app", tag, IMAGE.manifest, IMAGE.descriptor.media_type)
        yield server


def tags(registry: FaultyRegistry, repository: str = "team/app", waits: list[float] | None = None) -> list[str]:
    return make_client(registry.name, waits=waits).tags(Reference.parse(f"{registry.name}/{repository}"))


@pytest.mark.parametrize(("page", "requests"), [(None, 1), (2, 3), (1, 5)])
def test_every_page_is_read(registry: FaultyRegistry, page: int | None, requests: int) -> None:
    registry.page = page
    assert tags(registry) == ["1", "2", "3", "latest", "b"]
    assert len(registry.asked("GET", "/tags/")) == requests


def test_a_page_is_asked_for_again(registry: FaultyRegistry) -> None:
    registry.page = 2
    registry.faults.append(times(1, on("GET", "last=2", lambda handler: handler.reply(429, Retry_After=5))))
    waits: list[float] = []
    assert len(tags(registry, waits=waits)) == 5
    assert waits == [5]


def test_a_list_without_an_end(registry: FaultyRegistry) -> None:
    link = '</v2/team/app/tags/list?n=1000>; rel="next"'
    registry.faults.append(on("GET", "/tags/", lambda handler: handler.reply(200, b'{"tags": ["1"]}', Link=link)))
    with pytest.raises(RegistryError, match="without an end"):
        tags(registry)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"tags": 1}', b'{"name": "x"}', b"html"])
def test_no_list_at_all(registry: FaultyRegistry, body: bytes) -> None:
    registry.faults.append(on("GET", "/tags/", lambda handler: handler.reply(200, body)))
    with pytest.raises(RegistryError, match="gave no list of tags"):
        tags(registry)


def test_a_repository_without_tags(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/tags/", lambda handler: handler.reply(200, b'{"tags": null}')))
    assert tags(registry) == []


def test_what_a_terminal_would_obey_is_left_out(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/tags/", lambda handler: handler.reply(200, b'{"tags": ["a", "\\u001b[1m", 3]}')))
    assert tags(registry) == ["a"]


def test_delete(registry: FaultyRegistry) -> None:
    other = make_image(b"other")
    registry.add_manifest("team/app", "other", other.manifest, other.descriptor.media_type)
    found = make_client(registry.name).delete(Reference.parse(f"{registry.name}/team/app:2"))
    assert found.digest == IMAGE.descriptor.digest
    (asked,) = registry.asked("DELETE", "")
    assert asked.path == f"/v2/team/app/manifests/{IMAGE.descriptor.digest}"
    assert tags(registry) == ["other"]


def test_delete_asks_for_the_right(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", "/token", lambda handler: handler.reply(200, b'{"token": "t"}')))

    def guard(handler) -> bool:  # type: ignore[no-untyped-def]
        if handler.headers.get("Authorization") == "Bearer t":
            return False
        handler.reply(401, WWW_Authenticate=f'Bearer realm="http://{registry.name}/token",service="s"')
        return True

    registry.faults.append(guard)
    make_client(registry.name).delete(Reference.parse(f"{registry.name}/team/app:2"))
    assert "repository%3Ateam%2Fapp%3Apull%2Cdelete" in registry.asked("GET", "/token")[0].path


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (405, b'{"errors": [{"code": "UNSUPPORTED", "message": "not supported"}]}'),
        (405, b""),
        (400, b'{"errors": [{"code": "UNSUPPORTED"}]}'),
    ],
)
def test_deletion_that_is_off(registry: FaultyRegistry, status: int, body: bytes) -> None:
    registry.faults.append(on("DELETE", "", lambda handler: handler.reply(status, body)))
    with pytest.raises(RegistryError) as caught:
        make_client(registry.name).delete(Reference.parse(f"{registry.name}/team/app:2"))
    assert "has deletion switched off" in str(caught.value.hint)
    assert ("team/app", "2") in registry.manifests


def test_delete_what_is_not_there(registry: FaultyRegistry) -> None:
    with pytest.raises(RegistryError, match="404"):
        make_client(registry.name).delete(Reference.parse(f"{registry.name}/team/app:none"))
    assert not registry.asked("DELETE", "")
