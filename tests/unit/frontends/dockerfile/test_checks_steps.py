"""Build checks of single instructions: where each warns, and where it does not."""

import pytest

from tests.support.dockerfile_checks import found, lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM alpine\nCOPY $foo .\nARG foo=bar\n", [2]),
        ("FROM alpine\nENV PATH=$PAHT:/tmp/bin\n", [2]),
        ("FROM scratch AS first\nCOPY $foo .\nFROM scratch AS second\nCOPY $bar .\n", [2, 4]),
        ("ARG foo=1\nFROM scratch\nWORKDIR /$foo\n", [3]),
        ("FROM scratch\nLABEL $a=$b\n", [2, 2]),
        ("FROM scratch\nUSER $u\nVOLUME /$v\nWORKDIR /$w\n", [2, 3, 4]),
        ("FROM scratch\nARG x=$y\n", [2]),
        ("FROM scratch\nARG x=$x\n", [2]),
        ("FROM alpine\nRUN --mount=type=cache,target=/c$dir true\n", [2]),
        ("FROM scratch\nCOPY <<E /x\n$body\nE\n", [2]),
        ("FROM scratch\nCOPY --chown=$owner a b\n", [2]),
        ("FROM scratch\nENV a=1 \\\n  b=$nothing\n", [2]),
        ("FROM scratch\nENV x=${y:-default}\n", [2]),
        ("FROM scratch\nARG foo\nCOPY Dockerfile${foo} .\n", []),
        ("FROM alpine AS base\nARG foo=Dockerfile\nFROM base\nCOPY $foo .\n", []),
        ('FROM alpine\nRUN echo $nothing\nCMD echo $nothing\nENTRYPOINT ["$nothing"]\n', []),
        ("FROM alpine\nENV x=$PATH\n", []),
        ("FROM scratch\nEXPOSE $ports 80\n", []),
        ("FROM scratch\nENV a=1\nENV b=$a\n", []),
        ("FROM scratch\nCOPY <<'E' /x\n$body\nE\n", []),
        ("FROM scratch\nONBUILD ENV a=$b\n", []),
        ("FROM scratch\nENV a='$b' c=\\$d\n", []),
        ('FROM scratch\nHEALTHCHECK CMD echo $x\nSHELL ["$y"]\n', []),
        ("FROM scratch\n# check=skip=UndefinedVar\nENV a=$b\n", []),
    ],
)
def test_undefined_var(text: str, expected: list[int]) -> None:
    assert lines("UndefinedVar", text) == expected


def test_a_default_that_is_not_used_is_not_looked_at() -> None:
    text = "FROM scratch\nARG x=$y\n"
    assert lines("UndefinedVar", text, given={"x": "1"}) == []


def test_a_variable_that_was_probably_meant() -> None:
    text = "FROM alpine\nARG DIR_ASSETS=assets/\nCOPY $DIR_ASSET .\n"
    [warning] = [item for item in found(text) if item.rule == "UndefinedVar"]
    assert warning.hint == "did you mean $DIR_ASSETS?"
    assert "DIR_ASSET " in warning.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM scratch\nARG SECRET_PASSPHRASE\n", [2]),
        ("FROM scratch\nENV SUPER_Secret=foo\n", [2]),
        ("FROM scratch\nENV password=bar secret=baz\n", [2, 2]),
        ("FROM scratch\nARG super_duper_secret_token=foo auth=bar\n", [2, 2]),
        ("FROM scratch\nENV apikey=bar sunflower=foo\nENV git_key=\n", [2, 3]),
        ("FROM scratch\nENV a=1 \\\n DB_PASSWD=x\n", [2]),
        ("FROM scratch\nARG n=key\nENV $n=1\n", [3]),
        ("FROM scratch AS a\nENV TOKEN=1\nFROM scratch\nENV A_CREDENTIALS=1\n", [2, 4]),
        ("FROM scratch\nENV PUBLIC_KEY=1 TOKEN_FILE=/x KEY_VERSION=2\n", []),
        ("FROM scratch\nENV KEYS=1 MONKEY=2 TOKENIZER=3 AUTHOR=me\n", []),
        ("ARG TOKEN=1\nFROM scratch\n", []),
        ("FROM scratch\nLABEL secret=1\n", []),
        ("FROM alpine\nRUN TOKEN=1 true\n", []),
        ("FROM scratch\n# check=skip=SecretsUsedInArgOrEnv\nENV TOKEN=1\n", []),
    ],
)
def test_secrets_used_in_arg_or_env(text: str, expected: list[int]) -> None:
    assert lines("SecretsUsedInArgOrEnv", text) == expected


