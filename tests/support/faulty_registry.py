"""A registry inside the test's own process that misbehaves as it is told to.

`faults` is a list of functions that are asked for every request, in order; one that returns True has answered it.
`requests` records what came: method, path with query, and headers.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qs, urlsplit

_UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads/([0-9]*)\Z")
_BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})\Z")
_MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)\Z")
_TAGS = re.compile(r"/v2/(.+)/tags/list\Z")
_REFERRERS = re.compile(r"/v2/(.+)/referrers/(sha256:[0-9a-f]{64})\Z")
_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came in."""

    method: str
    path: str
    headers: dict[str, str]


class Handler(BaseHTTPRequestHandler):
    """Speaks enough of the distribution specification for the client's tests."""

    protocol_version = "HTTP/1.1"
    server: _Server
    sent = b""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def reply(self, status: int, body: bytes = b"", /, **headers: object) -> None:
        """Answer; underscores of header names become hyphens."""
        self.send_response(status)
        named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        named.setdefault("Content-Length", str(len(body)))
        for name, value in named.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def drop(self) -> None:
        """Break the connection with a reset."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def body(self, limit: int | None = None) -> bytes:
        """The request's body, or its first bytes."""
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length if limit is None else min(limit, length))

    def _handle(self) -> None:
        registry = self.server.registry
        with registry.lock:
            registry.requests.append(Request(method=self.command, path=self.path, headers=dict(self.headers)))
            faults = list(registry.faults)
        for fault in faults:
            if fault(self):
                return
        self.behave()

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = _handle  # noqa: N815

    def behave(self) -> None:
        """Answer as a registry should."""
        registry, path = self.server.registry, urlsplit(self.path).path
        # Before the lock: who sends slowly must not keep others waiting.
        self.sent = self.body()
        with registry.lock:
            for pattern, action in (
                (_UPLOAD, self._upload),
                (_BLOB, self._blob),
                (_MANIFEST, self._manifest),
                (_TAGS, self._tags),
                (_REFERRERS, self._referrers),
            ):
                if match := pattern.match(path):
                    action(registry, *match.groups())
                    return
        self.reply(404)

    def _tags(self, registry: FaultyRegistry, name: str) -> None:
        tags = [tag for repository, tag in registry.manifests if repository == name and ":" not in tag]
        last = parse_qs(urlsplit(self.path).query).get("last", [""])[0]
        rest = tags[tags.index(last) + 1 :] if last else tags
        page = rest[: registry.page]
        link = {"Link": f'</v2/{name}/tags/list?n=2&last={page[-1]}>; rel="next"'} if page != rest else {}
        self.reply(200, json.dumps({"name": name, "tags": page}).encode(), **link)

    def _manifest(self, registry: FaultyRegistry, name: str, target: str) -> None:
        if self.command == "PUT":
            raw = self.sent
            digest = registry.add_manifest(name, target, raw, self.headers["Content-Type"])
            subject = json.loads(raw).get("subject") if registry.referrers else None
            self.reply(201, Docker_Content_Digest=digest, **({"OCI_Subject": subject["digest"]} if subject else {}))
        elif self.command == "DELETE":
            gone = [key for key, (raw, _) in registry.manifests.items() if key[0] == name and _digest(raw) == target]
            for key in gone:
                del registry.manifests[key]
            self.reply(202 if gone else 404)
        elif (name, target) in registry.manifests:
            raw, media_type = registry.manifests[name, target]
            self.reply(200, raw, Content_Type=media_type, Docker_Content_Digest=_digest(raw))
        else:
            self.reply(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}')

    def _referrers(self, registry: FaultyRegistry, name: str, digest: str) -> None:
        """One referrer a page, as a registry with very small pages would."""
        if not registry.referrers:
            self.reply(404)
            return
        at = int(parse_qs(urlsplit(self.path).query).get("at", ["0"])[0])
        found = [
            {
                "mediaType": media_type,
                "digest": target,
                "size": len(raw),
                "artifactType": json.loads(raw).get("artifactType"),
            }
            for (repository, target), (raw, media_type) in registry.manifests.items()
            if repository == name and ":" in target and b'"subject":' in raw and digest.encode() in raw
        ]
        more = {"Link": f'<{urlsplit(self.path).path}?at={at + 1}>; rel="next"'} if at + 1 < len(found) else {}
        page = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": found[at : at + 1]}
        self.reply(200, json.dumps(page).encode(), Content_Type=_INDEX, **more)

    def _blob(self, registry: FaultyRegistry, _: str, digest: str) -> None:
        data = registry.blobs.get(digest)
        if data is None:
            self.reply(404, b'{"errors": [{"code": "BLOB_UNKNOWN", "message": "blob unknown"}]}')
        elif (found := re.match(r"bytes=([0-9]+)-\Z", self.headers.get("Range") or "")) and int(found[1]) < len(data):
            start = int(found[1])
            self.reply(206, data[start:], Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.reply(200, data)

    def _upload(self, registry: FaultyRegistry, name: str, number: str) -> None:
        query = parse_qs(urlsplit(self.path).query)
        here = f"/v2/{name}/blobs/uploads/"
        if self.command == "POST":
            if "mount" in query and query["mount"][0] in registry.blobs and registry.mounts:
                self.reply(201)
                return
            registry.uploads.append(bytearray())
            self.reply(202, Location=f"{here}{len(registry.uploads) - 1}?state=x")
            return
        upload = registry.uploads[int(number)]
        if self.command == "PATCH":
            upload += self.sent
            self.reply(202, Location=self.path, Range=f"0-{len(upload) - 1}")
        elif self.command == "GET":
            self.reply(204, Location=self.path, Range=f"0-{max(0, len(upload) - 1)}")
        else:
            upload += self.sent
            if _digest(upload) != query["digest"][0]:
                self.reply(400, b'{"errors": [{"code": "DIGEST_INVALID", "message": "digest invalid"}]}')
                return
            registry.blobs[query["digest"][0]] = bytes(upload)
            self.reply(201)


Fault = Callable[[Handler], bool]


@dataclass(slots=True, kw_only=True)
class FaultyRegistry:
    """What the registry holds, what it is told to do wrong, and what it was asked. `page` is how many tags it lists at
    once."""

    name: str
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    uploads: list[bytearray] = field(default_factory=list)
    mounts: bool = True
    page: int | None = None
    referrers: bool = False
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def put(self, data: bytes) -> str:
        """Hold a blob."""
        digest = _digest(data)
        self.blobs[digest] = data
        return digest

    def add_manifest(self, repository: str, target: str, raw: bytes, media_type: str) -> str:
        """Hold a manifest under a tag and under its digest."""
        digest = _digest(raw)
        self.manifests[repository, target] = self.manifests[repository, digest] = (raw, media_type)
        return digest

    def asked(self, method: str, part: str) -> list[Request]:
        """The requests of that method whose path holds `part`."""
        with self.lock:
            return [item for item in self.requests if item.method == method and part in item.path]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    registry: FaultyRegistry

    def handle_error(self, *_: object) -> None:
        """Connections that break are what the tests are about."""


@contextmanager
def faulty_registry() -> Iterator[FaultyRegistry]:
    """Serve one on loopback, by plain HTTP."""
    server = _Server(("127.0.0.1", 0), Handler)
    server.registry = FaultyRegistry(name=f"127.0.0.1:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def times(count: int, fault: Fault) -> Fault:
    """Misbehave only the first `count` times that the fault applies."""
    left = [count]
    lock = Lock()

    def limited(handler: Handler) -> bool:
        with lock:
            if left[0] <= 0:
                return False
            left[0] -= 1
        done = fault(handler)
        if not done:
            with lock:
                left[0] += 1
        return done

    return limited


def on(method: str, part: str, action: Callable[[Handler], None]) -> Fault:
    """Do `action` for requests of that method whose path holds `part`."""

    def fault(handler: Handler) -> bool:
        if handler.command != method or part not in handler.path:
            return False
        action(handler)
        return True

    return fault


def _digest(data: bytes | bytearray) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
