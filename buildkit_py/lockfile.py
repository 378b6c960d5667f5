"""`Buildfile.lock`: what every tag, URL, git ref and import of a build file stood for when it was first used.

A TOML file (`spec/lock.md`), written with sorted keys and one entry a block, so that moving a pin changes one line:

    version = 1

    [image."docker.io/library/python:3.12"]
    "linux/amd64" = "sha256:…"

    [url."https://example.org/app.tar.gz"]
    digest = "sha256:…"

    [git."https://example.org/app.git"]
    "main" = "0123…"

    [import."lib/users.build"]
    digest = "sha256:…"
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Literal

from buildkit_py.dataclass import dataclass, field
from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, LockfileError, UsageError
from buildkit_py.graph.resolver import ResolvedImage, Resolver
from buildkit_py.platform import Platform
from buildkit_py.reference import Reference, is_local
from buildkit_py.source import Span

VERSION = 1
NAME = "Buildfile.lock"
MAX_BYTES = 16 * 1024 * 1024
_HEADER = "# Made by pybuild. Keep it under version control; `pybuild update` moves what it pins.\n"
_HINT = "restore it from version control, or delete it and build again"
_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_LINE = re.compile(r"\(at line (\d+), column (\d+)\)")

Section = Literal["image", "url", "git", "import"]
SECTIONS: tuple[Section, ...] = ("image", "url", "git", "import")
_Pins = dict[str, dict[str, str]]


@dataclass(slots=True)
class LockFile:
    """The pins, by section, name and what of the name is pinned (a platform, a git ref, or `digest`)."""

    path: Path
    pins: dict[Section, _Pins] = field(default_factory=lambda: {section: {} for section in SECTIONS})

    @classmethod
    def load(cls, path: Path) -> LockFile:
        """Read a lock file; one that does not exist is empty. Raises `LockfileError` with the line of the fault."""
        try:
            data = _read(path)
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            raise LockfileError(f"{path} can't be read: {error.strerror}") from error
        if len(data) > MAX_BYTES:
            raise LockfileError(f"{path} is larger than {MAX_BYTES // 1024 // 1024} MiB", hint=_HINT)
        return cls(path, _Parser(path.name, data).pins())

    def get_image(self, ref: str, platform: Platform) -> str | None:
        """The digest of an image's manifest for one platform."""
        return self.pins["image"].get(ref, {}).get(str(platform))

    def put_image(self, ref: str, platform: Platform, digest: str) -> None:
        """Pin an image for one platform."""
        self._put("image", ref, str(platform), str(Digest.parse(digest)))

    def get_url(self, url: str) -> str | None:
        """The digest of what a URL holds."""
        return self.pins["url"].get(url, {}).get("digest")

    def put_url(self, url: str, digest: str) -> None:
        """Pin a URL."""
        self._put("url", url, "digest", str(Digest.parse(digest)))

    def get_git(self, url: str, ref: str) -> str | None:
        """The commit of a ref."""
        return self.pins["git"].get(url, {}).get(ref)

    def put_git(self, url: str, ref: str, commit: str) -> None:
        """Pin a ref; `commit` is 40 or 64 hexadecimal digits."""
        self._put("git", url, ref, commit)

    def get_import(self, path: str) -> str | None:
        """The digest of an imported file."""
        return self.pins["import"].get(path, {}).get("digest")

    def put_import(self, path: str, digest: str) -> None:
        """Pin an imported file."""
        self._put("import", path, "digest", str(Digest.parse(digest)))

    def keep_only(self, used: Collection[tuple[Section, str]]) -> list[str]:
        """Drop every name that is not in `used`; the names dropped."""
        dropped = []
        for section, names in self.pins.items():
            for name in [name for name in names if (section, name) not in used]:
                del names[name]
                dropped.append(name)
        return dropped

    def text(self) -> str:
        """The file: equal pins give equal text."""
        blocks = [f"{_HEADER}version = {VERSION}\n"]
        for section in SECTIONS:
            for name, pinned in sorted(self.pins[section].items()):
                rows = "".join(f"{_key(key)} = {_quoted(value)}\n" for key, value in sorted(pinned.items()))
                blocks.append(f"[{section}.{_quoted(name)}]\n{rows}")
        return "\n".join(blocks)

    def save(self) -> bool:
        """Write the file if its text changed, as a whole or not at all; whether it was written.

        An empty lock is not written where there is no file. Raises `LockfileError`.
        """
        data = self.text().encode()
        try:
            try:
                if _read(self.path) == data:
                    return False
            except FileNotFoundError:
                if not any(self.pins.values()):
                    return False
            _replace(self.path, data)
        except OSError as error:
            raise LockfileError(f"{self.path} can't be written: {error.strerror}") from error
        return True

    def _put(self, section: Section, name: str, key: str, value: str) -> None:
        self.pins[section].setdefault(name, {})[key] = value


