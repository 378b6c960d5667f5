"""What is built: contexts, Dockerfiles, and the cases that are timed, with the ratio to the best peer to be reached."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from bench import trees
from tests.support import cache


class Mode(Enum):
    """What is timed."""

    START = "start"
    COLD = "cold"
    """The tool's store was emptied."""
    NOOP = "noop"
    """Built before; nothing changed."""
    EDIT = "edit"
    """Built before; one file has new content."""
    PUSH = "push"
    """The built image goes to a new repository of the registry that holds its base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A context and a Dockerfile; `{tiny}` and the like stand for the names of bases."""

    id: str
    dockerfile: str = ""
    context: Callable[[Path, float], None] | None = None
    edited: str = ""
    """The file that gets new content before each round; the bytes of content are `edited_size`."""
    edited_size: int = 4096
    files: Mapping[str, str] = field(default_factory=dict)
    """Further files beside the Dockerfile."""

    def make(self, scale: float) -> Path:
        """The context's directory, made where it is not there yet; a smaller `scale` gives fewer files and bytes."""
        recipe = f"{inspect.getsource(sys.modules[__name__])}{inspect.getsource(trees)}{scale}"
        return cache.once(f"bench-{self.id}", recipe, lambda directory: self._fill(directory, scale))

    def _fill(self, directory: Path, scale: float) -> None:
        if self.context is not None:
            self.context(directory, scale)
        for name, text in self.files.items():
            (directory / name).write_text(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row: what of a workload is timed, and how far ahead of the best peer pybuild is to be.

    `listed` are the seconds of BuildKit 0.32 on another machine of this kind. `archive` asks for the result as an
    OCI archive with gzip layers too. `runtime` names what pybuild runs steps in, where the row is about that; one
    that is measured `alone` only stands beside another. `without` names peers whose result is another thing. `runs` and
    `quick` are rounds; where `quick` is 0, the quick run leaves the row out.
    """

    workload: Workload
    mode: Mode
    target: float | None
    runs: int
    quick: int
    archive: bool = False
    listed: float | None = None
    runtime: str = ""
    alone: bool = False
    without: tuple[str, ...] = ()
    jobs: int = 0
    label: str = ""

    @property
    def name(self) -> str:
        """As `W3 cold oci`."""
        kind = "oci" if self.archive else ""
        return " ".join(filter(None, (self.workload.id, self.mode.value, kind, self.label)))


def _small(directory: Path, scale: float) -> None:
    for number, (name, count) in enumerate((("deps", 1000), ("lib", 600), ("src", 400))):
        trees.tree(directory / name, 10 + number, count, 4500)


def _many(directory: Path, scale: float) -> None:
    trees.tree(directory / "files", 30, round(20_000 * scale), 4500)


def _noise(directory: Path, scale: float) -> None:
    trees.random_file(directory / "big", 40, round((1 << 30) * scale))


def _prose(directory: Path, scale: float) -> None:
    trees.text_file(directory / "big", 41, round((1 << 30) * scale))


def _real(directory: Path, scale: float) -> None:
    trees.packages(directory / "debs", 80, 12)
    trees.tree(directory / "app", 79, 500, 4500)


def _unused(directory: Path, scale: float) -> None:
    trees.tree(directory / "rest", 90, round(100_000 * scale), 1000)
    (directory / "a").write_bytes(trees.Text(91, 1000).take(1000))


W0 = Workload(id="W0")
W1 = Workload(
    id="W1",
    context=_small,
    edited="src/000/0/f07.txt",
    dockerfile="""\
FROM {tiny}
LABEL org.example.team=bench
ENV MODE=production
WORKDIR /app
COPY deps/ /app/deps/
RUN find /app/deps -type f | wc -l > /deps.count
COPY lib/ /app/lib/
RUN find /app/lib -type f | wc -l > /lib.count
ENV READY=yes
COPY src/ /app/src/
EXPOSE 8080
CMD ["sh"]
""",
)
W3 = Workload(id="W3", context=_many, dockerfile="FROM {tiny}\nCOPY files/ /files/\n")
W4R = Workload(id="W4r", context=_noise, dockerfile="FROM {tiny}\nCOPY big /big\n")
W4T = Workload(id="W4t", context=_prose, dockerfile="FROM {tiny}\nCOPY big /big\n")
W5 = Workload(id="W5", dockerfile="FROM {tiny}\n" + "RUN true\n" * 30)
W6 = Workload(
    id="W6",
    dockerfile="".join(f"FROM {{tiny}} AS s{n}\nRUN sleep 1; echo {n} > /out{n}\n" for n in range(8))
    + "FROM {tiny}\n"
    + "".join(f"COPY --from=s{n} /out{n} /\n" for n in range(8)),
)
W7 = Workload(id="W7", edited="payload", edited_size=10 << 20, dockerfile="FROM {big}\nCOPY payload /payload\n")
W8 = Workload(
    id="W8",
    context=_real,
    dockerfile="""\
FROM {debian}
ENV DEBIAN_FRONTEND=noninteractive
COPY debs/ /debs/
RUN dpkg -i /debs/*.deb && rm -rf /debs
WORKDIR /app
COPY app/ /app/
RUN find /app -type f | xargs sha256sum > /app.sums
ENV READY=yes
LABEL org.example.team=bench
EXPOSE 8080
ENTRYPOINT ["/bin/sh"]
CMD ["-c", "true"]
""",
)
W9 = Workload(id="W9", context=_unused, dockerfile="FROM {tiny}\nCOPY a /a\n")
W9S = Workload(
    id="W9s", context=_unused, files={".dockerignore": "**/*.txt\n"}, dockerfile="FROM {tiny}\nCOPY . /ctx/\n"
)

