"""The gate that every image passes before anything of it is used: what the policy demands is met, or the build ends.

What was found is remembered (kind `trusted` of `store.memo`), under a digest of the requirement with its keys, of the
reference and of the image's digest. That a key signed a digest stays true; another key, another identity or another
image is another question, and is asked anew. So an image that is in the store, in a lock or in a receipt is held
against the policy of today, and the registry is asked once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py import canonical
from buildkit_py.dataclass import dataclass, replace
from buildkit_py.digest import Digest
from buildkit_py.errors import PybuildError, SignatureError, TrustError, UsageError
from buildkit_py.oci import Index, read_document
from buildkit_py.receipt import text_stamp
from buildkit_py.reference import Reference, is_local
from buildkit_py.trust.policy import (
    Accept,
    KeySource,
    Policy,
    Reject,
    SignedBy,
    SigstoreSigned,
    docker_scopes,
    load,
    path_scopes,
    places,
)

if TYPE_CHECKING:
    from buildkit_py.registry.client import RegistryClient
    from buildkit_py.store import Store
    from buildkit_py.trust.claims import Verdict
    from buildkit_py.trust.place import Place

KIND = "trusted"
_MAX_KEY = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An image at the gate: what it is called, the digest of its manifest, and that of the index it was found by.

    `files` says where the files of an image are that is in files, as far as its name does not: a path and a name in it,
    no path for standard input.
    """

    name: str
    digest: Digest
    index: Digest | None = None
    files: tuple[Path | None, str | None] | None = None

    @property
    def transport(self) -> str:
        """The transport of policies that it belongs to."""
        return self.name.partition(":")[0] if is_local(self.name) else "docker"

    @property
    def reference(self) -> Reference | None:
        """What it is called in a registry; None of files."""
        return Reference.parse(self.name.removeprefix("docker://")) if self.transport == "docker" else None

    @property
    def scopes(self) -> tuple[str, ...]:
        """Its scopes in a policy, the most specific first."""
        if self.reference is not None:
            return tuple(docker_scopes(self.reference))
        path, name = self.files or _files_of(self.name)
        return tuple(path_scopes(path.resolve(), name)) if path is not None else ()


def _files_of(text: str) -> tuple[Path, str | None]:
    """Path and name of an image in files. In a `dir:` is one image, so that a colon belongs to the path."""
    kind, _, rest = text.partition(":")
    path, _, name = (rest, "", "") if kind == "dir" else rest.partition(":")
    return Path(path), name or None


