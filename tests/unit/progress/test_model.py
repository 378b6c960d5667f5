from buildkit_py import events
from buildkit_py.progress.model import TAIL, Model


def take(*stream: events.Event) -> Model:
    model = Model()
    for event in stream:
        model.take(event)
    return model


def started(at: float, name: str) -> events.Started:
    return events.Started(at=at, id=name, title=f"run {name}", kind="run")


def finished(at: float, name: str, outcome: str = "done", error: str | None = None) -> events.Finished:
    return events.Finished(at=at, id=name, outcome=outcome, error=error)  # type: ignore[arg-type]


def test_a_step_runs_and_is_done() -> None:
    model = take(started(1.0, "a"))
    assert [step.id for step in model.running()] == ["a"]
    model.take(finished(3.5, "a"))
    step = model.steps["a"]
    assert (step.state, step.seconds, step.number) == ("done", 2.5, 1)
    assert model.running() == []


def test_a_cached_step_stays_cached_when_it_is_said_to_be_finished() -> None:
    model = take(events.Cached(at=1, id="a", title="run a", kind="run"), finished(2, "a"))
    assert model.steps["a"].state == "cached"
    assert model.steps["a"].seconds == 0


def test_a_step_that_made_the_same_again_is_done_and_same() -> None:
    model = take(started(1, "a"), events.Cached(at=2, id="a", title="run a", kind="run", how="diff"), finished(3, "a"))
    assert (model.steps["a"].state, model.steps["a"].same) == ("done", True)


def test_a_cached_step_whose_bytes_are_needed_can_still_fail() -> None:
    model = take(
        events.Cached(at=1, id="a", title="from x", kind="image"), started(2, "a"), finished(3, "a", "failed", "gone")
    )
    assert (model.steps["a"].state, model.steps["a"].error) == ("failed", "gone")


def test_the_last_lines_are_kept_clean_and_bounded() -> None:
    lines = [f"\x1b[31mline {number}\x1b[0m" for number in range(100)]
    model = take(started(0, "a"), events.Log(at=1, id="a", stream="stdout", text="\n".join([*lines, "", "10%\r100%"])))
    tail = list(model.steps["a"].tail)
    assert len(tail) == TAIL
    assert tail[-2:] == ["line 99", "100%"]


def test_a_transfer_without_a_step_counts_as_one() -> None:
    model = take(events.Progress(at=2.0, id="push", done=1, total=2))
    assert [(step.title, step.started) for step in model.running()] == [("push", 2.0)]


def test_bytes_of_a_cached_step_that_are_coming_in_are_under_way() -> None:
    model = take(events.Cached(at=1, id="a", title="run a", kind="run"), events.Progress(at=2, id="a", done=1, total=9))
    assert [step.id for step in model.running()] == ["a"]
    model.take(events.Progress(at=3, id="a", done=9, total=9))
    assert (model.running(), model.steps["a"].state) == ([], "cached")


def test_slowest_are_the_longest_and_none_that_took_no_time() -> None:
    stream: list[events.Event] = []
    for name, seconds in (("a", 1.0), ("b", 5.0), ("c", 0.05), ("d", 2.0), ("e", 3.0)):
        stream += [started(0, name), finished(seconds, name)]
    assert [step.id for step in take(*stream).slowest()] == ["b", "e", "d"]


def test_skipped_steps_are_found_by_their_cause() -> None:
    model = take(
        started(0, "a"),
        finished(1, "a", "failed", "exit 1"),
        events.Skipped(at=1, id="b", title="layer 'x'", because="a"),
        events.Skipped(at=1, id="c", title="layer 'y'", because="other"),
    )
    assert [step.id for step in model.skipped_because(model.steps["a"])] == ["b"]
