"""Archives, layouts and Docker archives: their bytes, and what remains when writing them fails."""

import errno
import io
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from buildkit_py.errors import IntegrityError, OutputError
from buildkit_py.image import staging
from buildkit_py.image.assemble import assemble_index
from buildkit_py.image.outputs import write_output
from buildkit_py.image.stored import StoredImage
from buildkit_py.image.tarball import tarball
from buildkit_py.oci import parse_index
from buildkit_py.platform import Platform

KINDS = ("archive", "layout", "docker")
HERE = {"name": "web"}


def names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def member(path: Path, name: str) -> bytes:
    with tarfile.open(path) as tar:
        content = tar.extractfile(name)
        assert content is not None
        return content.read()


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.fixture
def tiny(tmp_path: Path):
    """A mounted file system of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    where = tmp_path / "tiny"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", where], check=True)
    yield where
    subprocess.run(["umount", where], check=True)


def test_an_archive_is_a_layout_in_a_tar_file(store, image, tmp_path: Path) -> None:
    descriptor = image()
    write_output(store, "archive", "out/web.tar", descriptor, directory=tmp_path, **HERE)
    path = tmp_path / "out/web.tar"
    blobs = sorted(f"blobs/sha256/{item.digest.hex}" for item in StoredImage.load(store, descriptor).blobs)
    assert names(path) == ["oci-layout", "index.json", "blobs", "blobs/sha256", *blobs]
    (listed,) = parse_index(member(path, "index.json")).manifests
    assert (listed.digest, listed.ref_name, listed.platform) == (descriptor.digest, "web", descriptor.platform)
    with tarfile.open(path) as tar:
        for item in tar:
            assert (item.mtime, item.uid, item.gid, item.uname, item.gname) == (0, 0, 0, "", "")
            assert item.mode == (0o755 if item.isdir() else 0o644)
    assert json.loads(member(path, "oci-layout")) == {"imageLayoutVersion": "1.0.0"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_image_gives_the_same_bytes(store, image, tmp_path: Path, kind: str) -> None:
    descriptor = image()
    os.umask(old := os.umask(0o077))
    try:
        write_output(store, kind, "one", descriptor, directory=tmp_path, **HERE)
        os.umask(0o077)
        write_output(store, kind, "two", descriptor.to_plain(), directory=tmp_path, **HERE)
    finally:
        os.umask(old)
    if kind == "layout":
        assert everything(tmp_path / "one") == everything(tmp_path / "two")
    else:
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_an_existing_file_is_replaced_and_a_link_is_followed(store, image, tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to("real")
    for _ in range(2):
        write_output(store, "archive", "link", image(), directory=tmp_path, **HERE)
    assert (tmp_path / "link").is_symlink()
    assert tarfile.is_tarfile(tmp_path / "real")
    assert everything(tmp_path) == ["link", "real"]


@pytest.mark.parametrize("kind", ["archive", "docker"])
def test_a_file_that_is_no_archive_is_never_replaced(store, image, tmp_path: Path, kind: str) -> None:
    for text in ("mine", "m" * 600):
        (tmp_path / "src.txt").write_text(text)
        with pytest.raises(OutputError, match="is no archive"):
            write_output(store, kind, "src.txt", image(), directory=tmp_path, **HERE)
        assert (tmp_path / "src.txt").read_text() == text
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(tmp_path / "src.txt", "src.txt")
    write_output(store, kind, "other.tar", image(), directory=tmp_path, **HERE)
    with tarfile.open(tmp_path / "other.tar") as tar:
        assert "manifest.json" in tar.getnames() or "index.json" in tar.getnames()


@pytest.mark.parametrize("kind", ["archive", "docker"])
def test_what_is_no_file_is_never_replaced(store, image, tmp_path: Path, kind: str) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for value in ("directory", "fifo", "/dev/null", "/"):
        with pytest.raises(OutputError):
            write_output(store, kind, value, image(), directory=tmp_path, **HERE)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert everything(tmp_path) == ["directory", "fifo"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_nothing(store, layer, image, tiny: Path, kind: str) -> None:
    big = image(layer("big", {"random": os.urandom(200_000)}, "none"))
    with pytest.raises(OutputError, match="No space left on device") as caught:
        write_output(store, kind, "sub/out", big, directory=tiny, **HERE)
    assert caught.value.hint == "free some space, or write it elsewhere"
    assert everything(tiny) == ["sub"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_destination_that_can_not_be_written(store, image, tmp_path: Path, tiny: Path, kind: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"Not a directory|File exists"):
        write_output(store, kind, "file/out", image(), directory=tmp_path, **HERE)
    subprocess.run(["mount", "-o", "remount,ro", tiny], check=True)
    with pytest.raises(OutputError, match="Read-only file system"):
        write_output(store, kind, "out", image(), directory=tiny, **HERE)
    with pytest.raises(OutputError):
        write_output(store, kind, "", image(), directory=Path("/"), **HERE)


def test_without_anonymous_files_nothing_remains_either(store, image, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY | os.O_CREAT | os.O_EXCL)
    write_output(store, "archive", "web.tar", image(), directory=tmp_path, **HERE)
    assert everything(tmp_path) == ["web.tar"]
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(OutputError, match="Input/output error"):
        write_output(store, "archive", "other.tar", image(), directory=tmp_path, **HERE, durable=True)
    assert everything(tmp_path) == ["web.tar"]


@pytest.mark.parametrize("kind", ["archive", "docker"])
def test_files_are_synced_where_that_is_asked_for(store, image, tmp_path: Path, monkeypatch, kind) -> None:
    described = image()
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    write_output(store, kind, "a.tar", described, directory=tmp_path, **HERE)
    assert not synced
    write_output(store, kind, "b.tar", described, directory=tmp_path, **HERE, durable=True)
    assert len(synced) == 2
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


@pytest.mark.parametrize("fault", [None, errno.EXDEV])
def test_large_files_are_copied_by_the_kernel_where_it_can(tmp_path: Path, monkeypatch, fault) -> None:
    data = bytes(range(256)) * 8192 + b"odd"
    (tmp_path / "large").write_bytes(data)
    if fault is not None:
        monkeypatch.setattr(os, "copy_file_range", lambda *_: (_ for _ in ()).throw(OSError(fault, "no")))
    with (tmp_path / "out.tar").open("w+b") as out, (tmp_path / "large").open("rb") as large, tarball(out) as tar:
        tar.file("a", 1, io.BytesIO(b"a"))
        tar.file("large", len(data), large)
        tar.file("z", 1, io.BytesIO(b"z"))
    assert [member(tmp_path / "out.tar", name) for name in ("a", "large", "z")] == [b"a", data, b"z"]
    assert (tmp_path / "out.tar").stat().st_size % tarfile.RECORDSIZE == 0


KILLED = """
import os, signal, sys
from pathlib import Path
from buildkit_py.image.staging import new_directory, new_file
with (new_file if sys.argv[2] == "file" else new_directory)(Path(sys.argv[1])) as made:
    if sys.argv[2] == "file":
        made.write(b"half")
    else:
        (made / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path, what: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "out[1]"), what])
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out[1]").exists()
    (tmp_path / ".other.pybuild-1").mkdir()
    with staging.new_file(tmp_path / "out[1]") as out:
        out.write(b"whole")
    assert everything(tmp_path) == [".other.pybuild-1", "out[1]"]