class LockedResolver:
    """A resolver that obeys a lock file and asks `inner` only for what is not in it, or is to be refreshed.

    What `inner` says is put into `lock`, which the caller saves. With `locked`, a lock that would have to change is a
    `LockfileError`, and nothing is refreshed. `refresh` holds names as they stand in the build file or in the lock, or
    is `"all"`; each is refreshed once. What is pinned by the way it is written (a digest, a full commit), and local
    images, whose bytes lie beside the build file, are not in the lock.
    """

    def __init__(
        self,
        inner: Resolver,
        lock: LockFile,
        *,
        locked: bool = False,
        refresh: Collection[str] | Literal["all"] = (),
    ) -> None:
        self._inner = inner
        self._lock = lock
        self._locked = locked
        self._refresh = refresh
        self._used: set[tuple[Section, str]] = set()
        self._fresh: set[tuple[Section, str, str]] = set()

    def image(self, ref: str, platform: Platform) -> ResolvedImage:
        """Pin an image: the inner resolver is asked for the digest of the lock where there is one."""
        if is_local(ref) or "@" in ref:
            return self._inner.image(ref, platform)
        pinned = self._pinned("image", ref, str(platform))
        if pinned is not None:
            return self._inner.image(f"{ref}@{pinned}", platform)
        self._refuse_when_locked("image", ref, f"{ref} for {platform}")
        found = self._inner.image(ref, platform)
        if found.digest is not None:
            self._lock.put_image(ref, platform, found.digest)
        return found

    def http(self, url: str) -> str:
        """The digest of what a URL holds."""
        pinned = self._pinned("url", url, "digest")
        if pinned is None:
            self._refuse_when_locked("url", url, url)
            pinned = self._inner.http(url)
            self._lock.put_url(url, pinned)
        return pinned

    def git(self, url: str, ref: str) -> str:
        """The commit that a ref of a repository names."""
        if _COMMIT.match(ref):
            return ref
        pinned = self._pinned("git", url, ref)
        if pinned is None:
            self._refuse_when_locked("git", url, f"{url} {ref}")
            pinned = self._inner.git(url, ref)
            self._lock.put_git(url, ref, pinned)
        return pinned

    def text(self, path: str) -> str:
        """The text of an imported file; one that changed moves its pin, and is an error with `locked`."""
        text = self._inner.text(path)
        digest = str(Digest.of(text.encode()))
        pinned = self._lock.get_import(path)
        self._used.add(("import", path))
        if pinned != digest:
            if self._locked and pinned is not None:
                raise LockfileError(
                    f"the imported file {path} is not the one that {self._lock.path.name} pins",
                    hint=f"look at what changed, then run `pybuild update {path}`",
                )
            self._refuse_when_locked("import", path, path)
            self._lock.put_import(path, digest)
        return text

    def find(self, path: str, context: str = "context") -> str | None:
        """The text of a file of a directory that the client offers, which is never pinned."""
        return self._inner.find(path, context)

    def drop_unused(self) -> list[str]:
        """Drop from the lock what this resolver was not asked for; for an update of everything only."""
        return self._lock.keep_only(self._used)

    def unknown(self) -> list[str]:
        """The names to refresh that nothing asked for: probably mistyped."""
        if self._refresh == "all":
            return []
        used = {name for _, name in self._used}
        return sorted(name for name in self._refresh if not used & {name, _normalised(name)})

    def _pinned(self, section: Section, name: str, key: str) -> str | None:
        """What the lock says, unless it is to be asked for again; an answer of this build is not asked for twice."""
        self._used.add((section, name))
        if self._refreshed(name) and (section, name, key) not in self._fresh:
            self._fresh.add((section, name, key))
            return None
        return self._lock.pins[section].get(name, {}).get(key)

    def _refreshed(self, name: str) -> bool:
        if self._locked:
            return False
        return self._refresh == "all" or any(name in (given, _normalised(given)) for given in self._refresh)

    def _refuse_when_locked(self, section: Section, name: str, what: str) -> None:
        if self._locked:
            kind = {"image": "image", "url": "URL", "git": "git ref", "import": "imported file"}[section]
            raise LockfileError(
                f"{self._lock.path.name} does not pin the {kind} {what}, and --locked was given",
                hint=f"run `pybuild update {name}` and commit the lock file",
            )


