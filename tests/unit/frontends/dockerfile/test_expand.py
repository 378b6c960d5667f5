"""Every rule of expansion by its name."""

from __future__ import annotations

import pytest

from frontends.dockerfile.expand import LIMIT, ExpandError, expand, expand_words, unquote

ENV = {
    "one": "1", "path": "/usr/lib/a.tar.gz", "empty": "", "words": "a  b\tc", "dots": "a.b.c", "stars": "*a?b*",
    "한": "ü", "lines": "ab\nab", "back": "a\\b", "slash": "/", "glob": "*.", "X1_y": "ok",
    "money": "x$0-y$$z${0}w$1-v${q}u$",
}  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "word", "text"),
    [
        ("nothing to do", "a/b=c:d", "a/b=c:d"),
        ("name", "$one", "1"),
        ("name ends before a character that no name has", "$one.$one-x", "1.1-x"),
        ("name with digits and underscores", "$X1_y", "ok"),
        ("name goes on", "$onex", ""),
        ("braces end a name", "${one}x", "1x"),
        ("letters of any script", "$한", "ü"),
        ("unset is empty", "a${no}b", "ab"),
        ("dollar alone", "$", "$"),
        ("dollar at the end", "a$", "a$"),
        ("dollar before another character", "$.a $ b $/", "$.a $ b $/"),
        ("special parameters are names", "a$@b$*c$#d$?e$-f$!g$$h", "abcdefgh"),
        ("positional parameters take all digits", "a$12b$0c", "abc"),
        ("special parameter in braces", "a${@}b${12}c", "abc"),
        ("single quotes keep everything", "'$one\\'", "$one\\"),
        ("double quotes expand", '"$one ${one}"', "1 1"),
        ("single quote inside double ones", '"it\'s"', "it's"),
        ("double quote inside single ones", "'a\"b'", 'a"b'),
        ("quotes in the middle", "a\"b\"'c'd", "abcd"),
        ("escaped in double quotes", '"\\"\\$\\\\"', '"$\\'),
        ("kept in double quotes", "\"\\a\\'\"", "\\a\\'"),
        ("escape", "\\$one\\\\\\a\\\"\\'", "$one\\a\"'"),
        ("escape at the end", "a\\", "a"),
        ("value is not expanded again", "$money", "x$0-y$$z${0}w$1-v${q}u$"),
        ("default", "${no:-d}${no-d}", "dd"),
        ("default not taken", "${one:-d}${one-d}", "11"),
        ("default for an empty value", "[${empty:-d}][${empty-d}]", "[d][]"),
        ("empty default", "[${no:-}]", "[]"),
        ("alternative", "${one:+a}${one+a}[${no:+a}${no+a}]", "aa[]"),
        ("alternative for an empty value", "[${empty:+a}][${empty+a}]", "[][a]"),
        ("required and there", "${one:?m}${one?m}[${empty?m}]", "11[]"),
        ("nested", "${no:-${no:-$one}}", "1"),
        ("quoted brace in a default", "${no:-'}'}${no:-\"}\"}", "}}"),
        ("escaped brace in a default", "${no:-a\\}b}", "a}b"),
        ("inner word is expanded although not used", "${one:-${empty:+x}}", "1"),
        ("shortest beginning", "${path#*/}", "usr/lib/a.tar.gz"),
        ("longest beginning", "${path##*/}", "a.tar.gz"),
        ("shortest end", "${path%.*}", "/usr/lib/a.tar"),
        ("longest end", "${path%%.*}", "/usr/lib/a"),
        ("colon before # and % changes nothing", "${path:##*/}${path:%%.*}", "a.tar.gz/usr/lib/a"),
        ("question mark is one character", "${dots#??}", "b.c"),
        ("no match", "${dots#b}${dots%b}", "a.b.ca.b.c"),
        ("anchored at its end", "${dots%b.?}", "a."),
        ("empty pattern", "${dots#}${dots##}${dots%}${dots%%}", "a.b.c" * 4),
        ("dot is no wildcard", "${X1_y#.}", "ok"),
        ("escaped wildcard", "${stars#\\*}${stars%\\*}", "a?b**a?b"),
        ("escaped question mark", "${stars#*\\?}", "b*"),
        ("escaped backslash in a pattern", "${back#*\\\\}", "b"),
        ("escaped brace in a pattern", "${no#\\}}", ""),
        ("pattern from a variable", "${dots#$glob}", "b.c"),
        ("quotes do not hide wildcards", "${dots#'*'.}", "b.c"),
        ("of an unset variable", "[${no#x}${no%x}${no/x/y}]", "[]"),
        ("star stops at the end of a line", "${lines#*b?}|${lines##*b}", "ab\nab|\nab"),
        ("first replaced", "${dots/./-}", "a-b.c"),
        ("all replaced", "${dots//./-}", "a-b-c"),
        ("replaced by nothing", "${dots//.}/}", "a.b.c"),
        ("removed", "${dots//./}", "abc"),
        ("longest match replaced", "${dots/.*/-}", "a-"),
        ("leftmost match replaced", "${dots/?./-}", "-b.c"),
        ("slash from a variable", "${path/$slash/+}", "+usr/lib/a.tar.gz"),
        ("slash escaped in the pattern", "${path//\\//+}", "+usr+lib+a.tar.gz"),
        ("escapes stay in the replacement", "${dots/./\\/}", "a\\/b.c"),
        ("empty pattern of a replacement", "${one/$empty/x}", "x1"),
        ("empty pattern everywhere", "${dots///-}", "-a-.-b-.-c-"),
        ("star everywhere", "${dots//*/-}", "-"),
        ("star over lines", "${lines//*/-}", "-\n-"),
        ("match across lines", "${lines/b?a/-}", "ab\nab"),
        ("match in a later line", "${lines/a*b\n*b/-}", "-"),
        ("dollars of one replacement stay", "${dots/a/$money}", "x$0-y$$z${0}w$1-v${q}u$.b.c"),
        ("dollars of a replacement everywhere", "${dots//a/$money}", "xa-y$zaw-vu$.b.c"),
        ("trimmed inside a default", "${no:-${path##*/}}", "a.tar.gz"),
        ("byte order mark first", "\ufeff$one", "1"),
    ],
)  # fmt: skip
def test_rule(rule: str, word: str, text: str) -> None:
    assert expand(word, ENV).text == text, rule