CASES = (
    Case(workload=W0, mode=Mode.START, target=None, runs=11, quick=5, listed=0.011),
    Case(workload=W1, mode=Mode.NOOP, target=0.6, runs=11, quick=3, listed=0.127),
    Case(workload=W1, mode=Mode.COLD, target=0.5, runs=5, quick=1, listed=1.12),
    Case(workload=W1, mode=Mode.EDIT, target=0.6, runs=9, quick=2, listed=0.296),
    Case(workload=W3, mode=Mode.COLD, target=0.15, runs=3, quick=1, listed=9.0),
    Case(workload=W3, mode=Mode.COLD, archive=True, target=0.12, runs=3, quick=1, listed=10.5),
    Case(workload=W4R, mode=Mode.COLD, target=0.35, runs=2, quick=1, listed=24.2),
    Case(workload=W4R, mode=Mode.COLD, archive=True, target=0.25, runs=3, quick=1, listed=32.4),
    Case(workload=W4T, mode=Mode.COLD, target=0.5, runs=2, quick=1, listed=53.4),
    # docker's archive is not compressed, which takes most of the time here.
    Case(workload=W4T, mode=Mode.COLD, archive=True, target=0.2, runs=2, quick=1, listed=44.0, without=("docker",)),
    Case(workload=W5, mode=Mode.COLD, target=0.55, runs=3, quick=0, listed=2.39, runtime="runc", label="runc"),
    Case(workload=W5, mode=Mode.COLD, target=None, runs=3, quick=1, runtime="crun", label="crun", alone=True),
    Case(workload=W5, mode=Mode.COLD, target=0.25, runs=3, quick=1, listed=2.39, runtime="bwrap", label="bwrap"),
    Case(workload=W6, mode=Mode.COLD, target=0.8, runs=3, quick=1, listed=1.54, jobs=8),
    Case(workload=W7, mode=Mode.COLD, target=0.1, runs=3, quick=1, listed=3.25, label="pull"),
    # By runc and by chroot buildah pushes alike, and one would find what the other has just sent.
    Case(workload=W7, mode=Mode.PUSH, target=1.0, runs=7, quick=2, listed=0.454, without=("buildah (chroot)",)),
    Case(workload=W8, mode=Mode.COLD, target=0.6, runs=3, quick=1, listed=4.98),
    Case(workload=W8, mode=Mode.COLD, archive=True, target=0.65, runs=3, quick=0, listed=4.72),
    Case(workload=W9, mode=Mode.COLD, target=0.8, runs=5, quick=2, listed=0.164),
    Case(workload=W9, mode=Mode.NOOP, target=1.0, runs=9, quick=3, listed=0.062),
    Case(workload=W9S, mode=Mode.COLD, target=0.6, runs=5, quick=2, listed=1.27),
    Case(workload=W9S, mode=Mode.NOOP, target=0.6, runs=9, quick=3, listed=1.07),
)
