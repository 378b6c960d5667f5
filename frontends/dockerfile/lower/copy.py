"""COPY and ADD: each source becomes a vertex, in their order; together they are one layer."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from buildkit_py import graph
from buildkit_py.dataclass import dataclass
from buildkit_py.errors import GraphError
from buildkit_py.giturl import GitUrl, http_filename
from buildkit_py.graph.values import check_mode
from frontends.dockerfile import syntax
from frontends.dockerfile.expand import ExpandError, expand
from frontends.dockerfile.faults import fault, lowering
from frontends.dockerfile.ignore import IgnoreError, exclude_patterns
from frontends.dockerfile.step_checks import on_copy

if TYPE_CHECKING:
    from frontends.dockerfile.lower.stage import StageLowering

_OCTAL = re.compile(r"[0-7]+\Z")
_NUMBER = re.compile(r"[0-9]+\Z")
_DIGEST = re.compile(r"[a-z0-9+._-]+:[0-9a-fA-F]+\Z")
MAX_MODE = 0o7777


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wishes:
    """What the flags say of everything that is copied. `octal` and `symbolic`: at most one is given; `mode` is the same
    as it was written."""

    owner: str | None
    octal: str | None
    symbolic: str | None
    mode: str | None
    exclude: tuple[str, ...]
    checksum: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """One source: the vertex that holds it, its path there, and how it is taken; `outside` is how it was written that
    leads out of the context, where such steps end at its root."""

    tree: str
    path: str
    unpack: bool = False
    parents: bool = False
    outside: str | None = None


def copy(stage: StageLowering, node: syntax.Copy) -> None:
    """Add the vertices and the layer of a COPY or an ADD."""
    wishes = _wishes(stage, node)
    dest = destination(stage.image.config.workdir, stage.word(node.dest.text, node.dest.span))
    sources = [(word, stage.word(word.text, word.span)) for word in node.sources]
    _check_checksum(node, wishes, [text for _, text in sources])
    taken = [_source(stage, node, word, text, wishes) for word, text in sources]
    taken += [_document(stage, node, document) for document in node.heredocs]
    linked = _is_true(node.link) and wishes.mode is None
    if linked:
        _check_numbers(wishes, node)
    with lowering(node.span):
        tip = stage.scratch() if linked else stage.image.tip
        for each in taken:
            tip = stage.add(_op(each, dest, wishes), node.span, {"base": tip, "from": each.tree})
            if each.outside is not None:
                stage.lowering.builder.hint(
                    tip,
                    f"{each.outside} leads out of the directory of the build, where nothing can be taken from: "
                    "build from a directory above, and name this file with -f",
                )
        if linked:
            tip = stage.add(graph.Merge(), node.span, {"base": stage.image.tip, "from": tip})
    text = " ".join(_shown(node, wishes, [text for _, text in sources], stage.word(node.dest.text, node.dest.span)))
    stage.image.layer(f"{text} # buildkit", tip, stage.stage.number, node.span)


def _check_numbers(wishes: _Wishes, node: syntax.Copy) -> None:
    """A linked copy is made on nothing, where nobody has a name but root."""
    named = [name for name in owner_of(wishes.owner or "0").split(":") if name and not name.isdigit()]
    if named and node.chown is not None:
        raise fault(
            f"--link needs numbers in --chown: {named[0]} is a name of the image, which a linked copy can't look into",
            node.chown.value_span or node.chown.span,
            hint="write numbers, as --chown=1000:1000, or leave --link out",
        )


def _op(taken: _Taken, dest: str, wishes: _Wishes) -> graph.Copy:
    return graph.Copy(
        sources=(taken.path,),
        dest=dest,
        exclude=wishes.exclude,
        owner=owner_of(wishes.owner) if wishes.owner is not None else None,
        mode=wishes.octal or wishes.symbolic,
        contents="always",
        made="alike" if wishes.owner is not None or wishes.octal is not None else "root",
        optional=True,
        parents=taken.parents,
        unpack=taken.unpack,
    )


def owner_of(text: str) -> str:
    """An owner that needs no look into the image for root, who is 0 everywhere, and so is a group that is empty."""
    user, colon, group = text.partition(":")
    user = "0" if user == "root" else user
    return f"{user}:{'0' if group in ('', 'root') else group}" if colon else user


def _shown(node: syntax.Copy, wishes: _Wishes, sources: list[str], dest: str) -> Iterator[str]:
    yield node.name
    if _is_true(node.parents):
        yield "--parents"
    if wishes.owner is not None:
        yield f"--chown={wishes.owner}"
    if wishes.mode is not None:
        yield f"--chmod={wishes.mode}"
    yield from sources
    yield from (f"<<{document.name}" for document in node.heredocs)
    yield dest


def _wishes(stage: StageLowering, node: syntax.Copy) -> _Wishes:
    def value(flag: syntax.Flag | None) -> str | None:
        text = stage.word(flag.value, flag.value_span or flag.span) if flag is not None and flag.value else None
        return text or None

    mode = value(node.chmod)
    octal, symbolic = _mode(mode, node.chmod)
    return _Wishes(
        owner=value(node.chown),
        octal=octal,
        symbolic=symbolic,
        mode=mode,
        exclude=_excluded(node.exclude),
        checksum=value(node.checksum),
    )


def _excluded(flags: tuple[syntax.Flag, ...]) -> tuple[str, ...]:
    patterns: tuple[str, ...] = ()
    for flag in flags:
        try:
            patterns += exclude_patterns([flag.value or ""])
        except IgnoreError as error:
            raise fault(error.message, flag.value_span or flag.span, hint=error.hint) from None
    return patterns


def _mode(text: str | None, flag: syntax.Flag | None) -> tuple[str | None, str | None]:
    """An octal mode, or a symbolic one; raises `SourceError` for what is neither."""
    if text is None or flag is None:
        return None, None
    span = flag.value_span or flag.span
    if _OCTAL.match(text) and len(text) <= 16 and int(text, 8) <= MAX_MODE:
        return f"{int(text, 8):04o}", None
    if _NUMBER.match(text):
        raise fault(f"not a file mode: {text}", span, hint="write octal digits from 0 to 07777, as 0644")
    try:
        check_mode(text)
    except GraphError as error:
        raise fault(error.message, span, hint=error.hint) from None
    return None, text


def destination(workdir: str, written: str) -> str:
    """Where a COPY goes: an absolute path, with a final slash where it names a directory."""
    if written in ("", "."):
        written = "./"
    path = posixpath.normpath(posixpath.join("/", workdir, written))
    path = "/" + path.lstrip("/")
    into = written.endswith(("/", "/.")) or written in ("..", "./")
    return path + "/" if into and path != "/" else path


def _is_true(flag: syntax.Flag | None) -> bool:
    return flag is not None and (flag.value is None or flag.value.lower() in ("true", "1", "t"))


def _check_checksum(node: syntax.Copy, wishes: _Wishes, sources: list[str]) -> None:
    if wishes.checksum is None or node.checksum is None:
        return
    if len(sources) != 1 or node.heredocs:
        raise fault("--checksum needs exactly one source", node.checksum.span, hint="write one ADD for each source")


def _source(stage: StageLowering, node: syntax.Copy, word: syntax.Word, text: str, wishes: _Wishes) -> _Taken:
    address = stage.address(text, word.span)
    if address.kind != "local" and node.name == "COPY":
        what = "a git repository" if address.kind == "git" else "a URL"
        raise fault(f"COPY can't fetch {what}", word.span, hint=f"write ADD {text} …")
    if address.git is not None:
        return _git(stage, node, word, address.git, wishes)
    if address.kind == "http":
        return _http(stage, node, word, text, wishes)
    if wishes.checksum is not None and node.checksum is not None:
        raise fault(
            "--checksum is for URLs and git repositories", node.checksum.span, hint="leave it out for local files"
        )
    tree = stage.copied_from(node)
    unpack = node.name == "ADD" if node.unpack is None else _is_true(node.unpack)
    if node.from_ is None:
        on_copy(node, text, word.span, stage.lowering.surely_ignored(), stage.checks)
    return _Taken(
        tree=tree,
        path=_with_pivot(text) if _is_true(node.parents) else _clean(text),
        unpack=unpack,
        parents=_is_true(node.parents),
        outside=text if node.from_ is None and _leads_out(text) else None,
    )


def _leads_out(path: str) -> bool:
    return posixpath.normpath(path.lstrip("/") or ".").split("/")[0] == ".."


def _clean(path: str) -> str:
    return "/" + posixpath.normpath(posixpath.join("/", path)).lstrip("/")


def _literal(path: str) -> str:
    """A path as a source that stands for itself alone."""
    return re.sub(r"[*?\[\\]", lambda match: f"[{match[0]}]" if match[0] != "\\" else "\\\\", path)


def _with_pivot(text: str) -> str:
    """The path with its pivot made plain: what stands after `/./` is what is kept of it."""
    before, pivot, after = text.partition("/./")
    above, kept = (before, after) if pivot else ("", text)
    return f"{_clean(above).rstrip('/')}/./{_clean(kept).lstrip('/')}"


def _http(stage: StageLowering, node: syntax.Copy, word: syntax.Word, url: str, wishes: _Wishes) -> _Taken:
    name = http_filename(url)
    digest = wishes.checksum
    if digest is not None and node.checksum is not None and not _DIGEST.match(digest):
        span = node.checksum.value_span or node.checksum.span
        raise fault(f"not a checksum: {digest}", span, hint="write sha256: and 64 hexadecimal digits")
    if digest is None and not stage.lowering.settings.check:
        with stage.at(word.span):
            digest = stage.lowering.resolver.http(url)
    source = graph.HttpSource(url=url, filename=name, digest=digest, mode="0600")
    unpack = _is_true(node.unpack)
    return _Taken(tree=stage.add(source, word.span, {}), path=_literal(f"/{name}"), unpack=unpack)


def _git(stage: StageLowering, node: syntax.Copy, word: syntax.Word, git: GitUrl, wishes: _Wishes) -> _Taken:
    keep = git.keep_git_dir if git.keep_git_dir is not None else _is_true(node.keep_git_dir)
    if (
        git.keep_git_dir is not None
        and node.keep_git_dir is not None
        and git.keep_git_dir != _is_true(node.keep_git_dir)
    ):
        raise fault("--keep-git-dir and the URL disagree", node.keep_git_dir.span, hint="say it in one place")
    commit = "0" * 40
    if not stage.lowering.settings.check:
        with stage.at(word.span):
            commit = stage.lowering.resolver.git(git.url, git.ref or "HEAD")
    for wanted in filter(None, (wishes.checksum, git.checksum)):
        if not commit.startswith(wanted) and not stage.lowering.settings.check:
            raise fault(
                f"{git.url} {git.ref or 'HEAD'} is the commit {commit}, not {wanted}",
                word.span,
                hint="if the new commit is wanted, write it as the checksum",
            )
    source = graph.GitSource(
        url=git.url,
        commit=commit,
        subdir=git.subdir or "",
        keep_git_dir=keep,
        submodules=git.submodules is not False,
    )
    return _Taken(tree=stage.add(source, word.span, {}), path="/")


def _document(stage: StageLowering, node: syntax.Copy, document: syntax.Heredoc) -> _Taken:
    text = document.text
    if document.expand:
        try:
            found = expand(text, stage.image.env, quotes="keep")
        except ExpandError as error:
            raise fault(error.message, document.span, hint=error.hint) from None
        stage.look_at(found.unset, document.span)
        text = found.text
    path = _clean(document.name)
    with lowering(document.span):
        tree = stage.add(graph.Write(path=path, text=text), document.span, {"base": stage.scratch()})
    return _Taken(tree=tree, path=_literal(path))
