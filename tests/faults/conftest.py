"""Every test here ends with a clean machine."""

from tests.support.fixtures import nothing_left_behind

__all__ = ["nothing_left_behind"]
