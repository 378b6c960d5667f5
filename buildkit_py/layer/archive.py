"""Archiving: a diff becomes a layer blob, the same bytes on every machine.

    entries in path order ──▶ tar (USTAR, PAX where a field does not fit) ──sha256──▶ diff id
                                  └──▶ compression ──sha256──▶ digest

Names of users are left out; every time is the build's. OCI image specification 1.1, "Image Layer Filesystem
Changeset".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import BinaryIO

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError, StepError
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.squeeze import Gzip, Method, Plain, Sink, Squeeze, Zstd
from buildkit_py.layer.tarheader import PADDING, header

BLOCK = 1 << 20
MEDIA_TYPES = {
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "none": "application/vnd.oci.image.layer.v1.tar",
}
_METHODS: dict[str, Callable[[], Method]] = {"gzip": Gzip, "zstd": Zstd, "none": Plain}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written: `diff_id` of the tar, `media_type` of what the sink got; the seconds that hashing the tar and
    its files took (`hash`), and compressing it (`compress`), of all threads together."""

    diff_id: str
    media_type: str
    times: Mapping[str, float]


def write_layer(
    diff: Diff,
    open_content: Callable[[Entry], BinaryIO],
    out: Sink,
    *,
    compression: str = "gzip",
    epoch: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Written:
    """Write a diff as a layer. `open_content` gives the bytes of each `file` entry. What `check` raises ends it.

    Raises `IntegrityError` where a file has not the size and digest of its entry, `StepError` for a name that layers
    can't hold.
    """
    tar = Squeeze(_METHODS[compression](), out)
    try:
        for entry in diff.entries:
            _check_name(entry)
            if not entry.path and (entry.mode, entry.uid, entry.gid, entry.xattrs) == (0o755, 0, 0, ()):
                continue
            tar.write(header(entry, epoch))
            if entry.type == "file":
                _write_content(entry, open_content, tar, check)
        tar.write(PADDING)
        digest = tar.close()
    except BaseException:
        tar.abort()
        raise
    times = {"hash": tar.hashing, "compress": tar.pressing}
    return Written(diff_id=digest, media_type=MEDIA_TYPES[compression], times=times)


def _check_name(entry: Entry) -> None:
    if ".wh." in entry.path and entry.path.rpartition("/")[2].startswith(".wh."):
        raise StepError(
            f"/{entry.path}: names that begin with .wh. mean a removal in a layer", hint="remove or rename the file"
        )


def _write_content(
    entry: Entry, open_content: Callable[[Entry], BinaryIO], tar: Squeeze, check: Callable[[], None]
) -> None:
    hasher, left = hashlib.sha256(), entry.size
    with open_content(entry) as file:
        # One byte more than there should be tells of a file that has grown.
        while block := file.read(min(left + 1, BLOCK)):
            check()
            left -= len(block)
            if left < 0:
                break
            began = perf_counter()
            hasher.update(block)
            tar.hashing += perf_counter() - began
            tar.write(block)
            if not left:
                break
    if left != 0 or f"sha256:{hasher.hexdigest()}" != entry.digest:
        raise IntegrityError(
            f"what becomes /{entry.path} was changed while the build was running", hint="run the same command again"
        )
    tar.write(PADDING[: -entry.size % 512])
