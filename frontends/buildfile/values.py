"""Checks of single values, the same for one that is written as it is and one that is computed. Each takes the text
and where it stands, and gives it back in its normal form."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

from buildkit_py.digest import Digest
from buildkit_py.errors import GraphError, IntegrityError, UsageError
from buildkit_py.graph import check
from buildkit_py.graph.resources import LEAST
from buildkit_py.platform import Platform
from buildkit_py.reference import LOCAL, Reference, is_local
from buildkit_py.source import Span
from frontends.buildfile.text import fault
from frontends.buildfile.words import closest

Check = Callable[[str, Span], str]

_DURATION = re.compile(r"(?:\d+(?:ms|s|m|h))+\Z")
_PART = re.compile(r"(\d+)(ms|s|m|h)")
_UNITS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_SIZE = re.compile(r"(\d{1,15})([kmg]?)\Z", re.IGNORECASE)
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?\Z")
_MOST_PORTS = 1000
_SIGNALS = frozenset(
    {
        *("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE"),
        *("ALRM", "TERM", "STKFLT", "CHLD", "CLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ"),
        *("VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS", "RTMIN", "RTMAX"),
    }
)
_REALTIME = re.compile(r"(?:RTMIN\+|RTMAX-)\d{1,2}\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_REMOTE = re.compile(r"https?://[^\s/]+/\S*\Z")
_GIT = re.compile(r"(?:https?|ssh|git|file)://[^\s]+\Z|[A-Za-z0-9_.]+@[A-Za-z0-9.-]+:[^\s]+\Z")


def anything(text: str, span: Span) -> str:
    """No NUL."""
    if "\0" in text:
        raise fault("a text can't hold a NUL character", span)
    return text


def filled(text: str, span: Span) -> str:
    """Not empty."""
    if not text.strip():
        raise fault("this text is empty", span)
    return anything(text, span)


def path(text: str, span: Span) -> str:
    """An absolute path of the image, without `.` and `..`; a final `/` stays."""
    filled(text, span)
    if not text.startswith("/"):
        if text.startswith("~"):
            raise fault("`~` means nothing here", span, hint="write the whole path, as /root/…")
        raise fault(f"a path of the image begins with `/`: `{text}`", span, hint=f"write `/{text.removeprefix('./')}`")
    clean = posixpath.normpath("/" + text.lstrip("/"))
    return clean if not text.endswith("/") or clean == "/" else clean + "/"


def source(text: str, span: Span) -> str:
    """A path or glob of the context or of another tree, made absolute there; a final `/` stays."""
    filled(text, span)
    depth = 0
    for part in text.split("/"):
        depth += 0 if part in ("", ".") else -1 if part == ".." else 1
        if depth < 0:
            raise fault(
                f"`{text}` leaves the directory of the build",
                span,
                hint="copy from inside it, or build in the directory above with `-f`",
            )
    clean = posixpath.normpath("/" + text.lstrip("/"))
    is_directory = text.endswith(("/", "/.")) or text == "."
    return clean if not is_directory or clean == "/" else clean + "/"


def mode(text: str, span: Span) -> str:
    """An octal or symbolic mode."""
    return _graph(check.check_mode, text, span)


def copied_mode(text: str, span: Span) -> str:
    """A mode, or `keep`."""
    return text if text == "keep" else mode(text, span)


def octal(text: str, span: Span) -> str:
    """An octal mode of four digits."""
    if not re.match(r"[0-7]{3,4}\Z", text):
        raise fault(f"not an octal file mode: `{text}`", span, hint="write octal digits as 0644")
    return text.zfill(4)


def owner(text: str, span: Span) -> str:
    """`user[:group]`."""
    return _graph(check.check_owner, text, span)


def _graph(checker: Callable[[str], None], text: str, span: Span) -> str:
    try:
        checker(text)
    except GraphError as error:
        raise fault(error.message, span, hint=error.hint) from None
    return text


def capability(text: str, span: Span) -> str:
    """A capability of the kernel, without CAP_."""
    name = text.upper().removeprefix("CAP_")
    if name not in check.CAPABILITIES:
        near = closest(name, check.CAPABILITIES)
        hint = f"did you mean `{near}`?" if near else "write it as the kernel does, as MKNOD or NET_RAW"
        raise fault(f"there is no capability `{text}`", span, hint=hint)
    return name


def image(text: str, span: Span) -> str:
    """A normalised registry reference, or an image in a local directory or archive."""
    for scheme in LOCAL:
        if text.startswith(scheme):
            place = text.removeprefix(scheme)
            if not place or place.startswith(("/", "..")) or "/../" in place:
                raise fault(
                    f"`{scheme}` needs a path below the directory of the build",
                    span,
                    hint=f"write `{scheme}./base{'.tar' if 'archive' in scheme else ''}`",
                )
            return scheme + place.removeprefix("./")
    text = text.removeprefix("docker://")
    try:
        return str(Reference.parse(text))
    except (UsageError, IntegrityError) as error:
        raise fault(error.message, span, hint=error.hint) from None


def platform(text: str, span: Span) -> str:
    """A normalised platform."""
    try:
        return str(Platform.parse(text))
    except UsageError as error:
        raise fault(error.message, span, hint=error.hint) from None


def digest(text: str, span: Span) -> str:
    """A SHA-256 digest."""
    try:
        found = Digest.parse(text)
    except IntegrityError as error:
        raise fault(error.message, span, hint=error.hint) from None
    return str(found)


def url(text: str, span: Span) -> str:
    """An http or https URL of a file."""
    scheme, found, _ = text.partition("://")
    if found and scheme.isalpha() and scheme not in ("http", "https"):
        hint = "for a repository, write `git`" if scheme in ("git", "ssh") else "give its address on the web"
        raise fault(f"only http and https URLs can be fetched: `{text}`", span, hint=hint)
    if not _REMOTE.match(text):
        raise fault(f"not a URL: `{text}`", span, hint='write a whole address, as "https://example.org/tool.tar.gz"')
    return text


def repository(text: str, span: Span) -> str:
    """The URL of a git repository."""
    if not _GIT.match(text):
        raise fault(f"not the URL of a repository: `{text}`", span, hint='write "https://example.org/app.git"')
    return text


def revision(text: str, span: Span) -> str:
    """A branch, tag or commit."""
    if not text or text.startswith("-") or re.search(r"[\s~^:?*\[\\\0]|\.\.", text):
        raise fault(f"not a branch, tag or commit: `{text}`", span)
    return text


def port(text: str, span: Span) -> str:
    """`80`, `53/udp`, `8000-8010`."""
    ports(text, span)
    return text


def ports(text: str, span: Span) -> tuple[str, ...]:
    """Each port of a range as `number/protocol`; a config has no ranges."""
    match = _PORT.match(text)
    low, high = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (0, 0)
    if match is not None and 1 <= high < low:
        raise fault(f"a range of ports goes upwards: `{text}`", span, hint=f"write {high}-{low}")
    if match is None or not 1 <= low <= high <= 65535:
        raise fault(f"not a port: `{text}`", span, hint="write a number up to 65535, as 8080 or 53/udp")
    if high - low >= _MOST_PORTS:
        raise fault(f"a range has at most {_MOST_PORTS} ports, this has {high - low + 1}", span)
    return tuple(f"{number}/{match.group(3) or 'tcp'}" for number in range(low, high + 1))


def signal(text: str, span: Span) -> str:
    """The name of a signal of Linux, or its number."""
    name = text.removeprefix("SIG")
    if text.isdecimal() and 1 <= int(text) <= 64:
        return text
    if text.startswith("SIG") and (name in _SIGNALS or _REALTIME.match(name)):
        return text
    near = closest(name.upper(), _SIGNALS)
    raise fault(f"not a signal: `{text}`", span, hint=f"did you mean `SIG{near}`?" if near else "write it as SIGTERM")


def variable(text: str, span: Span) -> str:
    """The name of an environment variable."""
    if not _VARIABLE.match(text):
        raise fault(f"not the name of a variable: `{text}`", span, hint="a name is letters, digits and _")
    return text


def duration(text: str, span: Span) -> str:
    """`30s`, `1m30s`."""
    nanoseconds(text, span)
    return text


def nanoseconds(text: str, span: Span) -> int:
    """A duration as a number of nanoseconds."""
    if len(text) > 40 or not _DURATION.match(text):
        raise fault(f"not a time: `{text}`", span, hint="write it as 30s, 1m30s or 500ms")
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def size(text: str, span: Span) -> str:
    """`64m`, `1g`; gives bytes."""
    match = _SIZE.match(text)
    if match is None:
        raise fault(f"not a size: `{text}`", span, hint="write it as 64m or 1g")
    return str(int(match.group(1)) << {"": 0, "k": 10, "m": 20, "g": 30}[match.group(2).lower()])


def timeout(text: str, span: Span) -> str:
    """The time that a step may take; gives milliseconds."""
    return _limit("timeout", nanoseconds(text, span) // 10**6, text, span, "write it as 10m, 1h30m or 90s")


def memory(text: str, span: Span) -> str:
    """The memory that a step may have; gives bytes."""
    return _limit("memory", int(size(text, span)), text, span, "write it with a unit, as 512m or 2g")


def pids(text: str, span: Span) -> str:
    """The number of processes that a step may have."""
    number = int(text) if re.match(r"[0-9]{1,7}\Z", text) else 0
    return _limit("pids", number, text, span, "write a number, as 200")


def cpus(text: str, span: Span) -> str:
    """The processors that a step may keep busy; gives thousandths."""
    number = round(float(text) * 1000) if re.match(r"[0-9]{1,4}(?:\.[0-9]{1,3})?\Z", text) else 0
    return _limit("cpus", number, text, span, "write a number of processors, as 2 or 1.5")


def _limit(name: str, number: int, text: str, span: Span, hint: str) -> str:
    if number < LEAST[name]:
        raise fault(f"no step can do with `{name}({text})`", span, hint=hint)
    return str(number)


def count(text: str, span: Span) -> str:
    """A small number."""
    if not re.match(r"\d{1,4}\Z", text):
        raise fault(f"not a number: `{text}`", span, hint="write digits, as 1")
    return text


def truth(text: str, span: Span) -> str:
    """`true` or `false`."""
    if text not in ("true", "false"):
        raise fault(f"this is true or false, not `{text}`", span)
    return text


def sharing(text: str, span: Span) -> str:
    """How a cache directory is shared."""
    if text not in ("shared", "private", "locked"):
        near = closest(text, {"shared", "private", "locked"})
        hint = f"did you mean `{near}`?" if near else "write shared, private or locked"
        raise fault(f"a cache can't be `{text}`", span, hint=hint)
    return text


def place(text: str, span: Span) -> str:
    """The local path of an output, as written."""
    filled(text, span)
    if "://" in text:
        raise fault(
            f"this output is a file, not an address: `{text}`", span, hint='for a registry, write `output registry "…"`'
        )
    return posixpath.normpath(text)


def pushed(text: str, span: Span) -> str:
    """The reference that a registry output pushes to."""
    found = image(text, span)
    if is_local(found) or "@" in found:
        raise fault("a registry output needs a name and a tag", span, hint='write "registry.example/app:1.0"')
    return found


def stored(text: str, span: Span) -> str:
    """A name in the store."""
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}\Z", text):
        raise fault(f"not a name for the store: `{text}`", span, hint="write letters, digits and . _ - / :")
    return text


def program(text: str, span: Span) -> str:
    """The name of a program, without a directory."""
    if not re.match(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*\Z", text):
        raise fault(f"not the name of a program: `{text}`", span, hint="write it without a directory, as `tool(git)`")
    return text
