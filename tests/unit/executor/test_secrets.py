"""Secret specs, the store that reads them, and the filter that keeps them out of output."""

import base64
import os
import socket
import time
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.errors import PybuildError, SourceInputError, UsageError
from buildkit_py.executor import secrets
from buildkit_py.executor.redactor import Redactor
from buildkit_py.executor.secrets import SecretSpec, SecretStore, SshSpec
from buildkit_py.secret_forms import MIN_LENGTH, core, forms, lines

SECRET = b"correct horse/battery+staple"


@pytest.mark.parametrize(
    ("text", "kind", "where"),
    [
        ("id=a,src=x", "file", "x"),
        ("src=x,id=a", "file", "x"),
        ("id=a,source=/x,y.txt", "file", "/x,y.txt"),
        ("id=a,env=TOKEN", "env", "TOKEN"),
        ("type=env,id=a,src=TOKEN", "env", "TOKEN"),
        ("type=file,id=a,src=x", "file", "x"),
        ("id=a,cmd=pass show a,src=b", "command", "pass show a,src=b"),
        ("cmd-id=x", None, None),
        ("id=a,src=x,env=y", None, None),
        ("id=a,src=", None, None),
        ("id=a,id=b,src=x", None, None),
        ("id=a b,src=x", None, None),
        ("type=vault,id=a,src=x", None, None),
        ("src=x", None, None),
        ("a", None, None),
        ("", None, None),
    ],
)
def test_a_secret_spec_is_parsed_or_refused(text: str, kind: str | None, where: str | None) -> None:
    if kind is None:
        with pytest.raises(UsageError) as caught:
            SecretSpec.parse(text)
        assert "--secret id=NAME,src=FILE" in str(caught.value.hint)
    else:
        spec = SecretSpec.parse(text)
        assert (spec.id, spec.kind, spec.where) == ("a", kind, where)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id=x,file=y", "a --secret has no key called 'file'"),
        ("name=x,src=y", "a --secret has no key called 'name'"),
        ("foo", "a --secret is written as KEY=VALUE words"),
    ],
)
def test_a_spec_that_is_refused_says_what_is_wrong_with_it(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SecretSpec.parse(text)


def test_a_bare_id_is_the_variable_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SecretSpec.parse("id=TOKEN_X").kind == "file"
    monkeypatch.setenv("TOKEN_X", "12345678")
    assert SecretSpec.parse("id=TOKEN_X").kind == "env"


def test_values_are_read_once_when_asked_for(tmp_path: Path) -> None:
    source = tmp_path / "token"
    store = SecretStore([SecretSpec(id="a", kind="file", where=str(source))])
    source.write_bytes(SECRET + b"\n")
    assert store.known() == {}
    assert store.get("a") == SECRET + b"\n"
    source.write_bytes(b"another value")
    assert store.get("a") == SECRET + b"\n"
    assert store.get("b") is None
    assert "a" in store
    assert store.searchable() == {"a": SECRET + b"\n"}


def test_a_command_has_no_shell_no_environment_and_no_error_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CANARY", "leaked-into-command")
    program = tmp_path / "show"
    program.write_text('#!/bin/sh\nenv | grep CANARY\necho "value of $1"\necho noise >&2\n')
    program.chmod(0o755)
    store = SecretStore([SecretSpec.parse(f"id=a,cmd={program} '$HOME; x'")])
    assert store.get("a") == b"value of $HOME; x"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("command", ["sh -c 'echo hunter2hunter2 >&2; exit 3'", "/no/such/hunter2hunter2", "'", " "])
def test_a_command_that_fails_says_so_without_its_words(command: str) -> None:
    store = SecretStore([SecretSpec(id="a", kind="command", where=command)])
    with pytest.raises(SourceInputError) as caught:
        store.get("a")
    error: BaseException | None = caught.value
    assert "hunter2" not in f"{caught.value}{caught.value.hint}{caught.value.__cause__}"
    assert "'a'" in str(error)


def test_a_command_that_hangs_is_ended_with_all_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "COMMAND_SECONDS", 0.5)
    pid_file = tmp_path / "pid"
    command = f"sh -c 'sleep 1000 & echo $! > {pid_file}; wait'"
    with pytest.raises(SourceInputError, match="did not end within"):
        SecretStore([SecretSpec(id="a", kind="command", where=command)]).get("a")
    process = Path(f"/proc/{pid_file.read_text().strip()}")
    while alive(process):
        time.sleep(0.01)


