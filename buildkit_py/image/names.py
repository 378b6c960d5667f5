"""Names of images in the store: given, taken away, and chosen to be removed with what they alone need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import NotFoundError, UsageError
from buildkit_py.image.view import begins, unknown

if TYPE_CHECKING:
    from buildkit_py.oci import Descriptor
    from buildkit_py.store import Store
    from buildkit_py.store.images import ImageRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A name that was given: to the image `digest`; `before` had it until then, and `nameless` says that it has no
    other."""

    name: str
    digest: str
    before: str | None = None
    nameless: bool = False


def give(store: Store, descriptor: Descriptor, names: Sequence[str]) -> list[Named]:
    """Give an image names, all or none; a name that another image has moves."""
    plain, given = descriptor.to_plain(), []
    with store.transaction():
        for name in dict.fromkeys(names):
            before = store.images.get(name)
            store.images.put(name, plain)
            given.append((name, str(before["digest"]) if before is not None else None))
        left = {str(record.descriptor["digest"]) for record in store.images.list()}
    digest = str(descriptor.digest)
    return [
        Named(name=name, digest=digest, before=None if before == digest else before, nameless=_is_lost(before, left))
        for name, before in given
    ]


def _is_lost(before: str | None, left: set[str]) -> bool:
    return before is not None and before not in left


def records_of(store: Store, names: Iterable[str]) -> list[ImageRecord]:
    """The records of exactly these names, each once; raises `NotFoundError` for the first that is not there."""
    known = {record.name: record for record in store.images.list()}
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in known:
            raise unknown(store, name)
    return [known[name] for name in wanted]


def doomed(store: Store, words: Iterable[str], *, force: bool) -> list[ImageRecord]:
    """The names that go with what `rmi` was given: a name, or how a digest begins, which are all names of that image.

    The names that only a build file says go with the last that was given. Raises `NotFoundError`, and `UsageError`
    where a digest has several names that were given, unless it is to be `force`.
    """
    records = store.images.list()
    chosen: dict[str, ImageRecord] = {}
    for word in words:
        exact = [record for record in records if record.name == word]
        found = exact or _of_digest(store, records, word, force=force)
        chosen |= {record.name: record for record in found}
    for record in list(chosen.values()):
        rest = [other for other in records if _digest(other) == _digest(record) and other.name not in chosen]
        if record.given and not any(other.given for other in rest):
            chosen |= {other.name: other for other in rest}
    return list(chosen.values())


def _of_digest(store: Store, records: Sequence[ImageRecord], word: str, *, force: bool) -> list[ImageRecord]:
    found = [record for record in records if begins(_digest(record), word)]
    digests = sorted({_digest(record) for record in found})
    if not found:
        raise unknown(store, word)
    if len(digests) > 1:
        raise NotFoundError(
            f"{len(digests)} images have a digest that begins with {word!r}", hint="they are " + ", ".join(digests)
        )
    given = [record.name for record in found if record.given]
    if len(given) > 1 and not force:
        raise UsageError(
            f"{word} has several names: {', '.join(given)}",
            hint="name the one that is to go, or write --force to take them all away",
        )
    return found


def _digest(record: ImageRecord) -> str:
    return str(record.descriptor["digest"])
