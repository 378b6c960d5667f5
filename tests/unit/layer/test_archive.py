"""Layer blobs: what is in them, as others read it, and that they are the same bytes each time."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import subprocess
import tarfile
import threading
from dataclasses import replace

import pytest
import zstandard

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, StepError, StoreError
from buildkit_py.layer.archive import write_layer
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.secrets import find_secrets
from buildkit_py.layer.squeeze import Gzip, Squeeze


def a_file(path: str, data: bytes, **more: object) -> Entry:
    return Entry(path=path, type="file", **{"mode": 0o644, "size": len(data), "digest": str(Digest.of(data)), **more})


def written(*entries: Entry, contents: dict[str, bytes] | None = None, **more: object) -> bytes:
    out = io.BytesIO()
    made = write_layer(
        Diff.of(entries),
        lambda entry: io.BytesIO((contents or {}).get(entry.path, b"")),
        out,
        **{"compression": "none", **more},
    )
    if more.get("compression", "none") == "none":
        assert made.diff_id == str(Digest.of(out.getvalue()))
    return out.getvalue()


def members(blob: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(blob)) as tar:
        return list(tar)


def test_every_kind_of_entry() -> None:
    blob = written(
        Entry(path="d", type="dir", mode=0o1777, uid=1, gid=2),
        a_file("d/f", b"data", mode=0o4755),
        Entry(path="d/h", type="hardlink", mode=0o4755, size=4, digest=str(Digest.of(b"data")), target="d/f"),
        Entry(path="d/gone", type="whiteout"),
        Entry(path="d/ln", type="symlink", mode=0o777, target="/x"),
        Entry(path="d/null", type="char", mode=0o666, device=(1, 3)),
        Entry(path="d/pipe", type="fifo", mode=0o600),
        contents={"d/f": b"data"},
        epoch=99,
    )
    found = {member.name: member for member in members(blob)}
    assert list(found) == ["d", "d/f", "d/.wh.gone", "d/h", "d/ln", "d/null", "d/pipe"]
    assert {member.mtime for member in found.values()} == {99}
    assert {member.uname + member.gname for member in found.values()} == {""}
    directory = found["d"]
    assert (directory.isdir(), directory.mode, directory.uid, directory.gid) == (True, 0o1777, 1, 2)
    assert (found["d/h"].islnk(), found["d/h"].linkname, found["d/h"].size) == (True, "d/f", 0)
    assert (found["d/null"].devmajor, found["d/null"].devminor) == (1, 3)
    assert (found["d/.wh.gone"].isreg(), found["d/.wh.gone"].size) == (True, 0)


@pytest.mark.parametrize("name", ["n" * 100, "n" * 101, "d/" * 150 + "x", "new\nline", "ü", "\udcff", "a=b", " "])
def test_names_that_do_not_fit_go_into_extended_headers(name: str) -> None:
    blob = written(a_file(name, b"x"), Entry(path="zz", type="symlink", mode=0o777, target=name), contents={name: b"x"})
    assert [(member.name, member.linkname) for member in members(blob)] == sorted([(name, ""), ("zz", name)])
    listed = subprocess.run(
        ["tar", "-t", "--quoting-style=literal"], input=blob, capture_output=True, check=True
    ).stdout
    assert sorted(listed.split(b"\n")) == sorted([*name.encode("utf-8", "surrogateescape").split(b"\n"), b"zz", b""])


def test_large_numbers_and_attributes() -> None:
    blob = written(a_file("f", b"", uid=4_000_000_000, gid=3_000_000, xattrs=(("user.x", b"\n=\xff"),)))
    member = members(blob)[0]
    assert (member.uid, member.gid) == (4_000_000_000, 3_000_000)
    assert member.pax_headers["SCHILY.xattr.user.x"] == "\n=\udcff"


def test_the_root_is_there_only_when_it_says_something() -> None:
    assert members(written(Entry(path="", type="dir", mode=0o755))) == []
    assert [(m.name, m.mode) for m in members(written(Entry(path="", type="dir", mode=0o700)))] == [(".", 0o700)]


def test_names_that_mean_removals_are_refused() -> None:
    for path in (".wh.x", "d/.wh..wh..opq"):
        with pytest.raises(StepError, match="removal"):
            written(a_file(path, b""))


@pytest.mark.parametrize("data", [b"", b"dat", b"datas", b"DATA"])
def test_a_file_that_is_not_what_it_was_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="was changed while the build was running"):
        written(a_file("f", b"data"), contents={"f": data})


class Drips(io.BytesIO):
    """Gives a little at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 70_001))


