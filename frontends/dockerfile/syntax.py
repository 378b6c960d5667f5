"""A Dockerfile as data: frozen nodes with spans, before any variable is expanded and any name looked up.

    File
    ├── directives  `# syntax=…`, `# escape=…`, `# check=…`
    ├── globals     Arg instructions before the first FROM
    └── stages      Stage: a From and the instructions below it

Words are kept as they were written, quotes and escapes included, where they are expanded later; continuations and the
comments between them are gone. A span covers the text that a node was read from, over several lines if need be.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from buildkit_py.dataclass import dataclass, field, fields
from buildkit_py.source import Diagnostic, Span

Form = Literal["shell", "exec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word as it was written."""

    text: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """`--name=value`, or `--name` (value None). `value_span` covers the value."""

    name: str
    value: str | None
    span: Span = field(compare=False)
    value_span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heredoc:
    """One here-document: `text` is its body, tabs taken away already where it was `<<-`.

    `expand` is false where the name was quoted. `raw` is the body as it was written.
    """

    name: str
    text: str
    raw: str
    expand: bool
    chomp: bool
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """`name=value` as it was written. `value` None: an ARG without a value. `legacy`: written `name value`."""

    name: str
    value: str | None
    legacy: bool = False
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What all instructions have.

    `keyword` is as written. `text` is the logical line as written, white space at its ends and continuations taken
    away, without here-documents: what ONBUILD keeps and logs show. `comments` are the comment lines right above,
    without the `#` and white space around. `span` goes from the keyword to the end of the last line, here-documents
    included; `head` is that of the keyword alone.
    """

    keyword: str
    text: str
    comments: tuple[str, ...] = ()
    span: Span = field(compare=False)
    head: Span = field(compare=False)

    @property
    def name(self) -> str:
        """The instruction's name in capitals."""
        return self.keyword.upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command line: the `words` of the exec form, or in the shell form one text as it was written."""

    form: Form
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class From(Instruction):
    """`FROM [--platform=P] BASE [AS NAME]`; `as_keyword` as written."""

    base: Word
    platform: Flag | None = None
    stage: Word | None = None
    as_keyword: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    """`ARG name[=value] …`"""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Instruction):
    """`ENV name=value …`, or `ENV name value`."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Instruction):
    """`LABEL name=value …`, or `LABEL name value`; names are expanded too."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MountSpec:
    """`--mount=…`: its fields in order, names in lower case, values as written (None: a bare word such as `ro`)."""

    fields: tuple[tuple[str, str | None], ...]
    flag: Flag


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Instruction):
    """`RUN [--mount=…]… [--network=…] [--security=…] [--device=…]… COMMAND`."""

    command: Command
    mounts: tuple[MountSpec, ...] = ()
    network: Flag | None = None
    security: Flag | None = None
    devices: tuple[Flag, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Instruction):
    """`COPY` and `ADD` (told apart by `name`). `sources` and `dest` as written; a here-document is no source but stands
    in `heredocs`. A flag that was not given is None, or empty where it repeats."""

    sources: tuple[Word, ...]
    dest: Word
    heredocs: tuple[Heredoc, ...] = ()
    from_: Flag | None = None
    chown: Flag | None = None
    chmod: Flag | None = None
    link: Flag | None = None
    parents: Flag | None = None
    exclude: tuple[Flag, ...] = ()
    checksum: Flag | None = None
    keep_git_dir: Flag | None = None
    unpack: Flag | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(Instruction):
    """`CMD`."""

    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(Instruction):
    """`ENTRYPOINT`."""

    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Instruction):
    """`SHELL ["…"]`."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Instruction):
    """`WORKDIR path`."""

    path: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Instruction):
    """`USER user[:group]`."""

    user: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Instruction):
    """`EXPOSE port[/protocol] …`"""

    ports: tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Instruction):
    """`VOLUME path …`, or `VOLUME ["path", …]`."""

    paths: tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSignal(Instruction):
    """`STOPSIGNAL signal`."""

    signal: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck(Instruction):
    """`HEALTHCHECK NONE` (no command), or `HEALTHCHECK [options] CMD command`. Durations are nanoseconds, None where
    not given."""

    command: Command | None
    interval: int | None = None
    timeout: int | None = None
    start_period: int | None = None
    start_interval: int | None = None
    retries: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnBuild(Instruction):
    """`ONBUILD instruction`. `expression` is the trigger's text with its here-documents, as the image's configuration
    keeps it; `trigger` is the same, parsed."""

    expression: str
    trigger: Instruction


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Instruction):
    """`MAINTAINER name`."""

    maintainer: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage. `number` counts from 0; `doc` is the comment above its FROM that begins with its name, without it."""

    number: int
    start: From
    instructions: tuple[Instruction, ...]
    doc: str = ""

    @property
    def title(self) -> str | None:
        """The name as it was written."""
        return self.start.stage.text if self.start.stage else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What `# check=` says: rules to skip (in lower case, or all), warnings as errors, experimental rules to run."""

    skip: tuple[str, ...] = ()
    skip_all: bool = False
    error: bool = False
    experimental: tuple[str, ...] = ()
    experimental_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A whole Dockerfile. `escape` is its escape character. `warnings` are those that only the parser can see (rule
    `NoEmptyContinuation`); as spans they don't compare."""

    globals: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    escape: str = "\\"
    syntax: str | None = None
    check: CheckOptions = CheckOptions()
    warnings: tuple[Diagnostic, ...] = field(default=(), compare=False)


def instructions(file: File) -> Iterator[Instruction]:
    """Every instruction in the order of the text, triggers left inside their ONBUILD."""
    yield from file.globals
    for stage in file.stages:
        yield stage.start
        yield from stage.instructions


def names(node: type[Instruction]) -> tuple[str, ...]:
    """The fields of a kind of node that are its own, besides what all instructions have."""
    common = {item.name for item in fields(Instruction)}
    return tuple(item.name for item in fields(node) if item.name not in common)
