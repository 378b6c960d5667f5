"""What the words for a context mean: the directory of the build, and further ones by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from buildkit_py.engine.contexts import Wanted

_IMAGE, _LAYOUT = "docker-image://", "oci-layout://"
_HINT = "write --build-context NAME=DIRECTORY, or NAME=docker-image://…, oci-layout://… or a URL"


def wanted_of(context: str, file: str | None, named: Iterable[str], *, keep_git: bool) -> Wanted:
    """What a build shall be made from, where something of that must be fetched first; raises `UsageError`."""
    from buildkit_py.engine.contexts import Wanted

    if context == file == "-":
        raise UsageError("standard input can't be both the build file and the directory", hint="give one as a file")
    return Wanted(context=context, file=file, named=dict(map(_named, named)), keep_git=keep_git)


def _named(text: str) -> tuple[str, str]:
    name, equals, place = text.partition("=")
    if not equals or not name or not place:
        raise UsageError(f"can't read --build-context {text!r}", hint=_HINT)
    if place.startswith(_IMAGE):
        from buildkit_py.reference import Reference

        Reference.parse(place.removeprefix(_IMAGE))
    elif place == "-":
        raise UsageError(f"--build-context {text!r}: standard input has no further directories", hint=_HINT)
    elif place.startswith("target:"):
        raise UsageError(f"--build-context {text!r}: one command builds one thing", hint=_HINT)
    return context_name(name), place


def context_name(name: str) -> str:
    """The name as build files look for it: of an image the shortest form, without `:latest`; raises `UsageError`."""
    from buildkit_py.reference import DEFAULT_REGISTRY, Reference

    reference = Reference.parse(name)
    if reference == Reference.parse("context"):
        raise UsageError(
            "--build-context: the directory of the build is called `context` itself", hint="name it otherwise"
        )
    short = str(reference).removeprefix(f"{DEFAULT_REGISTRY}/").removeprefix("library/")
    return short.removesuffix(":latest")


def is_plain(context: str, file: str | None, named: Iterable[str]) -> bool:
    """Whether a build needs nothing but its directory, as most do."""
    if file is not None and (file == "-" or file.startswith(("http://", "https://"))):
        return False
    return not list(named) and (Path(context).is_dir() or not _is_elsewhere(context))


def _is_elsewhere(context: str) -> bool:
    return context == "-" or "://" in context or "@" in context or context.startswith("github.com/")
