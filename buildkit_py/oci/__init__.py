"""Documents of the OCI image specification and of Docker's schema 2, as records that keep their raw bytes.

A document's identity is the digest of the bytes that were received, never of what was parsed out of them.
"""

from buildkit_py.oci.choose import choose, rank
from buildkit_py.oci.config import History, ImageConfigDoc, chain_id, chain_ids
from buildkit_py.oci.descriptor import Descriptor
from buildkit_py.oci.manifest import Index, Manifest
from buildkit_py.oci.parse import (
    MAX_DOCUMENT,
    check_bytes,
    parse_config,
    parse_document,
    parse_index,
    read_config,
    read_document,
)

__all__ = [
    "MAX_DOCUMENT",
    "Descriptor",
    "History",
    "ImageConfigDoc",
    "Index",
    "Manifest",
    "chain_id",
    "chain_ids",
    "check_bytes",
    "choose",
    "parse_config",
    "parse_document",
    "parse_index",
    "rank",
    "read_config",
    "read_document",
]
