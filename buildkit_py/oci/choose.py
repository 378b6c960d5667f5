"""Which manifest of an index serves a platform.

As containerd's strict matcher: the wanted variant, else the nearest older one of the same architecture (`arm/v7` takes
`arm/v6`, `amd64/v3` takes `amd64/v2`). Another architecture is never taken, not even one the machine could run.
"""

from __future__ import annotations

import re

from buildkit_py.oci.descriptor import Descriptor
from buildkit_py.oci.manifest import Index
from buildkit_py.oci.media_types import DOCUMENTS
from buildkit_py.platform import Platform

_USUAL_VARIANT = {"amd64": "v1", "arm64": "v8", "arm": "v7"}
_NUMBERED = re.compile(r"v([0-9]{1,4})(?:\.([0-9]{1,4}))?\Z")


def choose(index: Index, platform: Platform) -> Descriptor | None:
    """The manifest for `platform`, or None. The first of equals wins.

    A lone entry that names no platform is taken too: its configuration says what it is for.
    """
    candidates = [item for item in index.manifests if item.media_type in DOCUMENTS]
    ranked = [(found, item) for item in candidates if (found := rank(item.platform, platform)) is not None]
    if ranked:
        return min(ranked, key=lambda pair: pair[0])[1]
    unnamed = [item for item in candidates if item.platform is None]
    return unnamed[0] if len(unnamed) == 1 and len(candidates) == 1 else None


def rank(offered: Platform | None, wanted: Platform) -> int | None:
    """How far `offered` is from `wanted`: 0 is exact, more is an older variant, None does not serve at all."""
    if offered is None or (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
        return None
    if offered.variant == wanted.variant:
        return 0
    has, needs = _variant(offered), _variant(wanted)
    return needs - has if has is not None and needs is not None and has < needs else None


def _variant(platform: Platform) -> int | None:
    """The variant as a number that grows with what the processor can do."""
    match = _NUMBERED.match(platform.variant or _USUAL_VARIANT.get(platform.architecture, ""))
    return int(match[1]) * 10_000 + int(match[2] or 0) if match else None
