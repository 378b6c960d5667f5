"""Digests: `algorithm:hex`, checked against their grammar before anything is made of them."""

from __future__ import annotations

import hashlib
import re

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError

_HEX_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+\Z")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A content digest as in the OCI image specification; `hex` is lower case and of the right length."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Parse `sha256:…`; raises `IntegrityError` on anything that is not a supported digest."""
        algorithm, _, hexadecimal = text.partition(":")
        if _HEX_LENGTH.get(algorithm) != len(hexadecimal) or not _HEX.match(hexadecimal):
            raise IntegrityError(
                f"not a digest: {text[:100]!r}", hint="write sha256: and 64 hexadecimal digits in lower case"
            )
        return cls(algorithm, hexadecimal)

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The SHA-256 digest of `data`."""
        return cls("sha256", hashlib.sha256(data).hexdigest())

    @property
    def short(self) -> str:
        """The first 12 digits, for people."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