def alive(process: Path) -> bool:
    try:
        return "State:\tZ" not in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_can_not_be_read_is_named(tmp_path: Path) -> None:
    for spec, words in [
        (SecretSpec(id="a", kind="file", where=str(tmp_path / "none")), "none: No such file"),
        (SecretSpec(id="a", kind="file", where=str(tmp_path)), "Is a directory"),
        (SecretSpec(id="a", kind="env", where="NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE, which is not set"),
    ]:
        with pytest.raises(SourceInputError, match=words):
            SecretStore([spec]).get("a")


def test_short_and_huge_secrets_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "pin"
    source.write_bytes(b" 123456 \n")
    spec = SecretSpec(id="pin", kind="file", where=str(source))
    with pytest.raises(UsageError, match="fewer than 8 bytes") as caught:
        SecretStore([spec]).get("pin")
    assert "123456" not in str(caught.value)
    short = SecretStore([spec], allow_short=True)
    assert short.get("pin") == b" 123456 \n"
    assert short.searchable() == {}
    assert short.unsearchable() == ["pin"]
    source.write_bytes(bytes(secrets.MAX_BYTES + 1))
    with pytest.raises(SourceInputError, match="larger than 512 KiB"):
        SecretStore([spec]).get("pin")


def test_nothing_shows_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenvb = None  # type: ignore[attr-defined]
    monkeypatch.setenv("TOKEN_X", "hunter2hunter2")
    spec = SecretSpec.parse("id=a,cmd=echo hunter2hunter2")
    store = SecretStore([spec, SecretSpec.parse("id=b,env=TOKEN_X")])
    assert store.get("a") == store.get("b")
    assert "hunter2" not in f"{spec!r} {store!r} {store!s}"


def test_one_id_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="given twice"):
        SecretStore([SecretSpec.parse("id=a,env=X"), SecretSpec.parse("id=a,env=Y")])


def test_ssh_specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = tmp_path / "key"
    key.write_text("x")
    agent = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(agent))
        assert SshSpec.parse("default") == SshSpec(id="default", path=None)
        assert SshSpec.parse(f"deploy={key}").source() == ("key", str(key))
        assert SshSpec.parse(f"default={agent}").source() == ("socket", str(agent))
        with pytest.raises(SourceInputError, match="SSH_AUTH_SOCK is not set"):
            SshSpec.parse("default").source()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        assert SshSpec.parse("default").source() == ("socket", str(agent))
    for wrong in (tmp_path, tmp_path / "none"):
        with pytest.raises(SourceInputError):
            SshSpec(id="x", path=str(wrong)).source()
    for text in ("", "=x", "a=", "a b"):
        with pytest.raises(UsageError):
            SshSpec.parse(text)


def show(redactor: Redactor, *pieces: bytes) -> bytes:
    return b"".join(map(redactor.write, pieces)) + redactor.flush()


@pytest.mark.parametrize("around", range(7))
def test_every_shape_is_masked_at_every_alignment(around: int) -> None:
    padded = b"x" * around + SECRET + b"y" * around
    shapes = [
        SECRET,
        base64.b64encode(padded),
        base64.urlsafe_b64encode(padded),
        padded.hex().encode(),
        padded.hex().upper().encode(),
        urllib.parse.quote(SECRET).encode(),
        urllib.parse.quote(SECRET, safe="").encode(),
        urllib.parse.quote_plus(SECRET).encode(),
    ]
    for shape in shapes:
        out = show(Redactor([SECRET + b"\n"]), b"say " + shape + b" end")
        assert out.startswith(b"say ")
        assert out.endswith(b" end")
        assert b"***" in out
        # What is left of it are at most the characters that the neighbours, or the padding, decide too.
        assert len(out) <= len(b"say *** end") + 4 * around + 3