class _Parser:
    """TOML text → pins, each checked; every fault is told with its line."""

    def __init__(self, name: str, data: bytes) -> None:
        self._name = name
        try:
            self._text = data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise self._fault("it is not UTF-8 text", line) from None

    def pins(self) -> dict[Section, _Pins]:
        import tomllib

        try:
            document = tomllib.loads(self._text)
        except (ValueError, RecursionError) as error:
            place = _LINE.search(str(error))
            line = int(place[1]) if place else self._text.count("\n") + 1
            raise self._fault(_LINE.sub("", str(error)).strip().lower(), line) from None
        version = document.pop("version", None)
        if type(version) is not int or version != VERSION:
            what = "has no version" if version is None else f"has version {_shown(version)}"
            raise self._fault(f"it {what}, and this pybuild reads version {VERSION}", self._line_of("version"))
        for section in document:
            if section not in SECTIONS:
                raise self._fault(f"there is no section {section!r}", self._line_of(f"[{section}"))
        return {section: self._section(section, document.get(section, {})) for section in SECTIONS}

    def _section(self, section: Section, names: object) -> _Pins:
        if not isinstance(names, dict):
            raise self._fault(f"{section!r} is not a table", self._line_of(section))
        return {name: self._pinned(section, name, pinned) for name, pinned in names.items()}

    def _pinned(self, section: Section, name: str, pinned: object) -> dict[str, str]:
        if not isinstance(pinned, dict):
            raise self._fault(f"{name!r} is not a table", self._line_of(name))
        for key, value in pinned.items():
            reason = _wrong(section, key, value)
            if reason:
                raise self._fault(f"{name}: {reason}", self._line_of(name, key))
        return pinned

    def _line_of(self, *words: str) -> int:
        """The first line that holds the words one below the other; good enough to point a person there."""
        number = 0
        rows = self._text.split("\n")
        for word in words:
            quoted = _quoted(word)[1:-1]
            number = next((at for at in range(number, len(rows)) if quoted in rows[at]), number)
        return number + 1

    def _fault(self, reason: str, line: int) -> LockfileError:
        span = Span(self._name, line, 1, line, 1)
        return LockfileError(f"{self._name} line {line} can't be used: {reason}", hint=_HINT, span=span)


def _wrong(section: Section, key: str, value: object) -> str | None:
    """Why a pin is not one, None where it is."""
    if not isinstance(value, str):
        return f"{key!r} is not text"
    if section == "git":
        return None if _COMMIT.match(value) else f"not a full commit: {value[:80]!r}"
    if section in ("url", "import") and key != "digest":
        return f"unknown key {key!r}, only 'digest' is known"
    try:
        Digest.parse(value)
        if section == "image" and str(Platform.parse(key)) != key:
            return f"not a platform as it is written here: {key!r}"
    except (IntegrityError, UsageError) as error:
        return error.message
    return None


def _shown(value: object) -> str:
    """A value for people; a number may have more digits than Python writes."""
    try:
        return repr(value)[:80]
    except ValueError:
        return "that is a number of very many digits"


def _normalised(name: str) -> str:
    try:
        return str(Reference.parse(name))
    except (UsageError, IntegrityError):
        return name.removeprefix("./")


def _key(text: str) -> str:
    return text if text == "digest" else _quoted(text)


def _quoted(text: str) -> str:
    """A TOML basic string; control characters can't stand in one as they are."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match[0]):04X}", escaped) + '"'


def _read(path: Path) -> bytes:
    """At most one byte more than is allowed; what is no regular file is refused, and never waited for."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as source:
        if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            raise LockfileError(f"{path} is not a regular file", hint=_HINT)
        return source.read(MAX_BYTES + 1)


def _replace(path: Path, data: bytes) -> None:
    """By a file of an unpredictable name that was not there before: no link that somebody laid is followed."""
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    out = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(out, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
