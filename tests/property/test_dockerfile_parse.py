"""What holds for every Dockerfile: it is printed and read again unchanged, or refused in words, and soon."""

import random
import re
import time
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lark import Lark, Token

import grammar
from buildkit_py.errors import SourceError
from buildkit_py.source import render
from frontends.dockerfile import syntax
from frontends.dockerfile.parser import parse
from frontends.dockerfile.printer import print_file

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("examples/dockerfile/**/Dockerfile*"), *ROOT.glob("tests/golden/dockerfile/*/*/Dockerfile")])
TEXTS = [path.read_bytes().decode() for path in FILES if path.is_file()]
MARKS = ["\\\n", "<<A", "\n", "\\", "`", "${", '"', "\r\n"]
WORDS = [*sorted(set(re.findall(r"[A-Za-z_]+|[^\sA-Za-z_]+", "".join(TEXTS)))), *MARKS]
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150)


@cache
def lark() -> Lark:
    return Lark.open_from_package(grammar.__name__, "dockerfile.lark", parser="lalr")


def read(text: str) -> syntax.File | None:
    """The file, None where the text is refused; anything else fails."""
    try:
        file = parse(text, "Dockerfile")
    except SourceError as error:
        assert render(error.diagnostics, {"Dockerfile": text})
        assert all(each.message and each.severity == "error" for each in error.diagnostics)
        return None
    assert parse(print_file(file), "Dockerfile") == file
    return file


def names(file: syntax.File) -> list[str]:
    """The instructions of a file by name, triggers too."""
    found = []
    for node in syntax.instructions(file):
        found.append(node.name)
        if isinstance(node, syntax.OnBuild):
            found.append(node.trigger.name)
    return found


def names_by_grammar(text: str) -> list[str]:
    """The same, as the grammar sees it."""
    tokens = lark().parse(text).scan_values(lambda value: isinstance(value, Token))
    found = [token.type for token in tokens if token.type == token.value.upper() and token.type != "AS"]
    # What stands behind HEALTHCHECK is of it: CMD or NONE.
    return [each for number, each in enumerate(found) if found[max(number - 1, 0)] != "HEALTHCHECK"]


# --- Dockerfiles by the grammar: an instruction is a list of words, put together with gaps

plain = st.from_regex(r"[a-z0-9./:@_,-]{1,8}", fullmatch=True).filter(lambda word: not word.startswith("--"))
variable = st.sampled_from(["$a", "${a}", "${a:-b}", "${a:+b}", "${a#b}", "${a//b/c}"])
quoted = st.sampled_from(['"b c"', "'b c'", '"b \\" c"', "'b \" c'", "b\\ c", '""'])
word = st.one_of(plain, plain, variable, st.tuples(plain, variable).map("".join))
value = st.one_of(word, quoted, st.tuples(quoted, plain).map("".join))
name = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
pair = st.tuples(name, value).map("=".join)
words = st.lists(word, min_size=1, max_size=3)
json_word = st.sampled_from(['"a"', '"b c"', '"\\u00e9"', '"\\""', '""', '"[x]"'])
json_list = st.lists(json_word, min_size=1, max_size=3).map(lambda found: [f"[{', '.join(found)}]"])
shell = st.lists(st.one_of(word, quoted, st.sampled_from(["&&", "|", "a#", ">x", "\\\\"])), min_size=1, max_size=5)
command = st.one_of(json_list, shell)
mount = st.sampled_from(
    ["type=cache,target=/x", "type=bind,from=a,target=/y,rw", "type=secret,id=s", '"type=tmpfs,target=/z"']
)
gap = st.sampled_from([" ", " ", " ", "  ", "\t", " \\\n", " \\\n  ", " \\ \n# why\n\t", " \\\n\n  # why \\\n  "])


