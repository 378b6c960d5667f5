"""What a step prints, as redacted lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py.executor.execs import MAX_LINE, TAIL, LineLog
from buildkit_py.executor.secrets import SecretSpec, SecretStore
from buildkit_py.protocol import LogEvent

SECRET = b"correct horse/battery+staple"


@pytest.fixture
def secrets(tmp_path: Path) -> SecretStore:
    (tmp_path / "token").write_bytes(SECRET)
    return SecretStore([SecretSpec(id="token", kind="file", where=str(tmp_path / "token"))])


@pytest.fixture
def events() -> list[LogEvent]:
    return []


@pytest.fixture
def log(secrets: SecretStore, events: list[LogEvent]) -> LineLog:
    return LineLog("key", events.append, secrets)


def test_lines_are_whole_by_stream(log: LineLog, events: list[LogEvent]) -> None:
    for stream, data in (("stdout", b"a"), ("stderr", b"x\ny"), ("stdout", b"b\r\nc"), ("stderr", b"z\n")):
        log.write(stream, data)
    log.close()
    assert [(event.stream, event.data) for event in events] == [
        ("stderr", "x"),
        ("stdout", "ab"),
        ("stderr", "yz"),
        ("stdout", "c"),
    ]
    assert [event.seq for event in events] == [0, 1, 2, 3]


def test_a_secret_read_meanwhile_is_redacted(log: LineLog, events: list[LogEvent], secrets: SecretStore) -> None:
    log.write("stdout", b"before\n")
    secrets.get("token")
    for at in range(len(SECRET)):
        log.write("stdout", SECRET[at : at + 1])
    log.write("stderr", b"%s\n" % SECRET.hex().encode())
    log.close()
    assert sorted(event.data for event in events) == ["***", "***", "before"]
    assert sorted(log.tail) == ["***", "***", "before"]


def test_endless_lines_are_cut_and_the_tail_is_short(log: LineLog, events: list[LogEvent]) -> None:
    log.write("stdout", b"x" * (MAX_LINE + 1))
    assert len(events) == 1
    log.write("stdout", b"\n".join(b"%d" % number for number in range(100)))
    log.close()
    assert list(log.tail) == [str(number) for number in range(100 - TAIL, 100)]


def test_bytes_that_are_no_text(log: LineLog, events: list[LogEvent]) -> None:
    log.write("stdout", b"\xff\0\n")
    assert events[0].data == "\ufffd\0"
