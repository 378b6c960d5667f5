"""Secrets: where they come from, their bytes for the length of one build, and keeping them out of output.

A value never appears in a `repr`, a message, a key or the environment of another program. Only `SecretStore` holds
bytes.
"""

from __future__ import annotations

import os
import re
import signal
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

from buildkit_py.dataclass import dataclass, field
from buildkit_py.errors import PybuildError, SourceInputError, UsageError
from buildkit_py.executor.redactor import Redactor
from buildkit_py.secret_forms import MIN_LENGTH, core

if TYPE_CHECKING:
    import subprocess

    from buildkit_py.source import Span

MAX_BYTES = 512 * 1024
COMMAND_SECONDS = 60.0
_AGENT_SECONDS = 5.0
_SECRET_USAGE = "write --secret id=NAME,src=FILE, id=NAME,env=VARIABLE or id=NAME,cmd=COMMAND"
_SSH_USAGE = "write --ssh default, or --ssh NAME=SOCKET, or --ssh NAME=KEYFILE"
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,254}\Z")
_PART = re.compile(r"(?:^|,)(id|type|src|source|env)=")
_COMMAND = re.compile(r"(?:^|,)cmd=")
_LOGIN = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://)?([^/?#\s]+)@")
_FOREIGN = re.compile(r"(?:^|,)([A-Za-z][A-Za-z_-]{0,19})=")
_KINDS: Mapping[str, Literal["file", "env", "command"]] = {
    "src": "file",
    "source": "file",
    "env": "env",
    "cmd": "command",
}
# What a password manager needs to find its own files; nothing of the build's.
_COMMAND_ENV = ("HOME", "LANG", "LOGNAME", "PATH", "TMPDIR", "USER", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSpec:
    """One `--secret`: `where` is a path, the name of a variable, or a command line, by `kind`.

    A command line may hold a token of its own, so it is not shown.
    """

    id: str
    kind: Literal["file", "env", "command"]
    where: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> SecretSpec:
        """Parse `id=NAME,src=FILE`, `…,env=VARIABLE` or `…,cmd=COMMAND`; raises `UsageError`.

        A comma ends a value only where a known name and `=` follow; a `cmd` takes the rest of the text. `id=NAME` alone
        means the variable of that name where there is one, otherwise the file.
        """
        parts = _parts(text)
        name = parts.pop("id", None)
        kind = parts.pop("type", None)
        if name is None or not _ID.match(name):
            _refuse_foreign(name or "")
            raise UsageError("a --secret has no usable id", hint=_SECRET_USAGE)
        if not parts:
            return cls(id=name, kind="env" if name in os.environ else "file", where=name)
        if len(parts) > 1:
            raise UsageError(f"the secret {name!r} has two sources: {' and '.join(sorted(parts))}", hint=_SECRET_USAGE)
        key, where = parts.popitem()
        if not where:
            raise UsageError(f"the secret {name!r} has an empty {key}=", hint=_SECRET_USAGE)
        if kind not in (None, "file", "env"):
            raise UsageError(f"the secret {name!r} has the unknown type {kind!r}", hint=_SECRET_USAGE)
        # `type=env,src=NAME` is how other builders spell a variable.
        return cls(id=name, kind="env" if kind == "env" and key in ("src", "source") else _KINDS[key], where=where)


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    if command := _COMMAND.search(text):
        parts["cmd"] = text[command.end() :]
        text = text[: command.start()]
    found = list(_PART.finditer(text))
    if text and (not found or found[0].start() != 0):
        _refuse_foreign(text)
        raise UsageError("a --secret is written as KEY=VALUE words, and this one is not", hint=_SECRET_USAGE)
    for place, match in enumerate(found):
        if match[1] in parts:
            raise UsageError(f"a --secret has {match[1]}= twice", hint=_SECRET_USAGE)
        end = found[place + 1].start() if place + 1 < len(found) else len(text)
        parts[match[1]] = text[match.end() : end]
    return parts


def _refuse_foreign(text: str) -> None:
    """Raise `UsageError` that names the first key that there is not; nothing else of a secret's text is ever shown."""
    for match in _FOREIGN.finditer(text):
        if match[1] not in ("id", "type", *_KINDS):
            raise UsageError(f"a --secret has no key called {match[1]!r}", hint=_SECRET_USAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSpec:
    """One `--ssh`: `path` is an agent's socket or a private key, None for the agent of `SSH_AUTH_SOCK`."""

    id: str
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> SshSpec:
        """Parse `default`, `NAME=SOCKET` or `NAME=KEYFILE`; raises `UsageError`."""
        name, equals, path = text.partition("=")
        if not _ID.match(name) or (equals and not path):
            raise UsageError(f"not an ssh agent: {text!r}", hint=_SSH_USAGE)
        return cls(id=name, path=path if equals else None)

    def source(self) -> tuple[Literal["socket", "key"], str]:
        """Whether it is a socket to forward or a key to serve, and its path; raises `SourceInputError`."""
        path = self.path or os.environ.get("SSH_AUTH_SOCK")
        if not path:
            raise SourceInputError(f"there is no ssh agent for {self.id!r}: SSH_AUTH_SOCK is not set", hint=_SSH_USAGE)
        try:
            mode = Path(path).stat().st_mode
        except OSError as error:
            raise SourceInputError(f"the ssh agent {self.id!r} can't be used: {path}: {error.strerror}") from error
        if not (stat.S_ISSOCK(mode) or stat.S_ISREG(mode)):
            raise SourceInputError(f"the ssh agent {self.id!r} is neither a socket nor a key: {path}", hint=_SSH_USAGE)
        return ("socket" if stat.S_ISSOCK(mode) else "key"), path

    def check(self) -> None:
        """Raise `SourceInputError` where no agent listens, or the key can't be read. Whether a key has a passphrase is
        known only to an agent that takes it."""
        kind, path = self.source()
        try:
            if kind == "key":
                Path(path).open("rb").close()
                return
            import socket

            # A socket outlives the agent that made it.
            with socket.socket(socket.AF_UNIX) as asked:
                asked.settimeout(_AGENT_SECONDS)
                asked.connect(path)
        except OSError as error:
            reason = error.strerror or str(error)
            hint = "is the agent running?" if kind == "socket" else None
            raise SourceInputError(f"the ssh agent {self.id!r} can't be used: {path}: {reason}", hint=hint) from None


class SecretStore:
    """The secrets of one build: each is read when it is first asked for, once, and kept in memory only. Thread-safe."""

    def __init__(
        self, specs: Iterable[SecretSpec] = (), *, allow_short: bool = False, hidden: Mapping[str, bytes] | None = None
    ) -> None:
        """`hidden` are bytes that no step can mount and no output may show either, by what messages call them.

        Raises `UsageError` where two specs have one id.
        """
        self.hidden = hidden or {}
        self._specs: dict[str, SecretSpec] = {}
        self._values: dict[str, bytes] = {}
        self._allow_short = allow_short
        self._lock = Lock()
        self._reading: dict[str, Lock] = {}
        for spec in specs:
            if spec.id in self._specs:
                raise UsageError(f"the secret {spec.id!r} is given twice")
            self._specs[spec.id] = spec
            self._reading[spec.id] = Lock()

    def __repr__(self) -> str:
        return f"SecretStore({sorted(self._specs)})"

    def __iter__(self) -> Iterator[str]:
        """The ids of the secrets that were given."""
        return iter(self._specs)

    def __contains__(self, id: str) -> bool:  # noqa: A002 - the field's word
        return id in self._specs

    def get(self, id: str) -> bytes | None:  # noqa: A002
        """The bytes of a secret, None where it was not given.

        Raises `SourceInputError` where it can't be read, `UsageError` where it is too short to be searched for.
        """
        spec = self._specs.get(id)
        if spec is None:
            return None
        # A command may take its time; what else is known is redacted meanwhile.
        with self._reading[id]:
            with self._lock:
                if id in self._values:
                    return self._values[id]
            value = self._accepted(spec, _read(spec))
            _leave_no_core()
            with self._lock:
                return self._values.setdefault(id, value)

    def read(self, wanted: Mapping[str, Span | None], *, commands: bool = True) -> None:
        """Read those of the secrets that were given; raises as `get` does, with the place that asks for the secret.

        Without `commands`, those that a command prints wait until they are needed: it may ask a person something.
        """
        for each, span in wanted.items():
            if each in self._specs and (commands or self._specs[each].kind != "command"):
                try:
                    self.get(each)
                except PybuildError as error:
                    error.span = error.span or span
                    raise

    def check_files(self) -> None:
        """Raise `SourceInputError` for the first file that is not there, whether or not anything asks for it."""
        for spec in self._specs.values():
            if spec.kind == "file":
                with _reading(spec):
                    Path(spec.where).expanduser().stat()

    def known(self) -> dict[str, bytes]:
        """The secrets read so far: what output must not show."""
        with self._lock:
            return {**self.hidden, **self._values}

    def redact(self, text: str) -> str:
        """A text without the secrets read so far."""
        redactor = Redactor(self.known().values())
        data = redactor.write(text.encode("utf-8", "surrogateescape")) + redactor.flush()
        return data.decode("utf-8", "surrogateescape")

    def searchable(self) -> dict[str, bytes]:
        """The secrets read so far that are long enough to be searched for in a step's result."""
        return {name: value for name, value in self.known().items() if len(core(value)) >= MIN_LENGTH}

    def unsearchable(self) -> list[str]:
        """The ids of the secrets read so far that are too short: a build that has some must say so."""
        return sorted(set(self.known()) - set(self.searchable()) - set(self.hidden))

    def _accepted(self, spec: SecretSpec, value: bytes) -> bytes:
        if len(value) > MAX_BYTES:
            raise SourceInputError(f"the secret {spec.id!r} is larger than {MAX_BYTES // 1024} KiB")
        if len(core(value)) < MIN_LENGTH and not self._allow_short:
            raise UsageError(
                f"the secret {spec.id!r} has fewer than {MIN_LENGTH} bytes, too few to be told from ordinary text",
                hint="use a longer one, or --allow-short-secret, which switches the search for it off",
            )
        return value


def logins_of(variables: Mapping[str, str]) -> dict[str, bytes]:
    """The user and the password in each URL of these variables, as they stand there and as they are sent."""
    found: dict[str, bytes] = {}
    for name, value in variables.items():
        if login := _LOGIN.match(value):
            found[f"the password in {name}"] = raw = os.fsencode(login[1])
            if (plain := _unquoted(raw)) != raw:
                found[f"the password in {name}, as it is sent"] = plain
    return found


def _unquoted(text: bytes) -> bytes:
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text)


def _leave_no_core() -> None:
    """From now on neither this process nor what it starts leaves its memory in a core file.

    A limit of one byte also stops those that the kernel would pipe to a program, which a limit of 0 does not (core(5)).
    """
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (min(1, hard) if hard >= 0 else 1, hard))


