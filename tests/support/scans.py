"""Images to scan, made of a few files a layer, and secrets that nobody ever used."""

from __future__ import annotations

import base64
import io
import json
import random
import string
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from buildkit_py.image.stored import StoredImage, one_image
from buildkit_py.scan.model import Finding, Report
from buildkit_py.scan.run import ScanOptions, scan
from buildkit_py.store import Store
from tests.support.images import make_image
from tests.support.layouts import Entry

Files = Mapping[str, bytes | Entry]


def layer_of(files: Files) -> bytes:
    """A layer of files by path; an `Entry` is taken as it is, but for its name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, what in files.items():
            entry = what if isinstance(what, Entry) else Entry(name=name, data=what)
            info = entry.info
            info.name = name
            archive.addfile(info, io.BytesIO(entry.data))
    return out.getvalue()


def capable(data: bytes, value: bytes) -> bytes:
    """A layer of one program `bin/tool` with a value of `security.capability`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = Entry(name="bin/tool", data=data, mode=0o755).info
        info.pax_headers = {"SCHILY.xattr.security.capability": value.decode("utf-8", "surrogateescape")}
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def stored(store: Store, *layers: Files | bytes, config: Mapping[str, Any] | None = None) -> StoredImage:
    """An image of these layers in a store, under the name `image`."""
    made = make_image(*(each if isinstance(each, bytes) else layer_of(each) for each in layers), config=config)
    descriptor = made.store(store.blobs)
    store.images.put("image", descriptor.to_plain())
    return one_image(store, descriptor)


def scanned(root: Path, *layers: Files | bytes, config: Mapping[str, Any] | None = None, **options: Any) -> Report:
    """The report of an image of these layers."""
    with Store.open(root) as store, store.lease():
        return scan(stored(store, *layers, config=config), "image", ScanOptions(**options))


def secrets_of(report: Report) -> list[Finding]:
    """The findings that are no finding about the rights of files."""
    return [
        each
        for each in report.findings
        if each.rule not in ("broken-link", "world-writable", "unknown-owner", "setuid")
    ]


def rules_of(report: Report) -> list[str]:
    """The rules of all findings."""
    return [each.rule for each in report.findings]


_RANDOM = random.Random(5)


def letters(number: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Random letters, the same in every run; written nowhere, so that no scanner stumbles over this file."""
    return "".join(_RANDOM.choice(alphabet) for _ in range(number))


def jwt(claims: Mapping[str, Any]) -> str:
    """A token with these claims, signed by nobody."""
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts), letters(43)]
    )


def pem_key(kind: str = "rsa", *, passphrase: bytes | None = None, form: str = "pkcs8") -> bytes:
    """A new private key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    made: Any = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
    }[kind]()
    formats = serialization.PrivateFormat
    wanted = {"pkcs8": formats.PKCS8, "traditional": formats.TraditionalOpenSSL, "openssh": formats.OpenSSH}[form]
    sealing = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    key: bytes = made.private_bytes(serialization.Encoding.PEM, wanted, sealing)
    return key


def lines(rows: Sequence[str]) -> bytes:
    """Text of these lines."""
    return "".join(f"{row}\n" for row in rows).encode()
