"""Outputs as programs that no one here wrote see them: skopeo, umoci, buildah and runc.

The layers are made with the standard library's tarfile: what is read back was not written by the code under test.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.errors import OutputError
from buildkit_py.graph.definition import ImageTarget
from buildkit_py.graph.resolver import ImageConfig
from buildkit_py.image.assemble import NewLayer, assemble, assemble_index
from buildkit_py.image.outputs import write_output
from buildkit_py.image.stored import StoredImage
from buildkit_py.image.validate import validate
from buildkit_py.layer.commit import LayerBlob
from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_LAYER_GZIP
from buildkit_py.store import Store

BUSYBOX = Path("/bin/busybox")
CONFIG = ImageConfig(
    env=(("PATH", "/bin"), ("GREETING", "hello there")),
    user="1000:33",
    workdir="/srv",
    entrypoint=("/bin/busybox", "sh", "-c"),
    command=("echo $GREETING; id -u; pwd; cat data/kept",),
    expose=("8080/tcp",),
    volumes=("/data",),
    labels={"org.example": "yes"},
    stop_signal="SIGINT",
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and mounts need root")


def needs(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")


def run(*args: object) -> str:
    done = subprocess.run([str(arg) for arg in args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def member(name: str, **fields: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def layer(store: Store, name: str, members: list[tuple[tarfile.TarInfo, bytes]]) -> NewLayer:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for item, content in members:
            item.size = len(content)
            tar.addfile(item, io.BytesIO(content))
    plain = out.getvalue()
    packed = gzip.compress(plain, mtime=0)
    blob = LayerBlob(
        digest=store.blobs.put(packed),
        size=len(packed),
        diff_id=f"sha256:{hashlib.sha256(plain).hexdigest()}",
        media_type=OCI_LAYER_GZIP,
    )
    return NewLayer(name=name, blob=blob)


def directory(name: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.DIRTYPE, mode=fields.pop("mode", 0o755), **fields), b""


def system(store: Store) -> NewLayer:
    return layer(
        store,
        "system",
        [
            directory("bin"),
            (member("bin/busybox", mode=0o755), BUSYBOX.read_bytes()),
            (member("bin/sh", type=tarfile.SYMTYPE, linkname="busybox"), b""),
            directory("srv", mode=0o1777, uid=1000, gid=33),
            directory("srv/data", uid=1000, gid=33),
            (member("srv/data/kept", mode=0o640, uid=1000, gid=33), b"kept\n"),
            (member("srv/data/gone", mode=0o600), b"gone\n"),
            directory("srv/old"),
            (member("srv/old/hidden"), b"hidden\n"),
            (member("srv/first", mode=0o4755), b"linked\n"),
            (member("srv/second", type=tarfile.LNKTYPE, linkname="srv/first", mode=0o4755), b""),
            (member("srv/third", type=tarfile.LNKTYPE, linkname="srv/first", mode=0o4755), b""),
        ],
    )


def changes(store: Store) -> NewLayer:
    return layer(
        store,
        "changes",
        [
            directory("srv/data", uid=1000, gid=33),
            (member("srv/data/.wh.gone"), b""),
            directory("srv/old", mode=0o700),
            (member("srv/old/.wh..wh..opq"), b""),
            (member("srv/old/seen"), b"seen\n"),
            (member("srv/.wh.first"), b""),
        ],
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def image(store: Store) -> Descriptor:
    return assemble(store, target(), None, [system(store), changes(store)], epoch=1).descriptor


def target(platform: str = "linux/amd64") -> ImageTarget:
    return ImageTarget(name="web", platform=platform, base="", config=CONFIG, annotations={"org.example.note": "x"})


@pytest.fixture(params=["archive", "layout", "docker"])
def written(request: pytest.FixtureRequest, store: Store, image: Descriptor, tmp_path: Path) -> tuple[str, Descriptor]:
    """The image as skopeo names it."""
    kind: str = request.param
    write_output(store, kind, f"out/{kind}", image, name="acme/web:1", directory=tmp_path)
    transport = {"archive": "oci-archive", "layout": "oci", "docker": "docker-archive"}[kind]
    return f"{transport}:{tmp_path}/out/{kind}", image


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Every name below a directory, with all that a layer says of it but its time."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        state = path.lstat()
        content: object = None
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(root))] = (state.st_mode, state.st_uid, state.st_gid, content)
    return found


EXPECTED_NAMES = {
    "bin",
    "bin/busybox",
    "bin/sh",
    "srv",
    "srv/data",
    "srv/data/kept",
    "srv/old",
    "srv/old/seen",
    "srv/second",
    "srv/third",
}


def test_skopeo_reads_and_copies_it(written: tuple[str, Descriptor], store: Store, tmp_path: Path) -> None:
    needs("skopeo")
    reference, image = written
    seen = json.loads(run("skopeo", "inspect", "--config", reference))
    config = StoredImage.load(store, image).config
    assert seen["config"]["Env"] == ["PATH=/bin", "GREETING=hello there"]
    assert seen["config"]["User"] == "1000:33"
    assert seen["config"]["Labels"] == {"org.example": "yes"}
    assert seen["rootfs"]["diff_ids"] == [str(item) for item in config.diff_ids]
    assert [line["created_by"] for line in seen["history"]] == ["pybuild: layer system", "pybuild: layer changes"]
    run("skopeo", "--insecure-policy", "copy", reference, f"dir:{tmp_path}/copy")
    manifest = json.loads((tmp_path / "copy/manifest.json").read_bytes())
    assert len(manifest["layers"]) == 2
    assert manifest["config"]["digest"] == str(config.digest)


def test_skopeo_sees_the_very_manifest(store: Store, image: Descriptor, tmp_path: Path) -> None:
    needs("skopeo")
    for kind, transport in (("archive", "oci-archive"), ("layout", "oci")):
        write_output(store, kind, kind, image, name="web", directory=tmp_path)
        raw = run("skopeo", "inspect", "--raw", f"{transport}:{tmp_path}/{kind}:web")
        assert hashlib.sha256(raw.encode()).hexdigest() == image.digest.hex


def test_skopeo_chooses_from_an_index(store: Store, tmp_path: Path) -> None:
    needs("skopeo")
    layers = [system(store)]
    made = [assemble(store, target(name), None, layers, epoch=0).descriptor for name in ("linux/amd64", "linux/arm64")]
    write_output(store, "archive", "web.tar", assemble_index(store, made).descriptor, name="web", directory=tmp_path)
    for architecture in ("amd64", "arm64"):
        options = ("--override-os", "linux", "--override-arch", architecture)
        seen = json.loads(run("skopeo", *options, "inspect", f"oci-archive:{tmp_path}/web.tar:web"))
        assert seen["Architecture"] == architecture


def test_umoci_unpacks_the_layout(store: Store, image: Descriptor, tmp_path: Path) -> None:
    needs("umoci")
    write_output(store, "layout", "layout", image, name="web", directory=tmp_path)
    run("umoci", "unpack", "--image", f"{tmp_path}/layout:web", tmp_path / "bundle")
    unpacked = tree(tmp_path / "bundle/rootfs")
    assert set(unpacked) == EXPECTED_NAMES
    write_output(store, "rootfs", "rootfs", image, name="web", directory=tmp_path)
    assert tree(tmp_path / "rootfs") == unpacked


def test_runc_starts_it(store: Store, image: Descriptor, tmp_path: Path) -> None:
    needs("umoci")
    needs("runc")
    write_output(store, "layout", "layout", image, name="web", directory=tmp_path)
    run("umoci", "unpack", "--image", f"{tmp_path}/layout:web", tmp_path / "bundle")
    path = tmp_path / "bundle/config.json"
    spec = json.loads(path.read_text())
    spec["process"]["terminal"] = False
    path.write_text(json.dumps(spec))
    out = run(
        "runc", "--root", tmp_path / "runc", "run", "--bundle", tmp_path / "bundle", f"pybuild-test-{os.getpid()}"
    )
    assert out == "hello there\n1000\n/srv\nkept\n"


@pytest.fixture
def buildah(tmp_path: Path) -> Iterator[list[object]]:
    needs("buildah")
    command = ["buildah", "--root", tmp_path / "c/root", "--runroot", tmp_path / "c/run", "--storage-driver", "vfs"]
    yield command
    run(*command, "rm", "--all")


def test_buildah_mounts_what_the_rootfs_holds(
    store: Store, written: tuple[str, Descriptor], buildah: list[object], tmp_path: Path
) -> None:
    reference, image = written
    container = run(*buildah, "from", "--signature-policy", _policy(tmp_path), reference).strip()
    mounted = Path(run(*buildah, "mount", container).strip())
    write_output(store, "rootfs", "rootfs", image, name="web", directory=tmp_path)
    assert tree(mounted) == tree(tmp_path / "rootfs")


def _policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.json"
    path.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    return path


def test_the_rootfs_is_the_merged_tree(store: Store, image: Descriptor, tmp_path: Path) -> None:
    write_output(store, "rootfs", "deep/rootfs", image, name="web", directory=tmp_path, epoch=77)
    root = tmp_path / "deep/rootfs"
    found = tree(root)
    assert set(found) == EXPECTED_NAMES
    assert found["srv/data/kept"][:3] == (stat.S_IFREG | 0o640, 1000, 33)
    assert found["srv"][:3] == (stat.S_IFDIR | 0o1777, 1000, 33)
    assert found["srv/old"][0] == stat.S_IFDIR | 0o700
    assert (root / "srv/second").read_text() == "linked\n"
    assert (root / "srv/second").samefile(root / "srv/third")
    assert found["srv/second"][0] == stat.S_IFREG | 0o4755
    assert {path.lstat().st_mtime for path in (root, *root.rglob("*"))} == {77.0}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["rootfs"]


def test_the_rootfs_as_tar_is_the_same_tree_and_always_the_same_bytes(
    store: Store, image: Descriptor, tmp_path: Path
) -> None:
    write_output(store, "rootfs", "a.tar", image, name="web", directory=tmp_path)
    write_output(store, "rootfs", "b.tar", image, name="web", directory=tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    (tmp_path / "x").mkdir()
    run(
        "tar",
        "--extract",
        "--numeric-owner",
        "--same-permissions",
        "--file",
        tmp_path / "a.tar",
        "--directory",
        tmp_path / "x",
    )
    write_output(store, "rootfs", "rootfs", image, name="web", directory=tmp_path)
    assert tree(tmp_path / "x") == tree(tmp_path / "rootfs")


def test_a_rootfs_never_mixes_with_what_is_there(store: Store, image: Descriptor, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter").write_text("dear")
    with pytest.raises(OutputError, match="not an empty directory"):
        write_output(store, "rootfs", "home", image, name="web", directory=tmp_path)
    assert tree(tmp_path / "home").keys() == {"letter"}
    (tmp_path / "empty").mkdir()
    write_output(store, "rootfs", "empty", image, name="web", directory=tmp_path)
    assert (tmp_path / "empty/bin/busybox").exists()
    (tmp_path / "link").symlink_to("empty")
    with pytest.raises(OutputError):
        write_output(store, "rootfs", "link", image, name="web", directory=tmp_path)


@pytest.mark.parametrize("value", ["rootfs", "rootfs.tar"])
def test_a_full_disk_leaves_no_half_rootfs(store: Store, image: Descriptor, tmp_path: Path, value: str) -> None:
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=256k", "none", tiny)
    try:
        with pytest.raises(OutputError, match="No space left on device"):
            write_output(store, "rootfs", value, image, name="web", directory=tiny)
        assert list(tiny.iterdir()) == []
    finally:
        run("umount", tiny)
    assert list((store.root / "tmp").iterdir()) == []


def test_the_image_is_sound(store: Store, image: Descriptor) -> None:
    validate(store, image)
