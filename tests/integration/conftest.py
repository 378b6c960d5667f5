"""Every test here ends with a clean machine."""

from tests.support.fixtures import box, nothing_left_behind, project, tree

__all__ = ["box", "nothing_left_behind", "project", "tree"]
