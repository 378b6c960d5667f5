"""`RUN --mount=…`: comma-separated fields, read in order. What a field may be can depend on the `type` before it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Literal

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SourceError
from buildkit_py.source import Diagnostic, visible
from buildkit_py.suggest import suggest
from frontends.dockerfile.csvline import CsvError, read_fields
from frontends.dockerfile.faults import fault
from frontends.dockerfile.syntax import Flag, MountSpec, Run

Kind = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing = Literal["shared", "private", "locked"]

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?(?:([kmgtp])(?:i?b)?|b)?\Z", re.IGNORECASE)
_MOST_BYTES = 2**63 - 1
_MOST_ID = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MountModel:
    """One mount. None, or empty, is what was not said; `size` is in bytes, 0 without a limit.

    `id` is that of a cache, a secret or an ssh agent, and what `source` says where it means the same.
    """

    kind: Kind
    from_: str | None = None
    source: str | None = None
    target: str | None = None
    id: str | None = None
    read_only: bool = True
    sharing: Sharing | None = None
    size: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str | None = None
    required: bool = False


def read_spec(flag: Flag, faults: list[Diagnostic]) -> MountSpec | None:
    """The fields of a `--mount`, names in lower case; what can't be read is noted."""
    span = flag.value_span or flag.span
    try:
        texts = read_fields(flag.value or "")
    except CsvError as error:
        hint = "write fields with commas between them: --mount=type=cache,target=/path"
        faults.append(Diagnostic(message=f"--mount can't be read: {error}", span=span, hint=hint))
        return None
    fields = tuple(_field(text) for text in texts)
    for name, value in fields:
        if name == "from" and value is not None and "$" in value[:-1]:
            hint = "name a stage for it above, with FROM $NAME AS stage, and write from=stage"
            faults.append(Diagnostic(message="variables are not expanded in from= of a mount", span=span, hint=hint))
    return MountSpec(fields=fields, flag=flag)


