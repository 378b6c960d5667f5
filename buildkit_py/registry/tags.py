"""The tags of a repository, page by page, and the removal of what a tag stands for.

(OCI distribution specification, "Listing Tags" and "Deleting Manifests".)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from time import monotonic

from buildkit_py.oci import Descriptor
from buildkit_py.registry.faults import TransferError, is_page, page_fault
from buildkit_py.registry.links import next_link
from buildkit_py.registry.repository import Repository
from buildkit_py.registry.retry import Cancel, check
from buildkit_py.registry.transport import Answer, Origin, join

_LIMIT = 1 << 22
_MOST_PAGES = 10_000
_MOST_TAGS = 1_000_000
_MOST_SECONDS = 900
_LONGEST = 128
_OFF = ("UNSUPPORTED", "DENIED")


def tags_of(repository: Repository, cancel: Cancel | None = None) -> list[str]:
    """Every tag, in the registry's order. Raises `TransferError`."""
    return [tag for page in _pages(repository, cancel) for tag in page]


def first_tags(repository: Repository) -> list[str]:
    """The tags that come with one request. Raises `TransferError`."""
    return _page(repository, _first(repository))[0]


def _first(repository: Repository) -> str:
    return repository.url("tags/list?n=1000")


def _pages(repository: Repository, cancel: Cancel | None) -> Iterator[list[str]]:
    url: str | None = _first(repository)
    seen, count, until = set[str](), 0, monotonic() + _MOST_SECONDS
    while url is not None:
        check(cancel)
        if url in seen or len(seen) >= _MOST_PAGES or count > _MOST_TAGS or monotonic() > until:
            raise TransferError(
                f"{repository} lists its tags without an end: "
                f"more than {_MOST_TAGS} of them, {_MOST_PAGES} pages or {_MOST_SECONDS} s, or one page again"
            )
        seen.add(url)
        page, url = repository.retry.call(partial(_page, repository, url), cancel)
        count += len(page)
        yield page


def _page(repository: Repository, url: str) -> tuple[list[str], str | None]:
    what = f"can't list the tags of {repository}"
    with repository.send("GET", url, what, good=(200,)) as answer:
        raw = answer.read_all(_LIMIT)
        following = next_page(answer, url, what)
    if is_page(raw):
        raise page_fault(what, repository.endpoint.host, 200)
    if len(raw) > _LIMIT:
        raise TransferError(f"{what}: {repository.endpoint.host} gave a page of more than {_LIMIT} bytes")
    try:
        tags = json.loads(raw)["tags"]
        # A repository whose last tag was removed has null.
        found = [tag for tag in tags or () if isinstance(tag, str) and _is_tag(tag)]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise TransferError(f"{what}: {repository.endpoint.host} gave no list of tags") from None
    return found, following


def next_page(answer: Answer, url: str, what: str) -> str | None:
    """The address of the page after `url`, on the same host; None after the last one. Raises `TransferError`."""
    target = next_link(answer.header("Link"))
    if target is None:
        return None
    following = join(url, target)
    if Origin.of(following) != Origin.of(url):
        raise TransferError(f"{what}: the next page is at another host, {Origin.of(following).netloc}")
    return following


def delete_manifest(repository: Repository, target: str, cancel: Cancel | None = None) -> Descriptor:
    """Remove the manifest or index that a tag or digest stands for, with every tag that it has; what it was.

    Raises `TransferError`, also where the registry does not let anybody delete.
    """
    found = repository.head(target, cancel) or repository.document(target, cancel)[1]
    what = f"can't delete {repository}@{found.digest}"

    def delete() -> None:
        with repository.send("DELETE", repository.url(f"manifests/{found.digest}"), what, good=(200, 202, 204)):
            return

    try:
        repository.retry.call(delete, cancel)
    except TransferError as fault:
        if fault.status == 405 or fault.code in _OFF:
            fault.hint = f"{repository.endpoint.host} has deletion switched off; who runs it can allow it"
        raise
    return found


def _is_tag(text: str) -> bool:
    return len(text) <= _LONGEST and text.isascii() and text.isprintable()
