"""From registry to registry, with everything that may go wrong on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Event

import pytest

from buildkit_py.errors import Cancelled, IntegrityError, NotFoundError, PybuildError, RegistryError, UsageError
from buildkit_py.platform import Platform
from buildkit_py.reference import Reference
from buildkit_py.registry.config import HostSettings
from buildkit_py.transfer.copy import Watch, copy
from buildkit_py.transfer.plan import Wishes
from buildkit_py.transfer.to_registry import RegistryDestination
from tests.support.clients import make_client
from tests.support.faulty_registry import FaultyRegistry, Handler, faulty_registry, on, times
from tests.support.images import digest_of, make_image
from tests.support.transfers import ARM, IMAGE, LARGE, SMALL, Pair, hold

BLOBS = {digest_of(data) for data in (SMALL, LARGE, IMAGE.config)}


def whole(registry: FaultyRegistry, tag: str = "v2") -> bool:
    held = all(registry.blobs.get(digest_of(data)) == data for data in (SMALL, LARGE, IMAGE.config))
    return held and registry.manifests["copy/app", tag][0] == IMAGE.manifest


def ranges(registry: FaultyRegistry, data: bytes = LARGE) -> list[str | None]:
    return [item.headers.get("Range") for item in registry.asked("GET", digest_of(data))]


def test_a_copy_keeps_every_byte(pair: Pair) -> None:
    report = pair.copy()
    assert whole(pair.target)
    assert set(report.copied) == BLOBS
    assert report.bytes == len(SMALL) + len(LARGE) + len(IMAGE.config)
    assert (report.digest, report.converted) == (str(IMAGE.descriptor.digest), {})


def test_the_second_time_nothing_is_moved(pair: Pair) -> None:
    pair.copy()
    pair.source.requests.clear()
    pair.target.requests.clear()
    report = pair.copy()
    assert (set(report.existing), report.copied, report.bytes) == (BLOBS, (), 0)
    assert not pair.source.asked("GET", "/blobs/")
    assert not pair.target.asked("POST", "/uploads/")


def test_only_what_is_missing_is_read(pair: Pair) -> None:
    pair.target.put(LARGE)
    report = pair.copy()
    assert report.existing == (digest_of(LARGE),)
    assert ranges(pair.source) == []
    assert whole(pair.target)


def test_the_tag_comes_last(pair: Pair) -> None:
    pair.copy()
    puts = [item.path for item in pair.target.requests if item.method in ("PUT", "PATCH")]
    first = next(number for number, path in enumerate(puts) if "/manifests/" in path)
    assert all("/manifests/" in path for path in puts[first:])
    assert puts[-1].endswith("/manifests/v2")


def test_within_one_registry_blobs_are_mounted(pair: Pair) -> None:
    name = pair.source.name
    pair.source.faults.append(on("HEAD", "/v2/other/app/blobs/", lambda handler: handler.reply(404)))
    report = pair.copy(pair.to_registry(f"{name}/other/app:1", origin=f"{name}/team/app:v1"))
    assert (set(report.mounted), report.bytes) == (BLOBS, 0)
    assert not pair.source.asked("GET", "/blobs/")
    assert all("from=team%2Fapp" in item.path for item in pair.source.asked("POST", "/uploads/"))


def test_of_an_index_one_platform_is_taken(indexed: Pair) -> None:
    source = f"docker://{indexed.source.name}/team/app:all"
    report = indexed.copy(source=source, wishes=Wishes(platform=Platform.parse("linux/arm64")))
    assert report.digest == str(ARM.descriptor.digest)
    assert (report.chosen, report.offered) == ("linux/arm64", ("linux/amd64", "linux/arm64"))
    assert indexed.target.manifests["copy/app", "v2"][0] == ARM.manifest
    assert not indexed.source.asked("GET", digest_of(LARGE))


def test_all_platforms(indexed: Pair) -> None:
    source = f"docker://{indexed.source.name}/team/app:all"
    report = indexed.copy(source=source, wishes=Wishes(every=True))
    raw = indexed.source.manifests["team/app", "all"][0]
    assert indexed.target.manifests["copy/app", "v2"][0] == raw
    assert indexed.target.manifests["copy/app", str(ARM.descriptor.digest)][0] == ARM.manifest
    assert report.manifests == tuple(map(str, (IMAGE.descriptor.digest, ARM.descriptor.digest, digest_of(raw))))


def test_a_platform_that_is_not_there(indexed: Pair) -> None:
    with pytest.raises(NotFoundError, match="s390x") as caught:
        indexed.copy(
            source=f"docker://{indexed.source.name}/team/app:all", wishes=Wishes(platform=Platform.parse("s390x"))
        )
    assert "linux/amd64, linux/arm64" in str(caught.value.hint)
    with pytest.raises(NotFoundError, match="is for linux/amd64, not for linux/arm64"):
        indexed.copy(wishes=Wishes(platform=Platform.parse("arm64")))


def test_a_digest_as_the_destination(pair: Pair) -> None:
    digest = str(IMAGE.descriptor.digest)
    pair.copy(pair.to_registry(f"{pair.target.name}/copy/app@{digest}"))
    assert ("copy/app", digest) in pair.target.manifests
    before = len(pair.target.requests)
    with pytest.raises(UsageError, match="not sha256:0000"):
        pair.copy(pair.to_registry(f"{pair.target.name}/copy/app@sha256:{'0' * 64}"))
    assert len(pair.target.requests) == before


def cut(at: int) -> Callable[[Handler], None]:
    """Send a part of the layer, then break the connection."""

    def action(handler: Handler) -> None:
        handler.reply(200, LARGE[:at], Content_Length=len(LARGE))
        handler.drop()

    return action


@pytest.mark.parametrize("at", [0, 1, 500_000, len(LARGE) - 1])
def test_a_source_that_breaks_off_is_asked_for_the_rest(pair: Pair, at: int) -> None:
    def action(handler: Handler) -> None:
        handler.reply(200, LARGE[:at], Content_Length=len(LARGE))
        handler.close_connection = True

    pair.source.faults.append(times(1, on("GET", digest_of(LARGE), action)))
    pair.copy()
    assert whole(pair.target)
    first, second = ranges(pair.source)
    assert first is None
    # What had come in part when it broke is asked for again.
    assert at == 0 or at - (1 << 18) <= int(str(second or "bytes=0-").removeprefix("bytes=").rstrip("-")) <= at
    # The upload saw nothing of it.
    assert len(pair.target.asked("PATCH", "/uploads/")) == 1


def test_a_source_that_answers_with_another_range(pair: Pair) -> None:
    def other(handler: Handler) -> None:
        handler.reply(206, LARGE[10:], Content_Range=f"bytes 10-{len(LARGE) - 1}/{len(LARGE)}")

    pair.source.faults += [times(1, on("GET", digest_of(LARGE), cut(500_000)))]
    pair.source.faults.append(
        lambda handler: "Range" in handler.headers and on("GET", digest_of(LARGE), other)(handler)
    )
    pair.copy()
    assert whole(pair.target)


@pytest.mark.parametrize("received", [0, 2, 100_000, len(LARGE)])
def test_a_destination_that_breaks_off_gets_the_rest(pair: Pair, received: int) -> None:
    def action(handler: Handler) -> None:
        with pair.target.lock:
            pair.target.uploads[int(handler.path.partition("?")[0].rpartition("/")[2])] += handler.body(received)
        handler.drop()

    pair.target.faults.append(times(1, on("PATCH", "/uploads/", action)))
    pair.copy()
    assert whole(pair.target)
    if received == 100_000:
        assert ranges(pair.source) == [None, "bytes=100000-"]


def test_wrong_bytes_are_never_published(pair: Pair) -> None:
    wrong = bytes(len(LARGE))
    pair.source.faults.append(on("GET", digest_of(LARGE), lambda handler: handler.reply(200, wrong)))
    with pytest.raises(IntegrityError, match="not the promised"):
        pair.copy()
    assert not pair.target.manifests
    assert digest_of(LARGE) not in pair.target.blobs
    assert not [
        item for item in pair.target.asked("PUT", "/uploads/") if digest_of(LARGE).partition(":")[2] in item.path
    ]


def test_wrong_bytes_of_a_small_blob_are_not_even_sent(pair: Pair) -> None:
    pair.source.faults.append(on("GET", digest_of(SMALL), lambda handler: handler.reply(200, b"wrong layer")))
    with pytest.raises(IntegrityError, match="not the promised"):
        pair.copy()
    assert not pair.target.manifests
    assert not any(bytes(upload) == b"wrong layer" for upload in pair.target.uploads)


@pytest.mark.parametrize("body", [LARGE[:-1], b""])
def test_a_body_that_is_short_every_time(pair: Pair, body: bytes) -> None:
    pair.source.faults.append(on("GET", digest_of(LARGE), lambda handler: handler.reply(200, body)))
    with pytest.raises(RegistryError, match="ended after"):
        pair.copy()
    assert not pair.target.manifests
    # Tried as often as any request, and not as often again for the upload.
    assert len(pair.source.asked("GET", digest_of(LARGE))) <= 5


def test_too_many_bytes_are_not_read(pair: Pair) -> None:
    pair.source.faults.append(on("GET", digest_of(LARGE), lambda handler: handler.reply(200, LARGE + b"more")))
    pair.copy()
    assert whole(pair.target)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "PUT"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_destination(pair: Pair, method: str, status: int) -> None:
    def busy(handler: Handler) -> None:
        handler.body()
        handler.reply(status, Retry_After=7)

    pair.target.faults.append(times(2, on(method, "/", busy)))
    pair.copy()
    assert whole(pair.target)
    assert [wait for wait in pair.waits if wait >= 7] == [7, 7]


@pytest.mark.parametrize("part", ["/manifests/", "/blobs/"])
def test_a_busy_source(pair: Pair, part: str) -> None:
    pair.source.faults.append(times(2, on("GET", part, lambda handler: handler.reply(429, Retry_After=9))))
    pair.copy()
    assert whole(pair.target)
    assert [wait for wait in pair.waits if wait >= 9] == [9, 9]


def test_a_source_that_is_gone_is_not_mistaken_for_an_upload_that_is_gone(pair: Pair) -> None:
    pair.source.faults.append(on("GET", digest_of(LARGE), lambda handler: handler.reply(404)))
    with pytest.raises(RegistryError, match="404"):
        pair.copy()
    assert len(pair.source.asked("GET", digest_of(LARGE))) == 1


def test_tokens_that_run_out_at_both_ends(pair: Pair) -> None:
    used = {"source": 0, "target": 0}

    def guard(side: str, registry: FaultyRegistry) -> Callable[[Handler], bool]:
        def action(handler: Handler) -> bool:
            if handler.path.startswith("/token"):
                used[side] += 1
                handler.reply(200, json.dumps({"token": f"{side}{used[side]}"}).encode())
                return True
            valid = f"Bearer {side}{used[side]}"
            if handler.headers.get("Authorization") == valid and not (handler.command == "PATCH" and used[side] == 1):
                return False
            handler.body()
            handler.reply(401, WWW_Authenticate=f'Bearer realm="http://{registry.name}/token",service="{side}"')
            return True

        return action

    pair.source.faults.append(guard("source", pair.source))
    pair.target.faults.append(guard("target", pair.target))
    pair.copy()
    assert whole(pair.target)
    assert used["target"] >= 2


def test_blobs_behind_a_redirect_get_no_authorization(pair: Pair) -> None:
    with faulty_registry() as store:
        for data in (SMALL, LARGE, IMAGE.config):
            store.put(data)

        def guard(handler: Handler) -> bool:
            if handler.path.startswith("/token"):
                handler.reply(200, b'{"token": "t"}')
            elif handler.headers.get("Authorization") != "Bearer t":
                handler.reply(401, WWW_Authenticate=f'Bearer realm="http://{pair.source.name}/token"')
            elif "/blobs/" in handler.path:
                handler.reply(307, Location=f"http://{store.name}{handler.path}?signature=s3cret")
            else:
                return False
            return True

        pair.source.faults.append(guard)
        pair.copy()
        assert whole(pair.target)
        assert len(store.asked("GET", "/blobs/")) == 3
        assert all("Authorization" not in item.headers for item in store.requests)


@pytest.mark.parametrize(
    ("media_type", "said"),
    [("text/html", "media type"), ("application/vnd.oci.image.index.v1+json", "its body says")],
)
def test_a_manifest_of_the_wrong_media_type(pair: Pair, media_type: str, said: str) -> None:
    pair.source.add_manifest("team/app", "v1", IMAGE.manifest, media_type)
    with pytest.raises(IntegrityError, match=said):
        pair.copy()
    assert not pair.target.requests


def test_a_child_of_another_media_type(indexed: Pair) -> None:
    digest = str(ARM.descriptor.digest)
    raw = ARM.manifest
    indexed.source.manifests["team/app", digest] = (raw, "application/vnd.docker.distribution.manifest.v2+json")
    with pytest.raises(IntegrityError):
        indexed.copy(source=f"docker://{indexed.source.name}/team/app:all", wishes=Wishes(every=True))
    assert not indexed.target.requests


def test_a_mirror_with_wrong_bytes_is_passed_over(pair: Pair) -> None:
    with faulty_registry() as mirror:
        hold(mirror, IMAGE)
        mirror.faults.append(on("GET", digest_of(LARGE), lambda handler: handler.reply(200, bytes(len(LARGE)))))
        hosts = {pair.source.name: HostSettings(plain_http=True, mirrors=(mirror.name,))}
        client = make_client(mirror.name, pair.target.name, hosts=hosts)
        destination = RegistryDestination(client, Reference.parse(f"{pair.target.name}/copy/app:v2"), lambda _: None)
        reader = client.reader(Reference.parse(f"{pair.source.name}/team/app:v1"))
        copy(reader, destination, Wishes(), called="there", retry=client.retry)
        assert whole(pair.target)
        assert ranges(pair.source) == [None]
        assert not pair.source.asked("GET", digest_of(SMALL))


def test_a_registry_that_refuses_is_not_asked_by_way_of_every_mirror(pair: Pair) -> None:
    pair.target.faults.append(on("POST", "/uploads/", lambda handler: handler.reply(403)))
    with pytest.raises(RegistryError, match="403"):
        pair.copy()
    assert not pair.source.asked("GET", "/blobs/")


def test_cancel(pair: Pair) -> None:
    with pytest.raises(Cancelled):
        pair.copy(watch=Watch(cancel=lambda: True))
    assert not pair.target.manifests


def test_a_copy_that_was_stopped_goes_on_with_what_is_there(pair: Pair) -> None:
    stopped = Event()

    def late(handler: Handler) -> bool:
        if handler.command == "GET" and digest_of(LARGE) in handler.path:
            stopped.wait(60)
        return False

    pair.source.faults.append(late)
    with pytest.raises(Cancelled):
        pair.copy(watch=Watch(ended=lambda _, __: stopped.set(), cancel=stopped.is_set))
    there = set(pair.target.blobs)
    assert there
    report = pair.copy()
    assert set(report.existing) == there
    assert whole(pair.target)


def test_what_is_told(pair: Pair) -> None:
    seen: dict[str, int] = {}
    ended: dict[str, str] = {}
    planned: list[str] = []
    watch = Watch(
        planned=lambda items: planned.extend(str(item.digest) for item in items),
        progress=lambda item, done: seen.update({str(item.digest): done}),
        ended=lambda item, outcome: ended.update({str(item.digest): outcome}),
    )
    pair.copy(watch=watch)
    assert set(planned) == BLOBS
    assert seen == {digest_of(data): len(data) for data in (SMALL, LARGE, IMAGE.config)}
    assert ended == dict.fromkeys(BLOBS, "copied")


def test_an_artifact_is_copied_as_it_is(pair: Pair) -> None:
    artifact = make_image(
        b"chart",
        types=("application/vnd.oci.image.manifest.v1+json", "application/vnd.example.chart+json", "text/plain"),
    )
    hold(pair.source, artifact, tag="chart")
    pair.copy(source=f"docker://{pair.source.name}/team/app:chart")
    assert pair.target.manifests["copy/app", "v2"][0] == artifact.manifest


def test_urls_of_foreign_layers_are_not_followed(pair: Pair) -> None:
    plain = json.loads(IMAGE.manifest)
    with faulty_registry() as elsewhere:
        plain["layers"][0]["urls"] = [f"http://{elsewhere.name}/layer"]
        raw = json.dumps(plain).encode()
        pair.source.add_manifest("team/app", "v1", raw, plain["mediaType"])
        pair.copy()
        assert pair.target.manifests["copy/app", "v2"][0] == raw
        assert not elsewhere.requests


def test_errors_name_what_failed(pair: Pair) -> None:
    pair.source.manifests.clear()
    with pytest.raises(PybuildError) as caught:
        pair.copy()
    assert f"{pair.source.name}/team/app:v1" in caught.value.message
