"""Git repositories: a ref becomes a commit, a commit becomes a tree. The machine's `git` does the work.

Nothing that the repository holds is run: no hooks, no submodules, no filters, and only network transports. The git
configuration of the person who builds has a say in how a repository is reached, and none in what a commit holds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.errors import MissingToolError, SourceInputError
from buildkit_py.layer.entry import EMPTY_TREE
from buildkit_py.layer.stored import git_content_id
from buildkit_py.layer.tree import EmptyTree
from buildkit_py.layer.upper import collect

if TYPE_CHECKING:
    from buildkit_py.executor.workshop import Workshop
    from buildkit_py.graph.op import GitSource

_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_URL = re.compile(r"(?:https?|ssh|git)://[^\s\0-]|[A-Za-z0-9_.]+@[A-Za-z0-9.-]+:[^\s\0]")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+@-]*\Z")
TIMEOUT = 600
_ENVIRONMENT = ("PATH", "HOME", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_NO_CONFIGURATION = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1"}
_SETTINGS = ("core.hooksPath=/dev/null", "core.attributesFile=/dev/null", "core.autocrlf=false")


def resolve_ref(url: str, ref: str) -> str:
    """The commit that a branch, a tag or `HEAD` names now; a full commit is its own answer."""
    _check_url(url)
    if _COMMIT.match(ref):
        return ref
    if not _REF.match(ref) or ".." in ref:
        raise SourceInputError(f"not a git ref: {ref!r}")
    lines = _git(["ls-remote", "--", url, ref, f"refs/tags/{ref}^{{}}"], url, asks=True).splitlines()
    found = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
    for name in (f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}", ref):
        if name in found:
            return found[name]
    raise SourceInputError(f"{url} has no branch or tag {ref!r}")


def lay_out(shop: Workshop, source: GitSource, epoch: int) -> str:
    """Bring the tree of a commit into the store; returns its content id."""
    with shop.store.snapshots.area() as area:
        _checkout(source, area.fs, area.work)
        diff = collect(area.fs, EmptyTree(), epoch=epoch, hidden=())
        size = sum(entry.size for entry in diff.entries)
        shop.store.snapshots.commit(area, diff.digest, diff.encoded, size)
    content_id = git_content_id(source)
    shop.store.trees.put(content_id, EMPTY_TREE, diff.digest)
    return content_id


def _checkout(source: GitSource, directory: Path, scratch: Path) -> None:
    _check_url(source.url)
    repository, work_tree = scratch / "git", scratch / "tree"
    work_tree.mkdir()
    _git(["init", "--quiet", "--bare", "--", str(repository)], source.url)
    fetch = [f"--git-dir={repository}", "fetch", "--quiet", "--depth=1", "--", source.url, source.commit]
    _git(fetch, source.url, asks=True)
    place = [f"--git-dir={repository}", f"--work-tree={work_tree}"]
    _git([*place, "checkout", "--quiet", "--force", "--detach", source.commit], source.url)
    if source.keep_git_dir:
        _git([f"--git-dir={repository}", "config", "core.bare", "false"], source.url)
        repository.rename(work_tree / ".git")
    _take(work_tree, source.subdir, directory, source.url)


def _take(work_tree: Path, subdir: str, directory: Path, url: str) -> None:
    root = work_tree.resolve()
    chosen = (root / subdir.strip("/")).resolve()
    if not chosen.is_relative_to(root) or not chosen.is_dir():
        raise SourceInputError(f"{url} has no directory {subdir!r}")
    for child in sorted(chosen.iterdir()):
        child.rename(directory / child.name)


def _check_url(url: str) -> None:
    if not _URL.match(url):
        raise SourceInputError(f"not a git URL: {url!r}", hint="write https://…, ssh://…, git://… or user@host:path")


def _git(arguments: Sequence[str], url: str, *, asks: bool = False) -> str:
    """Run git; only a command that `asks` the repository itself reads the person's configuration."""
    import subprocess

    names = (*_ENVIRONMENT, *_PROXIES, *map(str.upper, _PROXIES))
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {
        **({} if asks else _NO_CONFIGURATION),
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "http:https:ssh:git",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
    }
    command = ["git", *(word for setting in _SETTINGS for word in ("-c", setting))]
    try:
        done = subprocess.run(
            [*command, *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            umask=0o022,
            timeout=TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        raise MissingToolError("git is not installed", hint="install the package git") from None
    except subprocess.TimeoutExpired:
        raise SourceInputError(f"{url}: git gave no answer within {TIMEOUT} s") from None
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["git failed"]
        raise SourceInputError(f"{url}: {lines[-1]}")
    return done.stdout.decode(errors="replace")
