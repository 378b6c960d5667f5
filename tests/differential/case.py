"""A case of the differential tests as data: a rule, a Dockerfile, the files beside it, arguments, what is expected."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import dedent

from tests.support.layouts import Entry

Referee = str
BUILDAH: Referee = "buildah"
DOCKER: Referee = "docker"
BOTH = (BUILDAH, DOCKER)

Maker = Callable[[Path], None]
"""Makes one thing at a path of the context, whose parent is there."""
Context = Mapping[str, str | bytes | Maker]
"""What the context holds by path: a text, bytes, or how it is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One Dockerfile.

    `arguments` are spelt as `docker build`, `buildah bud` and `pybuild build` all spell them. `referees` are those who
    understand the Dockerfile. With `fails` the build has to fail, and so it does at every referee.
    """

    name: str
    rule: str
    text: str
    context: Context = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    referees: tuple[Referee, ...] = BOTH
    fails: bool = False

    def placed(self, addresses: Mapping[str, str]) -> Case:
        """With addresses instead of their placeholders."""
        text = self.text
        for placeholder, address in addresses.items():
            text = text.replace(placeholder, address)
        return replace(self, text=text)

    def write(self, directory: Path) -> Path:
        """Write Dockerfile and context into a new directory."""
        directory.mkdir(parents=True)
        write_context(directory, {"Dockerfile": self.text, **self.context})
        return directory


def case(
    name: str,
    rule: str,
    text: str,
    context: Context | None = None,
    *arguments: str,
    on: Sequence[Referee] = BOTH,
    fails: bool = False,
) -> Case:
    """A case in few words; the lines of `text` may be indented as the table is."""
    return Case(
        name=name,
        rule=rule,
        text=unindented(text),
        context=context or {},
        arguments=arguments,
        referees=tuple(on),
        fails=fails,
    )


def unindented(text: str) -> str:
    """The text without the indentation of the table, its last line ended."""
    return dedent(text.removeprefix("\n")).rstrip(" ")


def by_name(*tables: Iterable[Case]) -> dict[str, Case]:
    """Every case by its name, which nobody else has."""
    cases = [each for table in tables for each in table]
    named = {each.name: each for each in cases}
    assert len(named) == len(cases), "two cases have the same name"
    return named


def write_context(directory: Path, context: Context) -> None:
    """Make everything, in the order of the table; modes do not depend on the umask."""
    for name, content in context.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str | bytes):
            content = file(content)
        content(path)


def file(content: str | bytes = "", mode: int = 0o644) -> Maker:
    """A file with a mode of its own."""

    def make(path: Path) -> None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)

    return make


def folder(mode: int = 0o755) -> Maker:
    """A directory, empty unless the table puts something into it."""

    def make(path: Path) -> None:
        path.mkdir(exist_ok=True)
        path.chmod(mode)

    return make


def link(target: str) -> Maker:
    """A symbolic link."""
    return lambda path: path.symlink_to(target)


def same_as(name: str) -> Maker:
    """A hard link to another file of the same directory."""
    return lambda path: path.hardlink_to(path.with_name(name))


def pipe(path: Path) -> None:
    """A named pipe."""
    os.mkfifo(path, 0o644)


def listener(path: Path) -> None:
    """A socket."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def archive(*entries: Entry, form: str = "") -> bytes:
    """A tar archive, compressed as `gz`, `bz2` or `xz` where `form` says so."""
    out = io.BytesIO()
    mode = f"w:{form}"
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.PAX_FORMAT) as made:  # type: ignore[call-overload]
        for entry in entries:
            made.addfile(entry.info, io.BytesIO(entry.data))
    return out.getvalue()
