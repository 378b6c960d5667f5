"""What a frontend has to say of a step reaches who builds once the step fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py.engine import BuildOptions, Engine
from buildkit_py.errors import PybuildError


def failure(engine: Engine, context: Path, text: str) -> PybuildError:
    (context / "Dockerfile").write_text(text)
    with pytest.raises(PybuildError) as caught:
        engine.build(BuildOptions(context=context), lambda event: None)
    return caught.value


def test_a_trigger_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nONBUILD COPY app.txt /app.txt\n")
    with Engine(tmp_path / "store") as engine:
        engine.build(BuildOptions(context=tmp_path, tags=("bb:onb",)), lambda event: None)
        error = failure(engine, tmp_path, "FROM bb:onb\n")
        assert error.message == "./app.txt is not there (in the directory of the build)"
        assert error.hint == "it comes from ONBUILD of bb:onb: COPY app.txt /app.txt"
        (tmp_path / "apps.txt").touch()
        error = failure(engine, tmp_path, "FROM bb:onb\n")
        assert (error.hint or "").startswith("did you mean ./apps.txt? it comes from ONBUILD of bb:onb")
        error = failure(engine, tmp_path, "FROM scratch AS on\nONBUILD COPY --chmod=9 x /\nFROM on\n")
        assert (error.hint or "").endswith("; it comes from ONBUILD of on: COPY --chmod=9 x /")


def test_a_source_that_leads_out_of_the_context_is_told(tmp_path: Path) -> None:
    (tmp_path / "app.txt").touch()
    with Engine(tmp_path / "store") as engine:
        error = failure(engine, tmp_path, "FROM scratch\nCOPY ../app/app.txt /\n")
        assert (error.hint or "").startswith("../app/app.txt leads out of the directory of the build")
        again = failure(engine, tmp_path, "FROM scratch\nCOPY ../app/app.txt /\n")
        assert again.hint == error.hint
