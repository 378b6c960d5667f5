"""Build checks of what stages stand on: the words of FROM, and the images that they name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from buildkit_py.errors import PybuildError, SourceError
from buildkit_py.platform import Platform
from buildkit_py.reference import Reference
from buildkit_py.source import Span
from buildkit_py.suggest import suggest
from frontends.dockerfile import syntax
from frontends.dockerfile.checks import Checks
from frontends.dockerfile.scope import Globals, expanded, global_scope
from frontends.dockerfile.stages import Start

TARGET = "TARGETPLATFORM"


def default_bases(file: syntax.File, predefined: Mapping[str, str], checks: Checks) -> None:
    """Every base has a valid name when the client gives no arguments. Where a word can't be expanded, this ends: it is
    an error elsewhere."""
    try:
        values = global_scope(file, predefined, {}).values
        for stage in file.stages:
            base = stage.start.base
            if not _is_reference(expanded(base.text, values, file.escape, base.span).text):
                checks.report(
                    "InvalidDefaultArgInFrom",
                    f"without --build-arg, {base.text} is no name of an image",
                    stage.start.head,
                    word=base.span,
                    hint="give its arguments defaults above the first FROM: ARG NAME=value",
                )
    except SourceError:
        return


def _is_reference(text: str) -> bool:
    try:
        Reference.parse(text)
    except PybuildError:
        return False
    # A bare identifier of an image is no name of one.
    return not (len(text) == 64 and all(char in "0123456789abcdef" for char in text))


def on_from(start: Start, scope: Globals, checks: Checks) -> None:
    """The variables of a FROM, and its platform. `checks` are those of the file."""
    checks = checks.above(start.node.comments)
    _undeclared(start.base.unset, scope, start.node, start.node.base.span, checks)
    flag, platform = start.node.platform, start.platform
    if flag is None or platform is None:
        return
    span = flag.value_span or flag.span
    _undeclared(platform.unset, scope, start.node, span, checks)
    if platform.used == {TARGET} and not platform.unset and platform.text == scope.values.get(TARGET):
        checks.report(
            "RedundantTargetPlatform",
            f"--platform={flag.value} is the platform that is built for anyway",
            start.node.head,
            word=flag.span,
            hint="leave it out",
        )
    if not platform.used and not platform.unset:
        _constant(start.node, platform.text, flag, checks)


def _undeclared(names: Iterable[str], scope: Globals, node: syntax.From, span: Span, checks: Checks) -> None:
    known = dict.fromkeys([*scope.declared, *scope.values])
    for name in sorted(set(names) - set(known)):
        close = suggest(name, known)
        checks.report(
            "UndefinedArgInFrom",
            f"${name} is used in FROM and declared nowhere above the first FROM",
            node.head,
            word=span,
            hint=f"did you mean ${close}?" if close else f"declare it above the first FROM: ARG {name}=value",
        )


def _constant(node: syntax.From, text: str, flag: syntax.Flag, checks: Checks) -> None:
    """A constant platform is meant where the stage's name speaks of it."""
    try:
        platform = Platform.parse(text)
    except PybuildError:
        return
    name = node.stage.text.lower() if node.stage else ""
    if platform.os in name or platform.architecture in name:
        return
    checks.report(
        "FromPlatformFlagConstDisallowed",
        f"--platform={text} is a constant: this stage can be built for one platform only",
        node.head,
        word=flag.span,
        hint="write --platform=$BUILDPLATFORM, or leave it out; if it is meant, name the stage after the platform",
    )


def base_platform(name: str, wanted: Platform, found: Platform | None, node: syntax.From, checks: Checks) -> None:
    """A base image is for the platform that was asked for; an image that says nothing is for any."""
    if found is None or (found.os, found.architecture) == (wanted.os, wanted.architecture):
        return
    checks.report(
        "InvalidBaseImagePlatform",
        f"the base image {name} is for {found}, and {wanted} is built for",
        node.head,
        word=node.base.span,
        hint=f"take an image that there is for {wanted}, or say --platform={found} if this one is meant",
    )
