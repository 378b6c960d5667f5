"""Keys as sigstore's tools use them: ECDSA (P-256 when made here), Ed25519 and RSA, with SHA-256.

An ECDSA signature is the DER sequence of r and s, an RSA signature has the padding of PKCS #1 v1.5, and an Ed25519
signature is over the message itself.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import UsageError
from buildkit_py.trust.foreign import to_base64

ECDSA, ED25519 = "ecdsa-p256", "ed25519"
_LEAST_RSA = 2048
_Any = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
_AnyPrivate = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that checks signatures. `where` is where it came from, for people."""

    key: _Any = field(repr=False)
    where: str

    @classmethod
    def parse(cls, raw: bytes, where: str) -> PublicKey:
        """From PEM (`PUBLIC KEY`, or a certificate's). Raises `UsageError`."""
        try:
            if b"-----BEGIN CERTIFICATE-----" in raw:
                from buildkit_py.trust.certificates import parse_pem

                return cls.of(parse_pem(raw, where)[0].public_key(), where)
            return cls.of(serialization.load_pem_public_key(raw), where)
        except (ValueError, UnsupportedAlgorithm):
            raise UsageError(f"{where} holds no public key", hint="it is a PEM file with BEGIN PUBLIC KEY") from None

    @classmethod
    def of(cls, key: object, where: str) -> PublicKey:
        """Wrap a key of the library; raises `UsageError` where it is of a kind that no signature here is made with."""
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA:
            raise UsageError(f"{where} holds an RSA key of {key.key_size} bits, which is too short")
        if not isinstance(key, _Any):
            raise UsageError(f"{where} holds a key of an unknown kind", hint="ECDSA, Ed25519 and RSA keys are known")
        return cls(key, where)

    @property
    def der(self) -> bytes:
        """The key as a `SubjectPublicKeyInfo`."""
        return self.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def pem(self) -> bytes:
        """The key as a PEM file."""
        return self.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def fingerprint(self) -> str:
        """`sha256:` and the hexadecimal digest of `der`: what people compare."""
        return f"sha256:{sha256(self.der).hexdigest()}"

    @property
    def hint(self) -> str:
        """The base64 digest of `der`: what a sigstore bundle says of its key."""
        return to_base64(sha256(self.der).digest())

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether the signature is this key's, over these bytes."""
        key = self.key
        if isinstance(key, ed25519.Ed25519PublicKey):
            return _holds(lambda: key.verify(signature, data))
        return self._verifies(signature, data, hashes.SHA256())

    def verifies_digest(self, signature: bytes, digest: bytes) -> bool:
        """Whether the signature is this key's, over bytes of that SHA-256; Ed25519 can't tell."""
        return self._verifies(signature, digest, Prehashed(hashes.SHA256()))

    def _verifies(self, signature: bytes, data: bytes, algorithm: Any) -> bool:
        key = self.key
        if isinstance(key, ec.EllipticCurvePublicKey):
            return _holds(lambda: key.verify(signature, data, ec.ECDSA(algorithm)))
        if isinstance(key, rsa.RSAPublicKey):
            return _holds(lambda: key.verify(signature, data, padding.PKCS1v15(), algorithm))
        return False


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs."""

    key: _AnyPrivate = field(repr=False)

    @classmethod
    def generate(cls, kind: str = ECDSA) -> PrivateKey:
        """A new key of the kind `ECDSA` or `ED25519`."""
        return cls(ed25519.Ed25519PrivateKey.generate() if kind == ED25519 else ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def of(cls, key: object, where: str) -> PrivateKey:
        """Wrap a key of the library; raises `UsageError` where it is of a kind that nothing here is signed with."""
        if not isinstance(key, _AnyPrivate):
            raise UsageError(f"{where} holds a key of an unknown kind", hint="ECDSA, Ed25519 and RSA keys are known")
        PublicKey.of(key.public_key(), where)
        return cls(key)

    @property
    def public(self) -> PublicKey:
        """The key that checks what this one signs."""
        return PublicKey(self.key.public_key(), "")

    def sign(self, data: bytes) -> bytes:
        """The signature over the bytes."""
        key = self.key
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(data)
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _holds(check: Callable[[], object]) -> bool:
    try:
        check()
    except InvalidSignature:
        return False
    return True
