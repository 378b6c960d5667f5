"""A git repository as a directory to build from: its address (`giturl`) says which commit, and what of it."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from buildkit_py.address import shown
from buildkit_py.errors import SourceInputError
from buildkit_py.executor.source.git import lay_out, resolve_ref
from buildkit_py.executor.workshop import Workshop
from buildkit_py.giturl import AddressError, GitUrl, read_repository
from buildkit_py.graph.op import GitSource
from buildkit_py.layer.draft import checkout
from buildkit_py.layer.stored import StoredTrees, git_content_id

if TYPE_CHECKING:
    from buildkit_py.store import Store


def check_out(store: Store, text: str, directory: Path, *, keep_git: bool = False) -> None:
    """Put the files of a repository into an empty directory. A commit that the store has is not fetched again.

    Raises `SourceInputError` where it can't be had, or is not the commit that was named.
    """
    wanted = _read(text)
    ref = wanted.ref or "HEAD"
    commit = resolve_ref(wanted.url, ref)
    if not commit.startswith(wanted.checksum):
        raise SourceInputError(f"{shown(text)}: {ref} is the commit {commit}, which was not asked for")
    source = GitSource(
        url=wanted.url,
        commit=commit,
        subdir=wanted.subdir,
        keep_git_dir=keep_git if wanted.keep_git_dir is None else wanted.keep_git_dir,
        submodules=wanted.submodules is not False,
    )
    trees = StoredTrees(store)
    content_id = git_content_id(source)
    if not trees.complete(content_id):
        content_id = lay_out(_workshop(store, trees), source, 0, Event())
    checkout(trees.tree(content_id), directory)


def _read(text: str) -> GitUrl:
    try:
        return read_repository(text)
    except AddressError as error:
        raise SourceInputError(f"{shown(text)}: {error.message}", hint=error.hint) from None


def _workshop(store: Store, trees: StoredTrees) -> Workshop:
    """As much of a workshop as a source needs."""
    from buildkit_py.executor.secrets import SecretStore
    from buildkit_py.executor.source.image import Images
    from buildkit_py.layer.contexts import Contexts

    return Workshop(
        store=store,
        trees=trees,
        contexts=Contexts({}, store.root / "stat.db"),
        images=Images(store, store.root),
        secrets=SecretStore(),
        ssh=(),
        note=lambda _: None,
    )
