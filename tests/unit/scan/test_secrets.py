"""Secrets in files of any layer, and in the configuration."""

import base64
import json
import time
from pathlib import Path

import pytest

from buildkit_py.scan.secrets.text import OVERLAP, Search, secrets_in
from buildkit_py.scan.secrets.tokens import TOKENS
from tests.support.layouts import Entry
from tests.support.scans import jwt, letters, lines, pem_key, scanned, secrets_of

UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MADE = {
    "aws-access-key-id": lambda: f"AKIA{letters(16, UPPER + '234567')}",
    "aws-secret-access-key": lambda: f"aws_secret_access_key = {letters(40)}",
    "github-token": lambda: f"ghp_{letters(36)}",
    "gitlab-token": lambda: f"glpat-{letters(20)}",
    "slack-token": lambda: f"xoxb-{letters(12, '0123456789')}-{letters(24)}",
    "slack-webhook": lambda: (
        f"https://hooks.slack.com/services/T{letters(9, UPPER)}/B{letters(9, UPPER)}/{letters(24)}"
    ),
    "npm-token": lambda: f"npm_{letters(36)}",
    "pypi-token": lambda: f"pypi-AgEIcHlwaS5vcmc{letters(80)}",
    "google-api-key": lambda: f"AIza{letters(35)}",
    "google-oauth-secret": lambda: f"GOCSPX-{letters(28)}",
    "stripe-key": lambda: f"sk_live_{letters(24)}",
    "sendgrid-key": lambda: f"SG.{letters(22)}.{letters(43)}",
    "anthropic-key": lambda: f"sk-ant-api03-{letters(93)}",
    "openai-key": lambda: f"sk-proj-{letters(40)}T3BlbkFJ{letters(40)}",
    "huggingface-token": lambda: f"hf_{letters(34, UPPER + UPPER.lower())}",
    "docker-token": lambda: f"dckr_pat_{letters(27)}",
    "digitalocean-token": lambda: f"dop_v1_{letters(64, '0123456789abcdef')}",
    "vault-token": lambda: f"hvs.{letters(95)}",
    "azure-storage-key": lambda: f"AccountKey={letters(86)}==;",
    "age-key": lambda: f"AGE-SECRET-KEY-1{letters(58, 'QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L')}",
}


def test_every_rule_has_a_token_here() -> None:
    assert {rule.id for rule in TOKENS} == set(MADE)


@pytest.mark.parametrize("rule", MADE)
def test_a_token_is_found_and_never_told(tmp_path: Path, rule: str) -> None:
    token = MADE[rule]()
    report = scanned(tmp_path / "store", {"app/settings": f"a\nkey: '{token}'\n".encode()})
    (found,) = [each for each in secrets_of(report) if each.rule == rule]
    assert (found.place, found.line, found.layer, found.state) == ("app/settings", 2, 1, "visible")
    assert found.shown is not None and len(found.shown) == 5
    assert found.fingerprint is not None and len(found.fingerprint) == len("sha256:") + 12
    value = token.split("= ")[-1].split("/services/")[-1].removeprefix("AccountKey=").rstrip(";")
    assert value not in repr(report)
    assert value[4:16] not in repr(report)


@pytest.mark.parametrize("rule", MADE)
def test_what_only_looks_like_one_is_not(rule: str) -> None:
    token = MADE[rule]()
    head, tail = token[: len(token) // 2], token[len(token) // 2 :]
    assert not list(secrets_in(f"{head} {tail}".encode()))


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "ghp_000000000000000000000000000000000000",
        "-----BEGIN RSA PRIVATE KEY-----",
        'if line == "-----BEGIN PRIVATE KEY-----": key = read()\n"-----END PRIVATE KEY-----"',
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
    ],
)
def test_examples_and_programs_are_not_secrets(text: str) -> None:
    assert not list(secrets_in(text.encode()))


@pytest.mark.parametrize(
    ("kind", "form", "words"),
    [
        ("rsa", "pkcs8", "PKCS #8"),
        ("rsa", "traditional", "an RSA"),
        ("ec", "traditional", "an EC"),
        ("ed25519", "openssh", "OpenSSH"),
    ],
)
@pytest.mark.parametrize("passphrase", [None, b"a passphrase"])
def test_private_keys(kind: str, form: str, words: str, passphrase: bytes | None) -> None:
    pytest.importorskip("bcrypt") if passphrase and form == "openssh" else None
    key = pem_key(kind, form=form, passphrase=passphrase)
    (found,) = secrets_in(b"text\n" + key)
    assert words in found.message
    assert (found.rule, found.severity) == (
        ("private-key", "critical") if passphrase is None else ("private-key-encrypted", "medium")
    )
    assert found.shown is None


