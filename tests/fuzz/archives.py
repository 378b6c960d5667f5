"""Targets that are archives: layers, laid down or only read, tars and zips that a build brings, compressed bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Sequence

import zstandard

from buildkit_py.graph.op import Copy, Unpack
from buildkit_py.layer.apply import Applied, apply_layer, outline_layer, outline_whole
from buildkit_py.layer.context import ContextTree
from buildkit_py.layer.decompress import decompressed
from buildkit_py.layer.draft import materialise
from buildkit_py.layer.entry import Diff
from buildkit_py.layer.fileops import apply_op
from buildkit_py.layer.outline import Outliner
from buildkit_py.layer.statcache import StatCache
from buildkit_py.layer.tarstream import Limits
from buildkit_py.layer.tree import ChainTree, EmptyTree, Tree
from buildkit_py.registry.tarindex import index_members
from tests.fuzz.contract import Target, attempt
from tests.fuzz.scratch import scratch, written
from tests.support.layouts import Entry, folder, layer, link

_LIMITS = Limits(bytes=1 << 24, entries=10_000, free=1 << 22)
_MOST = 1 << 24


def _info(name: str, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in more.items():
        setattr(info, key, value)
    return info


def _tar(*members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"y" * member.size))
    return out.getvalue()


def _tars() -> list[bytes]:
    plain = layer(
        [
            folder("dir"), Entry(name="dir/f", data=b"x" * 600), link("link", "dir"), Entry(name="link/g", data=b"g"),
            Entry(name="h", kind=tarfile.LNKTYPE, target="dir/f"), Entry(name=".wh.gone"), folder("old"),
            Entry(name="old/.wh..wh..opq"), Entry(name="p", kind=tarfile.FIFOTYPE), Entry(name="s", mode=0o4755),
        ]
    )  # fmt: skip
    xattrs = {"SCHILY.xattr.user.a": "b", "SCHILY.xattr.security.capability": "\1\0\0\2" + "\0" * 16, "mtime": "1.5"}
    odd = _tar(
        _info("é" * 60, size=3, pax_headers=xattrs, uid=2**31), _info("d" * 120 + "/x", type=tarfile.DIRTYPE),
        _info("c", type=tarfile.CHRTYPE, devmajor=1, devminor=3), _info("l", type=tarfile.SYMTYPE, linkname="t" * 120),
    )  # fmt: skip
    gnu = _tar(_info("g" * 150, size=2), _info("k", type=tarfile.SYMTYPE, linkname="z" * 150), form=tarfile.GNU_FORMAT)
    return [plain, odd, gnu, _sparse()]


def _sparse() -> bytes:
    """A file with holes in the old form of GNU tar, and one in PAX form 1.0."""
    head = bytearray(_tar(_info("sparse", size=512, type=b"S"), form=tarfile.GNU_FORMAT)[:512])
    head[386:398], head[398:410] = b"00000001000\0", b"00000001000\0"
    head[483:495] = b"00000002000\0"
    head[148:156] = b"%06o\0 " % (sum(head) - sum(head[148:156]) + 256)
    names = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s1", "GNU.sparse.realsize": "2000"}
    body = b"1\n0\n512\n".ljust(512, b"\0") + b"z" * 512
    info = _info("s1", size=len(body), pax_headers=names)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(body))
    return bytes(head) + b"y" * 512 + out.getvalue()


def _lower() -> Tree:
    """A tree below, with something to remove and to link to."""
    blob = layer([folder("dir"), Entry(name="dir/below", data=b"b"), Entry(name="gone", data=b"x"), link("up", "dir")])
    return ChainTree([(lambda path: io.BytesIO(b"b"), _outlined(blob, EmptyTree()).diff)])


def _outlined(data: bytes, lower: Tree) -> Applied:
    return outline_layer(io.BytesIO(data), lower=lower, limits=_LIMITS)


def _outline(data: bytes) -> None:
    """A diff can be encoded, and read again."""
    for lower in (EmptyTree(), _lower()):
        found = attempt(_outlined, data, lower)
        if found is not None:
            assert Diff.decode(found.diff.encoded) == found.diff
    attempt(outline_whole, io.BytesIO(data), Outliner())


def _apply(data: bytes) -> None:
    """What is laid down is what was outlined, unless the disk refuses it."""
    directory = scratch() / "layer"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    expected = attempt(_outlined, data, EmptyTree())
    found = attempt(lambda: apply_layer(io.BytesIO(data), directory, lower=EmptyTree(), limits=_LIMITS))
    assert found is None or found == expected


def _decompressed(data: bytes) -> None:
    stream, left = decompressed(io.BytesIO(data)), _MOST
    while left > 0 and (piece := stream.read(1 << 20)):
        left -= len(piece)


def _compressed() -> list[bytes]:
    data = b"some bytes, and some bytes again, " * 20
    zstd = zstandard.ZstdCompressor(write_checksum=True)
    packed = [gzip.compress(data), bz2.compress(data), lzma.compress(data), zstd.compress(data)]
    return [*packed, packed[0] * 2, packed[3] * 2, packed[2] + bytes(8) + packed[2]]


def _members(data: bytes) -> None:
    with written("archive.tar", data).open("rb") as file:
        for links in (False, True):
            for member in (attempt(lambda links=links: index_members(file, "a.tar", links=links)) or {}).values():
                assert 0 <= member.start <= member.start + member.size <= len(data)


def _unpack(data: bytes) -> None:
    """An archive of a build becomes a draft, and that files."""
    context, spool, out = (scratch() / name for name in ("context", "spool", "out"))
    for directory in (context, spool, out):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
    (context / "a").write_bytes(data)
    tree = ContextTree(context, StatCache(scratch() / "stat"))
    steps = (Unpack(sources=("/a",), dest="/d/"), Copy(sources=("/a",), dest="/d/", unpack=True, contents="always"))
    draft = attempt(lambda: apply_op(steps[0], EmptyTree(), tree, spool=spool))
    if draft is not None:
        attempt(materialise, draft, out, 0)
    shutil.rmtree(spool)
    spool.mkdir()
    attempt(lambda: apply_op(steps[1], EmptyTree(), tree, spool=spool))


def _zips() -> list[bytes]:
    made = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            archive.writestr("d/f", b"x" * 500)
            info = zipfile.ZipInfo("d/l")
            info.external_attr = 0o120777 << 16
            archive.writestr(info, "f")
            archive.writestr("e/", b"")
        made.append(out.getvalue())
    return made


def _archives() -> Sequence[bytes]:
    return [*_tars(), *_zips(), gzip.compress(_tars()[0])]


TARGETS: dict[str, Target] = {
    "layer": Target(run=_outline, seeds=_tars, form="tar", examples=60),
    "layer-applied": Target(run=_apply, seeds=_tars, form="tar", examples=60),
    "compressed": Target(run=_decompressed, seeds=_compressed),
    "archive-members": Target(run=_members, seeds=_tars, form="tar", examples=60),
    "unpack": Target(run=_unpack, seeds=_archives, form="tar", examples=40),
    "unpack-zip": Target(run=_unpack, seeds=_zips),
}
