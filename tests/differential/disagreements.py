"""Where a referee is known to say otherwise than pybuild: what, why, who is right, and what BuildKit does today.

An entry holds for the facts of a case that its patterns match (see `record.flat` for their names). One that names its
cases has to be met: the tests fail where the disagreement is gone. Newer daemons than Debian's may be asked (see
`conftest.py`): `before` is the release of Docker that agrees with pybuild again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from tests.differential.case import BUILDAH, DOCKER, Referee


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One known disagreement.

    `cases` are shell patterns; `facts`, `ours` and `theirs` regular expressions that match as a whole, the latter two
    what each side says. `buildkit` is what BuildKit does today.
    """

    referee: Referee
    cases: tuple[str, ...]
    facts: str
    reason: str
    right: Literal["pybuild", "the referee", "both"]
    buildkit: str
    ours: str = ".*"
    theirs: str = ".*"
    before: int | None = None

    @property
    def general(self) -> bool:
        """Whether it holds for any case."""
        return any("*" in pattern for pattern in self.cases)

    def covers(self, fact: str, pair: tuple[str, str]) -> bool:
        """Whether a difference is this one."""
        texts = zip((self.facts, self.ours, self.theirs), (fact, *pair), strict=True)
        return all(re.fullmatch(pattern, text, re.DOTALL) for pattern, text in texts)


def known(referee: Referee, case: str, release: int) -> list[Known]:
    """The entries for a case at a referee of a release."""
    return [
        entry
        for entry in KNOWN
        if entry.referee == referee
        and any(fnmatchcase(case, pattern) for pattern in entry.cases)
        and (entry.before is None or release < entry.before)
    ]


def unknown(differences: Mapping[str, tuple[str, str]], entries: list[Known]) -> Iterator[str]:
    """Every difference that no entry covers, and every entry of this very case that is not met, in words."""
    for fact, pair in differences.items():
        if not any(entry.covers(fact, pair) for entry in entries):
            yield f"{fact}\n    pybuild: {pair[0]}\n    referee: {pair[1]}"
    for entry in entries:
        if not entry.general and not any(entry.covers(*each) for each in differences.items()):
            yield f"no longer differs in {entry.facts}: {entry.reason}"


def _old(facts: str, reason: str, *cases: str, ours: str = ".*", theirs: str = ".*") -> Known:
    """What Debian 12's release 20.10 does, and later BuildKits do as pybuild."""
    return Known(
        referee=DOCKER, cases=cases or ("*",), facts=facts, reason=reason, right="pybuild", buildkit="as pybuild",
        ours=ours, theirs=theirs, before=23,
    )  # fmt: skip


def _buildah(facts: str, reason: str, *cases: str, ours: str = ".*", theirs: str = ".*") -> Known:
    """What buildah does in its own way, and BuildKit as pybuild."""
    return Known(
        referee=BUILDAH, cases=cases or ("*",), facts=facts, reason=reason, right="pybuild", buildkit="as pybuild",
        ours=ours, theirs=theirs,
    )  # fmt: skip


_LINE = r"history\.\d+"

