"""What an address stands for, as a context or as a source of ADD: a local path, a file on the web, or a git repository.

https://HOST/x.git[#REF[:DIR]]        http:// too; only with .git at the end of the path
git://HOST/x[#REF[:DIR]]              ssh:// too
USER@HOST:x[#REF[:DIR]]
…?branch=B&tag=T&ref=R&subdir=DIR&checksum=C&commit=C&keep-git-dir=BOOL&submodules=BOOL
github.com/A/B                        of contexts alone: as a source of ADD it is a local path
"""

from __future__ import annotations

import posixpath
import re
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from buildkit_py.dataclass import dataclass

_SCHEME = re.compile(r"([a-zA-Z0-9]+)://")
_SCP = re.compile(r"[a-zA-Z0-9_-]+@[a-zA-Z0-9.-]+:[^?#]*")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f]")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True", ""), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
_SWITCHES = ("keep-git-dir", "submodules", "fetch-by-commit")
_KINDS = {"tag": "refs/tags/", "branch": "refs/heads/"}
# `fetch-by-commit` and `mtime` are allowed and change nothing that is built here.
_FIELDS = ("ref", "branch", "tag", "subdir", "checksum", "commit", *_SWITCHES, "mtime")
_BARE = "github.com/"
UNNAMED = "__unnamed__"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitUrl:
    """A repository, and what is wanted of it. Texts are empty, and switches None, where nothing was said.

    `ref` is a branch, a tag or a commit as written, or begins with `refs/` where its kind was said. `checksum` is the
    commit that it must be, or how that begins. `subdir` is relative.
    """

    url: str
    ref: str = ""
    subdir: str = ""
    checksum: str = ""
    keep_git_dir: bool | None = None
    submodules: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a source is. `git` is given for the kind `git`."""

    kind: Literal["local", "http", "git"]
    git: GitUrl | None = None


class AddressError(ValueError):
    """A git repository is named, and it is wrong what is said of it."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def read_address(text: str) -> Address:
    """What a source is. Raises `AddressError`."""
    if _is_git(text):
        return Address(kind="git", git=_read(text))
    return Address(kind="http" if text.startswith(("http://", "https://")) else "local")


def is_repository(context: str) -> bool:
    """Whether what a client names as a context is a git repository."""
    return context.startswith(_BARE) or _is_git(context)


def read_repository(context: str) -> GitUrl:
    """The repository that a client names as a context. Raises `AddressError`."""
    return _read(f"https://{context}" if context.startswith(_BARE) else context)


def http_filename(url: str) -> str:
    """The name of the file that a URL gives: the last part of its path."""
    if not _is_sound(url):
        return UNNAMED
    return posixpath.basename(unquote(urlsplit(url).path).rstrip("/")) or UNNAMED


def _is_git(text: str) -> bool:
    found = _SCHEME.match(text)
    if not found:
        return _SCP.match(text) is not None
    scheme = found[1].lower()
    if scheme in ("git", "ssh"):
        return _is_sound(text)
    return scheme in ("http", "https") and _is_sound(text) and unquote(urlsplit(text).path).endswith(".git")


def _is_sound(url: str) -> bool:
    """Whether it is a URL at all."""
    whole, _, fragment = url.partition("#")
    if _UNSEEN.search(url) or _BROKEN_ESCAPE.search(whole.partition("?")[0] + fragment):
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port  # a number, or it raises
        return " " not in parts.netloc
    except ValueError:
        return False


def _read(text: str) -> GitUrl:
    whole, _, fragment = text.partition("#")
    place, _, query = whole.partition("?")
    if scheme := _SCHEME.match(place):
        place = scheme[0].lower() + place[scheme.end() :]
        fragment = unquote(fragment)
    ref, _, subdir = fragment.partition(":")
    asked = _asked(query)
    checksum = _agreed("the commit", asked.get("checksum", ""), asked.get("commit", ""))
    kinds = [_prefixed(prefix, asked[name]) for name, prefix in _KINDS.items() if name in asked]
    if len(kinds) > 1:
        raise AddressError("a branch and a tag are asked for at once", hint="leave out one of branch= and tag=")
    return GitUrl(
        url=place,
        ref=_agreed("the ref", ref, asked.get("ref", ""), *kinds) or checksum,
        subdir=posixpath.normpath("/" + _agreed("the directory", subdir, asked.get("subdir", ""))).lstrip("/"),
        checksum=checksum,
        keep_git_dir=_switch(asked, "keep-git-dir"),
        submodules=_switch(asked, "submodules"),
    )


def _prefixed(prefix: str, name: str) -> str:
    return name if name.startswith(prefix) else prefix + name


def _asked(query: str) -> dict[str, str]:
    """The fields of a query, each of which is known and given once."""
    asked: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _FIELDS:
            raise AddressError(f"{name} is nothing that a git URL can say", hint=f"write one of {', '.join(_FIELDS)}")
        if name in asked:
            raise AddressError(f"{name} is given twice", hint="leave out one of them")
        if name in _SWITCHES and value not in _BOOLEANS:
            raise AddressError(f"{name} is {value}, which is neither true nor false", hint=f"write {name}=true")
        if not value and name not in _SWITCHES:
            raise AddressError(f"{name} has no value", hint=f"write {name}=… or leave it out")
        if name == "mtime" and value not in ("checkout", "commit"):
            raise AddressError(f"mtime is {value}", hint="write mtime=checkout or mtime=commit")
        asked[name] = value
    return asked


def _switch(asked: dict[str, str], name: str) -> bool | None:
    return _BOOLEANS[asked[name]] if name in asked else None


def _agreed(what: str, *said: str) -> str:
    """The one thing that is said, perhaps more than once."""
    different = list(dict.fromkeys(filter(None, said)))
    if len(different) > 1:
        raise AddressError(f"{what} is {different[0]} and {different[1]} at once", hint="say it in one place")
    return different[0] if different else ""
