"""COPY and ADD: `copy`, `write`, `unpack`, `fetch` and `git`, by what is taken."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Literal

from buildkit_py.dataclass import dataclass
from buildkit_py.giturl import AddressError, read_address
from frontends.dockerfile import syntax
from frontends.dockerfile.conversion.excludes import below
from frontends.dockerfile.conversion.kinds import Kind, Paths
from frontends.dockerfile.conversion.language import WIDTH, UntoldError
from frontends.dockerfile.conversion.origins import origin_of, stage_of
from frontends.dockerfile.conversion.remote import fetch, git
from frontends.dockerfile.conversion.settings import check_owner
from frontends.dockerfile.conversion.stage import StageConversion
from frontends.dockerfile.ignore import exclude_patterns

_ARCHIVE = re.compile(r"\.(?:tar|tar\.(?:gz|bz2|xz|zst)|tgz|tbz2?|txz|tzst)\Z")
_OCTAL = re.compile(r"[0-7]{1,5}\Z")
_GLOB = re.compile(r"[*?\[]")
_TRUE = ("true", "1", "t")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the flags say: `options` as they stand behind a statement, but for the mode."""

    owner: str
    mode: str

    @property
    def is_octal(self) -> bool:
        """Whether directories that are made get the mode too."""
        return self.mode.isdigit()

    @property
    def alike(self) -> bool:
        """Whether directories that are made on the way are not root's own, or not 0755."""
        return self.owner not in ("", "0:0", "root:root") or (self.is_octal and self.mode != "0755")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One local source. `either`: nobody knows whether it is a directory or a file."""

    path: str
    kind: Kind | Literal["either", "archive"]


def copy(stage: StageConversion, node: syntax.Copy) -> None:
    """COPY and ADD."""
    flags = [flag.value or "" if flag is not None else "" for flag in (node.chown, node.chmod, node.checksum)]
    words = [node.dest.text, *flags, *(word.text for word in node.sources)]
    texts: tuple[str, ...] = ()
    if node.sources:
        texts = stage.emit(words, lambda texts: _Copying(stage, node, texts).lines())
    for document in node.heredocs:
        _write(stage, node, document, words[:4])
    if texts:
        _Copying(stage, node, texts).learn()


def destination(stage: StageConversion, node: syntax.Copy) -> str:
    """The directory or file that a COPY goes to."""
    return stage.absolute(stage.scope.text(node.dest.text, node.dest.span) or ".").rstrip("/")


def _wishes(stage: StageConversion, owner: str, mode: str) -> Wishes:
    if owner:
        check_owner(stage, owner)
        if stage.paths.empty:
            # Where nothing says who root is, COPY takes it for 0, and `copy` knows no names.
            owner = ":".join("0" if part == "root" else part for part in owner.split(":"))
    if mode and not stage.marks.names(mode):
        mode = f"{int(mode, 8):04o}" if _OCTAL.match(mode) else mode
    return Wishes(owner=owner, mode=mode)


def _place(stage: StageConversion, text: str) -> str:
    """Where a COPY goes, with a final slash where that is a directory."""
    return stage.absolute(text if text not in ("", ".") else "./")


def _write(stage: StageConversion, node: syntax.Copy, document: syntax.Heredoc, flags: Sequence[str]) -> None:
    """A here-document: a file that is written."""
    body = document.text if document.expand else _plain_heredoc(document.text)

    def build(texts: tuple[str, ...]) -> list[str]:
        text = texts[0]
        dest, owner, mode = (stage.scope.text(flag, node.span) for flag in flags[:3])
        wishes, place = _wishes(stage, owner, mode), _place(stage, dest)
        into = place.endswith("/") or stage.paths.is_there(place)
        path = posixpath.join(place, document.name) if into else place
        _make_parents(stage, wishes, posixpath.dirname(path))
        first, *rest = stage.marks.paragraph(text)
        options = _owner(stage, wishes) + (f" mode {stage.marks.word(wishes.mode)}" if wishes.mode else "")
        lines = [f"write {stage.marks.word(path)} {first}", *rest]
        lines[-1] += options
        stage.paths.learn_file(path)
        return lines

    stage.emit([body], build, quotes="keep")


def _plain_heredoc(text: str) -> str:
    """A text in which nothing is to be expanded."""
    return re.sub(r"([\\$])", r"\\\1", text)


def _owner(stage: StageConversion, wishes: Wishes) -> str:
    return f" owner {stage.marks.word(wishes.owner)}" if wishes.owner else ""


def _make_parents(stage: StageConversion, wishes: Wishes, path: str) -> None:
    """Make the directories on the way as COPY would: they get the owner and the mode of what is copied."""
    if not wishes.alike:
        return
    mode = wishes.mode if wishes.is_octal and wishes.mode != "0755" else ""
    missing = stage.paths.missing(path)
    if not stage.paths.empty:
        # What lies there in an image is as a rule the image's own: it must not be given away.
        missing = [each for each in missing if not each.startswith(("/usr/", "/etc/", "/var/"))]
    stage.mkdir(missing, wishes.owner, mode)


class _Copying:
    """One COPY or ADD with its words expanded."""

    def __init__(self, stage: StageConversion, node: syntax.Copy, texts: tuple[str, ...]) -> None:
        dest, owner, mode, self._checksum, *self._texts = texts
        self._stage = stage
        self._node = node
        self._wishes = _wishes(stage, owner, mode)
        self._place = _place(stage, dest)
        self._marks = stage.marks
        self._from = stage_of(stage, node.from_.value or "", node.from_.span) if node.from_ is not None else None

    def lines(self) -> list[str]:
        """The statements."""
        found: list[str] = []
        local: list[_Source] = []
        if _is_true(self._node.parents) and any(map(_GLOB.search, self._texts)):
            hint = "name the directories, with a COPY for each"
            raise UntoldError("--parents with a pattern has no equivalent", hint)
        for text in self._texts:
            remote = self._remote(text)
            if remote is None:
                local += self._sources(text)
            else:
                found += remote
        archives = [source.path for source in local if source.kind == "archive"]
        rest = [source for source in local if source.kind != "archive"]
        if archives:
            found += self._unpack(archives)
        if rest:
            found += self._copy(rest)
        self._check_owners()
        return found

    def learn(self) -> None:
        """Note what is there now."""
        stage = self._stage
        if self._wishes.owner and self._wishes.owner not in ("0", "0:0", "root", "root:root"):
            stage.owned = True
        place = self._place.rstrip("/") or "/"
        names = [posixpath.basename(text.rstrip("/")) for text in self._texts]
        if self._place.endswith("/") or len(names) > 1:
            stage.paths.learn(place)
            stage.paths.files |= {posixpath.join(place, name) for name in names if "." in name.strip(".")}
        elif any(source.kind == "directory" for text in self._texts for source in self._sources(text)):
            stage.paths.learn(place)
        else:
            stage.paths.learn(posixpath.dirname(place))

    # --- what is taken

    def _remote(self, text: str) -> list[str] | None:
        """The statements for a source that is not local."""
        if self._node.name != "ADD":
            return None
        try:
            address = read_address(text)
        except AddressError as error:
            raise UntoldError(error.message, error.hint) from None
        if address.kind == "local":
            return None
        _make_parents(self._stage, self._wishes, posixpath.dirname(f"{self._place}x"))
        if address.git is not None:
            return git(self._stage, self._node, address.git, self._place, self._wishes, self._checksum)
        into = self._place.endswith("/") or self._stage.paths.is_there(self._place)
        place = self._place.rstrip("/") + "/" * into
        return fetch(self._stage, self._node, text, place, self._wishes, self._checksum)

    def _sources(self, text: str) -> list[_Source]:
        path = self._clean(text)
        unpack = self._node.unpack
        is_add = self._node.name == "ADD" if unpack is None else _is_true(unpack)
        if is_add and _ARCHIVE.search(path):
            return [_Source(path=path, kind="archive")]
        if text.endswith(("/", "/.")) or path == "/":
            return [_Source(path=path, kind="directory")]
        kinds = self._kinds(path)
        if kinds is not None and not kinds and _GLOB.search(path):
            self._stage.warn(f"nothing matches {text} now, and a `copy` of nothing is an error: it is left out")
            return []
        if kinds is not None and len(kinds) == 1:
            return [_Source(path=path, kind=next(iter(kinds)))]
        return [_Source(path=path, kind="either")]

    def _kinds(self, path: str) -> frozenset[Kind] | None:
        """What a source is, None where nobody knows."""
        stage = self._stage
        if self._node.from_ is None:
            plain = stage.plain(path)
            found = stage.shared.look(plain) if stage.shared.look is not None else None
            return found or (frozenset() if found is not None and _GLOB.search(path) else self._guess(path))
        if self._from is not None:
            paths = stage.shared.made[self._from].paths
            kind = paths.kind(path)
            return frozenset({kind}) if kind else self._guess(path)
        return self._guess(path)

    def _guess(self, path: str) -> frozenset[Kind] | None:
        kind = Paths().kind(path)
        if kind is None and self._place.endswith("bin/"):
            kind = "file"
        return frozenset({kind}) if kind else None

    def _clean(self, text: str) -> str:
        return "/" + posixpath.normpath("/" + text.lstrip("/")).lstrip("/")

    # --- statements

    def _copy(self, sources: list[_Source]) -> list[str]:
        stage, place = self._stage, self._place
        bare = place.rstrip("/") or "/"
        if _is_true(self._node.parents):
            return self._with_parents(sources)
        is_there = stage.paths.is_there(bare)
        folders = any(source.kind == "directory" for source in sources)
        into = place.endswith("/") or len(sources) > 1 or is_there
        if folders and len(sources) == 1 and not self._wishes.alike:
            into = True
        elif folders and len(sources) == 1 and not is_there:
            into = False
        _make_parents(stage, self._wishes, bare if into else posixpath.dirname(bare))
        dest = bare.rstrip("/") + "/" if into else bare
        words = [self._written(source, into=into) for source in sources]
        folders = folders or any(source.kind == "either" for source in sources)
        return self._statement(words, dest, sources if folders else [])

    def _statement(self, words: Sequence[str], dest: str, sources: Sequence[_Source]) -> list[str]:
        flag = self._node.from_
        origin = f" from {origin_of(self._stage, flag.value or '', flag.span)}" if flag is not None else ""
        if sources and self._wishes.is_octal and int(self._wishes.mode, 8) >> 2 & 0o111 & ~int(self._wishes.mode, 8):
            text = f"--chmod={self._wishes.mode} of a directory: who may read one can enter it here"
            self._stage.warn(text)
        mode = self._marks.word(self._wishes.mode) if self._wishes.mode else "keep"
        head = (
            f"copy {' '.join(words)} to {self._marks.word(dest)}{origin}{_owner(self._stage, self._wishes)} mode {mode}"
        )
        patterns = self._excluded(sources)
        if not patterns:
            return [head]
        line = f"{head} exclude {self._marks.words(patterns)}"
        if len(line) <= WIDTH:
            return [line]
        return [f"{head} \\", *_wrapped([self._marks.word(each) for each in patterns])]

    def _written(self, source: _Source, *, into: bool) -> str:
        path = source.path
        if source.kind == "directory" and path != "/":
            path += "/"
        elif source.kind == "either" and (into or _GLOB.search(path)):
            path = _either(path)
        return self._marks.word(path if self._node.from_ is not None else f".{path}")

    def _excluded(self, sources: Sequence[_Source]) -> list[str]:
        found = list(exclude_patterns([flag.value or "" for flag in self._node.exclude]))
        if self._node.from_ is not None or not self._stage.shared.patterns or not sources:
            return found
        folders = [source.path.strip("/") for source in sources]
        patterns = {folder: below(self._stage.shared.patterns, folder) for folder in folders}
        if len({*patterns.values()}) > 1 or None in patterns.values() or any(_GLOB.search(each) for each in folders):
            if any(patterns.values()) or None in patterns.values():
                text = "what the ignore file leaves out of these sources can't be said in one `copy`"
                self._stage.differs(text, "write a COPY for each directory")
            return found
        return [*(patterns[folders[0]] or ()), *found]

    def _with_parents(self, sources: list[_Source]) -> list[str]:
        """Every source where it was, from the pivot on."""
        found = []
        for text, source in zip(self._texts, sources, strict=False):
            _, pivot, after = text.partition("/./")
            kept = (after if pivot else text).strip("/")
            below_place = posixpath.dirname(kept)
            folder = kept if source.kind == "directory" else below_place
            dest = posixpath.normpath(posixpath.join(self._place, folder)).rstrip("/") + "/"
            _make_parents(self._stage, self._wishes, dest.rstrip("/"))
            found += self._statement([self._written(source, into=True)], dest, [source])
        return found

    def _unpack(self, archives: Sequence[str]) -> list[str]:
        flag = self._node.from_
        origin = f" from {origin_of(self._stage, flag.value or '', flag.span)}" if flag is not None else ""
        if self._wishes.mode:
            self._stage.differs("--chmod of an archive has no equivalent: what it holds keeps its modes")
        place = self._place.rstrip("/") or "/"
        _make_parents(self._stage, self._wishes, place)
        words = " ".join(self._marks.word(path if flag is not None else f".{path}") for path in archives)
        owner = _owner(self._stage, self._wishes)
        return [f"unpack {words} to {self._marks.word(place.rstrip('/') + '/')}{origin}{owner}"]

    def _check_owners(self) -> None:
        """Of a stage COPY keeps the owners, which `copy` can't."""
        if self._from is None or self._wishes.owner:
            return
        source = self._stage.shared.made[self._from]
        if source.owned:
            name = self._stage.shared.names[self._from]
            text = f"COPY keeps the owners that files have in {name}, and `copy` makes them root's"
            self._stage.differs(text, "say whose they are: --chown=root if they are root's")


def _is_true(flag: syntax.Flag | None) -> bool:
    return flag is not None and (flag.value is None or flag.value.lower() in _TRUE)


def _either(path: str) -> str:
    """A pattern that is the path alone: of one, a directory stands for what it holds, and a file for itself."""
    if _GLOB.search(path):
        return f"{path}/"
    head, last = path[:-1], path[-1:]
    if not (last.isascii() and last.isalnum()):
        raise UntoldError(f"nobody knows whether {path} is a directory", f"write {path}/ if it is one")
    return f"{head}[{last}]/"


def _wrapped(words: Sequence[str]) -> list[str]:
    """`exclude` over several lines."""
    lines, line = [], "exclude"
    for number, word in enumerate(words):
        piece = f" {word}{',' if number < len(words) - 1 else ''}"
        if len(line) + len(piece) > WIDTH - 10:
            lines.append(line)
            line = ""
        line += piece
    return [f"    {each.strip()}" for each in [*lines, line]]
