"""What a command line says about the whole build: labels, networks, limits, named contexts, grants."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from buildkit_py.cli.parser import Namespace
from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from buildkit_py.engine.options import Annotation
    from buildkit_py.graph.settings import Settings

NETWORK_HOST, INSECURE = "network.host", "security.insecure"
GRANTS = (NETWORK_HOST, INSECURE)
NETWORKS = ("default", "none", "host")
LIMITS = frozenset(
    {
        *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc"),
        *("rss", "rtprio", "rttime", "sigpending", "stack"),
    }
)
PROXIES = frozenset(f"{name}_proxy" for name in ("http", "https", "ftp", "all", "no"))
_KINDS = ("manifest", "index", "manifest-descriptor")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})\Z")
_ANNOTATED = re.compile(r"([a-z-]+)(?:\[([A-Za-z0-9_/-]+)\])?\Z")
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([kmgtp]?)(?:i?b)?\Z", re.ASCII | re.IGNORECASE)
_MAX_PLAN = 1 << 20


def settings_of(args: Namespace) -> Settings:
    """The settings that the arguments of a command make; raises `UsageError`."""
    from buildkit_py.graph.settings import Settings

    network = getattr(args, "network", None) or "default"
    return Settings(
        labels=pairs(getattr(args, "label", ()), "--label"),
        annotations={
            item.key: item.value
            for item in annotations_of(getattr(args, "annotation", ()))
            if item.kind == "manifest" and item.platform is None
        },
        network=_network(network),
        hosts=tuple(hosts_of(getattr(args, "add_host", ()))),
        limits=tuple(limits_of(getattr(args, "ulimit", ()))),
        shm_size=shm_size(getattr(args, "shm_size", None)),
        fresh=tuple(name for text in getattr(args, "no_cache_filter", ()) for name in text.split(",") if name),
        allow=grants_of(getattr(args, "allow", ()), network),
        layers=_layers(getattr(args, "layers", None), getattr(args, "squash", False)),
    )


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """`KEY=VALUE` words; a KEY alone has an empty value."""
    found = {}
    for text in texts:
        key, _, value = text.partition("=")
        if not key:
            raise UsageError(f"can't read {option} {text!r}", hint=f"write {option} KEY=VALUE")
        found[key] = value
    return found


def build_args(texts: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """`--build-arg NAME=VALUE`; a NAME alone has the value of the environment, and is left out where that has none."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name:
            raise UsageError(f"can't read --build-arg {text!r}", hint="write --build-arg NAME=VALUE")
        if equals:
            found[name] = value
        elif name in environ:
            found[name] = environ[name]
    return found


def proxies_of(arguments: Mapping[str, str]) -> dict[str, str]:
    """The proxy variables among build arguments, in both cases."""
    return {name: value for name, value in arguments.items() if name.lower() in PROXIES and name in _cases(name)}


def _cases(name: str) -> tuple[str, str]:
    return name.lower(), name.upper()


def annotations_of(texts: Iterable[str]) -> tuple[Annotation, ...]:
    """`[KIND[PLATFORM],…:]KEY=VALUE`; raises `UsageError`."""
    return tuple(item for text in texts for item in _annotations(text))


def _annotations(text: str) -> Iterator[Annotation]:
    from buildkit_py.engine.options import Annotation

    hint = "write --annotation KEY=VALUE, or index:KEY=VALUE, or manifest[linux/arm64]:KEY=VALUE"
    name, equals, value = text.partition("=")
    kinds, colon, key = name.partition(":")
    if not colon:
        kinds, key = "manifest", name
    if not equals or not key:
        raise UsageError(f"can't read --annotation {text!r}", hint=hint)
    for kind in kinds.split(","):
        found = _ANNOTATED.match(kind)
        if found is not None and found[1] == "index-descriptor":
            raise UsageError(
                f"--annotation {text!r}: what would hold the descriptor of an index is not written", hint=hint
            )
        if found is None or found[1] not in _KINDS:
            raise UsageError(f"--annotation {text!r}: nothing is called {kind!r}", hint=hint)
        platform = _platform(found[2]) if found[2] else None
        yield Annotation(kind=cast("Literal['manifest']", found[1]), key=key, value=value, platform=platform)


def _platform(text: str) -> str:
    from buildkit_py.platform import Platform

    return str(Platform.parse(text))


def _network(text: str) -> Literal["default", "none", "host"]:
    if text not in NETWORKS:
        raise UsageError(
            f"--network can't be {text!r}", hint="it is one of default, none, host; there is no daemon with others"
        )
    return cast("Literal['default', 'none', 'host']", text)