class Gate:
    """Holds images against one policy. `files` are what was read for that, with their stamps from before. With `anew`,
    what was found once is not believed; without a store nothing is remembered."""

    def __init__(
        self,
        store: Store | None,
        client: Callable[[], RegistryClient],
        *,
        given: Path | None = None,
        environ: Mapping[str, str] = os.environ,
        anew: bool = False,
    ) -> None:
        self._store = store
        self._client = client
        self._anew = anew
        self._met: set[str] = set()
        self.files: dict[str, str] = {}
        for path in places(environ, given):
            self._stamp(path)
        self.policy: Policy | None = load(environ, given)

    def admit(self, image: Candidate) -> str:
        """Return the scope of the policy that lets the image be used. Raises `TrustError`, `SignatureError`, and
        `RegistryError` where it can't be told."""
        if self.policy is None:
            return "no policy"
        scope, requirements = self.policy.requirements(image.transport, image.scopes)
        for requirement in requirements:
            if isinstance(requirement, Reject):
                raise TrustError(
                    f"the trust policy refuses {image.name}", hint=f"{self.policy.path} says so for {scope}"
                )
            if not isinstance(requirement, Accept):
                try:
                    self._demand(image, requirement)
                except TrustError as error:
                    error.hint = f"the trust policy {self.policy.path} demands it for {scope}"
                    raise
        return scope

    def _demand(self, image: Candidate, requirement: SignedBy | SigstoreSigned) -> None:
        keys = self._keys(requirement.keys)
        mark = _mark(image, requirement, keys)
        if mark in self._met:
            return
        if self._anew or self._store is None or self._store.memo.get(KIND, mark) is None:
            found = self._find(image, requirement, keys)
            if self._store is not None:
                self._store.memo.put(KIND, mark, found.to_plain())
        self._met.add(mark)

    def _find(self, image: Candidate, requirement: SignedBy | SigstoreSigned, keys: Mapping[str, bytes]) -> Verdict:
        """The signature that meets a requirement."""
        if image.reference is None:
            raise TrustError(f"{image.name} is not signed: images of the kind {image.transport} carry no signatures")
        from buildkit_py.trust.place import Place

        place = Place(self._client(), image.reference)
        seen: list[Verdict] = []
        for digest in self._digests(image, place):
            for verdict in _signatures(place, digest, requirement, keys):
                signed_as = verdict.claims.reference if verdict.claims else None
                if verdict.holds and requirement.identity.fits(image.reference, signed_as):
                    return verdict
                seen.append(verdict)
        raise _refusal(image, requirement, seen)

    def _digests(self, image: Candidate, place: Place) -> Iterator[Digest]:
        """What may be signed: the manifest, or an index that names it, as which it was found, or is remembered to have
        been found, or which the tag stands for today."""
        yield image.digest
        remembered = self._store.memo.get("root", str(image.digest)) if self._store is not None else None
        targets = (str(image.index or ""), remembered or "", place.ref.tag or "")
        seen: set[Digest] = set()
        for target in dict.fromkeys(filter(None, targets)):
            found = self._names(place, target, image.digest)
            if found is not None and found not in seen:
                seen.add(found)
                yield found

    def _names(self, place: Place, target: str, digest: Digest) -> Digest | None:
        """The digest of the index `target`, if it is one that names the manifest."""
        blobs = self._store.blobs if self._store is not None else None
        here = blobs is not None and ":" in target and blobs.has(target)
        document = read_document(blobs.read(target)) if blobs is not None and here else place.document(target)
        if not isinstance(document, Index) or all(item.digest != digest for item in document.manifests):
            return None
        return document.digest

    def _keys(self, source: KeySource) -> dict[str, bytes]:
        """The bytes of keys by where they are from."""
        found = {f"key {number} of the policy": data for number, data in enumerate(source.data, start=1)}
        for path in source.paths:
            self._stamp(Path(path))
            try:
                with Path(path).open("rb") as file:
                    found[path] = file.read(_MAX_KEY)
            except OSError as error:
                raise UsageError(f"the key {path} of the trust policy can't be read: {error.strerror}") from None
        return found

    def _stamp(self, path: Path) -> None:
        name = str(path.absolute())
        self.files.setdefault(name, text_stamp(name))


def _signatures(
    place: Place, digest: Digest, requirement: SignedBy | SigstoreSigned, keys: Mapping[str, bytes]
) -> Iterator[Verdict]:
    if isinstance(requirement, SignedBy):
        from buildkit_py.trust import simple

        yield from simple.verdicts(place, digest, tuple(keys.values()))
        return
    from buildkit_py.trust.claims import Trusted
    from buildkit_py.trust.keys import PublicKey
    from buildkit_py.trust.verify import signatures

    trusted = Trusted(keys=tuple(PublicKey.parse(raw, where) for where, raw in keys.items()))
    yield from signatures(place, digest, trusted)


def _mark(image: Candidate, requirement: SignedBy | SigstoreSigned, keys: Mapping[str, bytes]) -> str:
    """What a question at the gate is known by."""
    ref = image.reference
    plain = {
        "type": type(requirement).__name__,
        "identity": str(requirement.identity),
        "keys": sorted(sha256(raw).hexdigest() for raw in keys.values()),
        "name": str(replace(ref, digest=None) if ref is not None and ref.tag else ref or image.name),
        "digest": str(image.digest),
    }
    return canonical.digest(plain).hex


def _refusal(image: Candidate, requirement: SignedBy | SigstoreSigned, seen: list[Verdict]) -> PybuildError:
    if not seen:
        return TrustError(f"{image.name} is not signed ({image.digest})")
    others = [verdict for verdict in seen if verdict.holds]
    if others:
        names = sorted({(verdict.claims and verdict.claims.reference) or "no name" for verdict in others})
        told = f"is signed as {', '.join(names)[:200]}, which is not what {requirement.identity} asks for"
        return SignatureError(f"{image.name} {told}")
    reasons = "; ".join(dict.fromkeys(verdict.problem or "" for verdict in seen))
    return SignatureError(f"{image.name} has {len(seen)} signatures, and none holds: {reasons[:300]}")
