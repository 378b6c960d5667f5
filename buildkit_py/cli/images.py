"""`pybuild ls` and `pybuild inspect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store
from buildkit_py.cli.shell import Shell

if TYPE_CHECKING:
    from buildkit_py.store import Store
    from buildkit_py.transfer.ends import Ends
    from buildkit_py.transfer.place import Place


_WORDS = {
    "Cmd": "command",
    "ExposedPorts": "expose",
    "WorkingDir": "workdir",
    "StopSignal": "stop_signal",
    "Volumes": "volume",
    "Labels": "label",
}
"""What a build file calls a field of the configuration, where that is not the field's name in lower case."""
_ESCAPED = "ArgsEscaped"
"""Means something on Windows alone; --json shows it."""
_HEALTH_TIMES = {"Interval": "interval", "Timeout": "timeout", "StartPeriod": "start_period"}


def prepare_ls(parser: Parser) -> None:
    """Add the arguments of `ls`."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only these; may hold * and ?, or be how a digest begins"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print only digests")
    add_json(parser)
    add_store(parser)


def run_ls(args: Namespace, shell: Shell) -> int:
    """List the named images."""
    with shell.store(args.store, make=False) as store:
        rows = [row for row in _rows(store) if _wanted(row, args.names)]
    if args.json:
        shell.print(json.dumps(rows, indent=2))
    elif args.quiet:
        for row in rows:
            shell.print(row["digest"])
    else:
        shell.write(_listing(rows) if rows else "no images\n")
    return 0


def _rows(store: Store) -> list[dict[str, Any]]:
    from buildkit_py.errors import PybuildError
    from buildkit_py.image.view import inspect_document

    rows = []
    for record in store.images.everywhere():
        row = {"name": record.name, "digest": record.descriptor["digest"], "created": record.created}
        row |= {"given": record.given, "store": str(record.place) if record.place else None}
        try:
            document = inspect_document(store, record.name)
            row |= {"size": document["size"], "platforms": [image["platform"] for image in document["images"]]}
        except PybuildError as error:
            # One damaged image must not hide the others.
            row |= {"size": None, "platforms": [], "error": error.message}
        rows.append(row)
    return sorted(rows, key=lambda row: str(row["name"]))


def _wanted(row: dict[str, Any], patterns: list[str]) -> bool:
    from fnmatch import fnmatchcase

    from buildkit_py.image.view import begins

    name = row["name"]
    # A name without a tag means all of its tags, as elsewhere.
    bare = name.rpartition(":")[0] if "/" not in name.rpartition(":")[2] else name
    return not patterns or any(
        fnmatchcase(name, text) or text == bare or begins(row["digest"], text) for text in patterns
    )


def _listing(rows: list[dict[str, Any]]) -> str:
    from buildkit_py.progress.text import clean, short_digest, size, table

    lines: list[tuple[str, ...]] = [("NAME", "PLATFORMS", "DIGEST", "SIZE", "NAMED")]
    for row in rows:
        lines.append(
            (
                clean(row["name"]),
                ", ".join(row["platforms"]) or "damaged: run `pybuild store check`",
                short_digest(row["digest"]),
                size(row["size"]) if row["size"] is not None else "?",
                _when(row["created"]),
            )
        )
    if any(row["store"] for row in rows):
        places = ["STORE", *(clean(row["store"] or "") for row in rows)]
        lines = [(*line, place) for line, place in zip(lines, places, strict=True)]
    return table(lines, right=frozenset({3}))


def _when(seconds: float) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def prepare_inspect(parser: Parser) -> None:
    """Add the arguments of `inspect`."""
    parser.add_argument(
        "name",
        metavar="NAME",
        help="a name in the store, or how a digest begins, or docker://REF, oci:DIR and the like (`pybuild help copy`)",
    )
    parser.add_argument("--platform", metavar="P", help="only this platform, as linux/arm64")
    parser.add_argument("--raw", action="store_true", help="print the manifest or index, byte for byte")
    parser.add_argument("--config", action="store_true", help="print the configuration, byte for byte")
    parser.add_argument("--format", metavar="TEMPLATE", help="print fields, as '{{.Digest}} {{json .Config.Env}}'")
    add_json(parser)
    add_store(parser)


def run_inspect(args: Namespace, shell: Shell) -> int:
    """Show one image, wherever it is."""
    from buildkit_py.cli.moving import platform_of
    from buildkit_py.transfer.ends import Ends
    from buildkit_py.transfer.look import raw_config, raw_document
    from buildkit_py.transfer.place import Place

    _one_way(args)
    platform = platform_of(args.platform)
    with Ends(lambda make: shell.store(args.store), Path()) as ends:
        place = Place.parse(args.name, Path())
        if args.raw or args.config:
            reader = ends.source(place).reader
            _write_bytes(shell, (raw_config if args.config else raw_document)(reader, platform))
            return 0
        document = _document(ends, place, args.platform)
    if args.json or args.format == "json":
        shell.print(json.dumps(document, indent=2, ensure_ascii=False))
    elif args.format is not None:
        _print_format(shell, args, document)
    else:
        shell.write("\n".join([_head(document), *(_image(image) for image in document["images"])]))
    return 0


def _one_way(args: Namespace) -> None:
    from buildkit_py.errors import UsageError

    given = {"--raw": args.raw, "--config": args.config, "--format": args.format is not None, "--json": args.json}
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise UsageError(f"{names[0]} and {names[1]} can't both be printed", hint="leave one of them out")


def _document(ends: Ends, place: Place, platform: str | None) -> dict[str, Any]:
    """An image as the options want it, from the store or from where it is."""
    from buildkit_py.image.view import inspect_document
    from buildkit_py.platform import Platform
    from buildkit_py.transfer.look import look

    if place.kind != "store":
        return look(ends.source(place).reader, Platform.parse(platform) if platform else None)
    document = inspect_document(ends.store(make=False), place.name or "")
    if platform:
        document["images"] = _of_platform(document, platform)
    return document


def _print_format(shell: Shell, args: Namespace, document: dict[str, Any]) -> None:
    """Fields of the document, and after it of one image: of this machine's platform, else of the first."""
    from buildkit_py.cli.template import fill
    from buildkit_py.platform import Platform

    images = document["images"]
    host = str(Platform.host())
    chosen = next((image for image in images if image["platform"] == host), images[0] if images else {})
    shell.print(fill(args.format, document, chosen))


