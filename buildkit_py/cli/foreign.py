"""What a command line written for another builder asks for that means nothing here: accepted, and said once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from buildkit_py.cli.arguments import CLASSIC_SWITCHES, CLASSIC_VALUES
from buildkit_py.cli.outputs import outputs_of
from buildkit_py.cli.parser import Namespace

_OFF = frozenset({"", "false", "0"})


def notes(args: Namespace) -> list[str]:
    """One line for each kind of thing that is passed over."""
    return list(_notes(args))


def _notes(args: Namespace) -> Iterator[str]:
    outputs = outputs_of(args.output, tags=args.tag)
    if without := [name for name in _classic() if getattr(args, _attribute(name), None)]:
        yield f"{', '.join(without)}: means nothing here, as there is no daemon and no container to configure"
    for name, needed in (("memory_swap", "memory"), ("cpu_period", "cpu_quota")):
        if getattr(args, name) and not getattr(args, needed):
            yield f"--{name.replace('_', '-')}: changes nothing without --{needed.replace('_', '-')}"
    yield from _caches(args)
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


def _caches(args: Namespace) -> Iterator[str]:
    for option, texts in (("--cache-from", args.cache_from), ("--cache-to", args.cache_to)):
        if not texts:
            continue
        from buildkit_py.cli.caches import caches_of

        found = caches_of(texts, option)
        yield from (f"{option} {text}: passed over; {instead}" for text, instead in found.passed)
        if found.idle:
            yield f"{', '.join(found.idle)} in {option}: changes nothing here"


def _classic() -> Iterator[str]:
    yield from CLASSIC_SWITCHES
    yield from (names.split()[0] for names in CLASSIC_VALUES)


def _attribute(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


def _asked(texts: Sequence[str]) -> bool:
    return any(text.lower() not in _OFF and "disabled=true" not in text.lower() for text in texts)
