"""`python -m bench`: measure, and write RESULTS.md, results.jsonl and results.svg."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench import bases
from bench.bounds import bounds
from bench.picture import draw
from bench.report import report
from bench.results import Results, regressions, row
from bench.run import Bench
from bench.tools import Buildah, Docker, Pybuild, Tool
from bench.workloads import CASES, Case
from tests.support import cache
from tests.support.dockerd import serve_dockerd
from tests.support.registry import serve_registry

_HERE = Path(__file__).parent
_LOOKS = 2
"""How often the bounds are measured between the cases."""


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line asks for."""
    options = _parser().parse_args(words)
    if options.compare and options.against:
        return _compare(options.compare, options.against)
    if options.draw:
        return _written(options.out, options.out / "results.jsonl")
    chosen = [case for case in CASES if not options.only or any(case.name.startswith(name) for name in options.only)]
    chosen = [case for case in chosen if _rounds(case, options)]
    directory = options.out
    directory.mkdir(parents=True, exist_ok=True)
    lines = directory / "results.jsonl"
    with lines.open("w") as out, _bench(options.quick, options.alone) as bench:
        out.write(json.dumps(_about(bench)) + "\n")
        for number, case in enumerate(chosen):
            for each in bench.run(case, _rounds(case, options), lambda text: print(text, flush=True)):
                out.write(row("case", each.case, each.sample, tool=each.tool, round=each.round))
                out.flush()
            if not options.only and number % (len(chosen) // _LOOKS) == 0:
                for name, sample in bounds(bench.root, bench.scale):
                    out.write(row("bound", name, sample))
    _written(directory, lines)
    return _compare(options.compare, lines) if options.compare else 0


def _written(directory: Path, lines: Path) -> int:
    """Write the page and the picture."""
    results = Results.read(lines)
    (directory / "results.svg").write_text(draw(results.lines))
    (directory / "RESULTS.md").write_text(report(results, "results.svg"))
    print(f"{directory / 'RESULTS.md'}: {sum(line.met is False for line in results.lines)} targets missed")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds, and a tenth of the bytes")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="cases whose names begin so, as W1 or 'W3 cold oci'")
    parser.add_argument("--rounds", type=int, help="rounds of every case")
    parser.add_argument("--alone", action="store_true", help="pybuild without its peers")
    parser.add_argument("--out", type=Path, default=_HERE, help="where the results go (default: bench/)")
    parser.add_argument("--draw", action="store_true", help="measure nothing: write the page anew from results.jsonl")
    parser.add_argument("--compare", type=Path, metavar="OLD.jsonl", help="say what became slower since")
    parser.add_argument("--against", type=Path, metavar="NEW.jsonl", help="with --compare: measure nothing")
    return parser


def _rounds(case: Case, options: argparse.Namespace) -> int:
    return options.rounds or (case.quick if options.quick else case.runs)


@contextmanager
def _bench(quick: bool, alone: bool) -> Iterator[Bench]:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=cache.directory())))
        registry = stack.enter_context(serve_registry(root / "registry")).name
        names = {name: bases.push(name, registry) for name in bases.NAMES}
        pybuild, peers = Pybuild(root=root / "pybuild", registry=registry), list[Tool]()
        if not alone:
            peers += [Buildah(root=root / kind, registry=registry, isolation=kind) for kind in ("runc", "chroot")]
            docker = root / "docker"
            peers.append(Docker(root=docker, daemon=stack.enter_context(serve_dockerd(docker))))
        bench = Bench(
            root=root, registry=registry, bases=names, pybuild=pybuild, peers=peers, scale=0.1 if quick else 1.0
        )
        try:
            yield bench
        finally:
            for tool in (pybuild, *peers):
                tool.empty()


def _about(bench: Bench) -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=_HERE, capture_output=True, text=True)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit.stdout.strip(),
        "machine": f"{os.cpu_count()} cores, {memory} GiB, {system}",
        "scale": bench.scale,
        "tools": [(tool.name, tool.version(), tool.flushes) for tool in (bench.pybuild, *bench.peers)],
    }


def _compare(old: Path, new: Path) -> int:
    worse = list(regressions(Results.read(old), Results.read(new)))
    for name, before, now in worse:
        print(f"{name}: {now:.2f} of the best peer, {before:.2f} before")
    print(f"{len(worse)} rows became slower by more than a tenth")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
