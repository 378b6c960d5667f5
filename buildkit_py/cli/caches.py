"""`--cache-from` and `--cache-to`: caches that machines share, as pybuild spells them and as `docker build` does.

type=registry,ref=REPOSITORY     docker://REPOSITORY, or REPOSITORY
type=local,src=DIR               of --cache-to: dest=DIR;  oci:DIR, or a path that begins with / or .
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from buildkit_py.engine.options import CachePlace

_ELSEWHERE = {
    "inline": "an image holds no records; name a cache of its own",
    "gha": "GitHub's cache service is not spoken; keep a directory by its action, or use a registry",
    "s3": "object stores are not spoken; use a registry that keeps its data there",
    "azblob": "object stores are not spoken; use a registry that keeps its data there",
}
"""Docker's other kinds of caches, and what to do instead."""
_IDLE = frozenset(
    {
        *("compression", "compression-level", "force-compression", "oci-mediatypes", "image-manifest"),
        *("registry.insecure", "digest", "tag", "timeout"),
    }
)
"""Fields of docker's that change nothing here."""
_WRITING = frozenset({"mode", "ignore-error"})
"""Fields that say something to who writes alone."""
_HINT = "write type=registry,ref=REPOSITORY or type=local,src=DIR (--cache-to: dest=DIR), or REPOSITORY, or ./DIR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caches:
    """What all texts of one option come to. `passed` are those of kinds that pybuild does not have, each with what to
    do instead; `idle` the fields that change nothing."""

    places: tuple[CachePlace, ...] = ()
    passed: tuple[tuple[str, str], ...] = ()
    idle: tuple[str, ...] = ()


def caches_of(texts: Sequence[str], option: str) -> Caches:
    """Everything that `--cache-from` or `--cache-to` names; raises `UsageError`."""
    places: list[CachePlace] = []
    passed: list[tuple[str, str]] = []
    idle: list[str] = []
    for text in texts:
        found = _Spec.parse(text, option)
        if found.kind in _ELSEWHERE:
            passed.append((text, _ELSEWHERE[found.kind]))
        else:
            places += [place for place in found.places() if place not in places]
            idle += [name for name in found.idle() if name not in idle]
    return Caches(places=tuple(places), passed=tuple(passed), idle=tuple(idle))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spec:
    """One text, taken apart."""

    text: str
    option: str
    kind: str
    fields: dict[str, str]

    @classmethod
    def parse(cls, text: str, option: str) -> _Spec:
        if "=" in text.partition(",")[0]:
            fields = dict(_fields(text, option))
            return cls(text=text, option=option, kind=fields.pop("type", ""), fields=fields)
        if text.startswith(("/", "./", "../")) or text in (".", ".."):
            return cls(text=text, option=option, kind="local", fields={"src": text})
        kind, colon, rest = text.partition(":")
        if kind == "oci" and colon:
            return cls(text=text, option=option, kind="local", fields={"src": rest})
        return cls(text=text, option=option, kind="registry", fields={"ref": text.removeprefix("docker://")})

    def places(self) -> Iterator[CachePlace]:
        """The one place; raises `UsageError`."""
        from buildkit_py.engine.options import CachePlace

        allowed = {"registry": ("ref",), "local": ("src", "dest")}.get(self.kind)
        if allowed is None:
            raise self._fault(f"no such kind of cache: {self.kind!r}")
        for name in self.fields:
            if name not in allowed and name not in _IDLE and name not in _WRITING:
                raise self._fault(f"{name!r} says nothing to a cache of the type {self.kind}")
        yield CachePlace(
            kind="local" if self.kind == "local" else "registry",
            value=self._directory() if self.kind == "local" else self._repository(),
            mode=self._mode() if self._writes else "min",
            ignore_error=self._writes and self.fields.get("ignore-error", "").lower() in ("true", "1"),
        )

    def idle(self) -> Iterator[str]:
        """The fields that change nothing."""
        yield from (name for name in self.fields if name in _IDLE or (name in _WRITING and not self._writes))

    @property
    def _writes(self) -> bool:
        return self.option == "--cache-to"

    def _mode(self) -> Literal["min", "max"]:
        mode = self.fields.get("mode", "min")
        if mode not in ("min", "max"):
            raise self._fault(f"no such mode: {mode!r}", "write mode=min or mode=max")
        return "max" if mode == "max" else "min"

    def _directory(self) -> str:
        names = ("dest", "src") if self._writes else ("src", "dest")
        value = next((self.fields[name] for name in names if self.fields.get(name)), "")
        if not value or ":" in value:
            raise self._fault("it names no directory" if not value else "a path with a colon can't be a cache")
        return str(Path(value).absolute())

    def _repository(self) -> str:
        from buildkit_py.reference import Reference

        value = self.fields.get("ref", "")
        if not value:
            raise self._fault("it names no repository")
        try:
            ref = Reference.parse(value)
        except (UsageError, IntegrityError) as error:
            raise self._fault(error.message, error.hint) from None
        if ref.digest is not None:
            raise self._fault("a cache is a whole repository, not one manifest")
        return ref.name

    def _fault(self, text: str, hint: str | None = None) -> UsageError:
        return UsageError(f"can't read {self.option} {self.text!r}: {text}", hint=hint or _HINT)


def _fields(text: str, option: str) -> Iterator[tuple[str, str]]:
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not name or not equals:
            raise UsageError(f"can't read {option} {text!r}", hint=_HINT)
        yield name.strip(), value