def _read(spec: SecretSpec) -> bytes:
    if spec.kind == "env":
        value = os.environb.get(os.fsencode(spec.where))
        if value is None:
            raise SourceInputError(
                f"the secret {spec.id!r} comes from the variable {spec.where}, which is not set",
                hint=f"look at --secret id={spec.id},env={spec.where}",
            )
        return value
    return _read_file(spec) if spec.kind == "file" else _run_command(spec)


def _read_file(spec: SecretSpec) -> bytes:
    with _reading(spec), Path(spec.where).expanduser().open("rb") as source:
        return source.read(MAX_BYTES + 1)


@contextmanager
def _reading(spec: SecretSpec) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceInputError(
            f"the secret {spec.id!r} can't be read: {spec.where}: {error.strerror}",
            hint=f"look at --secret id={spec.id},src={spec.where}",
        ) from error
    except (RuntimeError, ValueError) as error:
        raise SourceInputError(f"the secret {spec.id!r} can't be read: not a path: {spec.where!r}") from error


def _run_command(spec: SecretSpec) -> bytes:
    """What the command prints, less the final newline. Its error output is thrown away, as it may quote the secret."""
    import shlex
    import subprocess

    environment = {name: os.environ[name] for name in _COMMAND_ENV if name in os.environ}
    try:
        process = subprocess.Popen(
            shlex.split(spec.where),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    except (OSError, ValueError, IndexError):
        # No `from error`: the cause would quote the command line.
        raise SourceInputError(
            f"the command for the secret {spec.id!r} can't be started",
            hint="it is split into words and run without a shell; write cmd=sh -c '…' where you need one",
        ) from None
    with process:
        output = _output(spec, process)
    if process.returncode != 0:
        raise SourceInputError(
            f"the command for the secret {spec.id!r} ended with status {process.returncode}",
            hint="run it by hand to see why; its output is not shown here",
        )
    return output.removesuffix(b"\n").removesuffix(b"\r")


def _output(spec: SecretSpec, process: subprocess.Popen[bytes]) -> bytes:
    from subprocess import TimeoutExpired

    try:
        return process.communicate(timeout=COMMAND_SECONDS)[0]
    except BaseException as error:
        # The command leads its own group, so what it started ends with it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if isinstance(error, TimeoutExpired):
            message = f"the command for the secret {spec.id!r} did not end within {COMMAND_SECONDS:.0f} seconds"
            raise SourceInputError(message) from None
        raise
