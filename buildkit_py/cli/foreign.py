"""What a command line written for another builder asks for that means nothing here: accepted, and said once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from buildkit_py.cli.arguments import CLASSIC_SWITCHES, CLASSIC_VALUES
from buildkit_py.cli.outputs import outputs_of
from buildkit_py.cli.parser import Namespace
from buildkit_py.errors import UsageError

_CACHE = "write a reference, or type=registry,ref=…, type=local,src=…, type=inline, type=gha, …"
_OFF = frozenset({"", "false", "0"})


def notes(args: Namespace) -> list[str]:
    """One line for each kind of thing that is passed over."""
    return list(_notes(args))


def _notes(args: Namespace) -> Iterator[str]:
    outputs = outputs_of(args.output, tags=args.tag)
    if without := [name for name in _classic() if getattr(args, _attribute(name), None)]:
        yield f"{', '.join(without)}: means nothing here, as there is no daemon and no container to configure"
    if shared := [text for text in (*args.cache_from, *args.cache_to) if not _is_local_store(text)]:
        given = {"--cache-from": args.cache_from, "--cache-to": args.cache_to}
        named = [name for name, texts in given.items() if not all(map(_is_local_store, texts))]
        yield (
            f"{', '.join(named)}: the cache is in the store of this machine; "
            f"sharing it ({', '.join(shared)}) comes with a later version"
        )
    if attested := [name for name in ("provenance", "sbom", "attest") if _asked(getattr(args, name))]:
        yield f"{', '.join(f'--{name}' for name in attested)}: no attestation is made by this version"
    if args.builder:
        yield "--builder: pybuild builds in this process, there is none to choose"
    if args.load or outputs.loads:
        names = ", ".join(args.tag) or "under its name"
        yield (
            f"the image is in the store of pybuild ({names}), there is no daemon to load it into; "
            "for one elsewhere: pybuild build -o docker:image.tar, then docker load -i image.tar"
        )
    if outputs.idle:
        yield f"{', '.join(outputs.idle)} in --output: changes nothing here"


def check_caches(texts: Sequence[str], option: str) -> None:
    """Raise `UsageError` for what names no cache."""
    for text in texts:
        fields = [part.partition("=") for part in text.split(",")]
        if "=" not in text:
            from buildkit_py.reference import Reference

            for name, _, _ in fields:
                Reference.parse(name)
        elif not all(name and equals for name, equals, _ in fields) or "type" not in [name for name, _, _ in fields]:
            raise UsageError(f"can't read {option} {text!r}", hint=_CACHE)


def _classic() -> Iterator[str]:
    yield from CLASSIC_SWITCHES
    yield from (names.split()[0] for names in CLASSIC_VALUES)


def _attribute(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


def _asked(texts: Sequence[str]) -> bool:
    return any(text.lower() not in _OFF and "disabled=true" not in text.lower() for text in texts)


def _is_local_store(text: str) -> bool:
    """An inline cache is the image itself, which the store keeps."""
    return "type=inline" in text.split(",")
