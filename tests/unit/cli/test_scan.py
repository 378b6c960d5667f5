"""`pybuild scan` as a command: what it prints, and how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.store import Store
from tests.support.layouts import Entry
from tests.support.scans import letters, pem_key, stored


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A store with an image that has one finding of each severity but low."""
    layers = (
        {"id_rsa": pem_key("ec"), "bin/tool": Entry(name="", mode=0o4755, data=b"x")},
        {".wh.id_rsa": b"", "etc/apt/auth.conf": b"machine a login b password c1d2e3f4\n"},
    )
    with Store.open(tmp_path / "store") as store:
        stored(store, *layers, config={"Labels": {"a": "b"}})
    return str(tmp_path / "store")


def test_for_people(cli: Any, root: str) -> None:
    assert cli("scan", "--store", root, "image") == 1
    assert "findings  3" in cli.out
    assert "critical: private-key (1)\n  /id_rsa:1  a PKCS #8 private key (sha256:" in cli.out
    assert "[layer 1, deleted in layer 2]" in cli.out
    assert "medium: setuid (1)" in cli.out
    assert cli.out.index("critical: ") < cli.out.index("high: ") < cli.out.index("medium: ")
    assert cli.err.startswith("layer 1 of 2  sha256:")


@pytest.mark.parametrize(("level", "code"), [("critical", 1), ("high", 1), ("medium", 1), ("low", 1), ("never", 0)])
def test_the_exit_code(cli: Any, root: str, level: str, code: int) -> None:
    assert cli("scan", "--store", root, "image", "--fail-on", level) == code


def test_accepted_findings_do_not_count(cli: Any, root: str, tmp_path: Path) -> None:
    file = tmp_path / "ignore.toml"
    file.write_text(
        '[[ignore]]\nrule = "private-key"\nreason = "for tests"\n[[ignore]]\nrule = "netrc-*"\nreason = "public"\n'
    )
    assert cli("scan", "--store", root, "image", "--ignore", str(file)) == 0
    assert "findings  1, 2 ignored" in cli.out
    assert cli("scan", "--store", root, "image", "--ignore", str(file), "--fail-on", "medium") == 1


def test_documents(cli: Any, root: str, tmp_path: Path) -> None:
    assert cli("scan", "--store", root, "image", "--json") == 1
    assert json.loads(cli.out)["counts"]["critical"] == 1
    assert cli("scan", "--store", root, "image", "--sarif") == 1
    assert json.loads(cli.out)["version"] == "2.1.0"
    assert cli("scan", "--store", root, "image", "--sbom", "cyclonedx") == 0
    assert json.loads(cli.out)["specVersion"] == "1.6"
    assert cli("scan", "--store", root, "image", "--sbom", "spdx", "-o", str(tmp_path / "x.json")) == 0
    assert (cli.out, json.loads((tmp_path / "x.json").read_text())["spdxVersion"]) == ("", "SPDX-2.3")
    assert cli("scan", "--store", root, "image", "--sarif", "-o", str(tmp_path / "y.json")) == 1
    assert "critical: private-key" in cli.out
    assert json.loads((tmp_path / "y.json").read_text())["runs"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("image", "--json", "--sarif"), 2, "exclude each other"),
        (("image", "-o", "x"), 2, "--output is for"),
        (("image", "--fail-on", "bad"), 2, "can't be 'bad'"),
        (("image", "--json", "-o", "/nowhere/x"), 15, "/nowhere/x can't be written"),
        (("nothing",), 16, "no image called 'nothing'"),
        (("image", "--ignore", "/nowhere"), 14, "/nowhere can't be read"),
        (("image", "--osv", "/nowhere"), 14, "/nowhere is no directory"),
        (("image", "--platform", "linux/s390x:"), 2, "platform"),
    ],
)
def test_what_is_wrong_is_said(cli: Any, root: str, words: tuple[str, ...], code: int, text: str) -> None:
    assert cli("scan", "--store", root, *words) == code
    assert text in cli.err


def test_a_library_that_is_missing_is_named(cli: Any, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "packageurl", None)
    assert cli("scan", "--store", root, "image") == 9
    assert "packageurl-python" in cli.err
    assert "pip install 'pybuild[scan]'" in cli.err


def test_nothing_that_a_terminal_obeys_is_printed(cli: Any, tmp_path: Path) -> None:
    with Store.open(tmp_path / "other") as store:
        stored(store, {"a\x1b[31m\nb": f"glpat-{letters(20)}".encode()}, config={"Env": ["X\x1b[2J_TOKEN=abcdefgh-3f"]})
    cli("scan", "--store", str(tmp_path / "other"), "image", "-v")
    assert "\x1b" not in cli.out
    assert "gitlab-token (1)" in cli.out
