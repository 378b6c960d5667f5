"""Did you mean …? The nearest tag of a repository, asked for only once a tag was not found."""

from __future__ import annotations

from buildkit_py.errors import PybuildError
from buildkit_py.registry.repository import Repository
from buildkit_py.registry.tags import first_tags


def nearest_tag(repository: Repository, tag: str) -> str | None:
    """A tag that looks like the wanted one; None where there is none or the registry does not tell."""
    import difflib

    near = difflib.get_close_matches(tag, _tags(repository), n=1, cutoff=0.6)
    return near[0] if near else None


def _tags(repository: Repository) -> list[str]:
    try:
        return first_tags(repository)
    except PybuildError:
        return []
