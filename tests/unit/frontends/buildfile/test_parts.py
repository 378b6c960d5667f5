"""The small parts: shell text, dedenting, strings, layout."""

import pytest

from buildkit_py.errors import SourceError
from frontends.buildfile import format_text
from frontends.buildfile.mask import mask
from frontends.buildfile.parser import parse
from frontends.buildfile.shell import mentions
from frontends.buildfile.text import SourceText, dedent


def shells(text: str) -> list[str]:
    return [shell.text for shell in mask(SourceText.of(text, "B")).shells.values()]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("run a; b # c\n", ["a; b # c"]),
        ("run a \\\n  b\nrun c", ["a \\\n  b", "c"]),
        ("run a \\\\\nrun c", ["a \\\\", "c"]),
        ("  run {\n    a\n      }\n  }\n", ["a\n  }"]),
        ("run {\n\ta\n\n\t\tb\n}\n", ["a\n\n\tb"]),
        ('run ["a"]\n', []),
        ("run [ -e a ]\n", ["[ -e a ]"]),
        ("run [[ -e a ]]\n", ["[[ -e a ]]"]),
        ("with network; run a\n", ["a"]),
        ("copy run to /x\n", []),
        ("# run a\n", []),
        ('env A = "run"\n', []),
        ('layer "x" { run a }\n', ["a"]),
        ('layer "x" { run echo ${a}\n}\n', ["echo ${a}"]),
    ],
)
def test_shell_text(text: str, found: list[str]) -> None:
    assert shells(text) == found


def test_masking_keeps_every_place() -> None:
    text = 'run {\n  }\n}\nenv A = "x;${b}" # c\ncopy a, \\\n b\nf(1,\n2)\n'
    masked = mask(SourceText.of(text, "B")).text
    assert len(masked) == len(text)
    assert masked.split("\n")[-3:-1] == ["copy a,    b", "f(1, 2)"]
    assert masked[text.index(";")] == "\x01" and masked[text.index("#")] == " "


def test_mentions() -> None:
    assert mentions("$a ${b} ${c%x} ${#d} $1 $$ $(e) `f` '$g' \\$h ${!i} $a") == ["a", "b", "c", "d", "g", "h", "i"]


@pytest.mark.parametrize(
    ("text", "found"),
    [("  a\n    b\n", "a\n  b\n"), ("\ta\n  b", "\ta\n  b"), ("  a\n\n   \n  b", "a\n\n \nb"), ("", "")],
)
def test_dedent(text: str, found: str) -> None:
    assert dedent(text) == found


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ('"a\\n\\t\\"\\\\\\$"', 'a\n\t"\\$'),
        ('""', ""),
        ('"""a"""', "a"),
        ('"""\n    a\n      b\n    """', "a\n  b\n"),
        ('"""\n    a\n    b"""', "a\nb"),
        ('"$1 $ a"', "$1 $ a"),
    ],
)
def test_strings(literal: str, value: str) -> None:
    parsed, faults = parse(SourceText.of(f"env A = {literal}\n", "B"))
    assert faults == []
    assert parsed.body[0].operands[0].constant == value  # type: ignore[union-attr]


def test_layout() -> None:
    untidy = """

buildfile   1
param x:string="a"#help



def foo (a : list=["a",
 "b", # two
   ]) {

mkdir /a ; ; mkdir /b ;
 with network,
 cache( /a,id: x ) , # why
   secret(t)
 run {  # note
   a
     b

   c
 }
 copy ./a \\
   ./b to /c/
 if not (platform.os=="linux")and "a" in[x] { mkdir /z }

}"""
    tidy = """buildfile 1
param x: string = "a"  #help

def foo(a: list = ["a",
        "b",  # two
    ]) {
    mkdir /a; mkdir /b
    with network,
        cache(/a, id: x),  # why
        secret(t)
    run {  # note
        a
          b

        c
    }
    copy ./a \\
        ./b to /c/
    if not (platform.os == "linux") and "a" in [x] { mkdir /z }
}
"""
    assert format_text(untidy) == tidy == format_text(tidy)


def test_layout_of_comments_and_of_arguments() -> None:
    untidy = """buildfile 1
param a: string = "1" # one
param variant: "slim" | "debug" = "slim"      # two
# alone
param b: int = 2     # three

image x {    # four
    from scratch
    with cache( /a,id:x,sharing :locked ), secret(t,env:T) # five
    run {
        make # six
    }
    write /a \"\"\"
        text\"\"\" # seven
    user app # eight
}
"""
    tidy = """buildfile 1
param a: string = "1"                     # one
param variant: "slim" | "debug" = "slim"  # two
# alone
param b: int = 2  # three

image x {  # four
    from scratch
    with cache(/a, id: x, sharing: locked), secret(t, env: T)  # five
    run {
        make # six
    }
    write /a \"\"\"
        text\"\"\"  # seven
    user app  # eight
}
"""
    assert format_text(untidy) == tidy == format_text(tidy)


def test_what_can_not_be_parsed_is_not_formatted() -> None:
    with pytest.raises(SourceError):
        format_text("buildfile 1\ncopy ./a\n")
