"""What a build file declares, with names resolved: modules, their params, secrets, defs, stages and images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from buildkit_py.dataclass import dataclass, field
from buildkit_py.platform import Platform
from buildkit_py.source import Span
from frontends.buildfile import syntax
from frontends.buildfile.text import SourceText

Kind = Literal["string", "int", "bool", "list", "platform", "unknown"]
Value = str | int | bool | tuple[str, ...] | Platform
"""What an expression gives: a string, an int, a bool, a list of strings, or the platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """The type of an expression; `choices` are the values of an enumeration, which is a string."""

    kind: Kind
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.choices:
            return " | ".join(f'"{choice}"' for choice in self.choices)
        return "the platform" if self.kind == "platform" else f"{'an' if self.kind == 'int' else 'a'} {self.kind}"


STRING, INT, BOOL, LIST = Type(kind="string"), Type(kind="int"), Type(kind="bool"), Type(kind="list")
PLATFORM, UNKNOWN = Type(kind="platform"), Type(kind="unknown")
TYPES = {"string": STRING, "int": INT, "bool": BOOL, "list": LIST}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A param of a file or an argument of a def; required where `default` is None."""

    name: str
    type: Type
    default: syntax.Expression | None
    help: str
    span: Span


@dataclass(slots=True, kw_only=True, eq=False)
class Def:
    """A def, with the module whose names its body sees."""

    name: str
    module: Module
    parameters: tuple[Parameter, ...]
    body: syntax.Body
    span: Span


@dataclass(slots=True, kw_only=True, eq=False)
class Recipe:
    """A stage or an image, with the module whose names its body sees."""

    kind: Literal["stage", "image"]
    name: str
    module: Module
    body: syntax.Body
    help: str
    span: Span
    order: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A declared secret; `text` is its sentence, which the graph holds, `help` that or the comment beside it."""

    name: str
    text: str
    help: str
    span: Span


@dataclass(slots=True, kw_only=True, eq=False)
class Module:
    """One file's declarations. An import that could not be read is None, and nothing is said about its names."""

    source: SourceText
    main: bool
    params: dict[str, Parameter] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)
    defs: dict[str, Def] = field(default_factory=dict)
    recipes: dict[str, Recipe] = field(default_factory=dict)
    imports: dict[str, Module | None] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def find_def(self, reference: syntax.Reference) -> Def | None:
        """The def that a reference in this file names."""
        module = self.module_of(reference)
        return module.defs.get(reference.name.text) if module else None

    def find_recipe(self, reference: syntax.Reference) -> Recipe | None:
        """The stage or image that a reference in this file names."""
        module = self.module_of(reference)
        return module.recipes.get(reference.name.text) if module else None

    def module_of(self, reference: syntax.Reference) -> Module | None:
        """The file that a reference looks into."""
        return self.imports.get(reference.module.text) if reference.module else self

    def hides(self, reference: syntax.Reference) -> bool:
        """Whether the name may be one of something that could not be read."""
        if reference.module:
            known = self.imports.get(reference.module.text)
            if known is None:
                return reference.module.text in self.imports or reference.module.text in self.broken
            return reference.name.text in known.broken
        return reference.name.text in self.broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A build file and all that it imports; `modules` by context-relative path, the main file first."""

    main: Module
    modules: Mapping[str, Module]

    @property
    def sources(self) -> dict[str, str]:
        """The text of each file, for rendering diagnostics."""
        return {name: module.source.text for name, module in self.modules.items()}

    def images(self) -> Iterator[Recipe]:
        """The images of the main file, in order."""
        return (recipe for recipe in self.main.recipes.values() if recipe.kind == "image")
