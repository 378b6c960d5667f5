"""What the parser did not expect, as a sentence: what the statement needs, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Callable

from buildkit_py.dataclass import dataclass
from buildkit_py.source import Diagnostic
from frontends.buildfile.commands import GRANTS
from frontends.buildfile.needs import EXAMPLE, FIRST, OPTION
from frontends.buildfile.text import SourceText
from frontends.buildfile.words import FORMS, MEANT, STATEMENTS, closest, one_of

_LEXEME = re.compile(r"[\x01\"]+|[A-Za-z_][A-Za-z0-9_-]*|[/.~$0-9][^\s;{}\"',()\[\]\x01]*|\S")
_FOUND = re.compile(r"[\x01\"]+|[^\s;{}\"',()\[\]\x01]+|\S")
_ENDS = frozenset({"SEMICOLON", "NEWLINE", "$END"})
_VALUES = frozenset({"STRING", "INT", "TRUE", "FALSE", "LSQB"})
_QUOTED_NAMES = frozenset({"layer", "test", "label", "annotation"})
_OPTION_WORDS = frozenset(
    {
        *("to", "from", "owner", "mode", "exclude", "digest", "strip", "at", "subdir", "text", "optional"),
        *("recursive", "interval", "timeout", "start_period", "retries"),
    }
)

_FLAGS = re.compile(r"copy((?:[ \t]+--(?:from|chown|chmod)=\S+)+)[ \t]+(\S.*?)[ \t]+(\S+)[ \t]*\Z")
_FLAG_WORDS = {"from": "from", "chown": "owner", "chmod": "mode"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surprise:
    """A token that was not expected, by offsets in the masked text, and the terminals that were."""

    start: int
    end: int
    expected: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One surprise with what surrounds it: the statement's first word, the words before it, the word found."""

    keyword: str
    start: int
    before: tuple[str, ...]
    found: str
    at: int
    expected: frozenset[str]
    line: str = ""
    indexes: tuple[int, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether the statement ended too early."""
        return not self.found

    @property
    def last(self) -> str:
        return self.before[-1] if self.before else ""

    @property
    def form(self) -> str:
        return FORMS.get(self.keyword, "")


Answer = tuple[str, str | None]
"""A message and a hint."""


def explain(source: SourceText, masked: str, surprise: Surprise, *, base: int = 0) -> Diagnostic:
    """The sentence for a surprise; `base` is the offset of the masked text in the source."""
    case = _case(source, masked, surprise, base)
    for rule in _RULES:
        answer = rule(case)
        if answer is not None:
            message, hint = answer
            start, end = _place(case, rule)
            return Diagnostic(message=message, span=source.span(base + start, base + end), hint=hint)
    raise AssertionError("the last rule answers everything")


def _case(source: SourceText, masked: str, surprise: Surprise, base: int) -> _Case:
    at = min(surprise.start, len(masked))
    first = at
    while first > 0 and masked[first - 1] not in "\n;{}":
        first -= 1
    matches = list(_LEXEME.finditer(masked, first, at))
    before = tuple(source.text[base + match.start() : base + match.end()] for match in matches)
    found = "" if at >= len(masked) or masked[at] in "\n;}" else _found(source, masked, at, base)
    start = matches[0].start() if matches else at
    keyword = before[0] if before else found
    return _Case(
        keyword=keyword if base == 0 else "",
        start=start,
        before=before,
        found=found,
        at=at,
        expected=surprise.expected,
        line=source.text[base + start :].split("\n", 1)[0],
        indexes=tuple(match.end() for match in matches),
    )


def _found(source: SourceText, masked: str, at: int, base: int) -> str:
    match = _FOUND.match(masked, at)
    return source.text[base + at : base + (match.end() if match else at + 1)]


def _place(case: _Case, rule: Callable[[_Case], Answer | None]) -> tuple[int, int]:
    """Offsets to point at: the word found; where nothing was, the place just after the last word."""
    if rule is _unknown_statement or case.keyword == "else":
        return case.start, case.start + len(case.keyword)
    if rule is _bare_reference and case.indexes:
        return case.indexes[-1] - len(case.last), case.at + len(case.found)
    if case.ended:
        end = case.indexes[-1] if case.indexes else case.at
        return end, end + 1
    return case.at, case.at + max(1, len(case.found.split("\n")[0]))


# --- rules: the first that answers


def _unknown_statement(case: _Case) -> Answer | None:
    word = case.keyword
    if not word or not re.match(r"[A-Za-z_-]+\Z", word) or word in STATEMENTS:
        return None
    if "(" in case.before or case.found == "(" or (case.ended and len(case.before) > 1):
        return None
    message = f"there is no statement `{word}`"
    lower = word.lower()
    if lower in STATEMENTS:
        return f"`{word}` is written in lower case", f"write `{FORMS[lower]}`"
    if lower in MEANT:
        return message, MEANT[lower]
    near = closest(lower, STATEMENTS)
    if near:
        return message, f"did you mean `{near}`?"
    return message, f"to use a `def` of that name, write `{word}(…)`"


def _not_a_statement(case: _Case) -> Answer | None:
    if case.keyword == "else" and len(case.before) < 2:
        return "this `else` belongs to no `if`", "write `} else {`, on the line where the block of the `if` ends"
    if case.before or case.ended or not case.keyword:
        return None
    if case.found == "{":
        return "a block needs a word before it", 'write `layer "name" {`, `if … {` or another statement before the `{`'
    return f"a statement can't begin with `{_short(case.found)}`", "a statement begins with a word, as `run` or `copy`"


def _bare_reference(case: _Case) -> Answer | None:
    if len(case.before) < 2 or case.before[-2] != "from" or not case.found or case.found[0] not in ":/.@$\x01":
        return None
    return "an image reference is written in quotes", f'write `from "{case.last}{case.found}"`'


def _needs_equals(case: _Case) -> Answer | None:
    if "EQUAL" not in case.expected or case.keyword not in ("env", "label", "annotation"):
        return None
    if case.ended:
        return f"`{case.keyword}` needs a value", f"write `{case.form}`"
    return f"`{case.keyword}` needs `=` between its name and its value", f"write `{case.form}`"


def _needs_type(case: _Case) -> Answer | None:
    if "COLON" not in case.expected or case.keyword not in ("param", "def"):
        return None
    what = "a param" if case.keyword == "param" else "an argument"
    return f"{what} needs a type", f'write `{case.last}: string`, or int, bool, list, or values as "a" | "b"'


def _bad_type(case: _Case) -> Answer | None:
    if case.keyword not in ("param", "def") or case.expected != {"NAME", "STRING"} or case.last == "param":
        return None
    return "a type is missing here", 'a type is string, int, bool, list, or values as `"slim" | "debug"`'


def _single_equals(case: _Case) -> Answer | None:
    if case.found.startswith("=") and "COMPARE" in case.expected:
        return "a comparison is written `==`", f"write `{case.last} == …`"
    if case.found in ("&&", "||", "&", "|") and "AND" in case.expected:
        word = "and" if case.found[0] == "&" else "or"
        return f"`{case.found}` is written `{word}`", None
    if case.found.startswith("!") and "NOT" in case.expected:
        return "`!` is written `not`", None
    return None


def _name_in_quotes(case: _Case) -> Answer | None:
    if case.keyword in _QUOTED_NAMES and case.expected == {"STRING"} and case.found and case.before == (case.keyword,):
        if not re.match(r"[A-Za-z_]", case.found):
            return f"`{case.keyword}` needs {FIRST[case.keyword]}", f"write `{case.form}`"
        what = f"{_article(case.keyword)} {case.keyword}"
        return f"the name of {what} is written in quotes", f'write `{case.keyword} "{case.found}"`'
    names = {"NAME", "DASHED"}
    if case.found.startswith('"') and case.expected <= names and len(case.before) == 1:
        plain = case.found.strip('"')
        return (
            f"the name after `{case.keyword}` is written without quotes",
            f"write `{case.keyword} {plain}`" if re.match(r"[A-Za-z_][\w-]*\Z", plain) else "a name is a word",
        )
    return None


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _with_on_its_line(case: _Case) -> Answer | None:
    if case.keyword != "with" or "LBRACE" not in case.expected or case.ended:
        return None
    if case.found in STATEMENTS:
        return "a step can't stand on the line of `with`", f"put `{case.found}` on the line below"
    if case.last in GRANTS and GRANTS[case.last].position and case.found not in GRANTS and case.found != ")":
        return f"what belongs to `{case.last}` stands in brackets", f"write `with {GRANTS[case.last].form}`"
    return "a comma is missing between what `with` gives", "write `with network, cache(/root/.cache)`"


def _missing_comma(case: _Case) -> Answer | None:
    if "COMMA" not in case.expected:
        return None
    if "RSQB" in case.expected:
        return "a comma is missing between the items of this list", 'write `["a", "b"]`'
    if "RPAR" in case.expected:
        hint = f"write `{case.form}`" if case.keyword in FORMS else "write `name(a, b)`"
        return "a comma is missing between these arguments", hint
    return None


def _missing_destination(case: _Case) -> Answer | None:
    if "TO" not in case.expected:
        return None
    flags = _FLAGS.match(case.line) if case.keyword == "copy" else None
    if flags is not None:
        given = dict(re.findall(r"--(from|chown|chmod)=(\S+)", flags[1]))
        options = "".join(f" {word} {given[flag]}" for flag, word in _FLAG_WORDS.items() if flag in given)
        return "`copy` has words in place of `--` options", f"write `copy {flags[2]} to {flags[3]}{options}`"
    what = "the target of the link" if case.keyword == "symlink" else "a destination"
    return f"`{case.keyword}` needs {what}", f"write `{case.form}`"


def _missing_block(case: _Case) -> Answer | None:
    if "LBRACE" not in case.expected or case.keyword not in STATEMENTS or case.keyword == "with":
        return None
    if case.found == "(":
        return None
    if case.ended:
        return f"`{case.keyword}` needs a block", f"write `{case.form}`"
    return f"a block was expected here, not `{_short(case.found)}`", f"write `{case.form}`"


def _missing_word(case: _Case) -> Answer | None:
    if "AS" in case.expected:
        return "`import` needs a name for the file", f"write `{case.form}`"
    if case.keyword == "for" and "IN" in case.expected and len(case.before) == 2:
        return "`for` needs `in` and a list", f"write `{case.form}`"
    if case.keyword == "def" and "LPAR" in case.expected:
        return "`def` needs its arguments in brackets, even if there are none", "write `def name() { … }`"
    return None


def _call_in_statement(case: _Case) -> Answer | None:
    if case.keyword in STATEMENTS or not case.keyword or len(case.before) < 2:
        return None
    if "LPAR" in case.expected and case.ended:
        return "a call needs brackets, even without arguments", f"write `{''.join(case.before)}()`"
    return None


def _missing_need(case: _Case) -> Answer | None:
    if not case.ended or _ENDS & case.expected:
        return None
    if len(case.before) > 1 and case.last in OPTION:
        example = f" {case.last} {EXAMPLE[case.last]}" if case.last in EXAMPLE else ""
        shown = case.form if f" {case.last} " in case.form else f"{case.form}{example}"
        return f"`{case.last}` needs {OPTION[case.last]}", f"write `{shown}`" if case.form else None
    if len(case.before) == 1 or not _VALUES & case.expected:
        need = FIRST.get(case.keyword, "a path" if case.keyword in STATEMENTS else "more")
        return f"`{case.keyword}` needs {need}", f"write `{case.form}`" if case.form else None
    return f"a value is missing after `{case.last}`", f"write `{case.form}`" if case.form else None


def _unknown_option(case: _Case) -> Answer | None:
    options = sorted(name.lower() for name in case.expected if name.lower() in _OPTION_WORDS)
    if not (_ENDS & case.expected) or not options or not re.match(r"[a-z_]+\Z", case.found):
        return None
    near = closest(case.found, options)
    if near or case.found not in STATEMENTS:
        hint = f"did you mean `{near}`?" if near else f"it has {one_of(options, last='and')}"
        return f"`{case.keyword}` has no `{case.found}`", hint
    return None


def _comma_in_word(case: _Case) -> Answer | None:
    if case.found != "," or "WORD" not in case.expected or len(case.before) < 2:
        return None
    return "a word without quotes ends at a `,`", 'put the whole word in quotes, as `"u+x,go-w"`'


def _too_much(case: _Case) -> Answer | None:
    if not _ENDS & case.expected:
        return None
    if case.found in STATEMENTS and case.found not in ("owner", "mode", "text", "from"):
        return f"`{case.found}` begins a statement of its own", "end the one before it by a line end or `;`"
    hint = f"it is written `{case.form}`" if case.form else "end the statement by a line end or `;`"
    if not case.keyword:
        return "`${…}` holds one expression", "write another `${…}` beside it"
    if case.keyword in STATEMENTS:
        return f"`{_short(case.found)}` does not belong to this `{case.keyword}`", hint
    return f"`{_short(case.found)}` does not belong here", hint


def _anything(case: _Case) -> Answer | None:
    hint = f"it is written `{case.form}`" if case.form else None
    if case.ended:
        return "something is missing at the end of this", hint
    if _VALUES & case.expected:
        return f"a value was expected here, not `{_short(case.found)}`", hint
    return f"`{_short(case.found)}` was not expected here", hint


def _short(text: str) -> str:
    first = text.split("\n")[0]
    return first if len(first) <= 30 else first[:29] + "…"


_RULES: tuple[Callable[[_Case], Answer | None], ...] = (
    _unknown_statement,
    _not_a_statement,
    _bare_reference,
    _needs_equals,
    _needs_type,
    _bad_type,
    _single_equals,
    _name_in_quotes,
    _with_on_its_line,
    _call_in_statement,
    _missing_destination,
    _missing_comma,
    _missing_block,
    _missing_word,
    _missing_need,
    _comma_in_word,
    _unknown_option,
    _too_much,
    _anything,
)
