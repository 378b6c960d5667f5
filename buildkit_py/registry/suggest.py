"""Did you mean …? The nearest tag of a repository, asked for only once a tag was not found."""

from __future__ import annotations

import json

from buildkit_py.errors import PybuildError
from buildkit_py.registry.repository import Repository

_LIMIT = 1 << 20


def nearest_tag(repository: Repository, tag: str) -> str | None:
    """A tag that looks like the wanted one; None where there is none or the registry does not tell."""
    import difflib

    near = difflib.get_close_matches(tag, _tags(repository), n=1, cutoff=0.6)
    return near[0] if near else None


def _tags(repository: Repository) -> list[str]:
    try:
        with repository.send("GET", repository.url("tags/list?n=1000"), "can't list tags", good=(200,)) as answer:
            raw = answer.read_all(_LIMIT)
        tags = json.loads(raw).get("tags") if len(raw) <= _LIMIT else []
    except (PybuildError, ValueError, AttributeError, RecursionError):
        return []
    return [tag for tag in tags or () if isinstance(tag, str) and tag.isascii() and tag.isprintable()]
