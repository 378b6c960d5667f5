"""What holds for every Buildfile: any text compiles or is refused in words; layout and comments mean nothing."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildkit_py.errors import SourceError
from buildkit_py.graph.resolver import ImageConfig, ResolvedImage
from buildkit_py.platform import Platform
from buildkit_py.source import render
from frontends.buildfile import check, format_text, load, outline

GOLDEN = Path(__file__).parents[1] / "golden" / "buildfile"
GOOD = {path.parent.name: path.read_text() for path in sorted(GOLDEN.glob("graphs/*/Buildfile"))}
ANY = [path.read_bytes().decode() for path in sorted(GOLDEN.glob("*/*/Buildfile"))]
WORDS = sorted(set(re.findall(r"[A-Za-z_]+|[^\sA-Za-z_]", "".join(GOOD.values()))) | {"${", '"""', "\\\n", "#!", "\t"})
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150)


class AnyResolver:
    """Has an answer for everything."""

    def image(self, ref: str, platform: Platform) -> ResolvedImage:
        return ResolvedImage(digest=None, config=ImageConfig())

    def http(self, url: str) -> str:
        return "sha256:" + "0" * 64

    def git(self, url: str, ref: str) -> str:
        return "0" * 40

    def text(self, path: str) -> str:
        known = [folder / path for folder in sorted((GOLDEN / "graphs").iterdir()) if (folder / path).is_file()]
        return known[0].read_text() if known else "buildfile 1\ndef add(name: string, uid: int) { mkdir /x }\n"


def compiled(text: str) -> str | None:
    """The digest of the definition, None where the text is refused; anything else fails."""
    try:
        return load(text, file="Buildfile", resolver=AnyResolver(), platforms=[Platform.parse("linux/amd64")]).digest
    except SourceError as error:
        assert render(error.diagnostics, {"Buildfile": text})
        return None


def shell_free_ends(text: str) -> list[int]:
    """Offsets of the ends of lines that are neither shell text nor inside a string."""
    from frontends.buildfile.mask import mask
    from frontends.buildfile.text import SourceText

    masked = mask(SourceText.of(text, "Buildfile"))
    taken = [(shell.start, shell.end) for shell in masked.shells.values()]
    ends = [at for at, char in enumerate(masked.text) if char == "\n"]
    return [at for at in ends if not any(first <= at <= last for first, last in taken)]


@RELAXED
@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    compiled(text)
    compiled("buildfile 1\nimage a {\n from scratch\n" + text + "\n}\n")


@RELAXED
@given(st.lists(st.sampled_from(WORDS), max_size=60), st.sampled_from(["", " ", "\n"]))
def test_any_words(words: list[str], glue: str) -> None:
    compiled("buildfile 1\nimage a {\n from scratch\n" + glue.join(words) + "\n}\n")


@RELAXED
@given(st.sampled_from(ANY), st.randoms(use_true_random=False))
def test_mutated_files(text: str, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randint(0, len(text)), chance.choice([0, 1, 1, 3, 10])
        text = text[:at] + chance.choice([*WORDS, "", " ", "\n", "}"]) + text[at + length :]
    compiled(text)
    check(text)
    outline(text)


@RELAXED
@given(st.sampled_from(sorted(GOOD)), st.data())
def test_comments_and_blank_lines_change_nothing(name: str, data: st.DataObject) -> None:
    text = GOOD[name]
    before = compiled(text)
    at = data.draw(st.sampled_from(shell_free_ends(text)))
    comment = data.draw(st.sampled_from(["\n", " # why\n", "\n\n# a } { \" ' ) comment", "\n  # with network", "   "]))
    changed = text[:at] + comment + text[at:]
    assert compiled(changed) == before


@pytest.mark.parametrize("name", sorted(GOOD))
def test_format_is_idempotent_and_neutral(name: str) -> None:
    formatted = format_text(GOOD[name])
    assert format_text(formatted) == formatted
    assert compiled(formatted) == compiled(GOOD[name]) is not None


@RELAXED
@given(st.sampled_from(sorted(GOOD)), st.randoms(use_true_random=False))
def test_format_of_untidy_files(name: str, chance: random.Random) -> None:
    text = GOOD[name]
    for at in sorted(shell_free_ends(text), reverse=True):
        if chance.random() < 0.3:
            text = text[:at] + chance.choice([" ", " ;", "\n\n\n", "  # note"]) + text[at:]
    formatted = format_text(text)
    assert format_text(formatted) == formatted
    assert compiled(formatted) == compiled(text) is not None


@pytest.mark.parametrize("deep", ["(" * 5000, "[" * 5000, "{" * 5000, "not " * 5000, '"${' * 5000, "if a {" * 5000])
def test_deep_nesting_is_refused(deep: str) -> None:
    assert compiled("buildfile 1\nimage a {\n from scratch\n env A = " + deep + "\n" + deep + "\n}\n") is None