@pytest.mark.parametrize(
    ("rule", "word", "text"),
    [
        ("backtick escapes", "`$one``", "$one`"),
        ("backslash is ordinary", "C:\\$one", "C:\\1"),
        ("in double quotes", '"`$one`"`a"', '$one"`a'),
        ("patterns know the backslash alone", "${stars#\\*}|${back#*\\\\}", "a?b*|b"),
        ("a brace is escaped by it", "${no:-a`}b}", "a}b"),
    ],
)
def test_backtick_as_escape(rule: str, word: str, text: str) -> None:
    assert expand(word, ENV, escape="`").text == text, rule


@pytest.mark.parametrize(
    ("rule", "word", "text"),
    [
        ("quotes stay", "'$one' \"$one\" it's", "'1' \"1\" it's"),
        ("escapes go", "\\$one \\a \\\\", "$one a \\"),
        ("quotes in a default stay", "${no:-'a'}", "'a'"),
        ("lines stay", "a\n  $one\n", "a\n  1\n"),
    ],
)
def test_quotes_kept(rule: str, word: str, text: str) -> None:
    assert expand(word, ENV, quotes="keep").text == text, rule


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("$words", ("a", "b", "c")), ('"$words"', ("a  b\tc",)), ("x$words", ("xa", "b", "c")), ("  ", ()),
        (" a  'b c' ", ("a", "b c")), ('a""b "" c', ("ab", "c")), ("a\\ b", ("a b",)), ("$empty$no", ()),
        ("'a'$words'd'", ("aa", "b", "cd")), ("a\u2003b\x85c\x1fd", ("a", "b", "c\x1fd")), ("${no:-a b}", ("a", "b")),
        ("${no:-'a b'}", ("a", "b")), ('"${no:-a b}"', ("a b",)), ("", ()), ("a", ("a",)),
    ],
)  # fmt: skip
def test_words(word: str, words: tuple[str, ...]) -> None:
    found, whole = expand_words(word, ENV)
    assert found == words
    assert whole == expand(word, ENV)


def test_unquoting_expands_nothing() -> None:
    assert unquote("\"a $b\" '$c' \\$d ${e") == "a $b $c $d ${e"
    assert unquote("`'a\\b", escape="`") == "'a\\b"
    with pytest.raises(ExpandError):
        unquote("'a")


