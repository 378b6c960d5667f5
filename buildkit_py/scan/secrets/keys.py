"""Private keys in their text forms: PEM (RFC 7468, RFC 1421), OpenSSH, OpenPGP (RFC 9580, armor), PuTTY, age."""

from __future__ import annotations

import base64
import binascii
import re

from buildkit_py.dataclass import replace
from buildkit_py.scan.secrets.values import Secret, told

_BEGIN = re.compile(rb"-----BEGIN ((?:[A-Z0-9]{1,12} ){0,3})PRIVATE KEY( BLOCK)?-----")
_DASHES = b"-----"
_END = b"-----END "
_LONGEST = 100_000
_PUTTY = re.compile(rb"PuTTY-User-Key-File-[23]: [^\r\n]{1,64}\r?\nEncryption: ([a-z0-9-]{1,32})\r?\n")
_OPENSSH = b"openssh-key-v1\0"
_LEAST = 32
_HEADER = re.compile(rb"^[A-Za-z-]{1,32}:[^\n]*$", re.MULTILINE)


def pem(data: bytes, at: int) -> Secret | None:
    """The private key that begins at a place of a text; None where only its first line is there, as in a program."""
    match = _BEGIN.match(data, at)
    # What is between holds no five dashes: so a text of nothing but first lines takes no longer than another.
    end = data.find(_DASHES, match.end(), match.end() + _LONGEST) if match else -1
    if match is None or not data.startswith(_END, end):
        return None
    # In JSON and in source code a line end is written with a backslash.
    body = data[match.end() : end].replace(b"\\r", b"").replace(b"\\n", b"\n").replace(b"\\/", b"/")
    raw = _decoded(b"".join(_HEADER.sub(b"", body).split()), armor=match[2] is not None)
    if raw is None or len(raw) < _LEAST:
        return None
    kind = match[1].strip().decode()
    sealed = kind == "ENCRYPTED" or b"Proc-Type: 4,ENCRYPTED" in body or _is_encrypted_openssh(raw)
    return _told(_NAMES.get(kind, f"{_article(kind)} {kind}"), raw, at, armor=match[2] is not None, sealed=sealed)


_NAMES = {"": "a PKCS #8", "ENCRYPTED": "a PKCS #8", "OPENSSH": "an OpenSSH", "PGP": "an OpenPGP"}


def _told(name: str, raw: bytes, at: int, *, armor: bool, sealed: bool) -> Secret:
    """With a hash of the key's bytes alone: the first characters of a key say nothing."""
    found = Secret(rule="private-key", severity="critical", message=f"{name} private key", at=at)
    if sealed:
        found = replace(
            found, rule="private-key-encrypted", severity="medium", message=f"{found.message} under a passphrase"
        )
    elif armor:
        found = replace(found, severity="high", message=f"{found.message}, perhaps under a passphrase")
    return replace(told(found, raw), shown=None)


def putty(data: bytes, at: int) -> Secret | None:
    """A private key as PuTTY writes it."""
    match = _PUTTY.match(data, at)
    if match is None:
        return None
    if match[1] == b"none":
        return Secret(rule="private-key", severity="critical", message="a PuTTY private key", at=at)
    return Secret(
        rule="private-key-encrypted", severity="medium", message="a PuTTY private key under a passphrase", at=at
    )


def _article(kind: str) -> str:
    return "an" if kind[:1] in "AEIOR" else "a"


def _decoded(text: bytes, *, armor: bool) -> bytes | None:
    if armor and text[-5:-4] == b"=":
        # The checksum of an armor stands behind the data.
        text = text[:-5]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _is_encrypted_openssh(raw: bytes) -> bool:
    """PROTOCOL.key of OpenSSH: the name of the cipher comes first, after its length."""
    start = len(_OPENSSH) + 4
    return raw.startswith(_OPENSSH) and not raw.startswith(b"none", start)
