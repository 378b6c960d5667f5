"""An image of one layer out of a tar of a root file system, which is read once and checked as layers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from buildkit_py.errors import IntegrityError, SourceInputError, StoreError
from buildkit_py.graph.definition import HistoryLine, ImageTarget
from buildkit_py.image.assemble import Assembled, NewLayer, assemble
from buildkit_py.layer.apply import outline_whole
from buildkit_py.layer.archive import write_layer
from buildkit_py.layer.commit import LayerBlob
from buildkit_py.layer.entry import EMPTY_TREE, Diff
from buildkit_py.layer.spool import Spool, SpooledOutline
from buildkit_py.layer.stored import image_content_ids

if TYPE_CHECKING:
    from buildkit_py.graph.resolver import ImageConfig
    from buildkit_py.platform import Platform
    from buildkit_py.store import Store

_HISTORY = "pybuild: import"
_PREFIX = "the layer can't be "


def import_archive(
    store: Store,
    archive: BinaryIO,
    *,
    config: ImageConfig,
    platform: Platform,
    changes: Sequence[HistoryLine] = (),
    message: str = "",
    epoch: int = 0,
) -> Assembled:
    """Store the image of an archive, plain or compressed; equal files, in whatever order they come, give equal images.

    `changes` are lines of history for what was said of the configuration, `message` the comment of the layer, `epoch`
    (seconds) every time. Raises `IntegrityError` for what no layer may hold, and for names that mean a removal in one,
    `SourceInputError` for the archive of an image.
    """
    diff, layer = _layer(store, archive, epoch)
    if _is_image(diff):
        raise SourceInputError(
            "the archive holds an image, not the files of one", hint="`pybuild load` brings images into the store"
        )
    # What a build would learn by reading the layer is known already.
    store.blobs.put(diff.encoded)
    store.trees.put(image_content_ids([layer.digest])[0], EMPTY_TREE, diff.digest)
    line = HistoryLine(text=_HISTORY, comment=message)
    target = ImageTarget(name="", platform=str(platform), base="", config=config, history=(line, *changes))
    return assemble(store, target, None, [NewLayer(name="", blob=layer)], epoch=epoch)


def _layer(store: Store, archive: BinaryIO, epoch: int) -> tuple[Diff, LayerBlob]:
    with store.snapshots.area() as area, Spool(area.work / "spool") as spool:
        outline = SpooledOutline(spool)
        try:
            diff = outline_whole(archive, outline).diff
        except IntegrityError as error:
            raise IntegrityError(_reworded(error.message), hint=error.hint) from None
        except StoreError as error:
            raise StoreError(_reworded(error.message), hint=error.hint) from None
        with store.blobs.writer() as writer:
            written = write_layer(diff, lambda entry: outline.contents[entry.path](), writer, epoch=epoch)
            digest, size = writer.commit()
    return diff, LayerBlob(digest=digest, size=size, diff_id=written.diff_id, media_type=written.media_type)


def _is_image(diff: Diff) -> bool:
    """Whether these are the files of an OCI layout, or of what `docker save` writes, and of nothing else."""
    top = {entry.path for entry in diff.entries if "/" not in entry.path}
    return {"index.json", "oci-layout"} <= top or ("manifest.json" in top and not top & {"bin", "etc", "usr"})


def _reworded(message: str) -> str:
    return message.replace(_PREFIX, "the archive can't be ", 1)
