"""Which checks run: the directive, a comment above an instruction, the build argument; and small parts of checks."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.errors import SourceError
from buildkit_py.graph.resolver import StaticResolver
from buildkit_py.secret_names import sounds_secret
from buildkit_py.source import Span
from buildkit_py.suggest import suggest
from frontends.dockerfile import load
from frontends.dockerfile.check_options import CheckOptionError, read_check_options
from frontends.dockerfile.checks import RULES, Checks
from frontends.dockerfile.syntax import CheckOptions
from tests.support.dockerfile_checks import found, lines

BODY = "FROM scratch as base\ncopy Dockerfile .\n"
HERE = Span("Dockerfile", 3, 1, 3, 5)


@pytest.mark.parametrize(
    ("directive", "rules"),
    [
        ("", {"FromAsCasing", "ConsistentInstructionCasing"}),
        ("#check=skip=all", set()),
        ("#check=skip=all;error=true", set()),
        ("# check = skip=ConsistentInstructionCasing,FromAsCasing", set()),
        ("#check=skip=ConsistentInstructionCasing", {"FromAsCasing"}),
        ("#CHECK=skip=ConsistentInstructionCasing;error=false", {"FromAsCasing"}),
        ("#check=experimental=all", {"FromAsCasing", "ConsistentInstructionCasing"}),
        ("#check=skip=CopyIgnoredFile", {"FromAsCasing", "ConsistentInstructionCasing"}),
    ],
)
def test_directive(directive: str, rules: set[str]) -> None:
    assert {item.rule for item in found(f"{directive}\n{BODY}")} == rules


def test_the_build_argument_takes_the_place_of_the_directive() -> None:
    given = {"BUILDKIT_DOCKERFILE_CHECK": "skip=ConsistentInstructionCasing"}
    assert {item.rule for item in found(f"#check=skip=all\n{BODY}", given=given)} == {"FromAsCasing"}
    assert found(f"#check=error=true\n{BODY}", given={"BUILDKIT_DOCKERFILE_CHECK": "skip=all"}) == []


def test_warnings_as_errors_fail_a_build() -> None:
    text = f"#check=error=true;skip=ConsistentInstructionCasing\n{BODY}"
    with pytest.raises(SourceError) as caught:
        load(text, file="Dockerfile", resolver=StaticResolver())
    [wrong] = caught.value.diagnostics
    assert (wrong.severity, wrong.rule, wrong.span and wrong.span.line) == ("error", "FromAsCasing", 2)


def test_warnings_of_a_build_are_in_its_definition() -> None:
    definition = load(BODY, file="Dockerfile", resolver=StaticResolver())
    assert {item.rule for item in definition.warnings} == {"FromAsCasing", "ConsistentInstructionCasing"}


def test_a_comment_counts_for_the_instruction_below_alone() -> None:
    text = "FROM scratch\n# check=skip=SecretsUsedInArgOrEnv\nENV KEY=1\nENV KEY=2\n"
    assert lines("SecretsUsedInArgOrEnv", text) == [4]


@pytest.mark.parametrize(
    ("comments", "expected"),
    [
        (["check=skip=FromAsCasing"], 0),
        (["check=skip=all"], 0),
        (["CHECK = skip=Other,FromAsCasing"], 0),
        (["a comment", "check=skip=FromAsCasing", "another"], 0),
        (["check=skip=StageNameCasing"], 1),
        (["check=skip=StageNameCasing", "check=skip=FromAsCasing"], 1),
        (["check=nonsense"], 1),
        (["check=error=perhaps"], 1),
        (["do check=skip=all"], 1),
        (["check=error=true"], 1),
        ([], 1),
    ],
)
def test_comments_above(comments: list[str], expected: int) -> None:
    checks = Checks(CheckOptions())
    checks.above(comments).report("FromAsCasing", "no", HERE)
    assert len(checks.warnings) == expected
    assert not checks.above(comments).error


def test_an_experimental_rule_runs_where_it_is_asked_for() -> None:
    checks = Checks(CheckOptions(skip_all=True))
    checks.report("InvalidDefinitionDescription", "no", HERE)
    assert checks.warnings == []
    checks.above(["check=experimental=InvalidDefinitionDescription"]).report("InvalidDefinitionDescription", "a", HERE)
    checks.above(["check=experimental=all"]).report("InvalidDefinitionDescription", "b", HERE)
    assert [item.message for item in checks.warnings] == ["a", "b"]


def test_a_view_shows_everything_at_its_place() -> None:
    checks = Checks(CheckOptions())
    word = Span("Dockerfile", 4, 2, 4, 3)
    checks.at(HERE).report("FromAsCasing", "there", word, word=word)
    checks.report("FromAsCasing", "further down", HERE, word=word)
    checks.report("FromAsCasing", "here", HERE, word=Span("Dockerfile", 3, 4, 3, 5))
    there, further, here = checks.warnings
    assert (there.span, there.notes) == (HERE, ())
    assert (further.span, further.notes) == (HERE, (("it stands here", word),))
    assert here.span is not None and here.span.column == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", CheckOptions()),
        ("skip=A, B ;error=true", CheckOptions(skip=("a", "b"), error=True)),
        ("error=1;skip=all", CheckOptions(skip_all=True, error=True)),
        ("experimental=C;skip=A", CheckOptions(skip=("a",), experimental=("c",))),
        ("experimental=all", CheckOptions(experimental_all=True)),
        ("error=F", CheckOptions()),
    ],
)
def test_options(text: str, expected: CheckOptions) -> None:
    assert read_check_options(text) == expected


@pytest.mark.parametrize(
    "text", ["skip", "skp=A", "error=perhaps", "skip=A;", "error=", "a=b;skip=A", "skip=A;b=c;d=e;f=g"]
)
def test_options_that_are_none(text: str) -> None:
    with pytest.raises(CheckOptionError) as caught:
        read_check_options(text)
    assert caught.value.hint


def test_an_option_that_was_probably_meant() -> None:
    with pytest.raises(CheckOptionError) as caught:
        read_check_options("skpi=A")
    assert caught.value.hint == "did you mean skip=?"


def test_there_are_22_rules_each_with_a_page_of_its_own() -> None:
    assert len(RULES) == 22
    assert len({rule.url for rule in RULES.values()}) == 22
    assert [rule.name for rule in RULES.values() if rule.experimental] == ["InvalidDefinitionDescription"]
    assert RULES["JSONArgsRecommended"].url.endswith("/rule/json-args-recommended/")
    assert RULES["ExposeProtoCasing"].url.endswith("/rule/expose-proto-casing/")
    assert all(re.fullmatch(r"https://.*/[a-z-]+/", rule.url) for rule in RULES.values())


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("PAHT", ["PATH", "HOME"], "PATH"),
        ("DIR_ASSET", ["DIR_BINARIES", "DIR_ASSETS"], "DIR_ASSETS"),
        ("buidler", ["build", "builder"], "builder"),
        ("ab", ["ac", "aa"], "ac"),
        ("path", ["PATH"], None),
        ("PATH", ["PAHT", "PATH"], None),
        ("something", ["else"], None),
        ("RNU", ["ENV", "RUN"], "RUN"),
        ("run", ["prune"], None),
        ("go", ["a"], None),
        ("x", [], None),
    ],
)
def test_suggest(name: str, options: list[str], expected: str | None) -> None:
    assert suggest(name, options) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("RUNN", "RUN"), ("runn", "run"), ("Cpoy", "COPY"), ("run", None), ("MAKEDIR", None)]
)
def test_suggest_in_any_case(name: str, expected: str | None) -> None:
    assert suggest(name, ["COPY", "RUN", "WORKDIR"], same_case=False) == expected


@given(st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_suggest_counts_letters(name: str, option: str) -> None:
    far = _distance(name, option)
    assert (suggest(name, [option]) == option) == (0 < far < min(3, 1 + min(len(name), len(option)) // 2))


def _distance(left: str, right: str) -> int:
    if not left or not right:
        return len(left) + len(right)
    ways = [
        _distance(left[1:], right[1:]) + (left[0] != right[0]),
        _distance(left[1:], right) + 1,
        _distance(left, right[1:]) + 1,
    ]
    if left[:2] == right[1::-1] and len(left) > 1 and len(right) > 1:
        ways.append(_distance(left[2:], right[2:]) + 1)
    return min(ways)


@pytest.mark.parametrize(
    "name", ["api_key", "DATABASE_PASSWORD", "GITHUB_TOKEN", "secret_MESSAGE", "AUTH", "x_pword_y"]
)
def test_names_that_sound_secret(name: str) -> None:
    assert sounds_secret(name)


@pytest.mark.parametrize(
    "name", ["", "keyboard", "PUBLIC_KEY", "token_file", "VERSION_KEY", "api-key", "secrets", "PSWD"]
)
def test_names_that_do_not(name: str) -> None:
    assert not sounds_secret(name)
