"""Private keys in files, encrypted with a password.

cosign's own form is PEM around JSON (`ENCRYPTED COSIGN PRIVATE KEY`; newer programs also write `… SIGSTORE …`):

    {"kdf": {"name": "scrypt", "params": {"N": 65536, "r": 8, "p": 1}, "salt": …},
     "cipher": {"name": "nacl/secretbox", "nonce": …}, "ciphertext": …}      # of the key as PKCS #8

Keys for the Notary Project are encrypted PKCS #8 (`ENCRYPTED PRIVATE KEY`), which OpenSSL reads too. Both are read, and
so are keys without a password.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from buildkit_py.errors import UsageError
from buildkit_py.trust.foreign import Fields, from_base64, json_object, to_base64
from buildkit_py.trust.keys import PrivateKey

Password = Callable[[], bytes]
_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----\s*(.*?)\s*-----END \1-----", re.DOTALL)
_SEALED = (b"ENCRYPTED COSIGN PRIVATE KEY", b"ENCRYPTED SIGSTORE PRIVATE KEY")
_COST, _BLOCK, _LANES = 65536, 8, 1
_MOST_MEMORY = 1 << 30
_LENGTH = 32
_NONCE = 24
MAX_BYTES = 1 << 16


def sealed(key: PrivateKey, password: bytes) -> bytes:
    """The key in cosign's form."""
    from nacl.secret import SecretBox

    salt, nonce = os.urandom(_LENGTH), os.urandom(_NONCE)
    plain = key.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    box = SecretBox(_derived(password, salt, _COST, _BLOCK, _LANES))
    document = {
        "kdf": {"name": "scrypt", "params": {"N": _COST, "r": _BLOCK, "p": _LANES}, "salt": to_base64(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": to_base64(nonce)},
        "ciphertext": to_base64(box.encrypt(plain, nonce).ciphertext),
    }
    body = base64.encodebytes(json.dumps(document, separators=(",", ":")).encode()).replace(b"\n", b"")
    lines = b"\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return b"-----BEGIN %s-----\n%s\n-----END %s-----\n" % (_SEALED[0], lines, _SEALED[0])


def pkcs8(key: PrivateKey, password: bytes) -> bytes:
    """The key as encrypted PKCS #8."""
    return key.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )


def load(path: Path, password: Password) -> PrivateKey:
    """The key in a file; `password` is asked only if the file has one. Raises `UsageError`."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the key {path} can't be read: {error.strerror}") from None
    return parse(raw, password, str(path))


def parse(raw: bytes, password: Password, where: str) -> PrivateKey:
    """The key in the bytes of a file that is called `where`."""
    match = _PEM.search(raw) if len(raw) <= MAX_BYTES else None
    if match is None:
        raise UsageError(f"{where} holds no private key", hint="`pybuild key generate -o NAME` makes NAME.key")
    if match[1] == b"PUBLIC KEY":
        raise UsageError(f"{where} is a public key, which can't sign", hint="name the file that ends with .key")
    if match[1] in _SEALED:
        der = _opened(match[2], password, where)
        return PrivateKey.of(_loaded(lambda: serialization.load_der_private_key(der, None), where), where)
    secret = password() if b"ENCRYPTED" in match[0] else None
    return PrivateKey.of(_loaded(lambda: serialization.load_pem_private_key(match[0], secret or None), where), where)


def _loaded(load: Callable[[], object], where: str) -> object:
    try:
        return load()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UsageError(f"the key {where} can't be opened", hint="is the password right?") from None


def _opened(body: bytes, password: Password, where: str) -> bytes:
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    what = f"the key {where}"
    text = b"".join(body.split()).decode("ascii", "replace")
    document = json_object(from_base64(text, what, fault=UsageError), what, UsageError)
    derivation, cipher = document.table("kdf"), document.table("cipher")
    if (derivation.text("name"), cipher.text("name")) != ("scrypt", "nacl/secretbox"):
        raise UsageError(f"{what} is encrypted in an unknown way")
    cost, block, lanes = _costs(derivation.table("params"), what)
    texts = derivation.text("salt"), cipher.text("nonce"), document.text("ciphertext")
    salt, nonce, ciphertext = (from_base64(text, what, fault=UsageError) for text in texts)
    try:
        return SecretBox(_derived(password(), salt, cost, block, lanes)).decrypt(ciphertext, nonce)
    except (CryptoError, ValueError):
        raise UsageError(f"{what} can't be opened", hint="is the password right?") from None


def _costs(params: Fields, what: str) -> tuple[int, int, int]:
    """The parameters of scrypt, as long as they ask for no absurd amount of memory or time."""
    cost, block, lanes = (params.number(name) for name in ("N", "r", "p"))
    sane = cost > 1 and cost & (cost - 1) == 0 and block > 0 and 0 < lanes <= 16
    if not sane or 128 * cost * block > _MOST_MEMORY:
        raise UsageError(f"{what} asks for an impossible key derivation (N={cost}, r={block}, p={lanes})")
    return cost, block, lanes


def _derived(password: bytes, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return Scrypt(salt=salt, length=_LENGTH, n=cost, r=block, p=lanes).derive(password)


def write_new(files: dict[Path, tuple[bytes, int]]) -> None:
    """Write files that are not there yet, all or none: path → bytes and mode. Raises `UsageError`, `OutputError`."""
    from buildkit_py.errors import OutputError

    made: list[Path] = []
    try:
        for path, (data, mode) in files.items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(path, flags, mode), "wb") as file:
                made.append(path)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
    except BaseException as error:
        for path in made:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise UsageError(
                f"{error.filename} is there already, and keys are never replaced", hint="choose another name for -o"
            ) from None
        if isinstance(error, OSError):
            raise OutputError(f"{error.filename or 'the key'} can't be written: {error.strerror}") from None
        raise