def _field(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name.lower(), value if equals else None


def read_mounts(run: Run, expand: Callable[[str], str]) -> tuple[MountModel, ...]:
    """The mounts of a RUN, each value but that of `from` expanded; raises `SourceError` with every fault."""
    found: list[MountModel] = []
    faults: list[Diagnostic] = []
    for spec in run.mounts:
        try:
            found.append(_Reader(spec, expand).read())
        except SourceError as error:
            faults.extend(error.diagnostics)
    if faults:
        raise SourceError(faults)
    return tuple(found)


class _Reader:
    """Reads one mount."""

    def __init__(self, spec: MountSpec, expand: Callable[[str], str]) -> None:
        self._spec = spec
        self._expand = expand
        self._kind: Kind = "bind"
        self._texts: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._sharing: Sharing | None = None
        self._read_only: bool | None = None
        self._required = False

    def read(self) -> MountModel:
        """The mount; raises `SourceError`."""
        for name, written in self._spec.fields:
            self._field(name, written)
        self._check()
        return self._model()

    def _field(self, name: str, written: str | None) -> None:
        read = _FIELDS.get(name)
        if read is None:
            raise self._unknown(name, written)
        if written is None and name not in _BARE:
            raise self._fault(f"{name} of a mount needs a value", f"write {name}=…")
        value = written if written is None or name == "from" else self._expand(written)
        read(self, name, value)

    def _unknown(self, name: str, written: str | None) -> SourceError:
        close = suggest(name, _FIELDS) if name else None
        hint = f"did you mean {close}?" if close else f"fields are {', '.join(_FIELDS)}"
        if written is None and not close:
            hint = "write name=value"
        return self._fault(f"a mount has no field {visible(name)}" if name else "a mount has an empty field", hint)

    # --- fields

    def type(self, name: str, value: str | None) -> None:
        kind = (value or "").lower()
        for known in _KINDS:
            if kind == known:
                self._kind = known
                return
        raise self._choice("a mount has no type", value, _KINDS)

    def text(self, name: str, value: str | None) -> None:
        self._texts[_ALIASES.get(name, name)] = value or ""

    def sharing(self, name: str, value: str | None) -> None:
        wanted = (value or "").lower()
        for known in _SHARINGS:
            if wanted == known:
                self._sharing = known
                return
        raise self._choice("sharing of a cache can't be", value, _SHARINGS)

    def read_only(self, name: str, value: str | None) -> None:
        self._read_only = self._truth(name, value)

    def writable(self, name: str, value: str | None) -> None:
        self._read_only = not self._truth(name, value)

    def required(self, name: str, value: str | None) -> None:
        if self._kind not in ("secret", "ssh"):
            raise self._misplaced("required", "a secret or ssh")
        self._required = self._truth(name, value)

    def size(self, name: str, value: str | None) -> None:
        if self._kind != "tmpfs":
            raise self._misplaced("size", "a tmpfs")
        match = _SIZE.match(value or "")
        if match is None:
            raise self._fault(f"not a size: {value!r}", "write bytes, or a number with k, m or g: size=64m")
        factor = 1024 ** ("kmgtp".index(match[2].lower()) + 1) if match[2] else 1
        self._numbers["size"] = min(int(float(match[1]) * factor), _MOST_BYTES) if len(match[1]) < 100 else _MOST_BYTES

    def mode(self, name: str, value: str | None) -> None:
        found = _whole(value or "", 8)
        if found is None:
            raise self._fault(f"not a file mode: {value!r}", "write octal digits, as mode=0644")
        self._numbers[name] = found

    def owner(self, name: str, value: str | None) -> None:
        found = _whole(value or "", 10)
        if found is None:
            raise self._fault(
                f"{name} of a mount is not a number: {value!r}", f"write {name}=1000; names are not known"
            )
        self._numbers[name] = found

    # --- the whole

    def _check(self) -> None:
        if self._kind in ("bind", "tmpfs"):
            for name in ("mode", "uid", "gid"):
                if name in self._numbers:
                    raise self._misplaced(name, "a cache, secret or ssh")
        if self._sharing is not None and self._kind != "cache":
            raise self._misplaced("sharing", "a cache")
        if self._kind == "secret":
            self._check_secret()

    def _check_secret(self) -> None:
        source, name = self._texts.get("source"), self._texts.get("id")
        if self._texts.get("from"):
            raise self._misplaced("from", "a bind or cache")
        if source and name:
            raise self._fault("a secret has both id and source, which mean the same", "keep id=")
        if not (source or name or self._texts.get("target")):
            raise self._fault("a mount of a secret does not say which", "write type=secret,id=NAME")

    def _model(self) -> MountModel:
        texts = {name: value or None for name, value in self._texts.items()}
        source, target = texts.get("source"), texts.get("target")
        read_only = self._read_only if self._read_only is not None else self._kind not in ("cache", "tmpfs")
        return MountModel(
            kind=self._kind,
            from_=texts.get("from"),
            source=source,
            target=target,
            id=self._id(texts.get("id"), source, target),
            read_only=read_only,
            sharing=self._sharing,
            size=self._numbers.get("size", 0),
            mode=self._numbers.get("mode"),
            uid=self._numbers.get("uid"),
            gid=self._numbers.get("gid"),
            env=self._texts.get("env"),
            required=self._required,
        )

    def _id(self, name: str | None, source: str | None, target: str | None) -> str | None:
        if self._kind == "cache":
            return name or _clean(target or "")
        if self._kind == "secret":
            return source or name or posixpath.basename(_clean(target or ""))
        return (source or name or "default") if self._kind == "ssh" else name

    # --- helpers

    def _truth(self, name: str, value: str | None) -> bool:
        if value is None or value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise self._fault(f"{name} of a mount is true or false, not {value!r}", f"write {name}, or {name}=false")

    def _choice(self, message: str, value: str | None, choices: tuple[str, ...]) -> SourceError:
        close = suggest(value or "", choices)
        hint = f"did you mean {close}?" if close else f"write one of {', '.join(choices)}"
        return self._fault(f"{message} {value!r}", hint)

    def _misplaced(self, name: str, kinds: str) -> SourceError:
        hint = f"only a mount of {kinds} takes {name}"
        if name in ("required", "size"):
            hint += "; write type= before it"
        return self._fault(f"a mount of type {self._kind} takes no {name}", hint)

    def _fault(self, message: str, hint: str) -> SourceError:
        flag = self._spec.flag
        return fault(visible(message), flag.value_span or flag.span, hint=visible(hint))


def _whole(text: str, base: int) -> int | None:
    """A number without a sign, of at most 32 bits."""
    digits = "01234567" if base == 8 else "0123456789"
    if not text or text.strip(digits) or len(text.lstrip("0")) > 11:
        return None
    found = int(text, base)
    return found if found <= _MOST_ID else None


def _clean(path: str) -> str:
    """A path in its shortest form."""
    found = posixpath.normpath(path)
    return "/" + found.lstrip("/") if found.startswith("/") else found


_KINDS: tuple[Kind, ...] = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARINGS: tuple[Sharing, ...] = ("shared", "private", "locked")
_ALIASES = {"src": "source", "dst": "target", "destination": "target"}
_BARE = frozenset({"ro", "readonly", "rw", "readwrite", "required"})
_FIELDS: dict[str, Callable[[_Reader, str, str | None], None]] = {
    "type": _Reader.type,
    "from": _Reader.text,
    "source": _Reader.text,
    "src": _Reader.text,
    "target": _Reader.text,
    "dst": _Reader.text,
    "destination": _Reader.text,
    "id": _Reader.text,
    "env": _Reader.text,
    "sharing": _Reader.sharing,
    "readonly": _Reader.read_only,
    "ro": _Reader.read_only,
    "readwrite": _Reader.writable,
    "rw": _Reader.writable,
    "required": _Reader.required,
    "size": _Reader.size,
    "mode": _Reader.mode,
    "uid": _Reader.owner,
    "gid": _Reader.owner,
}
