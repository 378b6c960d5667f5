"""An example, copied to where the test may write, built by the real command, and read by other tools."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import cache
from tests.support.command import ROOT, Pybuild, Result
from tests.support.trees import Unpacked, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A copy of `examples/<name>` in `directory`, and the arguments that each build of it gets."""

    pybuild: Pybuild
    directory: Path
    arguments: tuple[str, ...] = field(default=())

    @classmethod
    def copy(cls, pybuild: Pybuild, name: str, *arguments: str, into: Path) -> Example:
        """Copy an example; nothing in the checkout is written to."""
        directory = into / name
        shutil.copytree(ROOT / "examples" / name, directory)
        return cls(pybuild=pybuild, directory=directory, arguments=arguments)

    def build(self, *further: str) -> Result:
        """Build it, which must succeed."""
        return self.pybuild.ok("build", ".", "--progress", "plain", *self.arguments, *further, cwd=self.directory)

    def ran(self, *further: str) -> int:
        """Build it once more; gives how many steps had to run."""
        result = self.pybuild.ok("build", ".", "--progress", "json", *self.arguments, *further, cwd=self.directory)
        lines = (result.stdout + result.stderr).splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return next(int(event["ran"]) for event in events if event["event"] == "BuildDone")

    def archive(self, name: str) -> Unpacked:
        """What an OCI archive among the outputs holds."""
        return self._unpack(f"oci-archive:{self.directory / 'out' / name}")

    def layout(self, name: str = "") -> Unpacked:
        """What an OCI layout among the outputs holds (of several platforms, this machine's)."""
        return self._unpack(f"oci:{self.directory / 'out' / name}")

    def docker(self, name: str) -> Unpacked:
        """What a Docker archive among the outputs holds."""
        return self._unpack(f"docker-archive:{self.directory / 'out' / name}")

    def _unpack(self, source: str) -> Unpacked:
        place = self.directory.parent / f"read-{len(list(self.directory.parent.glob('read-*')))}"
        cache.run("skopeo", "copy", "--quiet", source, f"oci:{place}:latest")
        return unpack(place, place.with_name(f"{place.name}-bundle"))