def test_a_secret_has_a_better_way() -> None:
    [warning] = found("FROM scratch\nARG GITHUB_TOKEN\n")
    assert "--mount=type=secret" in str(warning.hint)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM scratch\nENV testkey value\nLABEL key value\n", [2, 3]),
        ("FROM scratch\nENV a b c d\n", [2]),
        ("FROM scratch AS a\nFROM a AS b\nENV k v\nLABEL k v\nFROM a AS c\n", [3, 4]),
        ("FROM scratch\nenv a \\\n b\n", [2]),
        ("FROM scratch\nENV a b=c\n", [2]),
        ("FROM scratch\nENV testkey=value\nLABEL key=value\n", []),
        ("FROM scratch\nENV a= b=\n", []),
        ('FROM scratch\nENV a="b c"\n', []),
        ("FROM scratch\nLABEL a.b=c\n", []),
        ("FROM scratch\n# check=skip=LegacyKeyValueFormat\nENV a b\n", []),
    ],
)
def test_legacy_key_value_format(text: str, expected: list[int]) -> None:
    assert lines("LegacyKeyValueFormat", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM scratch\nCMD mycommand\n", [2]),
        ("FROM scratch\nENTRYPOINT mycommand\n", [2]),
        ("FROM scratch\nCMD ['a']\n", [2]),
        ('FROM scratch\nCMD a\nSHELL ["/bin/bash", "-c"]\n', [2]),
        ('FROM scratch AS a\nSHELL ["x"]\nFROM scratch\nCMD a\n', [4]),
        ("FROM scratch\nCMD a \\\n  b\nENTRYPOINT c\n", [2, 4]),
        ('FROM scratch\nCMD ["a"]\nENTRYPOINT ["b"]\n', []),
        ('FROM scratch\nSHELL ["/usr/bin/customshell"]\nCMD mycommand\n', []),
        ('FROM scratch\nSHELL ["/usr/bin/customshell"]\nENTRYPOINT mycommand\n', []),
        ('FROM scratch AS base\nSHELL ["x"]\nFROM base\nCMD mycommand\n', []),
        ("FROM shelled\nCMD mycommand\n", []),
        ("FROM alpine\nRUN mycommand\nHEALTHCHECK CMD mycommand\n", []),
        ("FROM scratch\n# check=skip=JSONArgsRecommended\nCMD mycommand\n", []),
        ("FROM scratch\nONBUILD CMD mycommand\n", []),
    ],
)
def test_json_args_recommended(text: str, expected: list[int]) -> None:
    assert lines("JSONArgsRecommended", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('FROM scratch\nENTRYPOINT ["a"]\nENTRYPOINT ["b"]\n', [2]),
        ('FROM scratch\nCMD ["a"]\nCMD ["b"]\nCMD ["c"]\n', [2, 3]),
        ('FROM scratch\nHEALTHCHECK CMD ["a"]\nCOPY a b\nHEALTHCHECK NONE\n', [2]),
        ('FROM scratch\nENTRYPOINT ["a"]\nCMD ["a"]\nCOPY <<E /a\nx\nE\nENTRYPOINT ["b"]\ncmd ["b"]\n', [2, 3]),
        ('FROM scratch\n# check=skip=MultipleInstructionsDisallowed\nCMD ["a"]\nCMD ["b"]\n', [3]),
        ('FROM scratch\nCMD ["a"]\n# check=skip=MultipleInstructionsDisallowed\nCMD ["b"]\n', []),
        ('FROM scratch AS a\nCMD ["a"]\nFROM a AS b\nCMD ["b"]\n', []),
        ('FROM scratch\nCMD ["a"]\nENTRYPOINT ["b"]\nHEALTHCHECK NONE\n', []),
        ('FROM scratch\nONBUILD CMD ["a"]\nCMD ["a"]\n', []),
        ('FROM scratch\nSHELL ["a"]\nSHELL ["b"]\nUSER a\nUSER b\n', []),
    ],
)
def test_multiple_instructions_disallowed(text: str, expected: list[int]) -> None:
    assert lines("MultipleInstructionsDisallowed", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM scratch\nWORKDIR app/\n", [2]),
        ("FROM scratch\nWORKDIR app\nWORKDIR b\n", [2]),
        ("FROM rooted\nWORKDIR app\n", [2]),
        ("FROM scratch\nENV d=app\nWORKDIR $d\n", [3]),
        ("FROM scratch AS a\nWORKDIR /app\nFROM scratch\nWORKDIR b\n", [4]),
        ("FROM scratch\nWORKDIR /app\nWORKDIR b\n", []),
        ("FROM scratch AS a\nWORKDIR /app\nFROM a AS b\nWORKDIR subdir/\n", []),
        ("FROM scratch\nENV d=/app\nWORKDIR $d\n", []),
        ("FROM scratch\nCOPY a b\n", []),
        ("FROM scratch\n# check=skip=WorkdirRelativePath\nWORKDIR app\n", []),
    ],
)
def test_workdir_relative_path(text: str, expected: list[int]) -> None:
    assert lines("WorkdirRelativePath", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM scratch\nEXPOSE 80/TCP\n", [2]),
        ("FROM scratch\nEXPOSE 80/tcp 8080/Udp\n", [2]),
        ("FROM scratch\nEXPOSE 80/TCP 81/UDP\n", [2, 2]),
        ("FROM scratch\nENV p=80/TCP\nEXPOSE $p\n", [3]),
        ("FROM scratch\nEXPOSE 8000-8001/SCTP\n", [2]),
        ("FROM scratch\nEXPOSE 80/tcp\n", []),
        ("FROM scratch\nEXPOSE 80\n", []),
        ("FROM scratch\nEXPOSE 80/udp 81/sctp\n", []),
        ("FROM scratch\n# check=skip=ExposeProtoCasing\nEXPOSE 80/TCP\n", []),
    ],
)
def test_expose_proto_casing(text: str, expected: list[int]) -> None:
    assert lines("ExposeProtoCasing", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM scratch\nEXPOSE 5000:5000\n", [2]),
        ("FROM scratch\nEXPOSE 127.0.0.1:80:80 [::1]:8080:8080 5000:5000 8000\n", [2, 2, 2]),
        ("FROM scratch\nEXPOSE 127.0.0.1::80\n", [2]),
        ("FROM scratch\nEXPOSE 80\nEXPOSE \\\n 90:91/udp\n", [3]),
        ("FROM scratch\nEXPOSE 80\n", []),
        ("FROM scratch\nEXPOSE 80/tcp 81-90\n", []),
        ("FROM scratch\nEXPOSE :80\n", []),
        ("FROM scratch\n# check=skip=ExposeInvalidFormat\nEXPOSE 80:80\n", []),
    ],
)
def test_expose_invalid_format(text: str, expected: list[int]) -> None:
    assert lines("ExposeInvalidFormat", text) == expected


