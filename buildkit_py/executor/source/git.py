"""Git repositories: a ref becomes a commit, a commit becomes a tree. The machine's `git` does the work.

Nothing that the repository holds is run: no hooks, no filters, and only network transports, for submodules too. The git
configuration of the person who builds has a say in how a repository is reached, and none in what a commit holds.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from buildkit_py.address import refuse_password, shown
from buildkit_py.errors import Cancelled, MissingToolError, SourceInputError
from buildkit_py.executor.source.submodules import MAX_DEPTH, Submodule, submodules_of
from buildkit_py.layer.entry import EMPTY_TREE
from buildkit_py.layer.stored import git_content_id
from buildkit_py.layer.tree import EmptyTree
from buildkit_py.layer.upper import collect

if TYPE_CHECKING:
    from buildkit_py.executor.workshop import Workshop
    from buildkit_py.graph.op import GitSource

_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_URL = re.compile(
    r"(?:(?:https?|ssh|git)://[^\s\0-]|[A-Za-z0-9_.]+@[A-Za-z0-9.][A-Za-z0-9.-]*:[^\s\0-])[^\x00-\x1f\x7f]*\Z"
)
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+@-]*\Z")
_PROTOCOLS = "http:https:ssh:git"
TIMEOUT = 600
LOOK_SECONDS = 0.2
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
    names = (f"{ref}^{{}}", ref) if ref.startswith("refs/") else (f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}")
    lines = _git(["ls-remote", "--", url, ref, names[0]], url, asks=True).splitlines()
    found = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
    # An annotated tag is an object of its own; what it names is listed under `^{}`.
    for name in (*names, f"refs/heads/{ref}", ref):
        if name in found:
            return found[name]
    raise SourceInputError(f"{url} has no branch or tag {ref!r}")


def lay_out(shop: Workshop, source: GitSource, epoch: int, cancelled: Event) -> str:
    """Bring the tree of a commit into the store; returns its content id."""
    with shop.store.snapshots.area() as area:
        _checkout(source, area.fs, area.work, cancelled)
        diff = collect(area.fs, EmptyTree(), epoch=epoch, hidden=(), cancelled=cancelled)
        size = sum(entry.size for entry in diff.entries)
        shop.store.snapshots.commit(area, diff.digest, diff.encoded, size)
    content_id = git_content_id(source)
    shop.store.trees.put(content_id, EMPTY_TREE, diff.digest)
    return content_id


def _checkout(source: GitSource, directory: Path, scratch: Path, cancelled: Event) -> None:
    repository, work_tree = scratch / "git", scratch / "tree"
    work_tree.mkdir()
    _check_out(source.url, source.commit, repository, work_tree, cancelled)
    if source.submodules:
        _add_submodules(source, repository, work_tree, cancelled)
    if source.keep_git_dir:
        _settle(source.url, source.commit, repository, cancelled)
        repository.rename(work_tree / ".git")
    _take(work_tree, source.subdir, directory, source.url)


def _check_out(url: str, commit: str, repository: Path, work_tree: Path, cancelled: Event) -> None:
    """Lay the files of a commit down in an empty directory; `repository` is made for what it was fetched into."""
    _check_url(url)
    _git(["init", "--quiet", "--bare", "--template=", "--", str(repository)], url)
    _fetch(url, commit, repository, cancelled)
    place = [f"--git-dir={repository}", f"--work-tree={work_tree}"]
    _git([*place, "checkout", "--quiet", "--force", "--detach", commit], url, cancelled=cancelled)


def _add_submodules(source: GitSource, repository: Path, work_tree: Path, cancelled: Event) -> None:
    """Lay down what a commit takes from other repositories, and they from others. A repository that is kept is where
    git looks for it: below `modules` of the one above."""
    top = Submodule(path="", commit=source.commit, url=source.url)
    laid: list[tuple[Submodule, Path, Path, tuple[str, ...]]] = [(top, repository, work_tree, ())]
    for above, place, tree, names in laid:
        for module in submodules_of(partial(_on, above.url, place), tree, above.commit, above.url):
            inner, modules, path = tree / module.path, place / "modules" / module.path, (*names, module.path)
            if len(path) > MAX_DEPTH or not inner.is_dir() or inner.resolve() != tree.resolve() / module.path:
                raise SourceInputError(f"{shown(source.url)}: the submodule {module.path!r} can't be laid down")
            modules.parent.mkdir(parents=True, exist_ok=True)
            _check_out(module.url, module.commit, modules, inner, cancelled)
            laid.append((module, modules, inner, path))
    if source.keep_git_dir:
        for kept, modules, tree, names in laid[1:]:
            _keep_module(kept, modules, names, tree, cancelled)


def _keep_module(module: Submodule, modules: Path, names: Sequence[str], tree: Path, cancelled: Event) -> None:
    """Have the repository of a submodule and its files know each other by paths that hold wherever they are moved."""
    _settle(module.url, module.commit, modules, cancelled)
    depth = sum(name.count("/") + 1 for name in names)
    inside = "/".join(f"modules/{name}" for name in names)
    (tree / ".git").write_text(f"gitdir: {'../' * depth}.git/{inside}\n")
    up = "../" * (inside.count("/") + 2)
    _git([f"--git-dir={modules}", "config", "core.worktree", f"{up}{'/'.join(names)}"], module.url)


def _on(url: str, repository: Path, arguments: Sequence[str]) -> str:
    return _git([f"--git-dir={repository}", *arguments], url)


def _fetch(url: str, commit: str, repository: Path, cancelled: Event) -> None:
    """The commit alone, or, from a server that gives no single commits, everything."""
    fetch = [f"--git-dir={repository}", "fetch", "--quiet"]
    try:
        _git([*fetch, "--depth=1", "--", url, commit], url, asks=True, cancelled=cancelled)
    except SourceInputError:
        _git([*fetch, "--tags", "--", url, "+refs/heads/*:refs/heads/*"], url, asks=True, cancelled=cancelled)


def _settle(url: str, commit: str, repository: Path, cancelled: Event) -> None:
    """Leave in a repository nothing that two fetches of one commit have different: times of files, who was asked, what
    branches there were, and how the server happened to pack."""
    place = f"--git-dir={repository}"
    _git([place, "config", "core.bare", "false"], url)
    for name in ("FETCH_HEAD", "ORIG_HEAD", "index", "packed-refs"):
        (repository / name).unlink(missing_ok=True)
    for name in ("logs", "refs"):
        shutil.rmtree(repository / name, ignore_errors=True)
    (repository / "refs").mkdir()
    _git([place, "read-tree", commit], url, cancelled=cancelled)
    repack = ["-c", "pack.threads=1", "repack", "-a", "-d", "-f", "--quiet"]
    _git([place, *repack], url, cancelled=cancelled)


def _take(work_tree: Path, subdir: str, directory: Path, url: str) -> None:
    root = work_tree.resolve()
    chosen = (root / subdir.strip("/")).resolve()
    if not chosen.is_relative_to(root) or not chosen.is_dir():
        raise SourceInputError(f"{url} has no directory {subdir!r}")
    for child in sorted(chosen.iterdir()):
        child.rename(directory / child.name)


def _check_url(url: str) -> None:
    if not _URL.match(url):
        hint = "write https://…, ssh://…, git://… or user@host:path"
        raise SourceInputError(f"not a git URL: {shown(url)!r}", hint=hint)
    refuse_password(url)


def _git(arguments: Sequence[str], url: str, *, asks: bool = False, cancelled: Event | None = None) -> str:
    """Run git; only a command that `asks` the repository itself reads the person's configuration."""
    names = (*_ENVIRONMENT, *_PROXIES, *map(str.upper, _PROXIES))
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {
        **({} if asks else _NO_CONFIGURATION),
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
    }
    command = ["git", *(word for setting in _SETTINGS for word in ("-c", setting)), *arguments]
    status, out, err = _run(command, environment, cancelled or Event(), shown(url))
    if status != 0:
        lines = err.decode(errors="replace").strip().splitlines() or ["git failed"]
        raise SourceInputError(f"{shown(url)}: {shown(lines[-1])}")
    return out.decode(errors="replace")


def _run(
    command: Sequence[str], environment: Mapping[str, str], cancelled: Event, url: str
) -> tuple[int, bytes, bytes]:
    """Run a program that leads a process group, which ends with it however that comes."""
    import subprocess

    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Not where the build is: git obeys the configuration of a repository that it finds itself in, which may
            # name programs.
            cwd="/",
            env=environment,
            umask=0o022,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise MissingToolError("git is not installed", hint="install the package git") from None
    with process:
        try:
            for _ in range(int(TIMEOUT / LOOK_SECONDS)):
                if cancelled.is_set():
                    raise Cancelled("the transfer was stopped")
                with suppress(subprocess.TimeoutExpired):
                    out, err = process.communicate(timeout=LOOK_SECONDS)
                    return process.returncode, out, err
            raise SourceInputError(f"{url}: git gave no answer within {TIMEOUT} s")
        except BaseException:
            # What git started, as ssh, is of its group.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
