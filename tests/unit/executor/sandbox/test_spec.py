"""Specs survive JSON, and refuse what no sandbox can be made from."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.errors import SandboxError
from buildkit_py.executor.sandbox.spec import (
    BindMount,
    DirectoryRoot,
    FileMount,
    MemoryRoot,
    OverlayMount,
    OverlayRoot,
    RootMount,
    SandboxSpec,
    TmpfsMount,
)

names = st.text(min_size=1, max_size=8)
numbers = st.integers(0, 2**32 - 2)
overlays = st.builds(OverlayRoot, lowers=st.lists(names).map(tuple), upper=names, work=names, userxattr=st.booleans())
directories = st.builds(DirectoryRoot, path=names)
memories = st.builds(MemoryRoot, links=st.lists(st.tuples(names, names)).map(tuple))
mounts = st.one_of(
    st.builds(BindMount, source=names, target=names, path=names, read_only=st.booleans(), private=st.booleans()),
    st.builds(OverlayMount, lowers=st.lists(names).map(tuple), target=names, upper=names, work=names),
    st.builds(RootMount, root=overlays | directories, target=names),
    st.builds(TmpfsMount, target=names, size=st.none() | numbers, mode=numbers),
    st.builds(FileMount, data=st.binary(), target=names, mode=numbers, uid=numbers, gid=numbers),
)
specs = st.builds(
    SandboxSpec,
    root=overlays | directories | memories,
    args=st.lists(names).map(tuple),
    env=st.lists(st.tuples(names, names)).map(tuple),
    uid=numbers,
    groups=st.lists(numbers).map(tuple),
    mounts=st.lists(mounts).map(tuple),
    network=st.sampled_from(["none", "host"]),
    no_new_privs=st.booleans(),
    limits=st.lists(st.tuples(names, numbers, numbers)).map(tuple),
    insecure=st.booleans(),
)


@given(specs)
def test_a_spec_survives_json(spec: SandboxSpec) -> None:
    assert SandboxSpec.from_plain(json.loads(json.dumps(spec.to_plain()))) == spec


GOOD = SandboxSpec(root=DirectoryRoot(path="/tree"), args=("true",), env=(("A", "="),))


def test_a_good_spec_passes() -> None:
    GOOD.check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"args": ()}, "needs a program"),
        ({"args": ("",)}, "needs a program"),
        ({"args": ("a\0b",)}, "NUL byte"),
        ({"env": (("A=B", "c"),)}, "not a name of an environment variable: 'A=B'"),
        ({"env": (("", "c"),)}, "not a name"),
        ({"env": (("A", "\0"),)}, "NUL byte"),
        ({"uid": 2**32 - 1}, "not a user or group number: 4294967295"),
        ({"gid": -1}, "not a user or group number"),
        ({"groups": (0, 2**32)}, "not a user or group number"),
        ({"network": "bridge"}, "not a network: 'bridge'"),
        ({"capabilities": ("CAP_CHOWN",)}, "not a capability: CAP_CHOWN"),
        ({"cwd": "work"}, "must be absolute, not 'work'"),
        ({"mounts": (TmpfsMount(target="tmp"),)}, "must be absolute, not 'tmp'"),
    ],
)
def test_a_bad_spec_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SandboxError, match=message):
        replace(GOOD, **change).check()