KNOWN = (
    # History: what the words of a line were in BuildKit 0.8.
    _old(_LINE, "ports were written as a map", theirs=r"- EXPOSE map\[.*"),
    Known(
        referee=DOCKER,
        cases=("*",),
        facts=_LINE,
        reason="a check's values were written as quoted words, and 20.10 had no start interval",
        right="pybuild",
        buildkit="as pybuild; until 0.25 as the referee",
        theirs=r"- HEALTHCHECK &\{.*",
        before=29,
    ),
    _old(_LINE, "an ARG's line showed its default alone, not the value", ours="- ARG .*", theirs="- ARG .*"),
    _old(_LINE, "the flags of COPY and ADD were left out", ours=r"\+ (COPY|ADD) --.*", theirs=r"\+ (COPY|ADD) [^-].*"),
    _old(
        _LINE,
        "ARGs that a stage inherits were not in the line of a step",
        "arg-inherited-by-stage",
        ours=r"\+ RUN \|1 A=1 .*",
        theirs=r"\+ RUN /bin/sh .*",
    ),
    # Steps.
    _old(
        r"layer\.\d/(m|c|t|s|run/secrets|etc)",
        "the places of mounts stayed in the image as empty directories",
        "run-bind-mount*",
        "run-cache-mount*",
        "run-tmpfs-mount*",
        "run-secret-*",
        "run-writes-mounted-files",
        ours="nothing",
    ),
    _old(
        r"layer\.2/after",
        "the place of a secret stayed in the image, so that a later step finds it",
        "run-secret-mount",
    ),
    _old(
        r"layer\.\d/tmp/id2?",
        "the primary group was not among the supplementary ones, which CVE-2022-36109 was about",
        "run-user-name",
        "run-user-number",
        "run-user-unknown-number",
        "run-user-group",
    ),
    # Files.
    _old(
        r"layer\.0/x",
        "--chmod did not reach the directories that COPY makes",
        "chmod-folder",
        "chmod-and-chown",
        "chmod-links",
        theirs="dir 0755 .*",
    ),
    _old(r"layer\.0/x", "--chmod took nine bits", "chmod-special-bits", ours="file 4755 .*", theirs="file 0755 .*"),
    _old("build", "a mode that is none was ignored", "chmod-bad", ours="fails", theirs="works"),
    _old(r"layer\.0/d/p", "named pipes were skipped", "copy-pipe", ours="pipe .*", theirs="nothing"),
    _old(r"layer\.1/x/top.*", "--chown did not reach what ADD unpacks", "add-tar-chown"),
    # Variables, triggers, values.
    _old(r"config\.Env", "one ARG did not see what it had set itself", "expand-arg-is-sequential"),
    _old(r"history\.2", "so the line shows it", "expand-arg-is-sequential", ours="- ENV r=1 .*"),
    _old("build", "0 was no length of time", "healthcheck-zero", ours="works", theirs="fails"),
    _old("build", "a stage's triggers did not find the file's other stages", "onbuild-copy-from", theirs="fails"),
    # buildah.
    _buildah(r"config\.ArgsEscaped", "BuildKit's own mark on a CMD, which buildah has not", theirs="nothing"),
    _buildah(r"config\.WorkingDir", "buildah leaves `/` unsaid", ours='"/"', theirs="nothing"),
    _buildah(
        r"config\.ExposedPorts",
        "buildah stores a range as it is written, which no engine understands",
        "expose",
        "expose-range-udp",
        theirs=r".*\d-\d.*",
    ),
    _buildah(
        r"tree/(a|b|a b|c|data)",
        "buildah makes the directories of volumes",
        "volume-words",
        "volume-json",
        "stages-rich-step",
        ours="nothing",
        theirs="dir 0755 0:0",
    ),
    _buildah(
        r"config\.(Cmd|Entrypoint)",
        "buildah stores the text form with /bin/sh, whatever SHELL says",
        "shell-used",
        "shell-of-base",
        "run-shell-instruction",
        theirs=r'\["/bin/sh", "-c", .*',
    ),
    _buildah(r"config\.Env", "a variable that is set anew moves to the end", "env-override"),
    _buildah("build", "0 is no length of time for buildah", "healthcheck-zero", ours="works", theirs="fails"),
    _buildah(
        r"tree/d/(g|s)", "buildah drops set-id bits of the context", "copy-modes", ours=r"(file 4711|dir 2775) .*"
    ),
    _buildah(
        r"config\.Labels",
        "buildah takes a backslash away although the escape is the backtick",
        "lexing-escape-backtick",
    ),
    _buildah(r"tree/x", "the archive's own root gives its mode to the destination", "add-tar-dotted"),
    _buildah(
        r"tree/etc(/hostname|/resolv\.conf)?|tree/run|tree/(dev|proc|sys)",
        "buildah leaves the places of its mounts in the image",
        "run-writes-mounted-files",
        ours="nothing",
    ),
    _buildah(
        r"tree/(after|run/secrets|s)",
        "buildah leaves the place of a secret in the image",
        "run-secret-mount",
        "run-secret-mount-options",
    ),
    _buildah("build", "buildah minds the case of a stage's name", "stages-copy-from-name", theirs="fails"),
    _buildah("build", "buildah does not find a stage by an ARG", "stages-arg-names-stage", theirs="fails"),
    Known(
        referee=BUILDAH,
        cases=("run-links",),
        facts=r"tree/(a|b|h/more)",
        reason="a hard link that a later layer makes to a file of an earlier one: a layer of changes can't say that "
        "the earlier names mean the same file, and buildah writes one layer here",
        right="both",
        buildkit="as pybuild",
    ),
    Known(
        referee=DOCKER,
        cases=("run-links",),
        facts=r"layer\.2/(a|b|h/more)",
        reason="the same seen by layers: where files lie in an overlay, the link makes a copy of the earlier file "
        "under its first name too; here a layer holds what a step changed, whatever holds the files",
        right="pybuild",
        buildkit="as pybuild with a snapshotter of containerd, as the referee inside Docker",
    ),
)
