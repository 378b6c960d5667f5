"""One repository at one endpoint: requests with authorization, and errors for every answer that is not a success."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import IO

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError
from buildkit_py.oci import MAX_DOCUMENT, Descriptor, Index, Manifest, check_bytes, parse_document
from buildkit_py.oci.media_types import DOCUMENTS
from buildkit_py.registry.auth import Authorizer
from buildkit_py.registry.config import Endpoint
from buildkit_py.registry.credentials import Credential
from buildkit_py.registry.faults import TransferError, is_page, login_fault, page_fault, plain_text, said, status_fault
from buildkit_py.registry.retry import Cancel, Retry, seconds
from buildkit_py.registry.transport import Answer, Origin, Transport

_ERROR_BODY = 1 << 16
_ACCEPT = ", ".join(sorted(DOCUMENTS))
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)\Z")
Body = bytes | Callable[[], IO[bytes]] | None


class Repository:
    """What can be asked of one repository. Thread-safe."""

    def __init__(
        self,
        transport: Transport,
        endpoint: Endpoint,
        name: str,
        *,
        scopes: tuple[str, ...],
        lookup: Callable[[], Credential | None],
        retry: Retry,
    ) -> None:
        self.endpoint = endpoint
        self.name = endpoint.repository(name)
        self.retry = retry
        self._transport = transport
        self._auth = Authorizer(transport, endpoint.base, endpoint.host, scopes, lookup)
        self._origin = Origin.of(endpoint.base)

    def __str__(self) -> str:
        return f"{self.endpoint.host}/{self.name}"

    def url(self, rest: str) -> str:
        """The address of something of this repository: `manifests/…`, `blobs/…`."""
        return f"{self.endpoint.base}/v2/{self.name}/{rest}"

    def send(
        self,
        method: str,
        url: str,
        what: str,
        *,
        good: Collection[int],
        headers: Mapping[str, str] | None = None,
        body: Body = None,
    ) -> Answer:
        """One request; a challenge is met once. Raises `TransferError` for every status that is not in `good`.

        `body` may be a function that opens it, so that it can be sent again after a challenge.
        """
        mine = Origin.of(url) == self._origin
        ours = False
        # Without a token, with one that another thread asked for and that has just run out, with a newer one.
        for last in (False, False, True):
            value = self._auth.value(what) if mine else None
            sent = {**(headers or {}), **({"Authorization": value} if value else {})}
            answer = self._sent(method, url, sent, body)
            if answer.status in good:
                return answer
            with answer:
                challenge = answer.header("WWW-Authenticate")
                # Where a redirect ended at another host, that one has no say in where a password goes.
                asked = mine and Origin.of(answer.url) == self._origin
                if answer.status != 401 or not challenge or not asked or ours or last:
                    raise self._fault(answer, what)
            ours = self._auth.answer(challenge, value, what)
        raise AssertionError("unreachable")

    def _sent(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> Answer:
        if not callable(body):
            return self._transport.send(method, url, headers, body)
        with body() as stream:
            return self._transport.send(method, url, headers, stream)

    def _fault(self, answer: Answer, what: str) -> TransferError:
        try:
            raw = answer.read_all(_ERROR_BODY)
        except TransferError:
            raw = b""
        secrets = self._auth.secrets()
        if answer.status == 401:
            return login_fault(what, self.endpoint.host, plain_text(said(raw)[1], secrets))
        after = seconds(answer.header("Retry-After"))
        return status_fault(what, self.endpoint.host, answer.status, raw, after=after, secrets=secrets)

    def document(self, target: str, cancel: Cancel | None = None) -> tuple[Manifest | Index, Descriptor]:
        """The manifest or index of a tag or digest, checked. Raises `TransferError`, `IntegrityError`."""
        what = f"can't read {self}{'@' if ':' in target else ':'}{target}"
        raw, media_type, claimed = self.retry.call(lambda: self._document(target, what), cancel)
        if is_page(raw):
            raise page_fault(what, self.endpoint.host, 200)
        try:
            document = parse_document(raw, media_type)
        except IntegrityError as error:
            raise IntegrityError(f"{what}: {error.message}", hint=error.hint) from None
        descriptor = Descriptor.of(raw, document.media_type)
        if ":" in target:
            wanted = Digest.parse(target)
            check_bytes(
                raw, Descriptor(media_type=document.media_type, digest=wanted, size=len(raw)), f"{self}@{target}"
            )
            descriptor = Descriptor(media_type=document.media_type, digest=wanted, size=len(raw))
        elif claimed is not None and claimed.startswith("sha256:") and claimed != str(descriptor.digest):
            raise IntegrityError(f"{self}:{target} does not match the digest that {self.endpoint.host} gave with it")
        return document, descriptor

    def _document(self, target: str, what: str) -> tuple[bytes, str | None, str | None]:
        with self.send(
            "GET", self.url(f"manifests/{target}"), what, good=(200,), headers={"Accept": _ACCEPT}
        ) as answer:
            raw = answer.read_all(MAX_DOCUMENT)
            if answer.length is not None and len(raw) < min(answer.length, MAX_DOCUMENT):
                raise TransferError(f"{what}: the answer ended too early", retry=True)
            return raw, _media_type(answer), answer.header("Docker-Content-Digest")

    def head(self, target: str, cancel: Cancel | None = None) -> Descriptor | None:
        """The descriptor of a tag or digest as the registry states it; None where it does not state it fully."""
        what = f"can't find {self}{'@' if ':' in target else ':'}{target}"

        def ask() -> Descriptor | None:
            url = self.url(f"manifests/{target}")
            with self.send("HEAD", url, what, good=(200,), headers={"Accept": _ACCEPT}) as answer:
                media_type, digest = _media_type(answer), answer.header("Docker-Content-Digest")
                if media_type not in DOCUMENTS or digest is None or answer.length is None:
                    return None
                return Descriptor(media_type=media_type, digest=Digest.parse(digest), size=answer.length)

        return self.retry.call(ask, cancel)

    def has_blob(self, descriptor: Descriptor, cancel: Cancel | None = None) -> bool:
        """Whether the blob is there, with the right size."""
        what = f"can't ask {self} for {descriptor.digest}"

        def ask() -> bool:
            url = self.url(f"blobs/{descriptor.digest}")
            with self.send("HEAD", url, what, good=(200, 404)) as answer:
                return answer.status == 200 and answer.length in (None, descriptor.size)

        return self.retry.call(ask, cancel)

    def blob(self, descriptor: Descriptor, offset: int = 0) -> RemoteBlob:
        """The blob's bytes from `offset`, or from an earlier place where the registry can't start there."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        what = f"can't fetch {descriptor.digest} from {self}"
        url = self.url(f"blobs/{descriptor.digest}")
        answer = self.send("GET", url, what, good=(200, 206, 416) if offset else (200,), headers=headers)
        if answer.status == 200:
            return RemoteBlob(answer, 0)
        if answer.status == 206 and _starts_at(answer, offset, descriptor.size):
            return RemoteBlob(answer, offset)
        answer.close()
        return RemoteBlob(self.send("GET", url, what, good=(200,)), 0)


class RemoteBlob:
    """A blob on its way; `offset` is where its first byte stands."""

    def __init__(self, answer: Answer, offset: int) -> None:
        self._answer = answer
        self.offset = offset

    def read(self, size: int) -> bytes:
        """At most `size` bytes; empty at the end. Raises `TransferError` where the connection breaks."""
        return self._answer.read(size)

    def __enter__(self) -> RemoteBlob:
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()


def _starts_at(answer: Answer, offset: int, size: int) -> bool:
    """Whether a 206 holds what was asked for; a registry may answer with another range, or none at all."""
    match = _CONTENT_RANGE.match(answer.header("Content-Range") or "")
    return match is not None and int(match[1]) == offset and match[3] in ("*", str(size))


def _media_type(answer: Answer) -> str | None:
    """The `Content-Type` where it says anything: servers of plain files give none that does."""
    text = (answer.header("Content-Type") or "").partition(";")[0].strip().lower()
    return None if text in ("", "application/json", "application/octet-stream", "text/plain") else text
