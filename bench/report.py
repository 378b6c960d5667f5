"""`RESULTS.md`: the table, what it was measured on, and the picture beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.limits import LIMITS
from bench.results import Figure, Line, Results

_W10 = ("W3 cold", "W3 cold oci", "W4r cold", "W4r cold oci", "W4t cold", "W4t cold oci")
_MOST = 100
"""MiB."""


def report(results: Results, picture: str) -> str:
    """The page."""
    return "\n".join(_page(results, picture)) + "\n"


def _page(results: Results, picture: str) -> Iterator[str]:
    about = results.about
    yield "# Results of the benchmark"
    yield ""
    yield f"{about['date']}, commit {about['commit']}, {about['machine']}."
    yield from (f"- {name}: {version}. On the disk at the end: {flushes}." for name, version, flushes in about["tools"])
    yield ""
    yield "Seconds of the whole client, from start to exit: medians (fastest to slowest). The ratio is pybuild to the"
    yield "best peer of the same run. Daemons were up before. `oci` rows write an OCI archive too; docker's has layers"
    yield "that are not compressed. *listed* is a newer BuildKit on another machine of this kind, not part of the run."
    yield ""
    yield "The thirty equal steps of W5 have one key in pybuild, as none changes anything: it runs the first and"
    yield "knows the others. That row says little of what a step costs."
    yield ""
    yield f"![ratio to the best peer]({picture})"
    yield ""
    names = sorted({figure.tool for line in results.lines for figure in line.peers})
    yield f"| case | pybuild | {' | '.join(names)} | ratio | target | met | listed |"
    yield f"|---|---|{'---|' * len(names)}---|---|---|---|"
    slow = [line for line in results.lines if (line.ratio or 0) > 1]
    for line in (*slow, *(line for line in results.lines if line not in slow)):
        yield _row(line, names)
    yield ""
    yield from _bounds(results.lines)
    yield "## Memory, bytes, processes"
    yield ""
    yield "Peak memory of the client's largest process, plus the daemons' peaks; megabytes handed to the file system;"
    yield "processes and threads started on the machine meanwhile."
    yield ""
    yield f"| case | pybuild | {' | '.join(names)} |"
    yield f"|---|---|{'---|' * len(names)}"
    for line in results.lines:
        figures = {figure.tool: figure for figure in line.peers}
        yield f"| {line.case.name} | {_rest(line.ours)} | {' | '.join(_rest(figures.get(name)) for name in names)} |"
    yield ""
    yield from _memory(results.lines)
    yield "## Lower bounds"
    yield ""
    yield "| work | seconds |"
    yield "|---|---|"
    yield from (f"| {name} | {seconds:.3f} |" for name, seconds in results.bounds.items())


def _bounds(lines: Sequence[Line]) -> Iterator[str]:
    """What stands in the way of the rows that missed."""
    missed = [line for line in lines if line.met is False]
    if missed:
        yield "## What bounds the rows that missed"
        yield ""
        yield "The figures are those of [PROFILES.md](PROFILES.md) and of `pybuild timings` after such a build."
        yield ""
        yield from (f"- **{line.case.name}**: {LIMITS.get(line.case.name, 'not known yet')}" for line in missed)
        yield ""


def _memory(lines: Sequence[Line]) -> Iterator[str]:
    """W10: the peaks of memory that have a target."""
    yield "W10, peak memory of client and daemons, in MiB:"
    yield ""
    yield "| case | pybuild | best peer | target | met |"
    yield "|---|---|---|---|---|"
    for line in lines:
        if line.case.name in _W10:
            ours, peers = _sum(line.ours), sorted(_sum(peer) for peer in line.peers)
            best = str(peers[0]) if peers else ""
            yield f"| {line.case.name} | {ours} | {best} | ≤ {_MOST} | {'yes' if ours <= _MOST else '**no**'} |"
    yield ""


def _sum(figure: Figure) -> int:
    return (figure.peak + figure.daemons) >> 20


def _row(line: Line, names: list[str]) -> str:
    figures = {figure.tool: figure for figure in line.peers}
    cells = [line.case.name, _time(line.ours), *(_time(figures.get(name)) for name in names)]
    cells.append("" if line.ratio is None else f"{line.ratio:.2f}")
    cells.append("" if line.case.target is None else f"≤ {line.case.target:g}")
    cells.append({None: "", True: "yes", False: "**no**"}[line.met])
    cells.append("" if line.case.listed is None else f"{line.case.listed:g}")
    return f"| {' | '.join(cells)} |"


def _time(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.median:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _rest(figure: Figure | None) -> str:
    if figure is None:
        return ""
    memory = f"{figure.peak >> 20}" + (f" + {figure.daemons >> 20}" if figure.daemons else "")
    return f"{memory} MiB, {figure.written / 1e6:.0f} MB, {figure.started}"