@pytest.mark.parametrize(
    "text",
    ["AWS_SECRET_ACCESS_KEY={}", "aws_secret_access_key = {}", '"SecretAccessKey": "{}"', "secretAccessKey: '{}'"],
)
def test_ways_to_write_a_secret_access_key(text: str) -> None:
    assert [each.rule for each in secrets_in(text.format(letters(40)).encode())] == ["aws-secret-access-key"]


def test_a_text_of_nothing_but_beginnings_is_passed_at_once() -> None:
    for text in (
        b"-----BEGIN PRIVATE KEY-----\n",
        b"-eyJ",
        b"PuTTY-User-Key-File-2: x\n",
        b"sk-",
        b" xoxb-1-",
        b"hvs.a",
    ):
        assert not list(secrets_in(text * ((1 << 20) // len(text))))


def test_a_key_in_json_and_with_other_line_ends() -> None:
    key = pem_key("ec")
    assert [each.rule for each in secrets_in(json.dumps({"private_key": key.decode()}).encode())] == ["private-key"]
    assert [each.rule for each in secrets_in(key.replace(b"\n", b"\r\n"))] == ["private-key"]
    prints = {each.fingerprint for text in (key, json.dumps(key.decode()).encode()) for each in secrets_in(text)}
    assert len(prints) == 1


def test_an_openpgp_key() -> None:
    body = base64.encodebytes(bytes(range(256)) * 3)
    armor = (
        b"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: x\n\n"
        + body
        + b"=abcd\n-----END PGP PRIVATE KEY BLOCK-----\n"
    )
    (found,) = secrets_in(armor)
    assert (found.rule, found.severity) == ("private-key", "high")


def test_json_web_tokens_that_are_in_force() -> None:
    now = time.time()
    assert [each.rule for each in secrets_in(jwt({"sub": "x", "exp": now + 3600}).encode())] == ["jwt"]
    assert [each.rule for each in secrets_in(jwt({"sub": "anybody"}).encode())] == ["jwt"]
    assert not list(secrets_in(jwt({"sub": "x", "exp": now - 3600}).encode()))


def test_a_key_that_was_deleted_later_is_still_found(tmp_path: Path) -> None:
    key = pem_key("ec")
    report = scanned(
        tmp_path / "store",
        {"root/.ssh/id_ecdsa": key, "app/other": key},
        {"readme": b"nothing"},
        {"root/.ssh/.wh.id_ecdsa": b"", "app/other": b"replaced"},
    )
    found = {each.place: each for each in secrets_of(report)}
    deleted, replaced = found["root/.ssh/id_ecdsa"], found["app/other"]
    assert (deleted.rule, deleted.layer, deleted.state, deleted.gone) == ("private-key", 1, "deleted", 3)
    assert (replaced.layer, replaced.state, replaced.gone) == (1, "replaced", 3)


@pytest.mark.parametrize(
    "hide", [{".wh.secrets": b""}, {"secrets/.wh..wh..opq": b"", "secrets/x": b""}, {"secrets": b"a file now"}]
)
def test_a_directory_that_went_takes_its_files_along(tmp_path: Path, hide: dict[str, bytes]) -> None:
    report = scanned(tmp_path / "store", {"secrets/a/key": pem_key("ec")}, hide)
    (found,) = [each for each in secrets_of(report) if each.rule == "private-key"]
    assert (found.state, found.gone) == ("deleted", 2)


def test_another_name_of_the_file_is_still_seen(tmp_path: Path) -> None:
    linked = Entry(name="", kind=b"1", target="a")
    report = scanned(tmp_path / "store", {"a": pem_key("ec"), "b": linked}, {".wh.a": b""})
    (found,) = [each for each in secrets_of(report) if each.rule == "private-key"]
    assert (found.place, found.state) == ("b", "visible")


def test_a_key_in_tests_is_a_small_matter(tmp_path: Path) -> None:
    report = scanned(tmp_path / "store", {"usr/lib/python3/test/key.pem": pem_key("ec")})
    assert [each.severity for each in secrets_of(report)] == ["low"]


NAMED = {
    "root/.netrc": ("netrc-password", "machine a.example login me password hunter2\n"),
    "root/.docker/config.json": (
        "registry-credentials",
        json.dumps({"auths": {"r.example": {"auth": "bWU6aHVudGVyMg=="}}}),
    ),
    "run/containers/auth.json": (
        "registry-credentials",
        json.dumps({"auths": {"r.example": {"auth": "bWU6aHVudGVyMg=="}}}),
    ),
    "root/.npmrc": ("npmrc-credentials", "//registry.example/:_authToken=0a1b2c3d-hunter2\n"),
    "root/.pypirc": ("pypirc-password", "[pypi]\nusername = me\npassword = hunter2\n"),
    "etc/pip.conf": ("url-password", "[global]\nindex-url = https://me:hunter2@pypi.example/simple\n"),
    "root/.git-credentials": ("url-password", "https://me:hunter2@git.example\n"),
    "root/.pgpass": ("pgpass-password", "db.example:5432:app:me:hunter2\n"),
    "root/.my.cnf": ("mysql-password", "[client]\npassword=hunter2\n"),
    "root/.kube/config": ("kubeconfig-credentials", "users:\n- name: me\n  user:\n    token: hunter2hunter2\n"),
    "etc/shadow": ("password-hash", f"root:$6$salt$hunter2{letters(40)}:19000:0:99999:7:::\n"),
    "var/www/.htpasswd": ("password-hash", f"me:$2y$05$hunter2{letters(40)}\n"),
    "etc/ssl/app.p12": ("key-store", "\0binary"),
}


@pytest.mark.parametrize("path", NAMED)
def test_files_that_hold_secrets_by_their_name(tmp_path: Path, path: str) -> None:
    rule, text = NAMED[path]
    report = scanned(tmp_path / "store", {path: text.encode()})
    (found,) = secrets_of(report)
    assert (found.rule, found.place) == (rule, path)
    assert "hunter2" not in repr(report)
    # A password can be searched for in its hash.
    assert found.fingerprint is None


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("root/.npmrc", "//registry.example/:_authToken=${NPM_TOKEN}\n; _password=old\n"),
        ("root/.docker/config.json", '{"auths": {"r.example": {}}, "credsStore": "pass"}'),
        ("root/.docker/config.json", "[" * 100_000),
        ("etc/shadow", "root:*:19000:0:99999:7:::\nbin:!:19000::::::\nx:!!:1::::::\n"),
        ("root/.pgpass", "# host:port:db:user:password\n"),
        ("root/.kube/config", "users:\n- user:\n    client-key-data: DATA+OMITTED\n".replace("DATA+OMITTED", "")),
        ("etc/pip.conf", "index-url = https://pypi.example/simple\n"),
        ("app/.netrc.md", "password hunter2"),
    ],
)
def test_files_that_hold_none(tmp_path: Path, path: str, text: str) -> None:
    assert not secrets_of(scanned(tmp_path / "store", {path: text.encode()}))


def test_shadow_tells_empty_and_locked_passwords(tmp_path: Path) -> None:
    report = scanned(tmp_path / "store", {"etc/shadow": lines(["a::1::::::", f"b:!$6$s${letters(40)}:1::::::"])})
    assert {(each.rule, each.severity) for each in secrets_of(report)} == {
        ("empty-password", "high"),
        ("password-hash", "low"),
    }


def test_the_configuration_is_searched(tmp_path: Path) -> None:
    token = MADE["github-token"]()
    config = {
        "Env": [
            "PATH=/bin",
            f"GH={token}",
            "DB_PASSWORD=correct horse",
            "X_PASSWORD=hunter2hunter2",
            "Y_TOKEN=xxxxxxxx",
            "Z_SECRET=aaaabbbb",
            "TOKEN_FILE=/run/secrets/x",
            "API_TOKEN=${OTHER}",
            "GPG_KEY=7169605F62C751356D054A26A821E680E5FA6305",
        ],
        "Labels": {"source": "https://me:hunter2@git.example/app", "plain": "text"},
        "Cmd": ["app", "--token", MADE["gitlab-token"]()],
    }
    report = scanned(tmp_path / "store", {"a": b"a"}, config=config)
    assert {(each.rule, each.place, each.state) for each in report.findings} == {
        ("github-token", "Env[GH]", "config"),
        ("secret-variable", "Env[DB_PASSWORD]", "config"),
        ("secret-variable", "Env[X_PASSWORD]", "config"),
        ("url-password", "Labels[source]", "config"),
        ("gitlab-token", "Cmd", "config"),
    }
    for value in (token, "horse", "hunter2"):
        assert value not in repr(report)


def test_a_secret_across_blocks_is_found_once_with_its_line() -> None:
    token = MADE["github-token"]()
    for at in (OVERLAP - 10, 3 * OVERLAP):
        data = (b"0123456789abcde\n" * (4 * OVERLAP // 16))[:at] + b"\n" + token.encode() + b"\n" + b"y" * OVERLAP
        for step in (40_000, 1 << 20):
            search = Search()
            for start in range(0, len(data), step):
                search.feed(data[start : start + step])
            search.finish()
            assert [(line, each.rule) for line, each in search.found] == [(data[:at].count(b"\n") + 2, "github-token")]


def test_what_is_no_text_is_not_searched(tmp_path: Path) -> None:
    assert not secrets_of(scanned(tmp_path / "store", {"program": b"\x7fELF\0" + MADE["github-token"]().encode()}))
