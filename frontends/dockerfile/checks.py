"""Build checks: what is no error in a Dockerfile, but probably not meant.

A check is decided where what it depends on is known. `text`: by the text alone, of every stage, whenever a file is
compiled. `start`: by the words of every FROM and the global arguments. `base`: when a base image is resolved. `step`:
when an instruction is lowered, so in a build for the stages that the target needs only. `check` lowers all of them.

    rule                             when   decided by
    NoEmptyContinuation              text   the parser: `File.warnings`
    ConsistentInstructionCasing      text   text_checks.instruction_casing
    DuplicateStageName               text   text_checks.stage_names
    ReservedStageName                text   text_checks.stage_names
    StageNameCasing              *   text   text_checks.start_casing
    FromAsCasing                 *   text   text_checks.start_casing
    InvalidDefinitionDescription *   text   text_checks.description
    MaintainerDeprecated         *   text   text_checks.maintainer
    InvalidDefaultArgInFrom          start  start_checks.default_bases
    UndefinedArgInFrom           *   start  start_checks.on_from
    RedundantTargetPlatform      *   start  start_checks.on_from
    FromPlatformFlagConstDisallowed * start start_checks.on_from
    InvalidBaseImagePlatform         base   start_checks.base_platform
    UndefinedVar                 *   step   step_checks.undefined, for each word of ENV, LABEL, ARG (a default that is
                                            used), ADD and COPY with their documents, WORKDIR, USER, VOLUME, STOPSIGNAL
                                            and the mounts of RUN; never for EXPOSE, nor for what the shell expands
    SecretsUsedInArgOrEnv        *   step   step_checks.on_env, on_arg (not for ARG above the first FROM)
    LegacyKeyValueFormat         *   step   step_checks.on_env, on_label
    JSONArgsRecommended          *   step   step_checks.on_command
    MultipleInstructionsDisallowed * step   step_checks.Single.mark, at the earlier instruction
    WorkdirRelativePath          *   step   step_checks.on_workdir
    ExposeProtoCasing            *   step   step_checks.on_expose
    ExposeInvalidFormat          *   step   step_checks.on_expose
    CopyIgnoredFile              *   step   step_checks.on_copy

Those with a star heed a comment `# check=skip=RULE` right above their instruction; of the others only the directive at
the top of the file and the argument BUILDKIT_DOCKERFILE_CHECK, which takes its place, can rid you. An instruction that
a base's ONBUILD fires is looked at as any other, at the FROM that fires it (`Checks.at`), and heeds no comments.
"""

from __future__ import annotations

from collections.abc import Sequence

from buildkit_py.source import Diagnostic, Span
from frontends.dockerfile import syntax
from frontends.dockerfile.check_options import options_above
from frontends.dockerfile.rules import RULES, Rule

__all__ = ["RULES", "Checks", "Rule", "check_file"]


class Checks:
    """Collects warnings. Views that `above` and `at` give share what is collected, and differ in what they let by."""

    def __init__(self, options: syntax.CheckOptions) -> None:
        self._options = options
        self._found: list[Diagnostic] = []
        self._place: Span | None = None

    def above(self, comments: Sequence[str]) -> Checks:
        """These checks as a comment `# check=…` right above an instruction wants them."""
        more = options_above(comments)
        if more is None:
            return self
        ours = self._options
        merged = syntax.CheckOptions(
            skip=(*ours.skip, *more.skip),
            skip_all=ours.skip_all or more.skip_all,
            error=ours.error,
            experimental=(*ours.experimental, *more.experimental),
            experimental_all=ours.experimental_all or more.experimental_all,
        )
        return self._view(merged, self._place)

    def at(self, place: Span) -> Checks:
        """These checks with everything reported at one place: the FROM that fires a trigger."""
        return self._view(self._options, place)

    def _view(self, options: syntax.CheckOptions, place: Span | None) -> Checks:
        view = Checks(options)
        view._found = self._found
        view._place = place
        return view

    def report(
        self,
        rule: str,
        message: str,
        span: Span,
        *,
        label: str | None = None,
        hint: str | None = None,
        word: Span | None = None,
    ) -> None:
        """Warn at an instruction's first line: at `word` if that stands there, else at `span` with a note at `word`."""
        if not self._runs(RULES[rule]):
            return
        place = self.place(span)
        there = word is not None and (word.file, word.line) == (place.file, place.line)
        notes = () if word is None or there or self._place else (("it stands here", word),)
        self._found.append(
            Diagnostic(
                message=message,
                span=word if there else place,
                severity="warning",
                label=label,
                hint=hint,
                notes=notes,
                rule=rule,
            )
        )

    def place(self, span: Span) -> Span:
        """Where a warning about a `span` is shown."""
        return self._place or span

    def _runs(self, rule: Rule) -> bool:
        options, name = self._options, rule.name.lower()
        if rule.experimental:
            return options.experimental_all or name in options.experimental
        return not options.skip_all and name not in options.skip

    @property
    def warnings(self) -> list[Diagnostic]:
        """All that was found, in the order of the text."""
        return sorted(self._found, key=_position)

    @property
    def error(self) -> bool:
        """Whether warnings are errors."""
        return self._options.error


def _position(warning: Diagnostic) -> tuple[int, int]:
    return (warning.span.line, warning.span.column) if warning.span else (0, 0)


def check_file(file: syntax.File, checks: Checks) -> None:
    """Run the checks that need the text alone."""
    from frontends.dockerfile import text_checks

    for warning in file.warnings:
        if warning.span is not None and warning.rule is not None:
            checks.report(warning.rule, warning.message, warning.span, label=warning.label, hint=warning.hint)
    for instruction in syntax.instructions(file):
        text_checks.one(instruction, checks.above(instruction.comments))
    text_checks.stage_names(file.stages, checks)
    text_checks.instruction_casing(file.stages, checks)
