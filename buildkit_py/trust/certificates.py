"""Certificates of the Notary Project: made for a key of our own, and chains checked as its specification demands.

A chain runs from the signing certificate to a self-signed root. Only basic constraints, key usage and extended key
usage are looked at; every certificate must be valid now, as there is no trusted timestamp. ("Certificate Requirements"
of the Notary Project's signature specification.)
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from buildkit_py.errors import IntegrityError, UsageError
from buildkit_py.trust.keys import PrivateKey

_FORBIDDEN_USES = frozenset(
    {
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ExtendedKeyUsageOID.TIME_STAMPING,
    }
)
_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
_LEAF_FORBIDS = ("key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
_LEAST_RSA, _LEAST_EC = 2048, 256
_MOST_CERTIFICATES = 10
_ROOT_DAYS, _LEAF_DAYS = 3650, 1095
_HOUR = datetime.timedelta(hours=1)


def make_chain(key: PrivateKey, name: str) -> tuple[x509.Certificate, x509.Certificate]:
    """A certificate for `key` whose common name is `name`, and the root that signed it.

    The root's key signs this one certificate and is forgotten, so nobody can make another one that the root covers.
    """
    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name, leaf_name = _name(f"{name} root"), _name(name)
    root = _builder(root_name, root_name, _ROOT_DAYS).public_key(root_key.public_key())
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    root = root.add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
    root = root.add_extension(x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), critical=False)
    leaf = _builder(leaf_name, root_name, _LEAF_DAYS).public_key(key.public.key)
    leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    leaf = leaf.add_extension(_usage("digital_signature"), critical=True)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    leaf = leaf.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
    return leaf.sign(root_key, hashes.SHA256()), root.sign(root_key, hashes.SHA256())


def to_pem(certificates: Sequence[x509.Certificate]) -> bytes:
    """The certificates one after the other, as PEM."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def parse_pem(raw: bytes, where: str) -> tuple[x509.Certificate, ...]:
    """The certificates in a PEM file, at least one. Raises `UsageError`."""
    try:
        return tuple(x509.load_pem_x509_certificates(raw))
    except (ValueError, x509.InvalidVersion):
        raise UsageError(f"{where} holds no certificates", hint="it is a PEM file with BEGIN CERTIFICATE") from None


def fingerprint(certificate: x509.Certificate) -> str:
    """The SHA-256 of a certificate, in hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def check_chain(chain: Sequence[x509.Certificate], now: datetime.datetime) -> None:
    """Raise `IntegrityError` unless the chain, signing certificate first, is one that may sign code at that time."""
    if not 0 < len(chain) <= _MOST_CERTIFICATES:
        raise IntegrityError(f"its chain has {len(chain)} certificates")
    for certificate in chain:
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise IntegrityError(f"the certificate {_shown(certificate)} is not valid now")
        if isinstance(certificate.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
            raise IntegrityError(f"the certificate {_shown(certificate)} is signed with a broken hash")
    for place, certificate in enumerate(chain):
        _check_issued(certificate, chain[place + 1] if place + 1 < len(chain) else certificate)
    try:
        _check_leaf(chain[0])
        for depth, certificate in enumerate(chain[1:]):
            _check_authority(certificate, depth)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        raise IntegrityError("a certificate of its chain lacks an extension that it must have") from None


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        word = "itself, as a root does" if issuer is certificate else _shown(issuer)
        raise IntegrityError(f"the certificate {_shown(certificate)} is not signed by {word}") from None


def _check_leaf(leaf: x509.Certificate) -> None:
    shown = _shown(leaf)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    agreed = usage.value.key_agreement and (usage.value.encipher_only or usage.value.decipher_only)
    if not usage.critical or not usage.value.digital_signature:
        raise IntegrityError(f"the certificate {shown} may not make signatures")
    if agreed or any(getattr(usage.value, name) for name in _LEAF_FORBIDS):
        raise IntegrityError(f"the certificate {shown} may be used for more than signatures")
    for extension in leaf.extensions:
        if isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
            raise IntegrityError(f"the certificate {shown} is an authority's, and no signer's")
        if isinstance(extension.value, x509.ExtendedKeyUsage) and _FORBIDDEN_USES & set(extension.value):
            raise IntegrityError(f"the certificate {shown} is not only for signing code")
    key = leaf.public_key()
    short = (isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA) or (
        isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < _LEAST_EC
    )
    if short:
        raise IntegrityError(f"the certificate {shown} has a key that is too short")


def _check_authority(certificate: x509.Certificate, depth: int) -> None:
    """`depth` counts the authorities below it."""
    shown = _shown(certificate)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    if not (constraints.critical and constraints.value.ca and usage.critical and usage.value.key_cert_sign):
        raise IntegrityError(f"the certificate {shown} may not sign others")
    if constraints.value.path_length is not None and constraints.value.path_length < depth:
        raise IntegrityError(f"the certificate {shown} stands too far from what it covers")


def _builder(subject: x509.Name, issuer: x509.Name, days: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _HOUR)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _name(common: str) -> x509.Name:
    """Policies of the Notary Project name signers by country, state and organisation, so all three are there."""
    parts = {
        NameOID.COUNTRY_NAME: "XX",
        NameOID.STATE_OR_PROVINCE_NAME: "none",
        NameOID.ORGANIZATION_NAME: "pybuild",
        NameOID.COMMON_NAME: common,
    }
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts.items()])


def _usage(*names: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in names for name in _USAGES})


def _shown(certificate: x509.Certificate) -> str:
    return repr(certificate.subject.rfc4514_string()[:120])
