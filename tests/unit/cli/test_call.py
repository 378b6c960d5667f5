"""What is asked of a build file instead of building it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from buildkit_py.cli.call import Call, call_of
from buildkit_py.engine.asking import Answer, offer
from buildkit_py.engine.buildfile import BuildFile
from buildkit_py.errors import UsageError
from buildkit_py.source import Diagnostic, Span

TEXT = "\n".join(f"line {number}" for number in range(1, 9)) + "\n"
RULES = {"Rule": SimpleNamespace(description="what it asks for", url="https://docs.example/rule/")}


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that a frontend tells of."""

    name: str = ""
    value: str = ""
    description: str = ""
    required: bool = False
    default: bool = False
    base: str = ""
    platform: str = ""
    id: str = ""
    location: Span | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one kind of frontend calls an outline."""

    name: str = "bin"
    description: str = "the program"
    args: tuple[Item, ...] = ()
    secrets: tuple[Item, ...] = ()
    ssh: tuple[Item, ...] = ()
    caches: tuple[Item, ...] = field(default=())


def span(line: int, end: int | None = None) -> Span:
    return Span("Dockerfile", line, 1, end or line, 7)


def warned(line: int, end: int | None = None, *, severity: Any = "warning") -> Diagnostic:
    return Diagnostic(message=f"a message {line}", span=span(line, end), severity=severity, rule="Rule")


@pytest.fixture
def ask(cli: Any) -> Any:
    Path("Dockerfile").write_text(TEXT)
    file = BuildFile(path=Path("Dockerfile"), frontend="dockerfile", text=TEXT, shown="Dockerfile")

    def asking(value: Any, *words: str) -> int:
        cli.engine.ask = lambda options, question: Answer(file=file, value=value, rules=RULES)
        return int(cli("build", *words, "."))

    return asking


def called(**fields: Any) -> Call | None:
    return call_of(SimpleNamespace(**{"call": None, "check": False, "format": None, **fields}))  # type: ignore[arg-type]


def test_questions() -> None:
    assert called() is called(call="build") is None
    assert called(check=True) == called(call="check") == called(call="lint") == Call(question="check")
    assert (
        called(call="outline,format=json")
        == called(call="outline", format="json")
        == Call(question="outline", format="json")
    )
    assert called(call="check,ignorestatus=true") == Call(question="check", lenient=True)
    for wrong in (
        {"call": "chekc"},
        {"call": "check,colour=1"},
        {"format": "json"},
        {"check": True, "call": "targets"},
    ):
        with pytest.raises(UsageError):
            called(**wrong)


def test_nothing_found(cli: Any, ask: Any) -> None:
    assert ask([], "--check") == 0
    assert (cli.out, cli.err) == ("Check complete, no warnings found.\n", "")


def test_warnings(cli: Any, ask: Any) -> None:
    assert ask([warned(4), warned(1)], "--check") == 1
    assert cli.out == (
        "Check complete, 2 warnings have been found!\n"
        "\nWARNING: Rule - https://docs.example/rule/\na message 1\nDockerfile:1\n--------------------\n"
        "   1 | >>> line 1\n   2 |     line 2\n   3 |     line 3\n--------------------\n"
        "\nWARNING: Rule - https://docs.example/rule/\na message 4\nDockerfile:4\n--------------------\n"
        "   2 |     line 2\n   3 |     line 3\n   4 | >>> line 4\n   5 |     line 5\n   6 |     line 6\n"
        "--------------------\n"
    )
    assert ask([warned(4)], "--call=check,ignorestatus=true") == 0
    assert "1 warning has been found!" in cli.out


def test_errors_are_errors(cli: Any, ask: Any) -> None:
    assert ask([warned(2, severity="error"), warned(1)], "--check") == 3
    assert "Check complete, 1 warning has been found!" in cli.out
    assert "Dockerfile:2:1: error[Rule]: a message 2\n" in cli.err


def test_a_check_as_json(cli: Any, ask: Any) -> None:
    assert ask([warned(2, 3), warned(5, severity="error")], "--check", "--format", "json") == 3
    found = json.loads(cli.out)
    (warning,) = found["warnings"]
    assert warning == {
        "ruleName": "Rule",
        "description": "what it asks for",
        "url": "https://docs.example/rule/",
        "detail": "a message 2",
        "location": {
            "ranges": [
                {"start": {"line": 2, "character": 0}, "end": {"line": 2, "character": 0}},
                {"start": {"line": 3, "character": 0}, "end": {"line": 3, "character": 6}},
            ]
        },
    }
    (source,) = found["sources"]
    assert (source["filename"], source["language"]) == ("Dockerfile", "Dockerfile")
    assert base64.b64decode(source["data"]).decode() == TEXT
    assert found["buildError"]["message"] == "a message 5"


OUTLINE = Told(
    args=(Item(name="V", value="1", description="the version", location=span(1)), Item(name="LONGER")),
    secrets=(Item(name="tok", required=True, location=span(3)), Item(name="other")),
    ssh=(Item(name="default"),),
    caches=(Item(id="/root/.cache", location=span(4)),),
)


def test_an_outline(cli: Any, ask: Any) -> None:
    assert ask(OUTLINE, "--call", "outline") == 0
    assert cli.out == (
        "TARGET:      bin\nDESCRIPTION: the program\n\n"
        "BUILD ARG   VALUE   DESCRIPTION\nV           1       the version\nLONGER              \n\n"
        "SECRET   REQUIRED\ntok      true\nother    \n\n"
        "SSH       REQUIRED\ndefault   \n\n"
    )


def test_an_outline_as_json(cli: Any, ask: Any) -> None:
    assert ask(OUTLINE, "--call=outline,format=json") == 0
    found = json.loads(cli.out)
    place = {"ranges": [{"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 6}}]}
    assert found["args"] == [
        {"name": "V", "description": "the version", "value": "1", "location": place},
        {"name": "LONGER"},
    ]
    assert [item["name"] for item in found["secrets"]] == ["tok", "other"]
    assert found["secrets"][0]["required"] is True
    assert found["cache"][0]["ID"] == "/root/.cache"
    assert (found["name"], found["description"], found["ssh"]) == ("bin", "the program", [{"name": "default"}])


def test_an_outline_of_the_other_kind(cli: Any, ask: Any) -> None:
    param = SimpleNamespace(name="who", help="whom to greet", type="string", default='"you"')
    value = SimpleNamespace(params=(param,), secrets=(SimpleNamespace(name="token", help=""),), images=(), stages=())
    assert ask(value, "--call=outline") == 0
    assert cli.out == (
        'BUILD ARG   VALUE   DESCRIPTION\nwho         "you"   whom to greet\n\nSECRET   REQUIRED\ntoken    true\n\n'
    )


def test_targets(cli: Any, ask: Any) -> None:
    value = [
        Item(name="base", base="alpine"),
        Item(name="bin", description="the program", default=True),
        Item(default=True),
    ]
    assert ask(value, "--call=targets") == 0
    assert cli.out == "TARGET        DESCRIPTION\nbase          \nbin (default) the program\n(default)     \n"
    assert ask(value, "--call=targets,format=json") == 0
    found = json.loads(cli.out)
    assert found["targets"][:2] == [
        {"name": "base", "base": "alpine"},
        {"name": "bin", "default": True, "description": "the program"},
    ]


def test_a_function_gets_what_it_names() -> None:
    def function(source: str, *, file: str) -> str:
        return source + file

    assert offer(function, "a", file="b", resolver=None) == "ab"


def test_questions_are_about_a_build_file(cli: Any) -> None:
    assert cli("build", "--check", "--graph", "x.json") == 2
