"""One target under atheris: inputs are kept that reach what no earlier one reached, and mutated further.

`python -m tests.fuzz.guided NAME DIRECTORY SECONDS` works below DIRECTORY:

    corpus/   the inputs that reached something new; the next run begins with them
    seeds/    those that the target names itself
    found/    KIND.DIGEST, an input that broke the contract, the first of its kind; and what libFuzzer writes of its own

It goes on after a finding, and prints each as a line `FOUND FILE KIND`.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from random import Random

import atheris

MAX_BYTES = 1 << 16
_SECONDS = 30.0
"""For one input: instrumented code is some times slower."""
_MEMORY = 3072
_LONGEST = 100


class _Fuzz:
    """Feeds one target and notes what it finds."""

    def __init__(self, name: str, directory: Path) -> None:
        # What is imported in here, also later and lazily, tells which of its branches an input takes.
        with atheris.instrument_imports(include=["buildkit_py", "frontends"]):
            from tests.fuzz.contract import Finding, check
            from tests.fuzz.mutate import mutated
            from tests.fuzz.targets import TARGETS

            self._target, self._seeds = TARGETS[name], list(TARGETS[name].seeds())
            self._check, self._finding, self._mutated = check, Finding, mutated
            self._found = directory / "found"
            self._known: set[str] = set()
            for file in sorted(self._found.iterdir()):
                self._again(file)
            for number, data in enumerate(self._seeds):
                (directory / "seeds" / str(number)).write_bytes(data)
                self.one(data)

    def one(self, data: bytes) -> None:
        """One input."""
        try:
            self._check(self._target, data, seconds=_SECONDS)
        except self._finding as found:
            self._note(found, data)

    def _again(self, file: Path) -> None:
        """What an earlier run found is found still, or was mended and goes."""
        try:
            self._check(self._target, file.read_bytes(), seconds=_SECONDS)
        except self._finding as found:
            self._known.add(file.name.rpartition(".")[0])
            print(f"FOUND {file} {found}", flush=True)
        else:
            file.unlink()

    def mutate(self, data: bytes, most: int, seed: int) -> bytes:
        """Every other time by the form of the input, else as libFuzzer does it."""
        random = Random(seed)
        if random.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        return self._mutated(data, self._target.form, self._seeds, random)[:most]

    def _note(self, found: Exception, data: bytes) -> None:
        kind = re.sub(r"[^A-Za-z0-9_.-]+", "-", getattr(found, "kind", "finding"))[:_LONGEST]
        if kind not in self._known:
            self._known.add(kind)
            file = self._found / f"{kind}.{hashlib.sha256(data).hexdigest()[:12]}"
            file.write_bytes(data)
            print(f"FOUND {file} {found}", flush=True)


def main(name: str, directory: Path, seconds: int) -> None:
    """Feed a target for so many seconds."""
    for folder in ("corpus", "seeds", "found"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    fuzz = _Fuzz(name, directory)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_BYTES}",
        f"-timeout={2 * _SECONDS:.0f}",
        f"-rss_limit_mb={_MEMORY}",
        f"-artifact_prefix={directory / 'found'}/",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup(
        [sys.argv[0], *options, str(directory / "corpus"), str(directory / "seeds")],
        fuzz.one,
        custom_mutator=fuzz.mutate,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
