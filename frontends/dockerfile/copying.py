"""COPY and ADD: sources, among them here-documents, and a destination."""

from __future__ import annotations

from collections.abc import Mapping

from frontends.dockerfile import syntax
from frontends.dockerfile.call import Call
from frontends.dockerfile.flags import Kind
from frontends.dockerfile.forms import read_words
from frontends.dockerfile.heredoc import Opening, opening, without_tabs

_BOTH: Mapping[str, Kind] = {"chown": "text", "chmod": "text", "link": "bool", "exclude": "texts"}
_COPY: Mapping[str, Kind] = {**_BOTH, "from": "text", "parents": "bool"}
_ADD: Mapping[str, Kind] = {**_BOTH, "checksum": "text", "keep-git-dir": "bool", "unpack": "bool"}


def copy(call: Call) -> syntax.Copy:
    """Read COPY or ADD; raises `SourceError`."""
    given = call.flags(_COPY if call.name == "COPY" else _ADD)
    words = read_words(call.args)
    if len(words) < 2:
        what = "a source and a destination" if not words else "a destination behind the source"
        raise call.wrong(f"{call.name} needs {what}", f"write {call.name} source destination")
    *sources, dest = words
    opened = [(word, opening(word.text)) for word in sources]
    _check_documents(call, dest, [each for _, each in opened if each is not None])
    return syntax.Copy(
        sources=tuple(word for word, each in opened if each is None),
        dest=dest,
        heredocs=tuple(_document(call, each, word) for word, each in opened if each is not None),
        from_=given.once.get("from"),
        chown=given.once.get("chown"),
        chmod=given.once.get("chmod"),
        link=given.once.get("link"),
        parents=given.once.get("parents"),
        exclude=given.all("exclude"),
        checksum=given.once.get("checksum"),
        keep_git_dir=given.once.get("keep-git-dir"),
        unpack=given.once.get("unpack"),
        **call.common(),
    )


def _check_documents(call: Call, dest: syntax.Word, opened: list[Opening]) -> None:
    """Every here-document below the line must be a source, and every source that is one must stand below."""
    if opening(dest.text) is not None:
        raise call.wrong(f"{call.name} can't write to a here-document", "write the destination last", call.args)
    names = [document.name for document in call.heredocs]
    if names == [document.name for document in opened]:
        return
    if len(names) > len(opened):
        hint = "write the name right behind <<, and no white space in it: <<EOF"
        raise call.wrong(f"a here-document of {call.name} is none of its sources", hint, call.args)
    hint = "write the sources without [ ] and close every quote"
    raise call.wrong(f"a here-document of {call.name} has no text below", hint, call.args)


def _document(call: Call, opened: Opening, word: syntax.Word) -> syntax.Heredoc:
    """A source that is a here-document; of two with the same name both have the text of the last."""
    last = next(each for each in reversed(call.heredocs) if each.name == opened.name)
    return syntax.Heredoc(
        name=opened.name,
        text=without_tabs(last.raw) if opened.chomp else last.raw,
        raw=last.raw,
        expand=opened.expand,
        chomp=opened.chomp,
        span=word.span,
    )
