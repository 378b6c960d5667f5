"""What a frontend tells about a build file without compiling it: mistakes, what it takes, what can be built of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.engine.compile import load_frontend
from buildkit_py.errors import PybuildError, SourceError, UsageError
from buildkit_py.source import renamed

if TYPE_CHECKING:
    from buildkit_py.engine.buildfile import BuildFile
    from buildkit_py.engine.options import BuildOptions
    from buildkit_py.graph.resolver import ResolvedImage, Resolver
    from buildkit_py.platform import Platform

Question = Literal["check", "outline", "targets"]


class Unbuilt:
    """A resolver for questions: images are what `images` says, and what only a build would fetch is not fetched.

    Implements `graph.Resolver`; a graph that is made of its answers is good for nothing.
    """

    def __init__(self, images: Callable[[str, Platform], ResolvedImage], files: Files) -> None:
        self.image = images
        self.text = files.text
        self.find = files.find

    def http(self, url: str) -> str:
        """No digest that anything has."""
        return f"sha256:{'0' * 64}"

    def git(self, url: str, ref: str) -> str:
        """No commit that anything has."""
        return "0" * 40


Describe = Callable[[str, "Platform"], "ResolvedImage"]


def lenient(images: Describe, otherwise: Describe, missed: dict[str, PybuildError]) -> Describe:
    """`images`, and `otherwise` where it can't answer, which is put into `missed`: a question needs no answer about
    every base. None is asked for twice."""

    def describe(ref: str, platform: Platform) -> ResolvedImage:
        if ref not in missed:
            try:
                return images(ref, platform)
            except PybuildError as error:
                missed[ref] = error
        return otherwise(ref, platform)

    return describe


class Files(Protocol):
    """What reads files for a frontend."""

    def text(self, path: str) -> str:
        """As a resolver does."""

    def find(self, path: str, context: str = "context") -> str | None:
        """As a resolver does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`value` is what the frontend said: diagnostics, or its own kind of outline or list of targets. `rules` describe
    the rules that diagnostics name."""

    file: BuildFile
    value: Any
    rules: Mapping[str, Any]


def ask(options: BuildOptions, file: BuildFile, question: Question, resolver: Resolver) -> Answer:
    """Put a question about a build file; raises `UsageError` where its frontend can't answer, and `SourceError`."""
    frontend = load_frontend(file.frontend)
    function = getattr(frontend, question, None)
    if function is None and question == "targets" and hasattr(frontend, "outline"):
        # Whoever names its images there needs no list of its own.
        return _images(ask(options, file, "outline", resolver))
    if function is None:
        raise UsageError(f"{file.shown}: build files of this kind can't tell their {question}")
    name = os.path.relpath(file.path, options.context)

    def shown(other: str) -> str:
        return options.shown(options.context / other)

    try:
        value = offer(
            function,
            file.text,
            file=name,
            resolver=resolver,
            read=resolver.text,
            params=options.params,
            targets=options.targets,
            platforms=options.platforms,
            settings=options.settings,
        )
    except SourceError as error:
        if question != "check":
            raise SourceError([renamed(item, shown) for item in error.diagnostics]) from None
        value = error.diagnostics
    if question == "check":
        value = [renamed(item, shown) for item in value]
    rules = getattr(frontend, "build_checks", dict)
    return Answer(file=file, value=value, rules=rules())


def _images(outline: Answer) -> Answer:
    return replace(outline, value=outline.value.images)


def offer(function: Callable[..., Any], source: str, **offered: Any) -> Any:
    """Call a function of a frontend with those of the arguments that it names: each asks for what it can use."""
    from inspect import signature

    named = signature(function).parameters
    return function(source, **{name: value for name, value in offered.items() if name in named})
