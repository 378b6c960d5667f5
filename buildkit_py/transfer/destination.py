"""What copying asks of the place that an image goes to, and what is shared by those that are files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from buildkit_py.errors import IntegrityError, RegistryError, SourceInputError
from buildkit_py.oci import Descriptor, Index, Manifest
from buildkit_py.registry.blobs import BlobSource, Progress
from buildkit_py.registry.incoming import Incoming
from buildkit_py.registry.retry import Cancel, Retry
from buildkit_py.transfer.plan import Node

Outcome = Literal["existing", "mounted", "copied"]


class Destination(Protocol):
    """Takes images: of each the blobs first, then its manifests, each after those that it names, then its name.

    Several images may come one after the other. What is known by a name is whole at every moment.
    """

    @property
    def jobs(self) -> int:
        """How many blobs it takes at once."""

    @property
    def keeps_manifests(self) -> bool:
        """Whether manifests are kept as they are; without, it holds images of one platform each."""

    def accept(self, document: Manifest | Index) -> None:
        """Raise where it can't hold what this document describes; called before any blob is moved."""

    def holds(self, root: Node, name: str | None) -> bool:
        """Whether the whole image is there under that name, and nobody has to look at its parts."""

    def blob(
        self, item: Descriptor, sources: Sequence[BlobSource], progress: Progress | None, cancel: Cancel
    ) -> Outcome:
        """See to it that the blob is there, checked; on any thread. Sources are not touched where it is."""

    def document(self, item: Descriptor, document: Manifest | Index) -> None:
        """Take a manifest or an index whose blobs and manifests are there."""

    def publish(self, root: Descriptor, name: str | None) -> str | None:
        """Make the image known, as `name` or as the place itself says; the digest of another image that was called so
        before, where that is known."""


def from_first(
    item: Descriptor,
    sources: Sequence[BlobSource],
    take: Callable[[Incoming], Outcome],
    *,
    retry: Retry,
    progress: Progress | None,
    cancel: Cancel,
) -> Outcome:
    """Have `take` read the blob from the first source that gives it whole. What `take` itself raises ends it."""
    for source in sources:
        incoming = Incoming(item, source, retry=retry, progress=progress, cancel=cancel)
        try:
            return take(incoming)
        except (RegistryError, IntegrityError, SourceInputError):
            if source is sources[-1] or not incoming.failed:
                raise
    raise AssertionError("unreachable: there is a last source")
