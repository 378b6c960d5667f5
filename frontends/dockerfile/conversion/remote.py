"""ADD of what lies elsewhere: files on the web, and repositories."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from buildkit_py.giturl import UNNAMED, GitUrl, http_filename
from frontends.dockerfile import syntax
from frontends.dockerfile.conversion.language import UntoldError
from frontends.dockerfile.conversion.stage import StageConversion

if TYPE_CHECKING:
    from frontends.dockerfile.conversion.copy import Wishes

_URL = re.compile(r"https?://[^\s/]+/\S*\Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


def fetch(stage: StageConversion, node: syntax.Copy, url: str, place: str, wishes: Wishes, checksum: str) -> list[str]:
    """A file of the web."""
    if not _URL.match(url) or http_filename(stage.plain(url)) == UNNAMED:
        raise UntoldError(f"not an address that a Buildfile can fetch: {stage.plain(url)}")
    if checksum and not stage.marks.names(checksum) and not _DIGEST.match(checksum):
        raise UntoldError("a digest of a fetched file is sha256 here")
    marks = stage.marks
    digest = f" digest {marks.word(checksum)}" if checksum else ""
    owner = f" owner {marks.word(wishes.owner)}" if wishes.owner else ""
    if node.unpack is not None and (node.unpack.value is None or node.unpack.value.lower() in ("true", "1", "t")):
        return [f"unpack {marks.string(url)} to {marks.word(place.rstrip('/') + '/')}{digest}{owner}"]
    mode = marks.word(wishes.mode) if wishes.mode else "0600"
    return [f"fetch {marks.string(url)} to {marks.word(place)}{digest}{owner} mode {mode}"]


def git(
    stage: StageConversion, node: syntax.Copy, found: GitUrl, place: str, wishes: Wishes, checksum: str
) -> list[str]:
    """The files of a repository."""
    keep = found.keep_git_dir if found.keep_git_dir is not None else node.keep_git_dir is not None
    if keep:
        stage.differs("--keep-git-dir has no equivalent: `git` takes the files alone")
    if found.submodules is not False:
        stage.shared.notes.remark("`git` does not fetch submodules, as ADD does", node.span)
    marks = stage.marks
    ref = checksum or found.checksum or found.ref
    at = f" at {marks.word(ref)}" if ref else ""
    subdir = f" subdir {marks.word(found.subdir)}" if found.subdir else ""
    owner = f" owner {marks.word(wishes.owner)}" if wishes.owner else ""
    mode = f" mode {marks.word(wishes.mode)}" if wishes.mode else ""
    return [f"git {marks.string(found.url)}{at} to {marks.word(place.rstrip('/') + '/')}{subdir}{owner}{mode}"]
