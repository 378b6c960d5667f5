"""Envelopes of the Notary Project: ours, and one that notation made; chains that may sign, and those that may not."""

from __future__ import annotations

import base64
import datetime
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, UsageError
from buildkit_py.oci import Descriptor
from buildkit_py.oci.media_types import OCI_MANIFEST
from buildkit_py.trust.certificates import check_chain, fingerprint, make_chain, parse_pem, to_pem
from buildkit_py.trust.claims import Trusted
from buildkit_py.trust.keys import ED25519, PrivateKey
from buildkit_py.trust.notary import envelope, verdict
from tests.support import vectors

SUBJECT = Descriptor.of(b"manifest", OCI_MANIFEST)
KEY = PrivateKey.generate()
LEAF, ROOT = make_chain(KEY, "team")
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def made() -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(envelope(SUBJECT, KEY, (LEAF, ROOT), annotations={"build": "42"}))
    return raw


def judged(plain: dict[str, Any], *, roots: tuple[x509.Certificate, ...] = (ROOT,), **more: Any) -> Any:
    return verdict(json.dumps(plain).encode(), "sha256:e", SUBJECT.digest, Trusted(roots=roots, **more))


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def decoded(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=="))


def resigned(change: Any, part: str = "protected") -> dict[str, Any]:
    """The envelope with another header or payload, rightly signed."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    plain = made()
    value = decoded(plain[part])
    change(value)
    plain[part] = encoded(value)
    r, s = decode_dss_signature(KEY.sign(f"{plain['protected']}.{plain['payload']}".encode()))
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    plain["signature"] = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return plain


def test_an_envelope_holds_for_its_image_and_its_root() -> None:
    found = judged(made())
    assert found.holds
    assert found.signer == f"sha256:{fingerprint(LEAF)}"
    assert found.name == "CN=team,O=pybuild,ST=none,C=XX"
    assert (found.claims.digest, found.claims.annotations) == (SUBJECT.digest, {"build": "42"})
    stranger = make_chain(PrivateKey.generate(), "team")[1]
    assert judged(made(), roots=(stranger,)).problem == "its certificates lead to none that is trusted"
    assert judged(made(), roots=()).claims is None


def test_what_the_specification_says_of_the_header() -> None:
    plain = made()
    protected = decoded(plain["protected"])
    assert sorted(plain) == ["header", "payload", "protected", "signature"]
    assert (protected["alg"], protected["crit"]) == ("ES256", ["io.cncf.notary.signingScheme"])
    assert protected["cty"] == "application/vnd.cncf.notary.payload.v1+json"
    assert protected["io.cncf.notary.signingScheme"] == "notary.x509"
    assert decoded(plain["payload"])["targetArtifact"]["mediaType"] == OCI_MANIFEST


def test_an_envelope_that_notation_made() -> None:
    certificate = x509.load_der_x509_certificate(base64.b64decode(vectors.NOTARY_CERTIFICATE))
    plain = {
        "payload": vectors.NOTARY_PAYLOAD,
        "protected": vectors.NOTARY_PROTECTED,
        "header": {"x5c": [vectors.NOTARY_CERTIFICATE], "io.cncf.notary.signingAgent": "Notation/1.0.0"},
        "signature": vectors.NOTARY_SIGNATURE,
    }
    raw, trusted = json.dumps(plain).encode(), Trusted(roots=(certificate,))
    found = verdict(raw, "e", Digest.parse(vectors.NOTARY_DIGEST), trusted)
    assert found.holds
    assert found.signed == "2023-03-14T16:10:02+08:00"
    assert "another image" in str(verdict(raw, "e", SUBJECT.digest, trusted).problem)
    plain["signature"] = vectors.NOTARY_SIGNATURE[:-2] + "AA"
    assert "does not hold" in str(verdict(json.dumps(plain).encode(), "e", SUBJECT.digest, trusted).problem)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda it: it.update(crit=["io.cncf.notary.signingScheme", "io.cncf.notary.verificationPlugin"]), "demands"),
        (lambda it: it.update(crit=[]), "demands"),
        (lambda it: it.update(cty="text/plain"), "a payload of an unknown type"),
        (lambda it: it.update({"io.cncf.notary.signingScheme": "notary.x509.signingAuthority"}), "a signing scheme"),
        (lambda it: it.update({"io.cncf.notary.expiry": "2020-01-01T00:00:00Z"}), "expired"),
        (lambda it: it.update({"io.cncf.notary.expiry": "soon"}), "no time"),
        (lambda it: it.pop("io.cncf.notary.signingTime"), "no field"),
        (lambda it: it.update({"io.cncf.notary.signingTime": "2020-01-01T00:00:00"}), "no time"),
    ],
)
def test_what_an_envelope_may_not_demand(change: Any, told: str) -> None:
    with pytest.raises(IntegrityError, match=told):
        judged(resigned(change))


def test_the_expiry_counts() -> None:
    later = (NOW + DAY).isoformat()
    plain = resigned(
        lambda it: it.update(
            {"io.cncf.notary.expiry": later, "crit": ["io.cncf.notary.signingScheme", "io.cncf.notary.expiry"]}
        )
    )
    assert judged(plain).holds
    with pytest.raises(IntegrityError, match="expired"):
        judged(plain, now=NOW + 2 * DAY)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "PS256", "ES384"])
def test_the_key_decides_the_algorithm(algorithm: str) -> None:
    assert "does not hold" in judged(resigned(lambda it: it.update(alg=algorithm))).problem


def test_a_signature_of_another_image_or_of_nothing() -> None:
    other = resigned(lambda it: it["targetArtifact"].update(digest=str(Digest.of(b"x"))), "payload")
    assert "another image" in judged(other).problem
    with pytest.raises(IntegrityError, match="no field 'targetArtifact'"):
        judged(resigned(lambda it: it.pop("targetArtifact"), "payload"))


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(more=1),
        lambda it: it.pop("signature"),
        lambda it: it.update(signature="=="),
        lambda it: it.update(protected="AAAA"),
        lambda it: it["header"].update(x5c=[]),
        lambda it: it["header"].update(x5c=["AAAA"]),
        lambda it: it["header"].update(x5c="AAAA"),
        lambda it: it["header"].update(x5c=it["header"]["x5c"] * 8),
        lambda it: it["header"].update(x5c=[it["header"]["x5c"][1]]),
        lambda it: it["header"].update(x5c=it["header"]["x5c"][::-1]),
        lambda it: it.pop("header"),
    ],
)
def test_hostile_envelopes(change: Any) -> None:
    plain = made()
    change(plain)
    with pytest.raises(IntegrityError):
        judged(plain)


def test_certificates_are_valid_now_or_not_at_all() -> None:
    for now in (NOW - 2 * DAY, NOW + 1200 * DAY):
        with pytest.raises(IntegrityError, match="is not valid now"):
            judged(made(), now=now)


def test_what_can_not_sign() -> None:
    with pytest.raises(UsageError, match="not the key's"):
        envelope(SUBJECT, PrivateKey.generate(), (LEAF, ROOT), annotations={})
    with pytest.raises(UsageError, match="is not signed by itself"):
        envelope(SUBJECT, KEY, (LEAF,), annotations={})
    edwards = PrivateKey.generate(ED25519)
    with pytest.raises(UsageError, match="with an ECDSA key"):
        envelope(SUBJECT, edwards, make_chain(edwards, "x"), annotations={})


def test_pem_comes_back() -> None:
    assert parse_pem(to_pem([LEAF, ROOT]), "f") == (LEAF, ROOT)
    with pytest.raises(UsageError, match="f holds no certificates"):
        parse_pem(b"nothing", "f")


USES = dict.fromkeys(
    (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ),
    False,
)


def issue(
    key: Any,
    name: str,
    issuer: Any,
    issuer_name: str,
    *extensions: tuple[x509.ExtensionType, bool],
    digest: Any = None,
) -> x509.Certificate:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer_name))
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer, digest or hashes.SHA256())


SIGNS = (x509.KeyUsage(**{**USES, "digital_signature": True}), True)
COVERS = (x509.KeyUsage(**{**USES, "key_cert_sign": True}), True)
AUTHORITY = (x509.BasicConstraints(ca=True, path_length=None), True)
LEAF_KEY, MIDDLE_KEY, ROOT_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
GOOD_ROOT = issue(ROOT_KEY, "root", ROOT_KEY, "root", AUTHORITY, COVERS)
MIDDLE = issue(MIDDLE_KEY, "middle", ROOT_KEY, "root", AUTHORITY, COVERS)


def test_chains_that_may_sign() -> None:
    check_chain([issue(LEAF_KEY, "leaf", ROOT_KEY, "root", SIGNS), GOOD_ROOT], NOW)
    check_chain([issue(LEAF_KEY, "leaf", MIDDLE_KEY, "middle", SIGNS), MIDDLE, GOOD_ROOT], NOW)
    check_chain([issue(LEAF_KEY, "own", LEAF_KEY, "own", SIGNS)], NOW)


def uses(**names: bool) -> tuple[x509.ExtensionType, bool]:
    return x509.KeyUsage(**{**USES, "digital_signature": True, **names}), True


@pytest.mark.parametrize(
    "extensions",
    [
        (),
        ((SIGNS[0], False),),
        ((x509.KeyUsage(**{**USES, "content_commitment": True}), True),),
        (uses(key_cert_sign=True),),
        (uses(key_encipherment=True),),
        (uses(key_agreement=True),),
        (SIGNS, AUTHORITY),
        (SIGNS, (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)),
        (SIGNS, (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)),
    ],
)
def test_leaves_that_may_not_sign(extensions: Any) -> None:
    with pytest.raises(IntegrityError):
        check_chain([issue(LEAF_KEY, "leaf", ROOT_KEY, "root", *extensions), GOOD_ROOT], NOW)


@pytest.mark.parametrize(
    "extensions",
    [
        (),
        (COVERS,),
        (AUTHORITY,),
        ((x509.BasicConstraints(ca=False, path_length=None), True), COVERS),
        ((AUTHORITY[0], False), COVERS),
        (AUTHORITY, (COVERS[0], False)),
        (AUTHORITY, SIGNS),
    ],
)
def test_authorities_that_may_not_cover(extensions: Any) -> None:
    root = issue(ROOT_KEY, "root", ROOT_KEY, "root", *extensions)
    with pytest.raises(IntegrityError):
        check_chain([issue(LEAF_KEY, "leaf", ROOT_KEY, "root", SIGNS), root], NOW)


def test_chains_that_do_not_hang_together() -> None:
    leaf = issue(LEAF_KEY, "leaf", MIDDLE_KEY, "middle", SIGNS)
    short = (x509.BasicConstraints(ca=True, path_length=0), True)
    narrow = issue(ROOT_KEY, "root", ROOT_KEY, "root", short, COVERS)
    for chain in ([leaf, MIDDLE], [leaf, GOOD_ROOT], [leaf, MIDDLE, narrow], [leaf, GOOD_ROOT, MIDDLE], []):
        with pytest.raises(IntegrityError):
            check_chain(chain, NOW)
