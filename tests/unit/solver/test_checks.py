"""Looking for a text in a file of any size."""

import io

from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.solver.checks import holds


@given(st.binary(max_size=60), st.binary(max_size=5), st.integers(min_value=1, max_value=7))
def test_what_is_there_is_found_wherever_blocks_end(content: bytes, wanted: bytes, block: int) -> None:
    assert holds(io.BytesIO(content), wanted, block) == (wanted in content)


@given(st.binary(max_size=20), st.binary(min_size=1, max_size=9), st.integers(min_value=1, max_value=4))
def test_a_match_across_several_blocks(before: bytes, wanted: bytes, block: int) -> None:
    assert holds(io.BytesIO(before + wanted), wanted, block)