def _write_bytes(shell: Shell, raw: bytes) -> None:
    """Bytes as they are, where the stream takes any and is no terminal."""
    binary = getattr(shell.out, "buffer", None)
    if binary is None or shell.out.isatty():
        shell.write(raw.decode(errors="replace"))
        return
    shell.out.flush()
    binary.write(raw)
    binary.flush()


def _of_platform(document: dict[str, Any], text: str) -> list[dict[str, Any]]:
    from buildkit_py.errors import NotFoundError
    from buildkit_py.platform import Platform

    platform = str(Platform.parse(text))
    found = [image for image in document["images"] if image["platform"] == platform]
    if not found:
        there = ", ".join(image["platform"] for image in document["images"])
        raise NotFoundError(f"{document['name']} has no image for {platform}", hint=f"it has {there}")
    return found


def _head(document: dict[str, Any]) -> str:
    from buildkit_py.progress.text import clean, size, table

    return table(
        [
            ("name", clean(document["name"])),
            ("digest", document["digest"]),
            ("type", clean(document["media_type"])),
            ("size", size(document["size"])),
        ]
    )


def _image(image: dict[str, Any]) -> str:
    from buildkit_py.progress.text import clean, short_digest, size, table

    about = [("digest", image["digest"]), ("created", clean(image["created"] or "-")), *_config(image["config"])]
    layers = [
        (clean(layer["name"]) or "-", short_digest(layer["digest"]), size(layer["size"])) for layer in image["layers"]
    ]
    return (
        f"{image['platform']}\n{table(about, indent='  ')}"
        f"  layers ({len(layers)}, {size(image['size'])}), lowest first\n"
        f"{table(layers, right=frozenset({2}), indent='    ')}"
    )


def _config(config: dict[str, Any]) -> list[tuple[str, str]]:
    """The configuration's fields that are set, in the words of a build file, one row a value."""
    from buildkit_py.progress.text import clean

    rows = []
    for field, value in config.items():
        if field == _ESCAPED:
            continue
        if field == "Healthcheck":
            texts = _healthcheck(value)
        elif isinstance(value, dict):
            texts = [f"{key}={item}" if isinstance(item, str) and item else key for key, item in sorted(value.items())]
        elif isinstance(value, list):
            texts = value if field == "Env" else [json.dumps(value, ensure_ascii=False)]
        else:
            texts = [str(value)] if value not in (None, "") else []
        rows += [
            (_WORDS.get(field, field.lower()) if number == 0 else "", clean(text)) for number, text in enumerate(texts)
        ]
    return rows


def _healthcheck(check: dict[str, Any]) -> list[str]:
    """The command, then how often and how long, in seconds."""
    kind, *words = check.get("Test") or ["NONE"]
    told = {"NONE": "none", "CMD": json.dumps(words, ensure_ascii=False), "CMD-SHELL": " ".join(words)}
    times = [
        f"{word} {check[field] / 1e9:g}s" for field, word in _HEALTH_TIMES.items() if isinstance(check.get(field), int)
    ]
    retries = [f"retries {check['Retries']}"] if check.get("Retries") else []
    return [told.get(kind, json.dumps([kind, *words])), *times, *retries]


LS = Command(
    "ls",
    usage="[options] [NAME ...]",
    about="List the images that have a name in the store.",
    examples=(
        ("pybuild ls", "all of them"),
        ("pybuild ls 'web*'", "those whose names begin with web"),
        ("pybuild ls --json", "for programs"),
    ),
    prepare=prepare_ls,
    run=run_ls,
)
INSPECT = Command(
    "inspect",
    usage="[options] NAME",
    about=(
        "Show an image: its platforms, configuration and layers. It may be in the store, in a registry, in a\n"
        "layout or in an archive; no layer is fetched."
    ),
    examples=(
        ("pybuild inspect web", "to read"),
        ("pybuild inspect web --platform linux/arm64 --json", "one platform, for programs"),
        ("pybuild inspect docker://python:3.12 --format '{{.Digest}} {{json .Config.Env}}'", "from a registry"),
        ("pybuild inspect oci:images:web --raw", "the manifest, byte for byte"),
    ),
    prepare=prepare_inspect,
    run=run_inspect,
)
