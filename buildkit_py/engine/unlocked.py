"""Answers without a lock file: a tag means what the store knows of it, unless the client asks for it anew.

First comes an image that was given that name here (not one that only its build file calls so), then what the registry
said of the tag when it was last asked (kind `tag` of `store.memo`), then the registry. URLs and git refs are asked for
in every build.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from buildkit_py.engine.naming import reference
from buildkit_py.errors import PybuildError, TrustError
from buildkit_py.image.stored import one_image
from buildkit_py.reference import is_local

if TYPE_CHECKING:
    from buildkit_py.engine.resolver import EngineResolver
    from buildkit_py.graph.resolver import ResolvedImage
    from buildkit_py.platform import Platform
    from buildkit_py.store import Store


class UnlockedResolver:
    """Implements `graph.Resolver`. `answers` are what it said, by what it was asked; a graph made of them is as good as
    they are."""

    def __init__(self, inner: EngineResolver, store: Store, *, pull: bool) -> None:
        self._inner = inner
        self._store = store
        self._pull = pull
        self.answers: dict[str, str] = {}

    def image(self, ref: str, platform: Platform) -> ResolvedImage:
        """Pin an image by what is known here, or by the registry."""
        if is_local(ref) or "@" in ref:
            return self._inner.image(ref, platform)
        known = self._known(ref, platform)
        try:
            found = self._inner.image(f"{ref}@{known}" if known else ref, platform)
        except PybuildError as error:
            if known is None or isinstance(error, TrustError) or self._named(ref, platform) is not None:
                raise
            # The registry no longer has what the tag meant once.
            found = self._inner.image(ref, platform)
        digest = found.digest or ""
        if digest != known:
            self._store.memo.put("tag", _key(ref, platform), digest)
        self.answers[f"image {ref} {platform}"] = digest
        return found

    def http(self, url: str) -> str:
        """The digest of what a URL holds now."""
        digest = self._inner.http(url)
        self.answers[f"url {url}"] = digest
        return digest

    def git(self, url: str, ref: str) -> str:
        """The commit that a ref names now."""
        commit = self._inner.git(url, ref)
        self.answers[f"git {url} {ref}"] = commit
        return commit

    def text(self, path: str) -> str:
        """The text of a file of the context."""
        return self._inner.text(path)

    def find(self, path: str, context: str = "context") -> str | None:
        """The text of a file of a directory that the client offers."""
        return self._inner.find(path, context)

    def still(self, answers: Mapping[str, str]) -> bool:
        """Whether what was answered once would be answered again; images are looked up here alone."""
        if self._pull and any(question.startswith("image ") for question in answers):
            return False
        try:
            return all(self._again(question) == answer for question, answer in answers.items())
        except PybuildError:
            return False

    def _again(self, question: str) -> str | None:
        from buildkit_py.platform import Platform

        kind, _, rest = question.partition(" ")
        if kind == "url":
            return self._inner.http(rest)
        name, _, last = rest.rpartition(" ")
        return self._known(name, Platform.parse(last)) if kind == "image" else self._inner.git(name, last)

    def _known(self, ref: str, platform: Platform) -> str | None:
        if self._pull:
            return None
        remembered: str | None = self._store.memo.get("tag", _key(ref, platform))
        return self._named(ref, platform) or remembered

    def _named(self, ref: str, platform: Platform) -> str | None:
        """The manifest of an image that the store calls so."""
        descriptor = self._stored.get(ref)
        try:
            return str(one_image(self._store, descriptor, platform).descriptor.digest) if descriptor else None
        except PybuildError:
            return None

    @cached_property
    def _stored(self) -> Mapping[str, Mapping[str, Any]]:
        """The descriptors of the images that were given names, by reference."""
        records = [record for record in self._store.images.everywhere() if record.given]
        names = ((reference(record.name), record.descriptor) for record in records)
        return {str(ref): descriptor for ref, descriptor in names if ref is not None}


def _key(ref: str, platform: Platform) -> str:
    return f"{ref} {platform}"