def test_names_that_were_looked_up() -> None:
    found = expand("$one $no ${a:-$b} ${path#$c} ${dots/$d/$e} $$ '$f' \\$g", ENV)
    assert found.used == {"one", "path", "dots"}
    assert found.unset == {"no", "a", "b", "c", "d", "e", "$"}
    assert expand("${no:+x} ${empty:-x}", ENV).unset == {"no"}
    assert not expand("plain", ENV).used


@pytest.mark.parametrize(
    ("word", "offset", "message", "hint"),
    [
        ("a'b", 1, "single quote opens", "add a '"),
        ('ab"c', 2, "double quote opens", 'add a "'),
        ('"a\\', 0, "double quote opens", 'add a "'),
        ("a${", 1, "no } closes it", "${name}"),
        ("a${b", 1, "no } closes it", "${name}"),
        ("${b:", 0, "no } closes it", "${name}"),
        ("${b:-c", 0, "no } closes it", "${name}"),
        ("x${a:-${b:-c}", 1, "no } closes it", "${name}"),
        ("${}", 0, "no name", "${NAME}"),
        ("${{a}}", 0, "no name", "${NAME}"),
        ("${:-a}", 0, "no name", "${NAME}"),
        ("${a=b}", 0, "${a= is no way", "- + ?"),
        ("${a:=b}", 0, "${a:= is no way", "- + ?"),
        ("${a:1:2}", 0, "${a:1 is no way", "- + ?"),
        ("${a^^}", 0, "${a^ is no way", "- + ?"),
        ("${#a}", 0, "${#a is no way", "- + ?"),
        ("${!a}", 0, "${!a is no way", "- + ?"),
        ("${a[0]}", 0, "${a[ is no way", "- + ?"),
        ("${a\x1b}", 0, "${a\\x1b is no way", "- + ?"),
        ("${a/b}", 0, "no second /", "${name/pattern/}"),
        ("${a//}", 0, "no second /", "${name/pattern/}"),
        ("${a/b/c", 0, "no } closes it", "${name}"),
        ("..${no:?say $one}", 2, "no: say 1", "give no a value: it is not set"),
        ("${no?}", 0, "no is not set", "give no a value"),
        ("${no:?}", 0, "no is not set", "give no a value"),
        ("${empty:?}", 0, "empty is empty", "it is empty"),
        ("${one#\\a}", 0, "backslash before a", "\\\\ for a backslash"),
        ("${one/\\$/x}", 0, "backslash before $", "\\\\ for a backslash"),
        ("${one#$end}", 0, "backslash before its end", "\\\\ for a backslash"),
        ("\ufeff${}", 1, "no name", "${NAME}"),
    ],
)  # fmt: skip
def test_error(word: str, offset: int, message: str, hint: str) -> None:
    with pytest.raises(ExpandError) as caught:
        expand(word, ENV | {"end": "\\"})
    assert message in caught.value.message and hint in (caught.value.hint or "")
    assert caught.value.offset == offset


def test_limits() -> None:
    big = {"big": "a" * LIMIT, "half": "b" * (LIMIT // 2)}
    assert len(expand("$half$half", big).text) == LIMIT
    with pytest.raises(ExpandError, match="longer than"):
        expand("$big.", big)
    with pytest.raises(ExpandError, match="longer than"):
        expand("${half//b/cc.}", big)
    with pytest.raises(ExpandError, match="hold too much"):
        expand("${no+$big}" * 17, big)
    with pytest.raises(ExpandError, match="more than 50 deep"):
        expand("${a:-" * 51 + "}" * 51, {})
    assert expand("${a:-" * 50 + "x" + "}" * 50, {}).text == "x"
    with pytest.raises(ExpandError, match="too long for a value"):
        expand("${big#" + "a?" * 100 + "}", big)


def test_patterns_do_not_run_away() -> None:
    """Trying every way would take longer than anyone waits."""
    value = {"v": "a" * 100_000}
    stars = "a*" * 40
    assert expand(f"${{v##{stars}b}}", value).text == value["v"]
    assert expand(f"${{v%%b{stars}}}", value).text == value["v"]
    assert expand(f"${{v//{stars}b/}}", value).text == value["v"]
    lines = {"v": ("a" * 50 + "\n") * 2_000}
    assert expand("${v//a*b/}", lines).text == lines["v"]
