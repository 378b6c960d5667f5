"""Secrets that can't be read stop a build before anything of it is done, and say where they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py import events
from buildkit_py.engine import BuildOptions, Engine
from buildkit_py.errors import PybuildError, SecretLeakError, SourceInputError, UsageError

ASKS = "FROM scratch\nWORKDIR /a\nRUN --mount=type=secret,id=token /x\n"
ASKS_NOT = "FROM scratch\nWORKDIR /a\n"


def test_a_secret_that_no_step_asks_for_is_noted(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("long enough for it")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(ASKS.replace("id=token", "id=token,required"))
    options = BuildOptions(context=context, secrets=(f"id=tokn,src={tmp_path}/token",))
    seen: list[events.Event] = []
    with Engine(tmp_path / "store") as engine, pytest.raises(UsageError):
        engine.build(options, seen.append)
    notes = [event.text for event in seen if isinstance(event, events.Note)]
    assert notes == ["no step asks for the secret 'tokn'; did you mean 'token'?"]


def refusal(tmp_path: Path, text: str, *secrets: str) -> PybuildError:
    """Why a build is refused, of which no step may begin."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(text)
    seen: list[events.Event] = []
    with Engine(tmp_path / "store") as engine, pytest.raises(PybuildError) as caught:
        engine.build(BuildOptions(context=context, secrets=secrets), seen.append)
    assert not [event for event in seen if isinstance(event, events.BuildStarted)]
    return caught.value


@pytest.mark.parametrize(
    ("spec", "message"), [("src=nofile", "nofile: No such file or directory"), ("env=PYBUILD_UNSET", "not set")]
)
def test_a_source_that_a_step_needs_is_refused_at_the_step(tmp_path: Path, spec: str, message: str) -> None:
    error = refusal(tmp_path, ASKS, f"id=token,{spec}")
    assert isinstance(error, SourceInputError)
    assert message in error.message and f"--secret id=token,{spec}" in (error.hint or "")
    assert error.span is not None
    assert error.span.line == 3


def test_a_file_that_is_not_there_is_refused_whether_or_not_a_step_asks(tmp_path: Path) -> None:
    error = refusal(tmp_path, ASKS_NOT, "id=other,src=nofile")
    assert "nofile" in error.message
    assert error.span is None


def test_a_secret_that_is_too_short_is_refused_at_the_step(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("ab")
    error = refusal(tmp_path, ASKS, f"id=token,src={tmp_path}/short")
    assert isinstance(error, UsageError)
    assert error.span is not None
    assert error.span.line == 3


def test_a_command_that_fails_is_told_at_the_step_that_asks(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(ASKS)
    options = BuildOptions(context=context, secrets=("id=token,cmd=false",))
    with Engine(tmp_path / "store") as engine, pytest.raises(SourceInputError) as caught:
        engine.build(options, lambda event: None)
    assert caught.value.span is not None
    assert caught.value.span.line == 3


def test_a_copy_that_takes_in_the_file_of_a_secret_names_the_remedy(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "token").write_text("long enough for it")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . .\nRUN --mount=type=secret,id=token /x\n")
    options = BuildOptions(context=context, secrets=(f"id=token,src={context}/token",))
    with Engine(tmp_path / "store") as engine, pytest.raises(SecretLeakError) as caught:
        engine.build(options, lambda event: None)
    assert ".dockerignore" in (caught.value.hint or "")
