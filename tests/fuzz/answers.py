"""Targets that are answers of a registry: all that it sends, from the status line to the last chunk."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Sequence
from email.utils import formatdate
from functools import cache
from http.client import HTTPConnection

from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_LAYER
from buildkit_py.reference import Reference
from buildkit_py.registry.auth import Challenge
from buildkit_py.registry.client import RegistryClient
from buildkit_py.registry.config import HostSettings, RegistryConfig
from buildkit_py.registry.connections import Connections, Place
from buildkit_py.registry.faults import plain_text, said, status_fault
from buildkit_py.registry.helper import _read as helper_answer
from buildkit_py.registry.links import next_link
from buildkit_py.registry.retry import seconds
from buildkit_py.registry.transport import Origin, Transport
from buildkit_py.registry.upload import Upload
from buildkit_py.trust import place
from tests.fuzz.contract import Target, attempt
from tests.fuzz.scratch import written
from tests.support.clients import make_client
from tests.support.images import make_image, make_index
from tests.support.memory_blobs import MemoryBlobs

_HOST = "r.example"
_REF = Reference.parse(f"{_HOST}/team/app:1")
_BLOB = Descriptor.of(b"hello", OCI_LAYER)
_PART = b"\n--- the next answer ---\n"
_PLACE = Place(secure=False, host=_HOST, port=80, proxy=None, ca=None)


class _Played(Connections):
    """Each new connection plays the next of some answers, and the last one for ever."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        super().__init__(_PLACE)
        self._answers = list(answers)

    def _connected(self) -> HTTPConnection:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.sendall(answer)
        connection = HTTPConnection(_HOST)
        connection.sock = ours
        return connection


class _Theatre(Transport):
    """Whoever is asked, the same answers come."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        super().__init__(RegistryConfig(hosts={_HOST: HostSettings(plain_http=True)}), {})
        self._played = _Played(answers)

    def _to(self, origin: Origin) -> Connections:
        return self._played


def _client(data: bytes) -> RegistryClient:
    auth = written("answers/auth.json", json.dumps({"auths": {_HOST: {"auth": "bWU6c2VjcmV0"}}}).encode())
    client = make_client(_HOST, environ={"REGISTRY_AUTH_FILE": str(auth)})
    client._transport = _Theatre(data.split(_PART))
    return client


def _read(data: bytes) -> None:
    """Documents, names and blobs are read."""
    for call in (
        lambda client: client.resolve(_REF),
        lambda client: client.manifest(_REF),
        lambda client: client.tags(_REF),
        lambda client: client.fetch(_REF, [_BLOB], MemoryBlobs()),
        lambda client: place.Place(client, _REF).referrers(_BLOB.digest),
    ):
        attempt(call, _client(data))


def _write(data: bytes) -> None:
    """A blob is uploaded, and an image deleted."""
    source = place._Bytes(b"hello")
    repository = _client(data).repository(RegistryConfig().origin(_HOST), "team/app", push=True)
    attempt(Upload(repository, _BLOB, source).run, "team/other")
    large = Descriptor.of(b"x" * 70_000, OCI_LAYER)
    repository = _client(data).repository(RegistryConfig().origin(_HOST), "team/app", push=True)
    attempt(Upload(repository, large, place._Bytes(b"x" * 70_000)).run, None)
    attempt(_client(data).delete, _REF)


def _answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    named = {"Content-Length": str(len(body)), **{key.replace("_", "-"): value for key, value in headers.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


@cache
def _answers() -> tuple[bytes, ...]:
    image = make_image(b"hello")
    index, about = make_index(image)
    kind = image.descriptor.media_type
    manifest = _answer("200 OK", image.manifest, Content_Type=kind, Docker_Content_Digest=str(image.descriptor.digest))
    bearer = f'Bearer realm="http://{_HOST}/token",service="s",scope="repository:team/app:pull"'
    asked = _answer("401 Unauthorized", b"", WWW_Authenticate=bearer)
    token = _answer("200 OK", b'{"token": "abc", "expires_in": 60}')
    tags = json.dumps({"name": "team/app", "tags": ["1", "2"]}).encode()
    fault = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "no such http://a/b?sig=1"}]}'
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    page = _answer("200 OK", tags, Link='</v2/team/app/tags/list?n=1&last=2>; rel="next"')
    moved = _answer("202 Accepted", Location=f"http://{_HOST}/u/2")
    started = _answer("202 Accepted", Location="/v2/team/app/blobs/uploads/1?a=b", Range="0-0")
    return (
        manifest,
        _PART.join((asked, token, manifest)),
        _PART.join((_answer("401 Unauthorized", b"", WWW_Authenticate='Basic realm="x"'), manifest)),
        _answer("200 OK", index, Content_Type=about.media_type),
        _PART.join((page, _answer("200 OK", tags))),
        _answer("404 Not Found", fault, Content_Type="application/json"),
        _PART.join((_answer("429 Too Many", b"<html>", Retry_After=formatdate(usegmt=True)), manifest)),
        _answer("307 Temporary", b"", Location=f"http://{_HOST}/elsewhere"),
        _answer("206 Partial", b"lo", Content_Range="bytes 3-4/5"),
        _answer("200 OK", b"hello"),
        chunked,
        b"HTTP/1.1 100 Continue\r\n\r\n" + chunked,
        _PART.join((_answer("404 Not Found"), started, moved, _answer("201 Created"))),
    )  # fmt: skip


_HEADERS = (
    b'Bearer realm="https://a.example/token",service="registry \\"x\\"",scope="repository:a/b:pull,push"',
    b"Basic realm=x, charset=UTF-8",
    b'</v2/a/tags/list?last=b&n=1>; rel="next", <x>; rel=prev',
    b"Tue, 01 Dec 2026 00:00:00 GMT",
    b"120",
)


def _header(data: bytes) -> None:
    """A header as each reader of headers takes it."""
    text = re.sub(r"[\r\n]", " ", data.decode("latin-1"))
    challenge = Challenge.parse(text)
    attempt(Origin.of, challenge.parameters.get("realm", ""))
    next_link(text)
    seconds(text)


def _body(data: bytes) -> None:
    """The body of an error, shown without what was sent with it."""
    code, words = said(data)
    assert code is None or isinstance(code, str)
    assert all(char not in plain_text(words, ("secret",)) for char in "\n\x1b\r")
    assert "secret" not in status_fault("can't read it", _HOST, 500, data, secrets=("secret",)).message
    attempt(helper_answer, data, "name")


_BODIES = (
    b'{"errors": [{"code": "DENIED", "message": "secret https://a.example/b?X-Sig=abc", "detail": {"a": [1]}}]}',
    b'{"ServerURL": "r.example", "Username": "me", "Secret": "secret"}',
)

TARGETS: dict[str, Target] = {
    "answer": Target(run=_read, seeds=_answers, form="text", examples=60),
    "answer-to-push": Target(run=_write, seeds=_answers, form="text", examples=60),
    "header": Target(run=_header, seeds=lambda: _HEADERS, form="text"),
    "error-body": Target(run=_body, seeds=lambda: _BODIES, form="json"),
}
