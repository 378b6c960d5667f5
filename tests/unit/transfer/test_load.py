from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from pathlib import Path

import pytest
import zstandard

from buildkit_py.errors import IntegrityError, SourceInputError
from buildkit_py.image.staging import new_file
from buildkit_py.registry.retry import Retry
from buildkit_py.store import Store
from buildkit_py.transfer.copy import copy
from buildkit_py.transfer.load import archive, loadable
from buildkit_py.transfer.plan import Wishes
from buildkit_py.transfer.to_archive import DockerArchive, OciArchive
from buildkit_py.transfer.to_store import StoreDestination
from tests.support.images import make_image
from tests.support.transfers import IMAGE, Pair, hold

RETRY = Retry(sleep=lambda _: None)
OTHER = make_image(b"another")
EMPTY = io.BytesIO()


def written(pair: Pair, path: Path, kind: type[OciArchive] | type[DockerArchive]) -> Path:
    """An archive of two images; one has two names, the other none."""
    hold(pair.source, OTHER, tag="other")
    with kind(new_file(path), (), RETRY, room=path.parent) as out:
        pair.copy(out, name="app:1")
        pair.copy(out, name="app:2")
        pair.copy(out, source=f"docker://{pair.source.name}/team/app:other")
    return path


@pytest.mark.parametrize("kind", [OciArchive, DockerArchive])
@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
@pytest.mark.parametrize("stream", [False, True])
def test_every_image_is_found(pair: Pair, tmp_path: Path, kind: type[OciArchive], compress, stream: bool) -> None:  # type: ignore[no-untyped-def]
    file = written(pair, tmp_path / "a.tar", kind)
    file.write_bytes(compress(file.read_bytes()))
    given = io.BytesIO(file.read_bytes()) if stream else EMPTY
    with archive(None if stream else file, given, tmp_path) as files, Store.open(tmp_path / "store") as store:
        images = loadable(files, "a.tar")
        names = [tuple(name.removeprefix("docker.io/library/") for name in image.names) for image in images]
        assert names == [("app:1", "app:2"), ()]
        for number, image in enumerate(images):
            copy(image.reader, StoreDestination(store, f"n{number}", RETRY), Wishes(every=True), called="store")
        assert store.check() == []
        if kind is OciArchive:
            assert store.images.get("n0")["digest"] == str(IMAGE.descriptor.digest)  # type: ignore[index]
            assert store.images.get("n1")["digest"] == str(OTHER.descriptor.digest)  # type: ignore[index]


def test_what_is_no_archive_of_images(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("hello"))
    with archive(tmp_path / "x.tar", EMPTY, tmp_path) as files, pytest.raises(IntegrityError, match="holds no images"):
        loadable(files, "x.tar")
    with pytest.raises(SourceInputError, match="can't read"), archive(tmp_path / "none.tar", EMPTY, tmp_path):
        pass


def test_a_damaged_compression(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(b"x" * 10_000)[:-10])
    with pytest.raises(IntegrityError, match="damaged"), archive(tmp_path / "x.tar.gz", EMPTY, tmp_path):
        pass