def flag(name: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.one_of(st.just([]), values.map(lambda value: [f"--{name}={value}"]))


def instruction(keyword: str, *parts: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    case = st.sampled_from([keyword, keyword, keyword.lower(), keyword.title()])
    return st.tuples(case, *parts).map(lambda found: [found[0], *(word for part in found[1:] for word in part)])


RUN_FLAGS = (
    st.lists(mount.map("--mount={}".format), max_size=2),
    flag("network", st.sampled_from(["none", "host"])),
    flag("security", st.just("insecure")),
)
COPY_FLAGS = (
    flag("chown", st.sampled_from(["1:2", '"a b"'])),
    flag("chmod", st.sampled_from(["0644", "u+x"])),
    st.sampled_from([[], ["--link"], ["--link=true"]]),
    st.lists(plain.map("--exclude={}".format), max_size=2),
)
TRIGGERS = [
    instruction("RUN", *RUN_FLAGS, command),
    instruction(
        "COPY",
        flag("from", name),
        *COPY_FLAGS,
        st.one_of(json_list.map(lambda found: [found[0], *found[:0]]), words).filter(bool),
        words,
    ),
    instruction("ADD", *COPY_FLAGS, words, words),
    instruction("CMD", command),
    instruction("ENTRYPOINT", command),
    instruction("ENV", st.lists(pair, min_size=1, max_size=3)),
    instruction("LABEL", st.lists(pair, min_size=1, max_size=3)),
    instruction("ENV", name.map(lambda found: [found]), words),
    instruction("ARG", st.lists(st.one_of(name, pair), min_size=1, max_size=3)),
    instruction("EXPOSE", words),
    instruction("VOLUME", st.one_of(words, st.just(['["/a b", "/c"]']))),
    instruction("WORKDIR", words),
    instruction("USER", words),
    instruction("STOPSIGNAL", words),
    instruction("SHELL", json_list),
    instruction("HEALTHCHECK", flag("interval", st.sampled_from(["1s", "1m30s"])), st.just(["CMD"]), command),
    instruction("HEALTHCHECK", st.just(["NONE"])),
]
step = st.one_of(
    *TRIGGERS,
    instruction("ONBUILD", st.one_of(*TRIGGERS)),
    instruction("MAINTAINER", words),
)
start = instruction(
    "FROM",
    flag("platform", word),
    word.map(lambda found: [found]),
    st.one_of(st.just([]), name.map(lambda found: ["AS", found])),
)
comment = st.sampled_from(["", "# a comment \\\n", "#\n", "\n", "  # indented\n", "# check=skip=all\n"])
body = st.lists(st.sampled_from(["text", "# no comment", "", "\tRUN x \\", "$a 'b"]), max_size=3).map(
    lambda found: "".join(f"{each}\n" for each in found)
)


@st.composite
def laid_out(draw: st.DrawFn, parts: st.SearchStrategy[list[str]]) -> str:
    found = draw(parts)
    text = found[0]
    for each in found[1:]:
        text += draw(gap) + each
    return f"{draw(comment)}{text}{draw(st.sampled_from(['', ' ', chr(9)]))}\n"


@st.composite
def with_documents(draw: st.DrawFn) -> str:
    """An instruction with one or two here-documents."""
    dash, quote, number = (
        draw(st.sampled_from(["", "-"])),
        draw(st.sampled_from(["", "'", '"'])),
        draw(st.sampled_from(["", "3"])),
    )
    opened = [f"{number}<<{dash}{quote}{each}{quote}" for each in draw(st.sampled_from([["A"], ["A", "B.txt"]]))]
    text = draw(
        st.sampled_from(["RUN cat {} > x", "RUN {}", "ONBUILD RUN {} sh", "COPY {} /x", "ADD --chmod=1 a {} /x"])
    )
    bodies = "".join(f"{draw(body)}{dash and chr(9)}{each}\n" for each in ["A", "B.txt"][: len(opened)])
    return f"{text.format(' '.join(opened))}\n{bodies}"


directives = st.sampled_from(
    ["", "# syntax=docker/dockerfile:1\n# end\n", "# escape=\\\n# check=skip=A,b;error=true\n\n", "# note\n"]
)
arguments = st.lists(laid_out(instruction("ARG", st.lists(st.one_of(name, pair), min_size=1, max_size=2))), max_size=2)
stage = st.tuples(laid_out(start), st.lists(st.one_of(laid_out(step), with_documents()), max_size=5))
dockerfile = st.tuples(directives, arguments, st.lists(stage, min_size=1, max_size=3)).map(
    lambda found: found[0] + "".join(found[1]) + "".join(first + "".join(rest) for first, rest in found[2])
)


@RELAXED
@given(dockerfile)
def test_what_the_grammar_makes_is_read_printed_and_read_again(text: str) -> None:
    file = read(text)
    assert file is not None, text
    printed = print_file(file)
    assert print_file(parse(printed, "Dockerfile")) == printed
    assert names(file) == names_by_grammar(text) == names_by_grammar(printed)


@pytest.mark.parametrize("text", TEXTS)
def test_the_grammar_accepts_what_the_parser_accepts(text: str) -> None:
    file = read(text)
    if file is None or file.escape != "\\":
        return
    assert names_by_grammar(print_file(file)) == names(file)
    assert names_by_grammar(text if text.endswith("\n") else f"{text}\n") == names(file)


# --- anything else


@RELAXED
@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    read(text)
    read(f"FROM a\n{text}")


@RELAXED
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    text = data.decode(errors="surrogateescape")
    read(text)
    read(f"FROM a\nRUN {text}\nCOPY {text}\nENV {text}\n")


@RELAXED
@given(st.lists(st.sampled_from(WORDS), max_size=60), st.sampled_from(["", " ", "\n"]))
def test_any_words(found: list[str], glue: str) -> None:
    read(f"FROM a\n{glue.join(found)}\n")


@RELAXED
@given(dockerfile, st.randoms(use_true_random=False))
def test_mutated_files(text: str, chance: random.Random) -> None:
    read(mutated(text, chance))
    read(mutated(chance.choice(TEXTS), chance))


def mutated(text: str, chance: random.Random) -> str:
    for _ in range(chance.randint(1, 6)):
        at, length = chance.randint(0, len(text)), chance.choice([0, 1, 1, 3, 10])
        text = (
            text[:at] + chance.choice([*WORDS, "", " ", "\n", "\v", "\ufeff", "\x85", "#", "'"]) + text[at + length :]
        )
    return text


HUGE = {
    "quotes": "ENV a=" + '"a' * 300_000,
    "open quotes": "ENV " + "a='b\n" * 100_000,
    "words": "ENV " + "a=b " * 100_000,
    "escapes": "ENV a=" + "\\ " * 300_000,
    "lone escapes": "RUN " + "\\" * 500_000,
    "continuations": "RUN a" + "\\\n" * 300_000,
    "blank continuations": "RUN a \\\n" + "\n" * 300_000,
    "comments": "# a\n" * 200_000,
    "unknown": "x\n" * 300_000,
    "flags": "RUN " + "--mount=type=cache,target=/a " * 20_000 + "b",
    "an open flag": "RUN --mount='" + "a," * 300_000,
    "a list": "RUN [" + '"a",' * 100_000 + '"b"]',
    "an open list": "RUN [" + '"a",' * 100_000,
    "nested lists": "RUN " + "[" * 500_000,
    "documents": "RUN " + "<<A " * 100_000,
    "ended documents": "RUN " + "<<A " * 50_000 + "\n" + "A\n" * 50_000,
    "nested variables": "RUN <<A " + "${a:-" * 100_000,
    "open variables": "RUN <<A " + "${a:- " * 40 + "x" * 300_000,
    "less": "RUN " + "<" * 500_000,
    "stages": "FROM a AS b\n" * 20_000,
    "a duration": "HEALTHCHECK --interval=" + "1s" * 100_000 + " CMD a",
    "digits": "HEALTHCHECK --interval=" + "1" * 500_000 + "s CMD a",
    "a long word": "COPY " + "a" * 500_000 + " b",
    "white space": "COPY a" + " " * 500_000 + "b",
    "white space at the end": "RUN a" + " \t" * 300_000 + "b\n" + "RUN c" + " " * 300_000,
    "a directive": "# syntax" + " " * 500_000 + "=",
    "triggers": "ONBUILD " * 50_000,
    "commas": "RUN --mount=" + "," * 300_000,
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_files_take_no_long_time(name: str) -> None:
    begin = time.process_time()
    for text in (HUGE[name], f"FROM a\n{HUGE[name]}"):
        read(text)
    assert time.process_time() - begin < 20
