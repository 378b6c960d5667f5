"""What the tests of this room share: tars written entry by entry, and layers laid upon each other."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.tars import Item, Stack, tar_of

MakeTar = Callable[..., io.BytesIO]


@pytest.fixture
def make_tar() -> MakeTar:
    """Gives a tar of (name, type, content or target) items, or of `TarInfo`s, as a file."""

    def make(*items: Item | tarfile.TarInfo) -> io.BytesIO:
        return io.BytesIO(tar_of(*items))

    return make


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """Layers applied one upon the other."""
    return Stack(tmp_path)
