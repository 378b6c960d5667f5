"""Build checks that need nothing but the text."""

from __future__ import annotations

from collections.abc import Sequence

from frontends.dockerfile import syntax
from frontends.dockerfile.checks import Checks

RESERVED_NAMES = frozenset({"context", "scratch"})


def one(instruction: syntax.Instruction, checks: Checks) -> None:
    """What is said of one instruction by itself."""
    match instruction:
        case syntax.From():
            start_casing(instruction, checks)
            if instruction.stage is not None:
                description(instruction, [instruction.stage.text.lower()], checks)
        case syntax.Arg():
            description(instruction, [pair.name for pair in instruction.pairs], checks)
        case syntax.Maintainer():
            maintainer(instruction, checks)


def start_casing(start: syntax.From, checks: Checks) -> None:
    """The case of a stage's name, and of the AS before it; a FROM in mixed case says nothing about AS."""
    if start.stage is None or start.as_keyword is None:
        return
    name, word, wanted = start.stage.text, start.as_keyword, _cased(start.as_keyword, start.keyword)
    if name != name.lower():
        checks.report(
            "StageNameCasing",
            f"the name of stage {name} is not in lower case",
            start.head,
            word=start.stage.span,
            hint=f"write it as {name.lower()}; names of stages are the same in any case",
        )
    if wanted is not None and word != wanted:
        checks.report(
            "FromAsCasing",
            f"{word} and {start.keyword} are not written in the same case",
            start.head,
            hint=f"write {wanted} instead of {word}",
        )


def _cased(word: str, model: str) -> str | None:
    if model == model.lower():
        return word.lower()
    return word.upper() if model == model.upper() else None


def description(instruction: syntax.Instruction, names: Sequence[str], checks: Checks) -> None:
    """A comment right above describes what it names first."""
    if not instruction.comments or not names or instruction.comments[-1].split(" ")[0] in names:
        return
    name = names[0] if len(names) == 1 else "ARGUMENT"
    checks.report(
        "InvalidDefinitionDescription",
        f"the comment above {instruction.name} {names[0]} does not begin with a name",
        instruction.head,
        hint=f"write # {name} and what it is; if this is no description, part it with an empty comment line: #",
    )


def maintainer(instruction: syntax.Maintainer, checks: Checks) -> None:
    """MAINTAINER has had its day."""
    checks.report(
        "MaintainerDeprecated",
        "MAINTAINER is deprecated",
        instruction.head,
        hint=f'write LABEL org.opencontainers.image.authors="{instruction.maintainer.text.strip(chr(34))}"',
    )


def stage_names(stages: Sequence[syntax.Stage], checks: Checks) -> None:
    """Names that mean something else, and names of two stages; the second is told."""
    known: dict[str, syntax.From] = {}
    for stage in stages:
        start = stage.start
        if start.stage is None:
            continue
        name = start.stage.text.lower()
        if name in RESERVED_NAMES:
            checks.report(
                "ReservedStageName",
                f"{name} is a reserved word, and here the name of a stage",
                start.head,
                word=start.stage.span,
                hint="give the stage another name",
            )
        if name in known:
            checks.report(
                "DuplicateStageName",
                f"{name} is the name of a stage above too (line {known[name].head.line})",
                start.head,
                word=start.stage.span,
                hint="give each stage a name of its own: by this one only the last is found",
            )
        known.setdefault(name, start)


def instruction_casing(stages: Sequence[syntax.Stage], checks: Checks) -> None:
    """All instructions below the first FROM are in the case of most of them; if there is no most, in capitals."""
    found = [each for stage in stages for each in (stage.start, *stage.instructions)]
    lower = sum(each.keyword == each.keyword.lower() for each in found)
    upper = sum(each.keyword == each.keyword.upper() for each in found)
    for each in found:
        wanted = each.keyword.lower() if lower > upper else each.keyword.upper()
        if each.keyword != wanted:
            case = "lower case" if lower > upper else "capitals"
            checks.report(
                "ConsistentInstructionCasing",
                f"{each.keyword} is not in {case} as most instructions of this file",
                each.head,
                hint=f"write {wanted}",
            )