def test_the_lines_of_a_key_are_masked_one_by_one() -> None:
    body = [base64.b64encode(os.urandom(48)) for _ in range(3)]
    key = b"-----BEGIN PRIVATE KEY-----\n" + b"\n".join(body) + b"\nab\n-----END PRIVATE KEY-----\n"
    assert lines(key) == body
    assert show(Redactor([key]), b"> " + body[1] + b"\r\nab") == b"> ***\r\nab"
    assert show(Redactor([key]), key) == b"***\n"
    wrapped = base64.encodebytes(key)
    assert b"***" in show(Redactor([key]), wrapped)
    assert not any(line in show(Redactor([key]), wrapped) for line in wrapped.splitlines()[:-1])


def test_a_short_secret_is_masked_as_it_is_and_no_other_way() -> None:
    assert show(Redactor([b"pin7"]), b"pin7 " + b"pin7".hex().encode()) == b"*** 70696e37"
    assert show(Redactor([b"", b"\n"]), b"text\n") == b"text\n"


def test_only_what_may_begin_a_secret_is_held_back() -> None:
    redactor = Redactor([b"password1"])
    assert redactor.write(b"all is well pass") == b"all is well "
    assert redactor.write(b"ed\n") == b"passed\n"
    assert redactor.write(b"passwor") == b""
    assert redactor.write(b"d1") == b"***"
    assert redactor.flush() == b""
    assert redactor.write(b"password") == b""
    assert redactor.flush() == b"password"


def test_secrets_that_overlap_leave_nothing_of_either() -> None:
    both = Redactor([b"abcdefghij", b"ghijklmnop"])
    assert show(both, b"[abcdefghijklmnop]") == b"[***]"
    split = Redactor([b"abcdefghij", b"ghijklmnop"])
    assert show(split, b"[abcdefghij", b"klmnop]") == b"[***]"
    broken = Redactor([b"abcdefghij", b"ghijklmnop"])
    assert show(broken, b"[abcdefghij", b"kl]") == b"[***kl]"


small = st.binary(min_size=1, max_size=12).map(lambda raw: bytes(97 + byte % 3 for byte in raw))


@given(st.lists(small, min_size=1, max_size=4), st.lists(small, max_size=12))
def test_where_writes_end_makes_no_difference(values: list[bytes], pieces: list[bytes]) -> None:
    whole = show(Redactor(values), b"".join(pieces))
    assert show(Redactor(values), *pieces) == whole
    assert not any(value in whole for value in values)


@given(st.binary(min_size=8, max_size=200), st.binary(max_size=50), st.binary(max_size=50))
def test_no_shape_survives(secret: bytes, before: bytes, after: bytes) -> None:
    for _, shape in forms(secret):
        if len(core(secret)) >= MIN_LENGTH:
            text = before + shape + after
            middle = len(before) + len(shape) // 2
            assert shape not in show(Redactor([secret]), text[:middle], text[middle:])


@given(st.binary(max_size=300))
def test_without_secrets_the_stream_is_left_alone(data: bytes) -> None:
    assert show(Redactor([]), data) == data


def test_a_spec_of_the_store_never_raises_anything_untyped(tmp_path: Path) -> None:
    for where in ("\0", "~no-such-user-x/y", str(tmp_path / ("n" * 300))):
        with pytest.raises(PybuildError):
            SecretStore([SecretSpec(id="a", kind="file", where=where)]).get("a")


def test_a_redactor_learns_while_it_reads() -> None:
    redactor = Redactor()
    assert redactor.write(b"one %s " % SECRET[:5]) == b"one %s " % SECRET[:5]
    redactor.learn([SECRET])
    shown = redactor.write(b"two " + SECRET + b" three " + SECRET[:10])
    assert shown == b"two *** three "
    redactor.learn([b"another-secret"])
    assert redactor.write(SECRET[10:] + b" another-") == b"*** "
    assert redactor.write(b"secret") + redactor.flush() == b"***"


def test_a_text_is_redacted_whole(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(SECRET)
    store = SecretStore([SecretSpec(id="token", kind="file", where=str(tmp_path / "token"))])
    assert store.redact(f"/a/{SECRET.decode()}") == f"/a/{SECRET.decode()}"
    store.get("token")
    assert store.redact(f"/a/{SECRET.decode()}/\udcff") == "/a/***/\udcff"
