"""The on-disk store: blobs, snapshots and records, shared by processes without a daemon. `layout.py` draws it."""

from buildkit_py.store.images import ImageRecord
from buildkit_py.store.report import Finding, KindUsage, PruneItem, PruneReport, Usage
from buildkit_py.store.store import Store

__all__ = ["Finding", "ImageRecord", "KindUsage", "PruneItem", "PruneReport", "Store", "Usage"]
