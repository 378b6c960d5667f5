from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.errors import OutputError, RegistryError
from buildkit_py.registry import authfile
from buildkit_py.registry.authfile import change

OTHER = {
    "HttpHeaders": {"X": "<ü>"},
    "auths": {"other": {"auth": "eDp5", "email": "e"}},
    "psFormat": "t\ta",
    "big": 12345678901234567890123,
    "fraction": 1.5,
    "nothing": None,
}


def add(plain: dict[str, Any]) -> bool:
    plain.setdefault("auths", {})["new"] = {"auth": "bmV3Om5ldw=="}
    return True


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(OTHER))
    path.chmod(0o644)
    assert change(path, add)
    held = json.loads(path.read_text())
    assert held["auths"].pop("new")
    assert held == OTHER
    assert list(held) == list(OTHER)
    assert mode(path) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.json"]


def test_a_file_that_was_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a/b/config.json"
    assert not change(path, lambda plain: False)
    assert not (tmp_path / "a").exists()
    assert change(path, add)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


def test_nothing_to_change_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"a":   1}')
    assert not change(path, lambda plain: False)
    assert path.read_text() == '{"a":   1}'


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/kept.json").write_text("{}")
    (tmp_path / "config.json").symlink_to("real/kept.json")
    assert change(tmp_path / "config.json", add)
    assert (tmp_path / "config.json").is_symlink()
    assert "new" in json.loads((tmp_path / "real/kept.json").read_text())["auths"]


def test_the_owner_stays(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = tmp_path / "config.json"
    path.write_text("{}")
    os.chown(path, 1234, 2345)
    change(path, add)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_what_another_program_writes_meanwhile_stays(tmp_path: Path) -> None:
    """Docker and Podman know nothing of our lock: they replace the file while we are at it."""
    path = tmp_path / "config.json"
    path.write_text("{}")
    rounds = []

    def edit(plain: dict[str, Any]) -> bool:
        if not rounds:
            (tmp_path / "theirs").write_text('{"auths": {"theirs": {"auth": "eDp5"}}}')
            (tmp_path / "theirs").rename(path)
        rounds.append(dict(plain))
        return add(plain)

    change(path, edit)
    assert len(rounds) == 2
    assert set(json.loads(path.read_text())["auths"]) == {"theirs", "new"}


_WRITER = """
import sys
from pathlib import Path
from buildkit_py.registry.authfile import change
for number in range(20):
    def edit(plain):
        plain.setdefault("auths", {})[f"{sys.argv[2]}-{number}"] = {"auth": "eDp5"}
        return True
    change(Path(sys.argv[1]), edit)
"""


def test_many_writers_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new/config.json"
    words = [sys.executable, "-c", _WRITER, str(path)]
    running = [subprocess.Popen([*words, f"r{number}"]) for number in range(6)]
    assert [process.wait() for process in running] == [0] * 6
    assert set(json.loads(path.read_text())["auths"]) == {f"r{one}-{two}" for one in range(6) for two in range(20)}


@pytest.mark.parametrize("text", ["[]", "{", '{"auths": {"a": "c2Vj', "\xff"])
def test_a_file_that_is_none_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RegistryError, match="can't read the credentials"):
        change(path, add)
    assert path.read_bytes() == text.encode("latin-1")


def test_a_number_that_is_none_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"a": 1e999}')
    with pytest.raises(RegistryError, match="left as it is"):
        change(path, add)
    assert path.read_text() == '{"a": 1e999}'


def test_a_disk_that_fails_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(authfile.os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        change(path, add)
    assert path.read_text() == "{}"
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.json"]