def hosts_of(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """`NAME:IP` or `NAME=IP`, several parted by commas; an address may be in brackets. Raises `UsageError`."""
    for text in texts:
        name = ""
        for part in text.split(","):
            head, address = _host(part, text) if not name or _names_host(part) else (name, part)
            name = head
            yield name, _address(address, text)


def _names_host(part: str) -> bool:
    """Whether an item begins anew, and is not one more address of the name before it."""
    head = re.split("[=:]", part, maxsplit=1)[0]
    return "=" in part or (":" in part and not part.startswith(("[", ":")) and not _is_address(part) and bool(head))


def _host(part: str, text: str) -> tuple[str, str]:
    split = "=" if "=" in part else ":"
    name, found, address = part.partition(split)
    if not found or not _HOST.match(name):
        raise UsageError(f"can't read --add-host {text!r}", hint="write --add-host NAME:IP, as db:10.0.0.5")
    return name, address


def _address(text: str, whole: str) -> str:
    if text == "host-gateway":
        raise UsageError(
            f"--add-host {whole!r}: there is no gateway, as steps use the network of this machine itself",
            hint="write 127.0.0.1 in place of host-gateway",
        )
    address = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not _is_address(address):
        raise UsageError(f"--add-host {whole!r}: not an address: {text!r}", hint="write --add-host NAME:IP")
    return address


def _is_address(text: str) -> bool:
    from ipaddress import ip_address

    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def limits_of(texts: Iterable[str]) -> list[tuple[str, int, int]]:
    """`NAME=SOFT[:HARD]`, the last of each name; -1 is no limit. Raises `UsageError`."""
    return list({limit[0]: limit for limit in map(_limit, texts)}.values())


def _limit(text: str) -> tuple[str, int, int]:
    name, _, values = text.partition("=")
    if name not in LIMITS:
        from buildkit_py.cli.near import hint

        raise UsageError(
            f"--ulimit {text!r}: there is no limit called {name!r}",
            hint=hint(name, LIMITS) or f"limits are {', '.join(sorted(LIMITS))}",
        )
    soft, colon, hard = values.partition(":")
    if not all(re.fullmatch(r"-1|\d{1,19}", number, re.ASCII) for number in ([soft, hard] if colon else [soft])):
        raise UsageError(f"can't read --ulimit {text!r}", hint="write --ulimit NAME=SOFT or NAME=SOFT:HARD")
    low, high = int(soft), int(hard if colon else soft)
    if high != -1 and (low == -1 or low > high):
        raise UsageError(f"--ulimit {text!r}: the soft limit is above the hard one", hint="write the lower one first")
    return name, low, high


def shm_size(text: str | None) -> int | None:
    """Bytes; raises `UsageError`."""
    return None if text is None else bytes_of(text, "--shm-size") or None


def bytes_of(text: str, option: str) -> int:
    """Bytes, from a number with b, k, m, g (binary); raises `UsageError`."""
    found = _SIZE.match(text)
    size = int(float(found[1]) * 1024 ** " kmgtp".index(found[2].lower() or " ")) if found else 0
    if found is None or (size == 0 and float(found[1]) != 0):
        raise UsageError(f"can't read {option} {text!r}", hint="write a number of bytes, or one with k, m or g: 64m")
    return size


def grants_of(texts: Iterable[str], network: str = "default") -> frozenset[str]:
    """What `--allow` grants; a host network that is asked for by its own option is granted by that."""
    wanted = [part.strip() for text in texts for part in text.split(",")]
    for grant in wanted:
        if grant not in GRANTS:
            from buildkit_py.cli.near import hint

            raise UsageError(
                f"--allow can't grant {grant!r}", hint=hint(grant, GRANTS) or f"it grants {' and '.join(GRANTS)}"
            )
    return frozenset(wanted) | ({NETWORK_HOST} if network == "host" else frozenset())


def _layers(text: str | None, squash: bool) -> str:
    if text is not None and squash:
        raise UsageError("--layers and --squash exclude each other", hint="--squash is one layer above the base")
    if text in (None, "stage"):
        return "squash" if squash else text or ""
    path = Path(text or "")
    if path.suffix != ".toml":
        raise UsageError(f"--layers can't be {text!r}", hint="write --layers stage, or --layers PLAN.toml")
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_MAX_PLAN)
    except (OSError, ValueError) as error:
        raise UsageError(f"the plan {text} can't be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
