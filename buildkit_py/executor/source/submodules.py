"""The submodules of a commit: which there are, and where each is fetched from.

`git submodule` itself is not used: it starts commands that read the configuration of the person who builds, and take no
settings of ours. What it does is little: a `.gitmodules` at the root of the tree says which URL each path comes from,
and the tree says at which commit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from buildkit_py.address import shown
from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SourceInputError

MAX_DEPTH = 32
_LINK = "160000"
_ROW = re.compile(r"submodule\.(?P<name>.+)\.(?P<key>[^.]+)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submodule:
    """One submodule: `path` in the tree, the `commit` that it is at there, and the `url` of its repository."""

    path: str
    commit: str
    url: str


def submodules_of(
    git: Callable[[Sequence[str]], str], work_tree: Path, commit: str, parent: str
) -> Iterator[Submodule]:
    """The submodules of a commit that is checked out in `work_tree`. `git` runs git on its repository, `parent` is the
    repository's own URL. Raises `SourceInputError` for one without a URL."""
    links = dict(_links(git(["ls-tree", "-r", "-z", "--full-tree", commit])))
    if not links:
        return
    declared = _declared(git, work_tree)
    for path, linked in links.items():
        settings = next((each for each in declared.values() if each.get("path") == path), {})
        if settings.get("update") == "none":
            continue
        if not settings.get("url"):
            raise SourceInputError(f"{shown(parent)}: .gitmodules gives the submodule {path!r} no URL")
        yield Submodule(path=path, commit=linked, url=absolute(settings["url"], parent))


def _links(listing: str) -> Iterator[tuple[str, str]]:
    """Path and commit of each entry of a tree that is another repository's."""
    for row in filter(None, listing.split("\0")):
        facts, _, path = row.partition("\t")
        mode, _, commit = facts.split(" ")
        if mode == _LINK:
            yield path, commit


def _declared(git: Callable[[Sequence[str]], str], work_tree: Path) -> dict[str, dict[str, str]]:
    """What `.gitmodules` says of each name; one that is no regular file says nothing."""
    file = work_tree / ".gitmodules"
    found: dict[str, dict[str, str]] = {}
    if file.is_symlink() or not file.is_file():
        return found
    for row in filter(None, git(["config", "--file", str(file), "--null", "--list"]).split("\0")):
        key, _, value = row.partition("\n")
        match = _ROW.match(key)
        if match:
            found.setdefault(match["name"], {})[match["key"]] = value
    return found


def absolute(url: str, parent: str) -> str:
    """A URL that begins with `./` or `../` is relative to that of the repository above."""
    if not url.startswith(("./", "../")):
        return url
    base = parent.rstrip("/")
    while url.startswith(("./", "../")):
        step, _, url = url.partition("/")
        if step == "..":
            cut = max(base.rfind("/"), base.rfind(":"))
            if cut < 0 or base[: cut + 1].endswith("//"):
                raise SourceInputError(f"{shown(parent)}: a submodule's URL leads out of it")
            base = base[:cut] if base[cut] == "/" else base[: cut + 1]
    return f"{base}{url}" if base.endswith(":") else f"{base}/{url}"
