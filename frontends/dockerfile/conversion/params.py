"""ARG instructions as params: one for each name and default, in the order in which they are needed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from buildkit_py.dataclass import dataclass, field
from buildkit_py.source import Span
from frontends.dockerfile.conversion.language import Marks, is_param
from frontends.dockerfile.conversion.notes import Notes


@dataclass(slots=True, kw_only=True)
class Param:
    """A param: the ARG that it is made of, its own name, its default (None where ARG has none)."""

    argument: str
    name: str
    default: str | None
    comments: tuple[str, ...] = ()
    used: bool = False


@dataclass(slots=True, kw_only=True)
class Params:
    """All params of a file."""

    marks: Marks
    notes: Notes
    _params: list[Param] = field(default_factory=list)

    def declare(self, argument: str, default: str | None, span: Span, comments: tuple[str, ...], where: str) -> Param:
        """The param of an ARG in the stage `where`; the same ARG twice is one param."""
        known = [param for param in self._params if param.argument == argument]
        for param in known:
            if param.default == default:
                return param
        name = self._name(argument, where) if known or not is_param(argument) else argument
        if known:
            text = f"{argument} has several defaults, so it becomes several params: this one is {name}"
            self.notes.warn(text, span, f"one --build-arg {argument}=… does not reach all of them any more")
        elif name != argument:
            self.notes.warn(f"no param can be called {argument}: it is {name}", span, f"give it with --param {name}=…")
        param = Param(argument=argument, name=name, default=default, comments=comments)
        self._params.append(param)
        return param

    def _name(self, argument: str, where: str) -> str:
        taken = {param.name for param in self._params}
        wanted = (
            f"{argument}_{where}" if any(param.argument == argument for param in self._params) else f"{argument}_arg"
        )
        wanted = wanted.replace("-", "_")
        return next(
            name for name in (wanted, *(f"{wanted}_{number}" for number in range(2, 1000))) if name not in taken
        )

    def use(self, lines: Iterable[str]) -> None:
        """Note which params some text names; so are then those that their defaults name."""
        text = "\n".join(line for line in lines if not line.lstrip().startswith("# ") or "# reads $" in line)
        for param in reversed(self._params):
            if re.search(rf"(?<![A-Za-z0-9_]){param.name}(?![A-Za-z0-9_])", text):
                param.used = True
                text += self.marks.string(param.default or "")

    def names(self) -> set[str]:
        """The names of all params."""
        return {param.name for param in self._params}

    def lines(self) -> Iterator[str]:
        """The declarations of those that are used."""
        for param in self._params:
            if param.used:
                help_ = f"  # {param.comments[0]}" if len(param.comments) == 1 else ""
                yield from (f"# {line}" for line in param.comments if not help_)
                yield f"param {param.name}: string = {self.marks.expression(param.default or '')}{help_}"

    def default(self, name: str) -> str | None:
        """The default of a param."""
        return next((param.default for param in self._params if param.name == name), None)