@pytest.mark.parametrize(
    ("compression", "unpack"),
    [
        ("gzip", gzip.decompress),
        ("zstd", lambda blob: zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True).read()),
        ("none", bytes),
    ],
)
def test_the_bytes_do_not_depend_on_how_files_are_read(compression: str, unpack) -> None:
    data = bytes(range(256)) * 20_000 + b"x" * 3_000_000
    blobs = []
    for opened in (io.BytesIO, Drips):
        out = io.BytesIO()
        made = write_layer(Diff.of([a_file("f", data)]), lambda entry: opened(data), out, compression=compression)  # noqa: B023
        blobs.append(out.getvalue())
    assert blobs[0] == blobs[1]
    assert made.diff_id == f"sha256:{hashlib.sha256(unpack(blobs[0])).hexdigest()}"
    if compression == "gzip":
        assert blobs[0][4:8] == bytes(4)


SECRET = b"correct horse battery"


@pytest.mark.parametrize(
    ("entry", "content"),
    [
        (a_file("f", b""), b"a" * ((1 << 20) - 5) + SECRET),
        (a_file("f", b""), b"--Y29ycmVjdCBob3JzZSBiYXR0ZXJ5--"),
        (a_file("f", b""), SECRET.hex().encode()),
        (a_file("f", b""), b"correct%20horse%20battery"),
        (a_file("correct horse battery", b""), b""),
        (a_file("f", b"", xattrs=(("user.x", SECRET),)), b""),
        (Entry(path="ln", type="symlink", target="/correct horse battery"), b""),
    ],
)
def test_secrets_are_found_wherever_they_are(entry: Entry, content: bytes) -> None:
    entry = replace(entry, size=len(content)) if entry.type == "file" else entry
    hits = find_secrets(Diff.of([entry]), lambda _: io.BytesIO(content), {"token": SECRET, "other": b"something else"})
    assert [(hit.path, hit.secret) for hit in hits] == [(entry.path, "token")]
    assert find_secrets(Diff.of([entry]), lambda _: io.BytesIO(content), {}) == []
    assert find_secrets(Diff.of([entry]), lambda _: io.BytesIO(content), {"other": b"something else"}) == []


@pytest.mark.parametrize("data", [b"", b"abc" * 5_000_000, random.Random(1).randbytes(5 << 20), b"x" * (1 << 20)])
def test_the_bytes_do_not_depend_on_how_many_threads_there_are(data: bytes) -> None:
    made = []
    for threads in (1, 2, 7):
        out = io.BytesIO()
        stream = Squeeze(Gzip(), out, threads)
        for start in range(0, len(data), 100_003):
            stream.write(data[start : start + 100_003])
        digest = stream.close()
        made.append(out.getvalue())
        assert gzip.decompress(out.getvalue()) == data
        assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert made[0] == made[1] == made[2]


def test_what_can_not_be_compressed_is_stored() -> None:
    noise, out = random.Random(1).randbytes(4 << 20), io.BytesIO()
    stream = Squeeze(Gzip(), out)
    stream.write(noise)
    stream.close()
    assert noise[:60_000] in out.getvalue()


def test_a_full_disk_is_told_and_leaves_no_thread() -> None:
    class Full:
        def write(self, data: bytes) -> None:
            if len(data) > 100:
                raise StoreError("the disk is full")

    before = threading.active_count()
    stream = Squeeze(Gzip(), Full())
    with pytest.raises(StoreError, match="full"):
        for _ in range(100):
            stream.write(random.Random(1).randbytes(1 << 20))
    stream.abort()
    late = Squeeze(Gzip(), Full())
    late.write(random.Random(1).randbytes(3 << 20))
    with pytest.raises(StoreError, match="full"):
        late.close()
    assert threading.active_count() == before


def test_a_digest_that_failed_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def note(self: Gzip, data: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr(Gzip, "note", note)
    stream = Squeeze(Gzip(), io.BytesIO())
    with pytest.raises(MemoryError):
        stream.write(bytes(5 << 20))
        stream.close()
    stream.abort()
