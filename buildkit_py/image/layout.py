"""An OCI image layout in a directory. OCI image specification 1.1, "Image Layout".

DIR/oci-layout                  {"imageLayoutVersion":"1.0.0"}
DIR/index.json                  one descriptor an image; the annotation `org.opencontainers.image.ref.name` names it
DIR/blobs/sha256/HEX            manifests, configurations, layers
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkit_py import canonical
from buildkit_py.dataclass import replace
from buildkit_py.errors import IntegrityError, OutputError
from buildkit_py.image.staging import exclusive, is_empty, new_directory, new_file
from buildkit_py.image.stored import closure
from buildkit_py.layer.clone import clone
from buildkit_py.oci import Descriptor, parse_index
from buildkit_py.oci.descriptor import REF_NAME
from buildkit_py.oci.media_types import OCI_INDEX
from buildkit_py.store.files import file_digest

if TYPE_CHECKING:
    from buildkit_py.store import Store

Row = Mapping[str, Any]
"""One entry of an `index.json`, with all that its writer put there."""
LAYOUT = canonical.dumps({"imageLayoutVersion": "1.0.0"})
_CHUNK = 1 << 20


def named(descriptor: Descriptor, name: str) -> Descriptor:
    """A descriptor as an `index.json` lists it under a name."""
    return replace(descriptor, annotations={**descriptor.annotations, REF_NAME: name})


def index_json(descriptors: Sequence[Descriptor]) -> bytes:
    """The bytes of an `index.json`."""
    return _index_json([item.to_plain() for item in descriptors])


def _index_json(rows: Sequence[Row]) -> bytes:
    return canonical.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": rows})


def blob_path(descriptor: Descriptor) -> str:
    """Where a layout keeps a blob, below its root."""
    return f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.hex}"


def write_layout(
    store: Store, descriptor: Descriptor, destination: Path, *, name: str, also: Sequence[str] = ()
) -> None:
    """Write an image as a layout, or add it to the layout that is there.

    In an existing layout the image of that name (and those of the names in `also`) is replaced, all others stay as they
    are. Raises `OutputError` where the directory holds something else.
    """
    names = (name, *also)
    mine = [named(descriptor, each) for each in names]
    with exclusive(destination):
        if not destination.exists() or is_empty(destination):
            with new_directory(destination) as directory:
                _fill(store, descriptor, directory, [item.to_plain() for item in mine])
                (directory / "oci-layout").write_bytes(LAYOUT)
            return
        others = [row for row in listed(destination) if _name_of(row) not in names]
        _fill(store, descriptor, destination, [*others, *(item.to_plain() for item in mine)])


def with_image(rows: Sequence[Row], descriptor: Descriptor, name: str | None) -> tuple[bytes, str | None]:
    """The bytes of an `index.json` with one more image, and the digest of another one that had its name.

    An image without a name takes the place of those without.
    """
    before = [row for row in rows if _name_of(row) == name]
    mine = (named(descriptor, name) if name is not None else descriptor).to_plain()
    others = [row for row in rows if _name_of(row) != name]
    digests = [row["digest"] for row in before if row["digest"] != mine["digest"]]
    return _index_json([*others, mine]), next(iter(digests), None)


def _name_of(row: Row) -> str | None:
    name = (row.get("annotations") or {}).get(REF_NAME)
    return str(name) if name else None


def listed(directory: Path) -> list[Row]:
    """What an existing layout lists; raises `OutputError` where the directory is none."""
    try:
        if not (directory / "oci-layout").is_file():
            raise OutputError(
                f"{directory} is not empty and is no OCI layout", hint="name an empty directory or an OCI layout"
            )
        raw = (directory / "index.json").read_bytes()
        parse_index(raw)
        return list(json.loads(raw)["manifests"])
    except FileNotFoundError:
        return []
    except IntegrityError as error:
        raise OutputError(f"the index.json of {directory} can't be added to: {error.message}") from error


def _fill(store: Store, descriptor: Descriptor, directory: Path, rows: Sequence[Row]) -> None:
    """Blobs first, each whole under its name; the index, which makes them known, last."""
    added: list[Path] = []
    try:
        for blob in closure(store, descriptor):
            path = directory / blob_path(blob)
            if not _is_there(path, blob):
                added.append(path)
                _copy(store, blob, path)
        with new_file(directory / "index.json", known=True) as out:
            out.write(_index_json(rows))
    except BaseException:
        for path in added:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def _is_there(path: Path, blob: Descriptor) -> bool:
    """Whether a blob was written before, and is what it was."""
    with suppress(OSError):
        return path.lstat().st_size == blob.size and file_digest(path, blob.digest.algorithm) == str(blob.digest)
    return False


def _copy(store: Store, blob: Descriptor, path: Path) -> None:
    with store.blobs.verified(str(blob.digest)) as source, new_file(path, known=True) as out:
        try:
            clone(source.fileno(), out.fileno())
        except OSError:
            shutil.copyfileobj(source, out, _CHUNK)
