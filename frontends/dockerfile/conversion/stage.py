"""A stage while it is converted: its variables, its tree as far as it is known, and the block that it becomes."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from buildkit_py.dataclass import dataclass, field
from buildkit_py.source import Span
from frontends.dockerfile import syntax
from frontends.dockerfile.conversion.body import Body
from frontends.dockerfile.conversion.kinds import Look, Paths
from frontends.dockerfile.conversion.language import KEYWORDS, Marks, indented, is_variable
from frontends.dockerfile.conversion.notes import Notes
from frontends.dockerfile.conversion.params import Params
from frontends.dockerfile.conversion.values import Scope, Variable
from frontends.dockerfile.stages import Stages


@dataclass(slots=True, kw_only=True)
class Shared:
    """What all stages of a file share. `patterns` are those of the ignore file; `secrets` are names by their ids."""

    name: str
    file: syntax.File
    stages: Stages
    marks: Marks
    notes: Notes
    params: Params
    globals: Mapping[str, Variable]
    look: Look | None
    patterns: tuple[str, ...]
    names: dict[int, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    made: dict[int, StageConversion] = field(default_factory=dict)

    def secret(self, identity: str, span: Span) -> str:
        """The name that a secret is declared by."""
        if identity not in self.secrets:
            kept = "".join(char if char.isascii() and (char.isalnum() or char in "_-") else "_" for char in identity)
            name = kept if kept[:1].isalpha() or kept[:1] == "_" else f"_{kept}"
            name = f"{name}_" if name in KEYWORDS else name
            while name in self.secrets.values():
                name += "_"
            if name != identity:
                text = f"no secret can be called {identity}: it is {name}"
                self.notes.warn(text, span, f"give it with --secret id={name},…")
            self.secrets[identity] = name
        return self.secrets[identity]


@dataclass(slots=True, kw_only=True)
class StageConversion:
    """One stage. `pending` is a working directory that no step has made yet; `exported` are arguments that stand in
    the image's environment for the time being, with the text of each; `hidden` are values of the image's variables that
    arguments of their names hide. `owned` says that not all files need be root's, `has_shell` that one was run.
    """

    shared: Shared
    number: int
    scope: Scope
    paths: Paths
    node: syntax.Instruction
    body: Body = field(default_factory=Body)
    workdir: str = "/"
    workdir_is_known: bool = True
    pending: str | None = None
    has_shell: bool = False
    user: str = ""
    shell: tuple[str, ...] | None = None
    command_set: bool = False
    path_set: bool = False
    owned: bool = False
    exported: dict[str, str] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    triggers: list[syntax.Instruction] = field(default_factory=list)

    def child(self, number: int, node: syntax.Instruction) -> StageConversion:
        """What a stage begins with that stands on this one."""
        return StageConversion(
            shared=self.shared,
            number=number,
            scope=self.scope.child(),
            paths=self.paths.child(),
            node=node,
            workdir=self.workdir,
            workdir_is_known=self.workdir_is_known,
            pending=self.pending,
            has_shell=self.has_shell,
            hidden=dict(self.hidden),
            user=self.user,
            shell=self.shell,
            path_set=self.path_set,
            owned=self.owned,
            exported=dict(self.exported),
        )

    @property
    def marks(self) -> Marks:
        return self.shared.marks

    # --- words

    def emit(
        self,
        words: Sequence[str],
        build: Callable[[tuple[str, ...]], Sequence[str]],
        *,
        quotes: Literal["strip", "keep"] = "strip",
    ) -> tuple[str, ...]:
        """Add what `build` makes of words, under an `if` where they are several things; gives them as they are last."""
        escape = "\\" if quotes == "keep" else None
        cases = self.scope.cases(words, self.node.span, quotes=quotes, escape=escape)
        if len(cases) == 1:
            self.body.add(*build(cases[0].texts))
            return cases[0].texts
        lines: list[str] = []
        for number, case in enumerate(cases):
            opening = f"if {case.condition} {{" if case.condition else "{"
            lines += [f"}} else {opening}" if number else opening, *indented(build(case.texts))]
        self.body.add(*lines, "}")
        return cases[-1].texts

    def plain(self, text: str, depth: int = 8) -> str:
        """A text with defaults in place of marks: what it is when nothing is given."""
        for code in self.marks.names(text) if depth else ():
            text = text.replace(self.marks.mark(code), self.plain(self._default(code), depth - 1))
        return text

    def _default(self, code: str) -> str:
        name = code.removeprefix("env.")
        variable = self.scope.variables.get(name)
        if code.startswith("env."):
            return variable.known or "" if variable is not None and variable.kind == "env" else ""
        return self.shared.params.default(code) or ""

    def absolute(self, text: str) -> str:
        """A path of the image, clean, a final slash kept; a relative one begins at the working directory."""
        if not self.plain(text).startswith("/"):
            if not self.workdir_is_known:
                here = "the base image's working directory is not known: it is taken for /"
                self.shared.notes.warn(here, self.node.span, "write an absolute WORKDIR above")
            text = f"{self.workdir}/{text}"
        into = text.endswith(("/", "/.", "/.."))
        path = posixpath.normpath(text)
        path = "/" + path.lstrip("/") if path.startswith("/") else path
        return f"{path}/" if into and path != "/" else path

    # --- what is said of the conversion

    def differs(self, message: str, hint: str | None = None, span: Span | None = None) -> None:
        """Something of this instruction has no equivalent: it is said, also in the text."""
        place = span or self.node.span
        self.shared.notes.untold(message, place, hint)
        self.body.expect((f"{self.shared.name}:{place.line}: {message}",), blank=False)

    def warn(self, message: str, hint: str | None = None, span: Span | None = None) -> None:
        """Something of this instruction is said otherwise."""
        self.shared.notes.warn(message, span or self.node.span, hint)

    # --- directories

    @property
    def is_root(self) -> bool:
        """Whether root works here."""
        return self.user.partition(":")[0] in ("", "0", "root")

    def before(self, node: syntax.Instruction, dest: str | None) -> None:
        """Have the working directory there before an instruction that does not see to it itself."""
        path = self.pending
        if path is None:
            return
        missing = self.paths.missing(path)
        if isinstance(node, syntax.Copy):
            if dest is None or not f"{dest}/".startswith(f"{path}/"):
                return
            if not self.is_root:
                self.make_workdir()
        elif isinstance(node, syntax.Run):
            if len(missing) > 1 and not self.is_root:
                self.mkdir(missing[:-1], self.user)
        else:
            self.make_workdir()
        self.pending = None
        self.paths.learn(path)

    def make_workdir(self) -> None:
        """Make the working directory at last: where there is a shell, by a step, which leaves alone what is there."""
        path = self.pending
        missing = self.paths.missing(path) if path is not None else []
        if not missing:
            return
        if self.has_shell:
            self.body.add("# makes the working directory, where it is not there", "run true")
        else:
            self.mkdir(missing[-1:] if self.is_root else missing, "" if self.is_root else self.user)
            if not self.paths.empty:
                text = f"{self.plain(missing[-1])} is taken for a directory that the base image does not have"
                hint = "where it has it, take the mkdir out: it sets mode and owner"
                self.shared.notes.remark(text, self.node.span, hint)
        self.pending = None
        self.paths.learn(missing[-1])

    def mkdir(self, paths: Sequence[str], owner: str = "", mode: str = "") -> None:
        """Make directories, if there are any."""
        if not paths:
            return
        options = (f" owner {self.marks.word(owner)}" if owner else "") + (f" mode {mode}" if mode else "")
        self.body.add(f"mkdir {' '.join(map(self.marks.word, paths))}{options}")
        for path in paths:
            self.paths.learn(path)

    # --- arguments in the environment

    def export(self, names: Sequence[str]) -> None:
        """Put arguments into the image's environment, until the end."""
        for name in names:
            variable = self.scope.variables[name]
            if self.exported.get(name) != variable.text and is_variable(name):
                self.body.add(f"env {name} = {self.marks.expression(variable.text)}")
                self.exported[name] = variable.text

    def finish(self, *, is_image: bool) -> None:
        """End the stage; what stands on it makes its working directory, unless it is the image."""
        if is_image:
            self.make_workdir()
        if not is_image or not self.exported:
            return
        hidden = [name for name in self.exported if name in self.hidden]
        for name in hidden:
            self.body.add(f"env {name} = {self.marks.expression(self.hidden[name])}")
        gone = [name for name in self.exported if name not in hidden]
        if gone:
            self.body.add(f"unset env {', '.join(gone)}")
