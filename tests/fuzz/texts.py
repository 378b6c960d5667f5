"""Targets that are texts: build files, ignore files, names, addresses, headers, units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from buildkit_py.digest import Digest
from buildkit_py.engine.buildfile import decoded
from buildkit_py.giturl import AddressError, http_filename, is_repository, read_address, read_repository
from buildkit_py.graph.resolver import ImageConfig, ResolvedImage
from buildkit_py.patterns import Rules, compiled, compiled_strictly
from buildkit_py.platform import Platform
from buildkit_py.progress.text import clean
from buildkit_py.reference import Reference
from buildkit_py.service.declared import declared
from buildkit_py.service.unit import Switch
from buildkit_py.service.unitfile import parse as parse_unit
from buildkit_py.service.unitfile import render as render_unit
from frontends import buildfile, dockerfile
from frontends.dockerfile.expand import ExpandError, expand, expand_words
from frontends.dockerfile.ignore import IgnoreError, exclude_patterns, read_ignore
from frontends.dockerfile.parser import parse as parse_dockerfile
from frontends.dockerfile.parser import parse_trigger
from frontends.dockerfile.printer import print_file
from tests.fuzz.contract import Target, attempt
from tests.support.command import ROOT

GOLDEN = ROOT / "tests" / "golden"
PLATFORM = Platform.parse("linux/amd64")
BASE = ImageConfig(env=(("PATH", "/bin"),), on_build=("RUN a", "COPY . /x"), workdir="/w", user="1:2")


class AnyResolver:
    """Has an answer for everything."""

    def image(self, ref: str, platform: Platform) -> ResolvedImage:
        return ResolvedImage(digest=None, config=BASE if "onbuild" in ref else ImageConfig())

    def http(self, url: str) -> str:
        return "sha256:" + "0" * 64

    def git(self, url: str, ref: str) -> str:
        return "0" * 40

    def text(self, path: str) -> str:
        return "buildfile 1\ndef add(name: string, uid: int) { mkdir /x }\n"

    def find(self, path: str, context: str = "context") -> str | None:
        return "*.log\n!a.log\n" if path.endswith("ignore") else None


def texts_of(paths: Iterable[Path]) -> list[bytes]:
    """The files of some paths, the small ones first."""
    return sorted((path.read_bytes() for path in paths if path.is_file()), key=len)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _buildfile(data: bytes) -> None:
    """Formatting changes no meaning, and a text that was formatted not at all."""
    text = decoded(data, "Buildfile")
    made = attempt(_compiled, text)
    attempt(buildfile.outline, text)
    attempt(buildfile.imports, text)
    buildfile.check(text)
    formatted = attempt(buildfile.format_text, text)
    if formatted is not None:
        assert buildfile.format_text(formatted) == formatted
        assert made is None or _compiled(formatted) == made


def _compiled(text: str) -> str:
    return buildfile.load(text, file="Buildfile", resolver=AnyResolver(), platforms=[PLATFORM]).digest


def _buildfile_seeds() -> list[bytes]:
    return texts_of((*GOLDEN.glob("buildfile/*/*/Buildfile"), *ROOT.glob("examples/*/Buildfile")))


def _dockerfile(data: bytes) -> None:
    """What was parsed is printed and parsed again unchanged."""
    text = decoded(data, "Dockerfile")
    file = parse_dockerfile(text, "Dockerfile")
    assert parse_dockerfile(print_file(file), "Dockerfile") == file
    attempt(lambda: dockerfile.load(text, file="Dockerfile", resolver=AnyResolver(), platforms=[PLATFORM]))
    dockerfile.check(text, resolver=AnyResolver())
    attempt(dockerfile.outline, text)
    attempt(dockerfile.targets, text)


def _converted(data: bytes) -> None:
    """A Dockerfile that can be said as a Buildfile gives one that can be read."""
    made = dockerfile.convert(decoded(data, "Dockerfile"), find=lambda path: None)
    text = getattr(made, "text", None)
    if text:
        attempt(buildfile.check, text)


def _trigger(data: bytes) -> None:
    span = parse_dockerfile("FROM a\n", "Dockerfile").stages[0].start.span
    parse_trigger(_text(data), "Dockerfile", span)


def _dockerfile_seeds() -> list[bytes]:
    return texts_of(
        (
            *GOLDEN.glob("dockerfile/*/*/Dockerfile"),
            *(path for path in ROOT.glob("examples/dockerfile/**/Dockerfile*")),
        )
    )


_VARIABLES: Mapping[str, str] = {"a": "one/two.tar.gz", "b": "", "c": "x y\n$d", "d": "*?\\", "long": "ab" * 500}


def _expansion(data: bytes) -> None:
    word = _text(data)
    for call in (
        lambda: expand(word, _VARIABLES),
        lambda: expand(word, _VARIABLES, escape="`", quotes="keep"),
        lambda: expand_words(word, _VARIABLES),
    ):
        with suppress(ExpandError):
            call()


_LONGEST = 1000
"""Characters of a path that patterns are held against: as it may be in a tree, with some hundred directories."""


def _ignored(data: bytes) -> None:
    """The lines are patterns, and paths that they are held against."""
    text = _text(data)
    paths = [line[:_LONGEST].strip("/ \r") for line in text.split("\n")[:10]]
    for read in (lambda: read_ignore(text), lambda: exclude_patterns(text.split("\n"))):
        with suppress(IgnoreError):
            _looked_at(Rules(read()), paths)
    _looked_at(Rules(text.split("\n")), paths)


def _looked_at(rules: Rules, paths: Sequence[str]) -> None:
    for path in paths:
        inside = rules.within(path.rpartition("/")[0])(path) if path else False
        if path and "//" not in path:
            assert rules.excludes(path) == inside
        rules.prunes(path)


def _pattern(data: bytes) -> None:
    """The first line is a pattern, the others are paths."""
    pattern, *paths = _text(data).split("\n")
    for rule in (compiled(pattern), compiled_strictly(pattern), compiled_strictly(pattern, deep=False)):
        for path in (pattern, *paths[:10]):
            rule.match(path[:_LONGEST])


_PATTERNS = (
    b"*.log\n!keep.log\n/a.log\nb/keep.log",
    b"**/node_modules\nx/y/node_modules/z\nnode_modules",
    b"a/**/b/*.c\na/b/x.c\na/x/y/b/x.c",
    b"[a-z][^0-9]?\\*\nab1*\n[]a]",
    b"docs/**\n!docs/[!a]*.md\ndocs/a.md\ndocs/x/b.md",
    b"**a**b**\nxxaxxb/c\n# comment\n  # not one\n!\n..\n../x\n/",
)


def _reference(data: bytes) -> None:
    """What a name is written as is read as the same name."""
    text = _text(data)
    ref = attempt(Reference.parse, text)
    if ref is not None:
        assert Reference.parse(str(ref)) == ref
    digest = attempt(Digest.parse, text)
    assert digest is None or str(digest) == text
    platform = attempt(Platform.parse, text)
    assert platform is None or Platform.parse(str(platform)) == platform


_REFERENCES = (
    *(b"alpine", b"docker.io/library/python:3.12", b"localhost:5000/a/b_c.d__e-f:T.1", b"[::1]:5000/a:1"),
    *(b"registry.example/a@sha256:" + b"ab" * 32, b"sha256:" + b"0" * 64, b"sha512:" + b"0" * 128),
    *(b"linux/amd64", b"linux/arm/v7", b"arm64", b"windows/amd64", b"r.example/a:1@sha256:" + b"cd" * 32),
)


def _address(data: bytes) -> None:
    text = _text(data)
    http_filename(text)
    for read in (read_address, read_repository) if is_repository(text) else (read_address,):
        with suppress(AddressError):
            read(text)


_ADDRESSES = (
    *(b"https://example.org/a.git#v1.0:sub/dir", b"git@github.com:a/b.git#main", b"ssh://git@h:22/x.git"),
    *(b"https://h/x.git?branch=b&subdir=s&checksum=" + b"0" * 40 + b"&keep-git-dir=1&submodules=false",),
    *(b"github.com/a/b#:dir", b"https://example.org/a%20b/c.tar.gz?x=1#y", b"git://[::1]:9418/x", b"./local"),
)


def _unit(data: bytes) -> None:
    """What a template says is written so that it says the same."""
    text = data.decode("utf-8", "replace")
    lines = parse_unit(text, "the template")
    Switch.read(text)
    assert sorted(parse_unit(render_unit(lines), "the unit")) == sorted(lines)
    declared((line, "the template") for line in lines)


_UNITS = (
    b"[Unit]\nDescription=a 100% b\nAfter=network.target db\n\n[Service]\nType=notify\nRestart=always\nMemoryMax=1G\n",
    b"[Unit]\nDocumentation=https://example.org man:a(1)\n[Service]\nSuccessExitStatus=1 2\nCPUQuota=50%\n",
    b"# c\n[X-Pybuild]\nService=a\nRoot=/r\nRelease=0123456789abcdef\nPrevious=0123456789abcdef\n",
)


def _printed(data: bytes) -> None:
    """Nothing that a terminal obeys is left of a line that a step printed."""
    for line in _text(data).split("\n"):
        assert all(char.isprintable() or char == "\t" for char in clean(line))


TARGETS: dict[str, Target] = {
    "buildfile": Target(run=_buildfile, seeds=_buildfile_seeds, form="text", examples=40),
    "dockerfile": Target(run=_dockerfile, seeds=_dockerfile_seeds, form="text"),
    "dockerfile-convert": Target(run=_converted, seeds=_dockerfile_seeds, form="text", examples=60),
    "dockerfile-trigger": Target(
        run=_trigger,
        seeds=lambda: [b"RUN a && b", b"COPY --chown=1:2 a b /c", b'ADD ["a", "b"]', b"ENV a=$b c='d'"],
        form="text",
    ),
    "dockerfile-word": Target(
        run=_expansion,
        seeds=lambda: [b"${a%%.*}/${b:-x}", b"${a#*/} ${a//o/0}", b"'$a'\"${c:+y}\" \\$d", b"${a/${d}/${long##*a}}"],
        form="text",
    ),
    "ignore": Target(
        run=_ignored,
        seeds=lambda: [*_PATTERNS, *texts_of(ROOT.glob("examples/dockerfile/**/.dockerignore"))],
        form="text",
    ),
    "pattern": Target(run=_pattern, seeds=lambda: _PATTERNS, form="text"),
    "reference": Target(run=_reference, seeds=lambda: _REFERENCES, form="text"),
    "address": Target(run=_address, seeds=lambda: _ADDRESSES, form="text"),
    "unit": Target(run=_unit, seeds=lambda: _UNITS, form="text"),
    "printed": Target(
        run=_printed,
        seeds=lambda: [b"\x1b[31mred\x1b[0m 50%\r100%\n\x1b]0;title\x07x\tq", b"\x1bP1$r\x1b\\ \x9b1m"],
        form="text",
    ),
}
