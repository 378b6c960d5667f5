from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, NotFoundError, StoreBusyError, StoreError
from buildkit_py.store import Store

ABSENT = "sha256:" + "0" * 64


def leftovers(store: Store) -> list[str]:
    return [path.name for path in store.layout.tmp.iterdir()]


def test_what_was_put_is_read_back_under_its_digest(store: Store) -> None:
    digest = store.blobs.put(b"hello")
    assert digest == str(Digest.of(b"hello"))
    assert store.blobs.has(digest)
    assert store.blobs.read(digest) == b"hello"
    assert store.blobs.size(digest) == 5
    with store.blobs.open(digest) as file:
        assert file.read() == b"hello"
    assert store.blobs.path(digest) == store.root / "blobs/sha256" / digest[7:]
    assert store.blobs.put(b"hello") == digest


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=30
)
@given(chunks=st.lists(st.binary(max_size=300), max_size=8))
def test_any_pieces_make_the_blob_of_their_sum(store: Store, chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    with store.blobs.writer() as writer:
        for chunk in chunks:
            assert writer.write(chunk) == len(chunk)
        assert writer.digest_so_far == str(Digest.of(whole))
        assert writer.commit() == (str(Digest.of(whole)), len(whole))
    assert store.blobs.read(str(Digest.of(whole))) == whole


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:../../x", "md5:" + "0" * 32, "sha256:" + "A" * 64, "../x"])
def test_no_path_is_made_of_what_is_no_digest(store: Store, text: str) -> None:
    for use in (store.blobs.has, store.blobs.path, store.blobs.open, store.blobs.partial, store.snapshots.has):
        with pytest.raises(IntegrityError, match="not a digest"):
            use(text)


def test_a_writer_that_is_left_keeps_nothing(store: Store) -> None:
    with store.blobs.writer() as writer:
        writer.write(b"abandoned")
        digest = writer.digest_so_far
    assert not store.blobs.has(digest)
    assert leftovers(store) == []


@pytest.mark.parametrize("promise", [{"expected": ABSENT}, {"size": 4}])
def test_a_broken_promise_keeps_nothing(store: Store, promise) -> None:
    with pytest.raises(IntegrityError, match="promised"), store.blobs.writer() as writer:
        writer.write(b"hello")
        writer.commit(**promise)
    assert not store.blobs.has(str(Digest.of(b"hello")))
    assert leftovers(store) == []


def test_other_algorithms_have_their_own_directory(store: Store) -> None:
    with store.blobs.writer("sha512") as writer:
        writer.write(b"hello")
        digest, _ = writer.commit()
    assert digest == "sha512:" + hashlib.sha512(b"hello").hexdigest()
    assert store.blobs.read(digest) == b"hello"
    assert store.check() == []


def test_a_missing_blob_is_not_found(store: Store) -> None:
    for use in (store.blobs.open, store.blobs.read, store.blobs.size):
        with pytest.raises(NotFoundError):
            use(ABSENT)


def test_damaged_bytes_are_never_read_as_right_and_put_mends_them(store: Store) -> None:
    digest = store.blobs.put(b"hello")
    store.blobs.path(digest).write_bytes(b"hellO")
    with pytest.raises(IntegrityError, match="damaged"):
        store.blobs.read(digest)
    store.blobs.put(b"hello")
    assert store.blobs.read(digest) == b"hello"


def test_a_document_has_a_limit(store: Store) -> None:
    with pytest.raises(IntegrityError, match="larger than the 4 bytes"):
        store.blobs.read(store.blobs.put(b"hello"), limit=4)


def test_modes_do_not_depend_on_the_umask(root) -> None:
    before = os.umask(0o077)
    try:
        with Store.open(root) as store:
            path = store.blobs.path(store.blobs.put(b"hello"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "the disk reported an error"),
        (errno.EROFS, "read-only"),
        (errno.EFBIG, "larger"),
    ],
)
@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_fault_of_the_disk_is_plain_words_and_leaves_nothing(store: Store, monkeypatch, number, words, call) -> None:
    calls = 0

    def fail(*_: object, **__: object) -> None:
        nonlocal calls
        calls += 1
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(StoreError, match=words) as caught:
            store.blobs.put(b"hello")
    assert caught.value.hint
    assert calls == 1, "a failed write or fsync must not be tried again"
    assert not store.blobs.has(str(Digest.of(b"hello")))
    assert leftovers(store) == []


class TestPartial:
    DATA = b"0123456789" * 100
    DIGEST = str(Digest.of(DATA))

    def test_continues_where_it_stopped(self, store: Store) -> None:
        with store.blobs.partial(self.DIGEST) as part:
            assert (part.offset, part.done, part.resumed) == (0, False, False)
            part.append(self.DATA[:300])
        with store.blobs.partial(self.DIGEST) as part:
            assert (part.offset, part.resumed) == (300, True)
            part.append(self.DATA[300:])
            part.commit(len(self.DATA))
        assert store.blobs.read(self.DIGEST) == self.DATA
        assert list(store.layout.partial.iterdir()) == []

    def test_survives_a_killed_process(self, store: Store, spawn) -> None:
        process = spawn(
            f"""
            part = Store.open(root).blobs.partial({self.DIGEST!r})
            part.append(b"0123456789")
            os.kill(os.getpid(), signal.SIGKILL)
            """
        )
        assert process.wait() == -9
        with store.blobs.partial(self.DIGEST, timeout=30) as part:
            assert part.offset == 10

    def test_of_another_boot_is_not_continued(self, store: Store, root) -> None:
        with store.blobs.partial(self.DIGEST) as part:
            part.append(b"0123")
        (path,) = store.layout.partial.iterdir()
        path.rename(path.with_name(path.name.partition(".")[0] + ".another-boot"))
        store.recover()
        assert list(store.layout.partial.iterdir()) == []

    def test_wrong_bytes_are_forgotten(self, store: Store) -> None:
        with store.blobs.partial(self.DIGEST) as part:
            part.append(b"x" * len(self.DATA))
            with pytest.raises(IntegrityError, match="promised"):
                part.commit()
            part.append(self.DATA)
            part.commit()
        assert store.blobs.read(self.DIGEST) == self.DATA

    def test_too_few_bytes_are_kept_and_too_many_forgotten(self, store: Store) -> None:
        with store.blobs.partial(self.DIGEST) as part:
            part.append(self.DATA[:5])
            with pytest.raises(IntegrityError, match="fewer"):
                part.commit(len(self.DATA))
            assert part.offset == 5
            part.append(self.DATA)
            with pytest.raises(IntegrityError, match="more"):
                part.commit(len(self.DATA))
            assert part.offset == 0

    def test_a_waiter_finds_the_finished_blob(self, store: Store) -> None:
        waiting, found = threading.Event(), []

        def wait() -> None:
            with store.blobs.partial(self.DIGEST, waiting=lambda pid: waiting.set()) as part:
                found.append(part.done)

        thread = threading.Thread(target=wait)
        with store.blobs.partial(self.DIGEST) as part:
            thread.start()
            assert waiting.wait(60)
            with pytest.raises(StoreBusyError):
                store.blobs.partial(self.DIGEST, timeout=0)
            part.append(self.DATA)
            part.commit()
        thread.join()
        assert found == [True]
