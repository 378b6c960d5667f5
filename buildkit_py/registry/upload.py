"""Putting one blob into a repository: mounted from another, found there, or uploaded, resumed where it broke.

    POST blobs/uploads/?mount=…&from=…  ─ 201 ▶ mounted      ─ 202, Location ▶
    PATCH Location, bytes               ─ 202, Location ▶    (broke? GET Location ─ 204, Range: 0-N ▶ PATCH from N+1)
    PUT Location?digest=…               ─ 201 ▶ uploaded

(OCI distribution specification, "Pushing blobs".)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import IO, BinaryIO, Literal, cast
from urllib.parse import quote, urlencode, urlsplit

from buildkit_py.dataclass import dataclass
from buildkit_py.oci import Descriptor
from buildkit_py.registry.blobs import Opens, Progress
from buildkit_py.registry.faults import TransferError
from buildkit_py.registry.repository import Repository
from buildkit_py.registry.retry import Cancel, check
from buildkit_py.registry.transport import Answer, join

Outcome = Literal["existing", "mounted", "uploaded"]
_MONOLITHIC = 1 << 16
_GOOD_PROGRESS = 1 << 20
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})\Z")


@dataclass(slots=True)
class _Session:
    """An upload under way: where to send to, and how many bytes the registry has."""

    location: str
    offset: int = 0


class Upload:
    """One blob on its way to a repository."""

    def __init__(
        self,
        repository: Repository,
        descriptor: Descriptor,
        blobs: Opens,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        self._repository = repository
        self._descriptor = descriptor
        self._digest = str(descriptor.digest)
        self._blobs = blobs
        self._progress = progress
        self._cancel = cancel
        self._what = f"can't push {self._digest} to {repository}"

    def run(self, mount_from: str | None, bring: Callable[[Descriptor], None] | None) -> Outcome:
        """Make sure that the blob is there; `bring` puts it into the store if it must be uploaded and is not there."""
        if self._repository.has_blob(self._descriptor, self._cancel):
            return "existing"
        session = self._repository.retry.call(lambda: self._start(mount_from), self._cancel)
        if session is None:
            return "mounted"
        if bring is not None and not self._blobs.has(self._digest):
            bring(self._descriptor)
        self._transfer(session)
        return "uploaded"

    def _start(self, mount_from: str | None) -> _Session | None:
        """A new upload; None where the registry mounted the blob instead."""
        query = f"?{urlencode({'mount': self._digest, 'from': mount_from})}" if mount_from else ""
        url = self._repository.url(f"blobs/uploads/{query}")
        with self._repository.send(
            "POST", url, self._what, good=(201, 202), headers={"Content-Length": "0"}, body=b""
        ) as answer:
            if answer.status == 201 and mount_from:
                return None
            return _Session(self._location(answer))

    def _transfer(self, session: _Session) -> None:
        attempt = 0
        while True:
            before, attempt = session.offset, attempt + 1
            try:
                self._send(session)
                return
            except TransferError as fault:
                fault.retry = fault.retry or _forgotten(fault)
                self._repository.retry.wait(attempt, fault, self._cancel)
            session = self._resumed(session)
            attempt = 0 if session.offset - before >= _GOOD_PROGRESS else attempt

    def _send(self, session: _Session) -> None:
        if self._descriptor.size <= _MONOLITHIC and session.offset == 0:
            self._finish(session, self._blobs.open)
            return
        if session.offset < self._descriptor.size:
            self._patch(session)
        self._finish(session, None)

    def _patch(self, session: _Session) -> None:
        left = self._descriptor.size - session.offset
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(left)}
        if session.offset:
            headers["Content-Range"] = f"{session.offset}-{self._descriptor.size - 1}"
        with self._repository.send(
            "PATCH",
            session.location,
            self._what,
            good=(202, 204),
            headers=headers,
            body=lambda: self._body(session.offset),
        ) as answer:
            session.location, session.offset = self._location(answer), self._descriptor.size

    def _finish(self, session: _Session, opener: Callable[[str], BinaryIO] | None) -> None:
        url = _with_query(session.location, "digest", self._digest)
        length = self._descriptor.size if opener is not None else 0
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        body = (lambda: self._body(0)) if opener is not None else b""
        with self._repository.send("PUT", url, self._what, good=(201, 204), headers=headers, body=body):
            return

    def _body(self, offset: int) -> IO[bytes]:
        file = self._blobs.open(self._digest)
        file.seek(offset)
        return cast("IO[bytes]", _Counted(file, self._count))

    def _count(self, done: int) -> None:
        check(self._cancel)
        if self._progress is not None:
            self._progress(self._descriptor, done)

    def _resumed(self, session: _Session) -> _Session:
        """Where to go on: what the registry says that it has, or a new upload."""
        try:
            with self._repository.send("GET", session.location, self._what, good=(202, 204)) as answer:
                match = _RANGE.match(answer.header("Range") or "")
                offset = int(match[1]) + 1 if match else 0
                if offset <= self._descriptor.size and offset > 1:
                    return _Session(self._location(answer, session.location), offset)
        except TransferError:
            pass
        fresh = self._repository.retry.call(lambda: self._start(None), self._cancel)
        return cast("_Session", fresh)

    def _location(self, answer: Answer, known: str | None = None) -> str:
        given = answer.header("Location") or known
        if not given:
            raise TransferError(f"{self._what}: {self._repository.endpoint.host} gave no address to upload to")
        return join(answer.url, given)


class _Counted:
    """A file that tells how far it was read; what an HTTP client needs of a body, no more."""

    def __init__(self, file: BinaryIO, count: Callable[[int], None]) -> None:
        self._file = file
        self._count = count

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._count(self._file.tell())
        return piece

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _forgotten(fault: TransferError) -> bool:
    """Whether the registry knows nothing of the upload any more, or has another idea of where it ended."""
    return fault.status in (404, 416) or fault.code == "BLOB_UPLOAD_INVALID"


def _with_query(url: str, name: str, value: str) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{name}={quote(value, safe='')}"
