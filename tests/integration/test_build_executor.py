"""What a build makes does not depend on how its executor is reached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from buildkit_py.engine import BuildOptions, BuildResult, Engine, run
from buildkit_py.errors import InfrastructureError
from buildkit_py.events import Event, Finished, Log
from tests.support import bases
from tests.support.executors import Network

FILE = """buildfile 1
stage tool {
    from "oci:base"
    copy ./src/ to /src/
    run echo of the tool; cat /src/a > /made
}
image app {
    from "oci:base"
    layer "one" {
        copy /made to /opt/ from tool
        run echo one > /one; ln /one /two
    }
    with mount(./src, at: /src), cache(/cache), secret(token)
    run cat /src/* > /all; rm /bin/wget
    test "works" {
        run test -s /opt/made
    }
}
secret token
"""


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildOptions:
    context = tmp_path / "project"
    (context / "src").mkdir(parents=True)
    (context / "src" / "a").write_text("a\n")
    bases.place("tiny", context / "base")
    (context / "Buildfile").write_text(FILE)
    monkeypatch.chdir(context)
    monkeypatch.setenv("TOKEN", "a-token-of-some-length")
    return BuildOptions(context=context, secrets=("id=token,env=TOKEN",))


@pytest.fixture
def expected(tmp_path: Path, options: BuildOptions) -> Iterator[BuildResult]:
    with Engine(tmp_path / "plain") as engine:
        yield engine.build(options, lambda event: None)


NETWORKS = {
    "json": {},
    "twice": {"times": 2},
    "lost": {"lost": 2},
    "late": {"late": 0.2},
    "events-lost": {"events": 0},
    "events-repeated": {"events": 3},
    "all": {"times": 2, "lost": 1, "late": 0.05, "events": 2},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_image_comes_out(
    name: str, tmp_path: Path, options: BuildOptions, expected: BuildResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(**NETWORKS[name])  # type: ignore[arg-type]
    monkeypatch.setattr(run, "LocalExecutor", network.executor)
    events: list[Event] = []
    with Engine(tmp_path / "remote") as engine:
        result = engine.build(options, events.append)
        again = engine.build(options, events.append)
        assert engine.store.check() == []
    assert result.digests == expected.digests == again.digests
    assert result.ran + result.cached == expected.ran + expected.cached
    assert again.ran == 0
    logged = [event.text for event in events if isinstance(event, Log)]
    assert set(logged) == ({"of the tool"} if network.events else set())
    for text in network.crossed:
        assert str(tmp_path) not in text and "a-token-of-some-length" not in text


def test_a_machine_that_stays_away_is_given_up(
    tmp_path: Path, options: BuildOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "LocalExecutor", Network(lost=99).executor)
    events: list[Event] = []
    with Engine(tmp_path / "remote") as engine:
        with pytest.raises(InfrastructureError, match="the connection broke"):
            engine.build(options, events.append)
        assert engine.store.check() == []
        monkeypatch.undo()
    assert [event.outcome for event in events if isinstance(event, Finished)].count("failed") >= 1