def test_a_writer_that_lives_is_left_alone(tmp_path: Path) -> None:
    with staging.new_directory(tmp_path / "out") as first:
        with staging.new_file(tmp_path / "out") as out:
            out.write(b"x")
        (tmp_path / "out").unlink()
        assert first.is_dir()


def test_a_layout_keeps_what_is_in_it(store, layer, image, tmp_path: Path) -> None:
    one, two, three = (image(layer(name, {name: b"x"})) for name in "abc")
    write_output(store, "layout", "dir", one, directory=tmp_path, name="one")
    write_output(store, "layout", "dir", two, directory=tmp_path, name="two")
    write_output(store, "layout", "dir", three, directory=tmp_path, name="one")
    listed = parse_index((tmp_path / "dir/index.json").read_bytes()).manifests
    assert [(item.ref_name, item.digest) for item in listed] == [("two", two.digest), ("one", three.digest)]
    for descriptor in (one, two, three):
        for blob in StoredImage.load(store, descriptor).blobs:
            path = tmp_path / "dir/blobs/sha256" / blob.digest.hex
            assert path.read_bytes() == store.blobs.read(str(blob.digest))


def test_a_blob_of_the_wrong_size_in_a_layout_is_written_again(store, image, tmp_path: Path) -> None:
    descriptor = image()
    write_output(store, "layout", "dir", descriptor, directory=tmp_path, **HERE)
    path = tmp_path / "dir/blobs/sha256" / descriptor.digest.hex
    path.write_bytes(b"")
    write_output(store, "layout", "dir", descriptor, directory=tmp_path, **HERE)
    assert path.read_bytes() == store.blobs.read(str(descriptor.digest))


