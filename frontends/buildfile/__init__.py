"""The Buildfile frontend: text to a graph `Definition`. The language is specified in `spec/buildfile.md`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass

if TYPE_CHECKING:
    from buildkit_py.graph import Definition, Resolver, Settings
    from buildkit_py.platform import Platform
    from buildkit_py.source import Diagnostic
    from frontends.buildfile.model import Module, Parameter

__all__ = ["Outline", "OutlineItem", "check", "format_text", "imports", "load", "outline"]


def load(
    source: str,
    *,
    file: str,
    resolver: Resolver,
    params: Mapping[str, str | list[str]] | None = None,
    platforms: Sequence[Platform] = (),
    targets: Sequence[str] = (),
    epoch: int = 0,
    hidden: Sequence[str] = (),
    settings: Settings | None = None,
) -> Definition:
    """Compile a Buildfile.

    `file` is its path relative to the context: spans carry it and imports start from it. `params` are as given on a
    command line (a list is one text with commas, or a list). `platforms` and `targets` are those asked for; by default
    what each image declares (else the host's), and all images. `epoch` is SOURCE_DATE_EPOCH. `hidden` are further
    context paths that no `copy` of a directory selects. Of `settings`, labels and annotations are added to every image,
    and everything else is the build file's own to say. All that comes from outside comes through `resolver`.

    Raises `SourceError` with everything that is wrong, and what the resolver raises, with a span.
    """
    from buildkit_py.errors import SourceError
    from frontends.buildfile.lower import lower
    from frontends.buildfile.params import param_values
    from frontends.buildfile.resolve import resolve

    program, diagnostics = resolve(source, file, resolver.text)
    errors = [diagnostic for diagnostic in diagnostics if diagnostic.severity == "error"]
    if errors:
        raise SourceError(errors)
    values = {program.main: param_values(program.main, params or {})}
    return lower(
        program, values, resolver, platforms=platforms, targets=targets, epoch=epoch, hidden=hidden, settings=settings
    )


def check(source: str, *, file: str = "Buildfile", read: Callable[[str], str] | None = None) -> list[Diagnostic]:
    """Everything that is wrong with a Buildfile as far as its text tells, without params and without a resolver.

    `read` gives the text of an import by its context-relative path; without it, imported names are not checked.
    """
    from frontends.buildfile.resolve import resolve

    return resolve(source, file, read)[1]


def format_text(source: str) -> str:
    """The text in the one layout that all Buildfiles have; raises `SourceError` where it can't be parsed."""
    from frontends.buildfile.format import format_source

    return format_source(source)


def imports(source: str, *, file: str = "Buildfile") -> list[str]:
    """The context-relative paths that a Buildfile imports itself, in order."""
    from frontends.buildfile import syntax
    from frontends.buildfile.parser import parse
    from frontends.buildfile.resolve import import_path
    from frontends.buildfile.text import SourceText

    parsed, _ = parse(SourceText.of(source, file))
    nodes = [node for node in parsed.body if isinstance(node, syntax.Import)]
    paths = [import_path(file, node.path.constant or "") for node in nodes]
    return list(dict.fromkeys(path for path in paths if path is not None))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineItem:
    """One declaration: `type` and `default` are those of a param, as written."""

    name: str
    help: str
    type: str = ""
    default: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What a Buildfile offers to the person who builds it."""

    params: tuple[OutlineItem, ...]
    secrets: tuple[OutlineItem, ...]
    images: tuple[OutlineItem, ...]
    stages: tuple[OutlineItem, ...]


def outline(source: str, *, file: str = "Buildfile") -> Outline:
    """List the params, secrets, images and stages of a Buildfile with their help; what is broken is left out."""
    from frontends.buildfile.resolve import resolve

    module = resolve(source, file, None)[0].main
    recipes = list(module.recipes.values())
    return Outline(
        params=tuple(_param_item(parameter, module) for parameter in module.params.values()),
        secrets=tuple(OutlineItem(name=item.name, help=item.help) for item in module.secrets.values()),
        images=tuple(OutlineItem(name=item.name, help=item.help) for item in recipes if item.kind == "image"),
        stages=tuple(OutlineItem(name=item.name, help=item.help) for item in recipes if item.kind == "stage"),
    )


def _param_item(parameter: Parameter, module: Module) -> OutlineItem:
    written = str(parameter.type).removeprefix("a ").removeprefix("an ")
    default = None
    if parameter.default is not None:
        default = module.source.excerpt(parameter.default.span)
    return OutlineItem(name=parameter.name, help=parameter.help, type=written, default=default)
