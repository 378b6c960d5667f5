"""A git repository as a directory to build from: its URL says which one, which commit, and which directory of it.

https://example.org/x.git#REF:DIR
https://example.org/x.git?branch=main&subdir=DIR      also tag, ref, commit, submodules
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from buildkit_py.errors import SourceInputError
from buildkit_py.executor.source.address import shown
from buildkit_py.executor.source.git import lay_out, resolve_ref
from buildkit_py.executor.workshop import Workshop
from buildkit_py.graph.op import GitSource
from buildkit_py.layer.draft import checkout
from buildkit_py.layer.stored import StoredTrees, git_content_id

if TYPE_CHECKING:
    from buildkit_py.store import Store

_FORM = "write URL#REF:DIR, or URL?branch=NAME&subdir=DIR"
_REFS = {"ref": "", "branch": "refs/heads/", "tag": "refs/tags/"}
_FALSE = frozenset({"0", "false", "f"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository as a client names it. `commit` is what the ref must stand for, or how that begins."""

    url: str
    ref: str = "HEAD"
    subdir: str = ""
    commit: str = ""
    submodules: bool = True

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Take the name apart; raises `SourceInputError`."""
        whole, mark, fragment = text.partition("#")
        url, _, query = whole.partition("?")
        if url.startswith("github.com/"):
            url = f"https://{url}"
        if mark and query:
            raise SourceInputError(f"{shown(text)} says twice what to take", hint=_FORM)
        if query:
            return _of_query(url, dict(parse_qsl(query, keep_blank_values=True)), text)
        ref, _, subdir = fragment.partition(":")
        return cls(url=url, ref=ref or "HEAD", subdir=subdir)


def _of_query(url: str, fields: Mapping[str, str], text: str) -> Repository:
    known = {*_REFS, "subdir", "commit", "checksum", "submodules", "keep-git-dir"}
    wrong = [name for name in fields if name not in known]
    refs = [prefix + fields[name] for name, prefix in _REFS.items() if name in fields]
    if wrong or len(refs) > 1:
        raise SourceInputError(f"can't read what {shown(text)} asks for", hint=_FORM)
    commit = fields.get("commit") or fields.get("checksum", "")
    return Repository(
        url=url,
        ref=refs[0] if refs else commit or "HEAD",
        subdir=fields.get("subdir", ""),
        commit=commit,
        submodules=fields.get("submodules", "").lower() not in _FALSE,
    )


def check_out(store: Store, text: str, directory: Path, *, keep_git: bool = False) -> None:
    """Put the files of a repository into an empty directory. A commit that the store has is not fetched again.

    Raises `SourceInputError` where it can't be had, or is not the commit that was named.
    """
    wanted = Repository.parse(text)
    commit = resolve_ref(wanted.url, wanted.ref)
    if not commit.startswith(wanted.commit):
        raise SourceInputError(f"{shown(text)}: {wanted.ref} is the commit {commit}, which was not asked for")
    source = GitSource(
        url=wanted.url,
        commit=commit,
        subdir=wanted.subdir.strip("/"),
        keep_git_dir=keep_git,
        submodules=wanted.submodules,
    )
    trees = StoredTrees(store)
    content_id = git_content_id(source)
    if not trees.complete(content_id):
        content_id = lay_out(_workshop(store, trees), source, 0, Event())
    checkout(trees.tree(content_id), directory)


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