@pytest.mark.parametrize(
    ("text", "ignore", "expected"),
    [
        ("FROM scratch\nCOPY Dockerfile .\nADD Dockerfile /windy\n", "Dockerfile\n", [2, 3]),
        ("FROM scratch\nCOPY ./a b\n", "a\n", [2]),
        ("FROM scratch\nCOPY a/b/c d\n", "a\n", [2]),
        ("FROM scratch\nCOPY *.txt d/\n", "*.txt\n", [2]),
        ("FROM scratch\nCOPY a b c/\n", "*\n", [2, 2]),
        ("FROM scratch\nCOPY . .\n", "**\n", [2]),
        ("FROM scratch\nCOPY a/x.o b\n", "**/*.o\n", [2]),
        ("FROM scratch\nARG f=a\nCOPY $f b\n", "/a\n", [3]),
        ("FROM scratch\nCOPY a b\n", "", []),
        ("FROM scratch\nCOPY a b\n", "b\n", []),
        ("FROM scratch\nCOPY a b\n", "a\n!c\n", []),
        ("FROM scratch\nCOPY . .\n", ".*\n", []),
        ("FROM scratch\nCOPY . .\n", "*\n!a\n", []),
        ("FROM scratch\nCOPY /a b\n", "a\n", []),
        ("FROM scratch AS a\nCOPY x /a\nFROM a\nCOPY --from=a /a /b\n", "a\n", []),
        ("FROM scratch\nCOPY <<a /x\nhello\na\n", "a\n", []),
        ("FROM scratch\nADD https://example.org/a /x\n", "**\n", []),
        ("FROM scratch\n# check=skip=CopyIgnoredFile\nCOPY a b\n", "a\n", []),
    ],
)
def test_copy_ignored_file(text: str, ignore: str, expected: list[int]) -> None:
    assert lines("CopyIgnoredFile", text, ignore=ignore) == expected


def test_a_trigger_of_a_stage_warns_at_the_from_that_fires_it() -> None:
    text = 'FROM scratch AS base\nONBUILD ENV API_KEY=1\nONBUILD CMD one\n\nFROM base\nCMD ["two"]\n'
    told = [(item.rule, item.span.line) for item in found(text) if item.span]
    assert sorted(told) == [
        ("JSONArgsRecommended", 5),
        ("MultipleInstructionsDisallowed", 5),
        ("SecretsUsedInArgOrEnv", 5),
    ]


def test_a_trigger_of_an_image_warns_at_the_from_that_fires_it() -> None:
    told = [(item.rule, item.span.line) for item in found("FROM scratch\nFROM trigger\n") if item.span]
    assert sorted(told) == [
        ("JSONArgsRecommended", 2),
        ("MultipleInstructionsDisallowed", 2),
        ("SecretsUsedInArgOrEnv", 2),
    ]


def test_a_build_looks_at_the_stages_that_it_needs() -> None:
    text = "FROM scratch AS a\nENV k v\nFROM scratch AS b\nENV k v\n"
    assert lines("LegacyKeyValueFormat", text) == [2, 4]
    assert lines("LegacyKeyValueFormat", text, targets=("b",)) == [4]


def test_every_warning_of_a_step_is_placed_and_helps() -> None:
    text = (
        "FROM alpine\nENV k $v\nARG A_TOKEN\nCMD a\nCMD b\nWORKDIR c\nEXPOSE 1:80/TCP\nCOPY x y\n"
        "ENV a=1 \\\n b=$c \\\n KEY=1\n"
    )
    warnings = [item for item in found(text, ignore="x\n") if item.severity == "warning"]
    assert len({item.rule for item in warnings}) == 9
    assert all(item.hint and item.span and item.span.column >= 1 for item in warnings)
    # What stands on a further line of its instruction is shown in a note.
    assert [note.line for item in warnings for _, note in item.notes] == [10, 11]
