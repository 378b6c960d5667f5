"""What the machine itself takes for the parts that no builder can leave out: the lower bounds of the rows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.measure import PATH, Sample, Work, measure
from bench.workloads import W1, W3, W4R, W4T, W9

_ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C.UTF-8"}


def bounds(root: Path, scale: float) -> Iterator[tuple[str, Sample]]:
    """Name and sample of each bound, once."""
    place = root / "bound"
    place.mkdir()
    small, many, noise, prose, unused = (work.make(scale) for work in (W1, W3, W4R, W4T, W9))
    commands = {
        "W1 read all files": f"find {small} -type f -print0 | xargs -0 cat | wc -c",
        "W3 read all files": f"find {many} -type f -print0 | xargs -0 cat | wc -c",
        "W3 copy all files": f"cp -r {many} copy",
        "W3 tar": f"tar -cf out.tar -C {many} .",
        "W3 tar, gzip -6": f"tar -czf out.tar.gz -C {many} .",
        "W3 tar, zstd -3": f"tar --zstd -cf out.tar.zst -C {many} .",
        "W4r read": f"cat {noise}/big | wc -c",
        "W4r copy": f"cp {noise}/big copy",
        "W4r sha256sum": f"sha256sum {noise}/big",
        "W4r gzip -6": f"gzip -6 -c {noise}/big > out.gz",
        "W4t gzip -6": f"gzip -6 -c {prose}/big > out.gz",
        "W4t zstd -3": f"zstd -q -3 -c {prose}/big > out.zst",
        "W9 stat all files": f"find {unused} -newermt 2100-01-01",
    }
    for name, command in commands.items():
        work = Work(commands=(("sh", "-c", command),), directory=place, environment=_ENVIRONMENT)
        yield name, measure(work, root / "log")
        shutil.rmtree(place)
        place.mkdir()
    place.rmdir()
