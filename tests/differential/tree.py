"""Layers put upon each other by the image specification, by code that only the tests have; strict about bad layers.

Every entry is one line, so that a difference reads as one:

    dir 0755 0:0
    file 0644 0:0 5 bytes sha256 2cf24dba5fb0 [capability 0100…] [same as /a, /b]
    link 0:0 -> target
    pipe 0644 0:0
    device c 1:3 0666 0:0
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

Tree = Mapping[str, str]
"""What is at each path (absolute), in a line."""

_CAPABILITY = "SCHILY.xattr.security.capability"
_OPAQUE = ".wh..wh..opq"
_SPECIAL = {tarfile.FIFOTYPE: "pipe", tarfile.CHRTYPE: "device c", tarfile.BLKTYPE: "device b"}


class BadLayerError(Exception):
    """A layer that breaks the image specification."""


@dataclass(slots=True, kw_only=True)
class Node:
    """An inode: names that are hard links share it."""

    text: str
    folder: bool = False
    layer: int


_IMPLIED = "dir 0755 0:0"


def file_text(content: bytes | str, mode: int = 0o644, owner: str = "0:0", capability: bytes = b"") -> str:
    """The line of a regular file."""
    data = content.encode() if isinstance(content, str) else content
    mark = f" capability {capability.hex()}" if capability else ""
    return f"file {mode:04o} {owner} {len(data)} bytes sha256 {hashlib.sha256(data).hexdigest()[:12]}{mark}"


def folder_text(mode: int = 0o755, owner: str = "0:0") -> str:
    """The line of a directory."""
    return f"dir {mode:04o} {owner}"


def link_text(target: str, owner: str = "0:0") -> str:
    """The line of a symbolic link."""
    return f"link {owner} -> {target}"


def snapshots(layers: Sequence[bytes]) -> list[Tree]:
    """The tree after each layer (tar, perhaps by gzip)."""
    nodes: dict[str, Node] = {}
    trees = []
    for number, layer in enumerate(layers):
        data = gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer
        _apply(nodes, data, number)
        trees.append(_described(nodes))
    return trees


def changes(before: Tree, after: Tree) -> dict[str, str]:
    """What one layer changes; what is gone is `gone`."""
    changed = {path: text for path, text in after.items() if before.get(path) != text}
    return {**changed, **{path: "gone" for path in before if path not in after}}


def _apply(nodes: dict[str, Node], layer: bytes, number: int) -> None:
    seen: set[str] = set()
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:") as archive:
        for info in archive:
            path = _path(info.name)
            if path == "/":
                continue
            if path in seen:
                raise BadLayerError(f"{path} is twice in one layer")
            seen.add(path)
            if not _removes(nodes, path, number):
                _parents(nodes, path, number)
                _put(nodes, path, _node(nodes, archive, info, number))


def _path(name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadLayerError(f"{name!r} climbs out")
    return "/" + "/".join(parts)


def _removes(nodes: dict[str, Node], path: str, number: int) -> bool:
    """Follow a whiteout: it hides what lower layers have, not its own."""
    folder, _, name = path.rpartition("/")
    if not name.startswith(".wh."):
        return False
    if name == _OPAQUE:
        hidden = list(_below(nodes, folder))
    else:
        target = f"{folder}/{name.removeprefix('.wh.')}"
        if target not in nodes:
            raise BadLayerError(f"{path} hides nothing")
        hidden = [target, *_below(nodes, target)]
    for each in hidden:
        if nodes[each].layer < number:
            del nodes[each]
    return True


def _below(nodes: Mapping[str, Node], folder: str) -> Iterator[str]:
    return (path for path in list(nodes) if path.startswith(f"{folder}/"))


def _parents(nodes: dict[str, Node], path: str, number: int) -> None:
    for parent in list(PurePosixPath(path).parents)[-2::-1]:
        node = nodes.setdefault(str(parent), Node(text=_IMPLIED, folder=True, layer=number))
        if not node.folder:
            raise BadLayerError(f"{path} is below {parent}, which is no directory")


def _put(nodes: dict[str, Node], path: str, node: Node) -> None:
    old = nodes.get(path)
    if old is not None and old.folder and not node.folder:
        for each in _below(nodes, path):
            del nodes[each]
    nodes[path] = node


def _node(nodes: Mapping[str, Node], archive: tarfile.TarFile, info: tarfile.TarInfo, number: int) -> Node:
    if info.islnk():
        target = nodes.get(_path(info.linkname))
        if target is None or target.folder:
            raise BadLayerError(f"{info.name} is a hard link to {info.linkname}, which is no file")
        target.layer = number
        return target
    return Node(text=_text(archive, info), folder=info.isdir(), layer=number)


def _text(archive: tarfile.TarFile, info: tarfile.TarInfo) -> str:
    owner, mode = f"{info.uid}:{info.gid}", info.mode & 0o7777
    if info.isdir():
        return folder_text(mode, owner)
    if info.issym():
        return link_text(info.linkname, owner)
    if info.isreg():
        capability = info.pax_headers.get(_CAPABILITY, "").encode("utf-8", "surrogateescape")
        data = archive.extractfile(info)
        assert data is not None
        return file_text(data.read(), mode, owner, capability)
    kind = _SPECIAL[info.type]
    number = f" {info.devmajor}:{info.devminor}" if kind != "pipe" else ""
    return f"{kind}{number} {mode:04o} {owner}"


def _described(nodes: Mapping[str, Node]) -> Tree:
    names: dict[int, list[str]] = {}
    for path, node in sorted(nodes.items()):
        names.setdefault(id(node), []).append(path)
    shared = {path: group for group in names.values() if len(group) > 1 for path in group}
    return {
        path: f"{node.text} same as {', '.join(each for each in shared[path] if each != path)}"
        if path in shared
        else node.text
        for path, node in sorted(nodes.items())
    }
