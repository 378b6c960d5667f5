"""What fuzzing found: the small input, and what must come of it. Each was another exception, or did not end."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
import struct
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from buildkit_py.errors import (
    GraphError,
    IntegrityError,
    LockfileError,
    PybuildError,
    SourceInputError,
    UsageError,
)
from buildkit_py.graph import GraphBuilder, ImageSource, Run, SecretMount
from buildkit_py.graph.op import Unpack
from buildkit_py.graph.wire import decode
from buildkit_py.layer.apply import apply_layer, outline_layer
from buildkit_py.layer.context import ContextTree
from buildkit_py.layer.fileops import apply_op
from buildkit_py.layer.incoming import parse_diff
from buildkit_py.layer.statcache import StatCache
from buildkit_py.layer.tree import EmptyTree
from buildkit_py.lockfile import LockFile
from buildkit_py.oci import parse_config
from buildkit_py.platform import Platform
from buildkit_py.progress.failure import render_message
from buildkit_py.reference import Reference
from buildkit_py.registry.auth import Challenge
from buildkit_py.registry.config import load as registries
from buildkit_py.registry.links import next_link
from buildkit_py.scan.packages.golang import MAGIC, modules_in
from buildkit_py.scan.packages.names import purl_of
from buildkit_py.scan.packages.rpm import rpm
from buildkit_py.scan.packages.system import Installed
from buildkit_py.scan.secrets.config import config_findings
from buildkit_py.source import Diagnostic, Span, render
from buildkit_py.store import Store
from buildkit_py.trust import lookaside, notary
from buildkit_py.trust.certificates import make_chain
from buildkit_py.trust.claims import Trusted
from buildkit_py.trust.keys import PrivateKey
from frontends import buildfile, dockerfile
from tests.fuzz.contract import check
from tests.fuzz.signatures import _SUBJECT
from tests.fuzz.targets import TARGETS
from tests.support.images import make_image

HEX = "ab" * 32
NAME = "org.opencontainers.image.ref.name"
DEEP = b"[" * 20_000
DIGITS = b"9" * 5000
ADDRESS = b"default-docker: {lookaside: %s}"
FAR = b"0x" + b"f" * 5000

LAST = {
    "a challenge of blanks": ("header", b"Bearer" + b" " * 8000 + b"!"),
    "a list of next pages": ("header", b"<a>;" * 16_000),
    "addresses without a query": ("error-body", b"http://" * 9000),
    "many stars": ("ignore", b"a" * 200 + b"\n*a*a*a*a*a*a*a*a*a*ab"),
    "many directories": ("pattern", b"**/a/**/a/**/a/**/a/**/a/**/b\n" + b"a/" * 100),
}
"""Inputs that took a power of their length."""


@pytest.mark.parametrize("name", LAST)
def test_an_input_that_took_for_ever(name: str) -> None:
    target, data = LAST[name]
    check(TARGETS[target], data)


KEPT = {
    "half a character": ("dockerfile-trigger", b"ENV \xff"),
    "an escape in a trigger": ("dockerfile-trigger", b"COPY --\x1b[31m=x a b"),
    "a deep receipt": ("receipt", b'{"texts": "x", "trees": {}, "uses": [], "rows": ""}'),
    "a deep record of a mount": ("holder", b'{"id": ' + DEEP),
    "a record of a mount with numbers": ("holder", json.dumps({**dict.fromkeys(
        ("id", "image", "digest", "platform", "point", "writable", "boot", "pid_namespace", "pid", "uid", "made"), 1
    ), "objects": []}).encode()),
    "a deep lease": ("lease", b'{"pid": 1}\n' + DEEP),
    "no summary of a build": ("build-row", b""),
    "a summary that is none": ("build-row", b"false"),
    "a deep summary": ("build-row", DEEP),
    "a summary of many digits": ("build-row", b'{"marks": {"ended": %s}}' % DIGITS),
    "a build that ended never": ("build-row", b'{"marks": {"ended": %s}}' % DIGITS[:400]),
    "an archive of odd names": (
        "docker-archive", b'[{"Config": "c.json", "RepoTags": ["\\u001b"], "Layers": ["l1"]}]',
    ),
    "a layout of odd names": ("layout-index", json.dumps({"schemaVersion": 2, "manifests": [
        {"mediaType": "a/b", "digest": f"sha256:{HEX}", "size": 1, "annotations": {NAME: name}}
        for name in ("\x1b]0;", "\r")
    ]}).encode()),
}  # fmt: skip
"""Inputs that other exceptions came of, or words that no terminal should get."""


@pytest.mark.parametrize("name", KEPT)
def test_an_input_that_was_not_expected(name: str) -> None:
    target, data = KEPT[name]
    check(TARGETS[target], data)


# --- refused, and where


def _lock(data: bytes, place: Path) -> None:
    (place / "Buildfile.lock").write_bytes(data)
    LockFile.load(place / "Buildfile.lock")


def _registries(data: bytes, place: Path) -> None:
    (place / "registries.toml").write_bytes(b'[registry."a"]\n' + data)
    registries(place / "registries.toml")


def _lookaside(data: bytes, place: Path) -> None:
    file = place / "containers" / "registries.d" / "a.yaml"
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    lookaside.base_of(Reference.parse("r.example/a:1"), {"XDG_CONFIG_HOME": str(place)})


def _diff(data: bytes, place: Path) -> None:
    parse_diff(data)


def _text(read: Callable[[str], object]) -> Callable[[bytes, Path], object]:
    return lambda data, place: read(data.decode())


_BOMB = b"".join(b"a%d: &a%d {<<: [%s]}\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 9))
REFUSED: dict[str, tuple[Callable[[bytes, Path], object], bytes, type[PybuildError], str]] = {
    "a version of many digits": (_lock, b"# c\nversion = " + DIGITS, LockfileError, "Buildfile.lock line "),
    "a version of more digits": (_lock, b"# c\nversion = " + FAR, LockfileError, "line 2 .* of very many digits"),
    "a mirror of many digits": (_registries, b"mirrors = [" + FAR + b"]", UsageError, "a list of strings"),
    "an authority with NUL": (_registries, b'ca = "~\\u0000x"', UsageError, r'\[registry."a"\]: not a path'),
    "an address of half an IPv6": (_lookaside, ADDRESS % b"'http://[a'", UsageError, "can't be used"),
    "an address with NUL": (_lookaside, ADDRESS % b"'file:///%00'", UsageError, "can't be used"),
    "an address of many digits": (_lookaside, ADDRESS % FAR, UsageError, "is no text"),
    "a scope that is a number": (_lookaside, b"docker: {1: {}}", UsageError, "a.yaml: a scope is no text"),
    "references to references": (_lookaside, b"a0: &a0 {x: 1}\n" + _BOMB, UsageError, "a.yaml .* an alias"),
    "a path that is a number": (_diff, b'[1,"dir",493,0,0,{}]\n', IntegrityError, "an entry without a path"),
    "a digest that is a number": (
        _diff, b'["a","hardlink",420,0,0,{"digest":1,"size":3,"target":""}]\n', IntegrityError, "impossible",
    ),
    "a path that no file can have": (_diff, b'["\\ud800","fifo",420,0,0,{}]\n', IntegrityError, "impossible entry"),
    "an attribute that no file can have": (
        _diff, b'["a","dir",493,0,0,{"xattrs":{"user.\\ud800":""}}]\n', IntegrityError, "impossible entry: 'a'",
    ),
    "a long name": (_text(Reference.parse), b"a" * 5000, UsageError, "5000 characters is too long"),
    "a long platform": (_text(Platform.parse), b"a" * 5000, UsageError, "5000 characters is too long"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_an_input_that_is_refused_in_words(tmp_path: Path, name: str) -> None:
    read, data, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        read(data, tmp_path)


def test_a_mount_without_a_kind() -> None:
    graph = GraphBuilder()
    base = graph.add(ImageSource(ref="a", platform="linux/amd64"))
    tip = graph.add(Run(args=("a",), mounts=(SecretMount(id="s", target="/s"),)), base=base)
    graph.target("a", base=base, layers=[("a", tip)])
    plain = json.loads(graph.build().to_json())
    del plain["vertices"][1]["op"]["mounts"][0]["kind"]
    with pytest.raises(GraphError, match="the graph is malformed: 'kind' is missing"):
        decode(json.dumps(plain).encode())


def test_a_stage_that_a_buildfile_cannot_name() -> None:
    made = dockerfile.convert("FROM a\0b\n")
    assert [note.severity for note in made.notes][:1] == ["error"]
    assert "control character" in made.notes[0].message


def test_a_line_of_nothing_but_faults() -> None:
    """Two thousand faults took seconds, by the square of their number."""
    assert len(buildfile.check("buildfile 1\nconst a = " + "\0 " * 100_000)) == 20


def test_a_default_that_a_buildfile_cannot_hold() -> None:
    made = dockerfile.convert("ARG A=a\x18b\nFROM ${A}\n")
    assert [note.severity for note in made.notes][:1] == ["error"]
    assert "A can't be given: a Buildfile can't hold the control character 24" in made.notes[0].message


def test_a_challenge_is_read_as_before() -> None:
    challenge = Challenge.parse('Bearer realm="https://a/b?c" , service = x,scope="a\\"b" , bad, 1c="d", e=')
    assert challenge.parameters == {"realm": "https://a/b?c", "service": "x", "scope": 'a"b'}


def test_the_next_page() -> None:
    assert next_link('<x>; rel=prev, </v2/a?n=1>; title="t"; rel="next"') == "/v2/a?n=1"
    assert next_link("<x>; rel=prev") is next_link("") is next_link(None) is None


def test_a_token_that_lasts_for_ever() -> None:
    answer = json.dumps({"token": "t", "expires_in": 10**400}).encode()
    asked = b'HTTP/1.1 401 no\r\nContent-Length: 0\r\nWWW-Authenticate: Bearer realm="http://r.example/t"\r\n\r\n'
    given = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer
    check(TARGETS["answer"], b"\n--- the next answer ---\n".join((asked, given)))


# --- certificates, archives, databases


def _judged(*certificates: bytes, roots: Any, key: PrivateKey) -> Any:
    plain = json.loads(notary.envelope(_SUBJECT, key, (*CHAIN,), annotations={}))
    plain["header"]["x5c"] = [base64.b64encode(each).decode() for each in certificates]
    return notary.verdict(json.dumps(plain).encode(), "sha256:e", _SUBJECT.digest, Trusted(roots=roots))


KEY = PrivateKey.generate()
CHAIN = make_chain(KEY, "team")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d040309")),
        (b"\x13\x02XX", b"\x13\x02X\xff"),
        (bytes.fromhex("a003020102"), bytes.fromhex("a003020106")),
    ],
    ids=["an unknown algorithm", "a name that is no text", "an unknown version"],
)
def test_a_certificate_that_is_not_known(old: bytes, new: bytes) -> None:
    leaf, root = (each.public_bytes(Encoding.DER) for each in CHAIN)
    assert old in leaf
    with pytest.raises(IntegrityError, match="no certificate that is known here"):
        _judged(leaf.replace(old, new), root, roots=CHAIN[1:], key=KEY)


def test_an_attribute_with_nul(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("f")
        info.pax_headers = {"SCHILY.xattr.user.a\0b": "x", "SCHILY.xattr.user.c": "y"}
        archive.addfile(info)
    out.seek(0)
    applied = apply_layer(out, tmp_path, lower=EmptyTree())
    assert applied.diff.entries[-1].xattrs == (("user.c", b"y"),)
    out.seek(0)
    assert outline_layer(out, lower=EmptyTree()) == applied


@pytest.mark.parametrize(
    ("method", "target", "words"),
    [(zipfile.ZIP_LZMA, b"x", "compressed in a way"), (0, b"", "leads nowhere"), (0, b"a\0b", "leads nowhere")],
)
def test_a_zip_that_no_honest_tool_makes(tmp_path: Path, method: int, target: bytes, words: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        info = zipfile.ZipInfo("l")
        info.external_attr, info.compress_type = 0o120777 << 16, method
        archive.writestr(info, target)
    for name in ("context", "spool"):
        (tmp_path / name).mkdir()
    (tmp_path / "context/a.zip").write_bytes(out.getvalue())
    tree = ContextTree(tmp_path / "context", StatCache(tmp_path / "stat"))
    with pytest.raises(SourceInputError, match=words):
        apply_op(Unpack(sources=("/a.zip",), dest="/d/"), EmptyTree(), tree, spool=tmp_path / "spool")


def test_a_program_whose_pointers_lead_out_of_all_memory() -> None:
    head = b"\x7fELF\x02\x01\x01".ljust(32, b"\0") + struct.pack("<Q", 64) + bytes(14) + struct.pack("<HH", 56, 1)
    load = struct.pack("<IIQQQQQQ", 1, 5, 2**64 - 1, 0x1000, 0, 4096, 4096, 4096)
    info = MAGIC + b"\x08\x00" + struct.pack("<QQ", 0x1100, 0x1100)
    assert list(modules_in((head.ljust(64, b"\0") + load).ljust(128, b"\0") + info.ljust(64, b"\0"))) == []


def test_a_database_whose_words_are_no_text(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "rpmdb.sqlite")) as connection:
        connection.execute("CREATE TABLE Packages (blob BLOB)")
        connection.commit()
    data = (tmp_path / "rpmdb.sqlite").read_bytes().replace(b"(blob BLOB)", b"(blo)" + b"\xee" * 6)
    (tmp_path / "rpmdb.sqlite").write_bytes(data)
    with pytest.raises(IntegrityError, match="it can't be read"):
        list(rpm(tmp_path / "rpmdb.sqlite"))


def test_a_database_whose_record_claims_any_length(tmp_path: Path) -> None:
    page = bytearray(506)
    page[:24] = b"SQLite format 3\0\x02\0\0\0\0\x40\x20\x20"
    page[100], page[104], page[109:112] = 13, 2, b"\x8f\x01\x3d"
    page[317:327] = b"\xff\xff\xff\xff\xff\xff\xff\x59\0\x61"
    (tmp_path / "rpmdb.sqlite").write_bytes(page)
    with pytest.raises(IntegrityError, match="it asks for too much memory"):
        list(rpm(tmp_path / "rpmdb.sqlite"))
    (tmp_path / "store").mkdir()
    Store.open(tmp_path / "store").close()
    (tmp_path / "store/index.db").write_bytes(page)
    Store.open(tmp_path / "store").close()


@pytest.mark.parametrize("name", ["/", " ", "/ /", "a/ /"])
def test_a_package_whose_name_is_none(name: str) -> None:
    made = purl_of(Installed(kind="rpm", name=name, version="1"))
    assert made is None or made.startswith("pkg:rpm/a")


def test_a_health_check_that_is_a_number() -> None:
    config = make_image(b"x", config={"Healthcheck": {"Test": 5}}).config
    assert list(config_findings(parse_config(config))) == []


@pytest.mark.parametrize(
    "change",
    [
        {"size": float("nan")},
        {"mediaType": ...},
        {"size": "1"},
        {"platform": []},
        {"annotations": {"a": 1}},
        {"name": "\ud800"},
    ],
    ids=repr,
)
def test_a_name_that_is_no_descriptors(tmp_path: Path, change: dict[str, Any]) -> None:
    """One row of an index.json that can't be used takes nothing of the others."""
    image = make_image(b"x")
    with Store.open(tmp_path / "store") as store:
        image.store(store.blobs)
    good = {**image.descriptor.to_plain(), "annotations": {NAME: "good"}}
    named = {NAME: change.pop("name", "bad"), **change.pop("annotations", {})}
    bad = {name: value for name, value in {**good, **change, "annotations": named}.items() if value is not ...}
    (tmp_path / "store/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [bad, 5, good]}))
    (tmp_path / "store/index.db").unlink()
    with Store.open(tmp_path / "store") as store:
        assert [record.name for record in store.images.list()] == ["good"]


def test_nothing_that_is_told_is_obeyed_by_a_terminal() -> None:
    span = Span("Buildfile", 1, 1, 1, 2)
    odd = "a\x1b[2Jb\rc\ud800"
    item = Diagnostic(message=odd, span=span, label=odd, hint=odd, notes=((odd, span),))
    texts = (render([item], {"Buildfile": odd}), render_message(odd, span=None, hint=odd, tail=(odd,), sources={}))
    for text in texts:
        assert all(char.isprintable() or char == "\n" for char in text)
        assert "a\\x1b[2Jb\\rc\\ud800" in text
    assert len(render_message("x" * 10_000, span=None, hint="y" * 10_000, tail=(), sources={})) < 9000
