"""What a request costs before it is sent."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from buildkit_py.registry.config import load
from buildkit_py.registry.faults import TransferError
from buildkit_py.registry.transport import Transport
from tests.support import httpd


def test_plain_http_reads_no_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    original = ssl.SSLContext.load_default_certs

    def counted(context: ssl.SSLContext, *purpose: ssl.Purpose) -> None:
        read.append(context)
        original(context, *purpose)

    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", counted)
    (tmp_path / "file").write_bytes(b"x")
    transport = Transport(load(), {})
    with httpd.serve(tmp_path) as server:
        with transport.send("GET", f"{server.url}/file", {}) as answer:
            assert answer.read_all(10) == b"x"
        assert read == []
        with pytest.raises(TransferError, match="TLS"):
            transport.send("GET", f"{server.url.replace('http:', 'https:')}/file", {})
        assert len(read) == 1
