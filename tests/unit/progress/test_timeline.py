"""What is made of a record: rows, the critical path, sums, and the drawings of them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from buildkit_py.progress import timechart, timetable, trace
from buildkit_py.progress.timeline import Timeline, timeline_of, to_plain

Phases = list[tuple[str, float, float]]


def node(title: str, inputs: tuple[int, ...] = (), phases: Phases | None = None, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"title": title, "kind": "run", "inputs": {str(n): each for n, each in enumerate(inputs)}}
    if phases:
        found |= {"phases": phases, "known": phases[-1][2], "outcome": "done"}
    return {**found, **more}


def record(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = {f"sha256:{number}": each for number, each in enumerate(nodes)}
    return {"id": "b1", "outcome": "done", "marks": {}, "nodes": named, **more}


def critical(timeline: Timeline) -> list[str]:
    return [row.title for row in timeline.rows if row.critical]


DIAMOND = record(
    node("base", phases=[("transfer", 0, 2)]),
    node("slow", (0,), [("run", 2, 7)]),
    node("quick", (0,), [("run", 2, 3)]),
    node("both", (1, 2), [("run", 7, 9)]),
    node("beside", phases=[("run", 0, 8)]),
)


def test_the_critical_path_follows_what_was_ready_last() -> None:
    timeline = timeline_of(DIAMOND)
    assert critical(timeline) == ["base", "slow", "both"]
    assert (timeline.critical, timeline.seconds) == (9, 9)


def test_the_path_goes_through_steps_that_took_no_time() -> None:
    timeline = timeline_of(
        record(
            node("a", phases=[("run", 0, 3)]),
            node("known", (0,), known=3.0, number=2),
            node("b", (1,), [("run", 3, 4)]),
        )
    )
    assert critical(timeline) == ["a", "b"]
    assert timeline.quiet == 1


def test_an_input_that_was_done_later_did_not_hold_its_user_up() -> None:
    """A step that was known at once is made later, because another one needs its bytes."""
    timeline = timeline_of(
        record(
            node("first", phases=[("run", 0, 1)]),
            node("later", phases=[("run", 2, 9)]),
            node("user", (0, 1), [("run", 1, 10)]),
        )
    )
    assert critical(timeline) == ["first", "user"]


def test_what_an_input_is_may_be_known_before_it_is_made() -> None:
    """A copy goes on as soon as its base is known, though the base is laid down later, when a process needs it."""
    timeline = timeline_of(
        record(
            node("first", phases=[("run", 0, 1)]),
            node("base", (0,), [("look", 1, 2), ("wait", 2, 5), ("write", 5, 8)], known=2.0),
            node("copy", (1,), [("hash", 2, 9)]),
        )
    )
    assert critical(timeline) == ["first", "base", "copy"]


def test_what_is_waited_for_in_the_middle_is_on_the_path() -> None:
    timeline = timeline_of(
        record(
            node("pull", phases=[("transfer", 1, 5)]),
            node("copy", (0,), [("hash", 0, 1), ("wait", 1, 5), ("run", 5, 6)]),
        )
    )
    assert critical(timeline) == ["copy", "pull"]
    assert timeline.critical == 6
    assert timeline.totals == {"wait": 4, "hash": 1, "transfer": 4, "run": 1}
    (copy,) = (row for row in timeline.rows if row.title == "copy")
    assert (copy.begin, copy.took, copy.end) == (0, 2, 6)


def test_a_first_wait_does_not_count_as_work() -> None:
    (row,) = timeline_of(record(node("a", phases=[("wait", 0, 4), ("run", 4, 5)]))).rows
    assert (row.begin, row.took) == (4, 1)


def test_reading_the_file_and_the_end_are_rows_too() -> None:
    timeline = timeline_of(
        record(
            node("a", phases=[("run", 1, 2)]),
            {"title": "archive x.tar", "kind": "output", "started": 3, "phases": [("write", 3, 4)], "known": 4},
            marks={"began": 1, "solved": 2, "ended": 4},
            images=[{"name": "app"}],
        )
    )
    assert [row.title for row in timeline.rows] == [
        "read the build file",
        "a",
        "put the images together",
        "archive x.tar",
    ]
    assert all(row.critical for row in timeline.rows)


def test_a_record_of_an_older_version_gives_what_it_has() -> None:
    old = {"id": "b0", "nodes": {"sha256:1": {"title": "a", "kind": "run", "started": 1.0, "finished": 3.0}, "x": {}}}
    (row,) = timeline_of(old).rows
    assert (row.title, row.took, row.critical) == ("a", 2.0, True)


def test_a_build_that_did_nothing_can_be_shown() -> None:
    timeline = timeline_of(record(node("a", known=0.0, number=1, cached="key")))
    assert timetable.render(timeline).startswith("build b1 took 0 ms")
    assert "1 step that took no time" in timetable.render(timeline)
    ElementTree.fromstring(timechart.render(timeline))
    assert json.loads(trace.render(timeline))["traceEvents"]


def test_the_table_marks_the_path_and_names_the_failure() -> None:
    timeline = timeline_of(
        record(
            node("a", phases=[("wait", 0, 0.5), ("run", 0.5, 2)], number=2),
            node("b", (0,), [("run", 2, 3)], number=3, outcome="failed"),
            outcome="failed",
        )
    )
    lines = timetable.render(timeline).splitlines()
    assert lines[0] == "build b1 failed after 3.0 s, 2.5 s of it on the critical path (*)"
    assert lines[2].split() == ["*", "#2", "500", "ms", "1.5", "s", "a", "wait", "500", "ms,", "run", "1.5", "s"]
    assert "b (failed)" in lines[3]
    assert [line.split() for line in lines[-2:]] == [["running", "2.5", "s"], ["waiting", "500", "ms"]]


def test_in_no_lane_of_a_trace_two_steps_overlap() -> None:
    timeline = timeline_of(DIAMOND)
    events = json.loads(trace.render(timeline))["traceEvents"]
    spans = [each for each in events if each["ph"] == "X" and each["cat"] != "phase"]
    assert {each["name"] for each in spans} == {"base", "slow", "quick", "both", "beside"}
    for lane in {each["tid"] for each in spans}:
        mine = sorted((each["ts"], each["ts"] + each["dur"]) for each in spans if each["tid"] == lane)
        assert all(one[1] <= two[0] for one, two in pairwise(mine))
    assert max(each["tid"] for each in spans) == 3
    assert next(each for each in spans if each["name"] == "slow") == {
        "name": "slow", "cat": "critical", "ph": "X", "ts": 2_000_000, "dur": 5_000_000, "pid": 1, "tid": 1,
        "args": {"kind": "run", "outcome": "done"},
    }  # fmt: skip


def test_phases_lie_inside_their_step() -> None:
    timeline = timeline_of(record(node("a", phases=[("wait", 0, 1), ("run", 1, 2), ("hash", 2, 3)])))
    events = [each for each in json.loads(trace.render(timeline))["traceEvents"] if each["ph"] == "X"]
    assert [(each["name"], each["ts"], each["dur"]) for each in events] == [
        ("a", 1_000_000, 2_000_000),
        ("run", 1_000_000, 1_000_000),
        ("hash", 2_000_000, 1_000_000),
    ]


def test_the_drawing_is_whole_and_escapes_what_people_wrote() -> None:
    timeline = timeline_of(record(node('run <b> & "c"', phases=[("run", 0, 1)]), node("d", (0,), [("hash", 1, 2)])))
    text = timechart.render(timeline)
    root = ElementTree.fromstring(text)
    name = "{http://www.w3.org/2000/svg}"
    titles = [each.findtext(f"{name}title") or "" for each in root.iter(f"{name}g")]
    assert titles[0].startswith('run <b> & "c"\nfrom 0 ms to 1.0 s\nrun 1.0 s')
    assert [each.get("class") for each in root.iter(f"{name}g")] == ["critical", "critical"]
    assert "prefers-color-scheme: dark" in text
    assert not any(word in text for word in ("href", "<script", "@import", "url("))


def test_the_drawing_marks_what_failed() -> None:
    nodes = (node("a", phases=[("run", 0, 1)]), node("b", (0,), [("run", 1, 2)], outcome="failed"))
    root = ElementTree.fromstring(timechart.render(timeline_of(record(*nodes, outcome="failed"))))
    name = "{http://www.w3.org/2000/svg}"
    assert [each.get("class") for each in root.iter(f"{name}g")] == ["critical", "critical failed"]
    assert [each.text for each in root.iter(f"{name}text") if "failed" in (each.text or "")][1:] == ["1.0 s failed"]


@pytest.mark.parametrize(("least", "step"), [(0.0001, 0.001), (0.0015, 0.002), (0.3, 0.5), (7, 10), (11, 20)])
def test_lines_stand_at_round_times(least: float, step: float) -> None:
    assert timechart.round_step(least) == pytest.approx(step)


def test_the_json_value_has_what_the_table_has() -> None:
    plain = to_plain(timeline_of(DIAMOND))
    assert json.loads(json.dumps(plain)) == plain
    assert [step["title"] for step in plain["steps"] if step["critical"]] == ["base", "slow", "both"]
    assert plain["totals"] == {"transfer": 2, "run": 16}