def test_a_layout_is_not_put_into_something_else(store, image, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter").write_text("dear")
    with pytest.raises(OutputError, match="is no OCI layout"):
        write_output(store, "layout", "home", image(), directory=tmp_path, **HERE)
    (tmp_path / "home/oci-layout").write_text("{}")
    (tmp_path / "home/index.json").write_text("[")
    with pytest.raises(OutputError, match="can't be added to"):
        write_output(store, "layout", "home", image(), directory=tmp_path, **HERE)
    assert everything(tmp_path / "home") == ["index.json", "letter", "oci-layout"]


def test_a_failing_addition_to_a_layout_takes_its_blobs_back(store, layer, image, tiny: Path) -> None:
    write_output(store, "layout", "dir", image(), directory=tiny, **HERE)
    before = everything(tiny)
    big = image(layer("big", {"random": os.urandom(200_000)}, "none"))
    with pytest.raises(OutputError, match="No space left"):
        write_output(store, "layout", "dir", big, directory=tiny, **HERE)
    assert everything(tiny) == before


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_docker_archive_names_config_tag_and_layers(store, layer, image, tmp_path: Path, compression: str) -> None:
    same = layer("a", {"a": b"a"}, compression)
    descriptor = image(same, layer("b", {"b": b"b"}, compression), same)
    write_output(store, "docker", "web.tar", descriptor, directory=tmp_path, name="acme/web:1")
    (entry,) = json.loads(member(tmp_path / "web.tar", "manifest.json"))
    stored = StoredImage.load(store, descriptor)
    assert entry["RepoTags"] == ["docker.io/acme/web:1"]
    assert member(tmp_path / "web.tar", entry["Config"]) == stored.config.raw
    assert len(entry["Layers"]) == 3
    assert len(names(tmp_path / "web.tar")) == 4
    ending = ".tar.gz" if compression == "gzip" else ".tar"
    for name, content in zip(entry["Layers"], ("a", "b", "a"), strict=True):
        assert name.endswith(ending)
        with tarfile.open(fileobj=io.BytesIO(member(tmp_path / "web.tar", name))) as tar:
            assert tar.getnames() == [content]


@pytest.mark.parametrize("name", ["Not A Name", f"web@sha256:{'0' * 64}"])
def test_a_docker_archive_without_a_tag(store, image, tmp_path: Path, name: str) -> None:
    write_output(store, "docker", "web.tar", image(), directory=tmp_path, name=name)
    assert json.loads(member(tmp_path / "web.tar", "manifest.json"))[0]["RepoTags"] == []


def test_a_docker_archive_takes_one_platform_of_an_index(store, layer, image, tmp_path: Path) -> None:
    arm = image(layer("a", {"a": b"arm"}), platform="linux/arm64")
    other = image(layer("a", {"a": b"s390x"}), platform="linux/s390x")
    index = assemble_index(store, [arm, other]).descriptor
    write_output(store, "docker", "a.tar", index, directory=tmp_path, platform=Platform.parse("linux/s390x"), **HERE)
    config = json.loads(member(tmp_path / "a.tar", "manifest.json"))[0]["Config"]
    assert json.loads(member(tmp_path / "a.tar", config))["architecture"] == "s390x"
    with pytest.raises(OutputError, match="only for linux/arm64, linux/s390x") as caught:
        write_output(store, "docker", "b.tar", index, directory=tmp_path, platform=Platform.parse("arm"), **HERE)
    assert "--platform" in str(caught.value.hint)


def test_an_archive_of_an_index_holds_every_platform(store, layer, image, tmp_path: Path) -> None:
    platforms = ("linux/amd64", "linux/arm64")
    index = assemble_index(store, [image(layer(p, {p: b"x"}), platform=p) for p in platforms]).descriptor
    write_output(store, "archive", "a.tar", index, directory=tmp_path, **HERE)
    assert sum(name.startswith("blobs/sha256/") for name in names(tmp_path / "a.tar")) == 7


def test_a_name_in_the_store(store, image, tmp_path: Path) -> None:
    descriptor = image()
    write_output(store, "store", "acme/web:1", descriptor, directory=tmp_path, **HERE)
    assert store.images == {"acme/web:1": descriptor.to_plain()}
    assert everything(tmp_path) == []


@pytest.mark.parametrize("kind", [*KINDS, "store"])
def test_an_image_that_is_not_whole_is_not_written(store, layer, image, tmp_path: Path, kind: str) -> None:
    new = layer("a", {"a": b"a"})
    descriptor = image(new)
    kept = store.blobs[new.blob.digest]
    store.blobs[new.blob.digest] = kept[:-1]
    with pytest.raises(IntegrityError, match="wrong size"):
        write_output(store, kind, "out", descriptor, directory=tmp_path, **HERE)
    del store.blobs[new.blob.digest]
    with pytest.raises(IntegrityError, match="is not in the store"):
        write_output(store, kind, "out", descriptor, directory=tmp_path, **HERE)
    assert everything(tmp_path) == []
    assert store.images == {}


def test_several_writers_of_one_layout_all_get_in(store, layer, image, tmp_path: Path) -> None:
    made = [image(layer(name, {name: b"x"})) for name in "abcdefgh"]

    def write(place: int) -> None:
        write_output(store, "layout", "dir", made[place], directory=tmp_path, name=f"n{place}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    listed = parse_index((tmp_path / "dir/index.json").read_bytes()).manifests
    assert {item.ref_name: item.digest for item in listed} == {f"n{at}": item.digest for at, item in enumerate(made)}
