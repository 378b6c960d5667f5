"""OpenPGP signatures of simple signing, read from lookaside storage and checked by `gpgv`.

A signature is one signed message whose text is a payload (`trust.payload`). It counts if gpgv finds exactly one good
signature in it, by a key of the keyrings that is neither expired nor revoked. (containers-signature(5).)
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, MissingToolError, UsageError
from buildkit_py.trust.claims import Verdict
from buildkit_py.trust.foreign import MAX_BYTES, from_base64
from buildkit_py.trust.lookaside import signatures
from buildkit_py.trust.payload import ATOMIC, claims_of
from buildkit_py.trust.place import Place

_ARMOR = re.compile(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\s*\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL)
_BAD = frozenset(
    {"BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NODATA", "UNEXPECTED", "FAILURE", "NO_PUBKEY"}
)
_SECONDS = 60


def verdicts(place: Place, digest: Digest, keyrings: Sequence[bytes]) -> Iterator[Verdict]:
    """Every signature of an image in its lookaside storage, checked. Raises `MissingToolError`, `RegistryError`."""
    for where, raw in signatures(place, digest):
        try:
            yield _verdict(raw, where, digest, keyrings)
        except IntegrityError as error:
            yield Verdict(form="simple", place=where, problem=error.message)


def _verdict(raw: bytes, where: str, digest: Digest, keyrings: Sequence[bytes]) -> Verdict:
    signer, text = _checked(raw, keyrings)
    if signer is None:
        return Verdict(form="simple", place=where, problem="no key that is trusted made it")
    claims = claims_of(text, ATOMIC, f"the signature {where}")
    if claims.digest != digest:
        return Verdict(form="simple", place=where, problem=f"it is a signature of another image ({claims.digest})")
    return Verdict(form="simple", place=where, signer=signer, claims=claims)


def _checked(raw: bytes, keyrings: Sequence[bytes]) -> tuple[str | None, bytes]:
    """The fingerprint of the key that made a signed message, and the text; None where it does not hold."""
    program = shutil.which("gpgv")
    if program is None:
        raise MissingToolError(
            "the trust policy demands an OpenPGP signature, and gpgv is not installed",
            hint="install gpgv (Debian: apt install gpgv)",
        )
    with TemporaryDirectory(prefix="pybuild-gpgv-") as scratch:
        directory = Path(scratch)
        message, text = directory / "message", directory / "text"
        message.write_bytes(raw)
        words = [program, "--homedir", scratch, "--status-fd", "1", "--output", str(text)]
        for number, keyring in enumerate(keyrings):
            place = directory / f"keyring-{number}.gpg"
            place.write_bytes(binary(keyring))
            words += ["--keyring", str(place)]
        try:
            done = subprocess.run(
                [*words, "--", str(message)],
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise IntegrityError("gpgv did not end") from None
        signer = signer_in(done.stdout.decode("utf-8", "replace")) if done.returncode == 0 else None
        if signer is None or not text.is_file():
            return None, b""
        with text.open("rb") as file:
            return signer, file.read(MAX_BYTES + 1)


def signer_in(status: str) -> str | None:
    """The key's fingerprint, where gpgv's status lines tell of one good signature and of nothing else."""
    lines = [line.split() for line in status.splitlines() if line.startswith("[GNUPG:] ")]
    words = [line[1] for line in lines if len(line) > 1]
    once = all(words.count(word) == 1 for word in ("NEWSIG", "GOODSIG", "VALIDSIG", "PLAINTEXT"))
    if not once or _BAD & set(words):
        return None
    valid = next(line for line in lines if line[1:2] == ["VALIDSIG"])
    return f"openpgp:{valid[2]}" if len(valid) > 2 else None


def binary(keyring: bytes) -> bytes:
    """A keyring as gpgv reads it: without the armour. Raises `UsageError`."""
    blocks = _ARMOR.findall(keyring)
    if not blocks:
        return keyring
    return b"".join(map(_unarmoured, blocks))


def _unarmoured(block: bytes) -> bytes:
    lines = [line.strip() for line in block.splitlines()]
    start = lines.index(b"") + 1 if b"" in lines else 0
    body = b"".join(line for line in lines[start:] if not line.startswith(b"="))
    return from_base64(body.decode("ascii", "replace"), "an armoured key of the trust policy", fault=UsageError)
