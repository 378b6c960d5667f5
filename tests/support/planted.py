"""A build that is given one random secret by every way in, and the search of all that is left afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from tests.support import bases
from tests.support.canary import found_in, holds, planted
from tests.support.command import Pybuild, Result

FRONTENDS = ("Buildfile", "Dockerfile")
WORD = "public-canary-word"
"""What is no secret, and must be found where the secret is looked for."""
PRINTS = r"""
cmp /run/secrets/from_file /c
test "$V" = "$(cat /c)"
test -S "$SSH_AUTH_SOCK"
grep -q 'Max core file size  *1 ' /proc/self/limits
echo "the word is $word" | tee /kept
echo "raw $V raw"
echo "on stderr $V" >&2
for before in '' x xx; do printf '%s%s' "$before" "$V" | base64 -w 0; echo; done
printf '%s' "$V" | od -A n -t x1 -v | tr -d ' \n'; echo
printf '%s' "$V" | od -A n -t x1 -v | tr -d ' \n' | tr a-f A-F; echo
printf '%s' "$V" | sed 's/%/%25/g;s,/,%2F,g;s/+/%2B/g;s/:/%3A/g'; echo
printf '%s' "$V" | head -c 9; printf '%s' "$V" | tail -c +10; echo
"""
"""Uses what was given and prints it in all forms, and across two writes."""
WAITS = """
touch /meet/up
while test -e /meet/up; do sleep 0.02; done
"""
STEALS = """
cp /c /stolen
ln -s "$V" /link
mkdir /meet/deep
cp /c /meet/deep/raw
printf 'x%s' "$V" | base64 > /meet/encoded
"""
_BUILDFILE = """buildfile 1
param word: string = ""
secret from_file
secret from_variable
secret from_command
image a {
    from "oci:base"
    with cache(/meet), secret(from_file), secret(from_variable, env: V), secret(from_command, target: /c), ssh
    run {
        @SCRIPT@
    }
    with secret(from_file, env: V), ssh, tool(ssh-add)
    host echo "on the host $V"; ssh-add -L > /dev/null
}
"""
_DOCKERFILE = """FROM base
ARG word
RUN --mount=type=cache,target=/meet --mount=type=secret,id=from_file --mount=type=secret,id=from_variable,env=V \\
    --mount=type=secret,id=from_command,target=/c --mount=type=ssh <<"END"
set -e
@SCRIPT@
END
"""
_TEXTS = {"Buildfile": _BUILDFILE, "Dockerfile": _DOCKERFILE}


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A directory to build in; the secret comes from a file, a variable and a command, `key` is of an ssh agent."""

    pybuild: Pybuild
    directory: Path
    secret: str
    key: str
    frontend: str = "Buildfile"

    @classmethod
    def make(cls, pybuild: Pybuild, tmp_path: Path, frontend: str = "Buildfile") -> Planted:
        """With the sources of the secret in `vault`, the one place below `tmp_path` where it may be."""
        vault, secret = tmp_path / "vault", planted()
        vault.mkdir()
        (vault / "file").write_text(secret)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", vault / "key"], check=True)
        bases.place("tiny", tmp_path / "project/base")
        return cls(
            pybuild=pybuild.having(VARIABLE=secret),
            directory=tmp_path / "project",
            secret=secret,
            key=(vault / "key").read_text().splitlines()[2],
            frontend=frontend,
        )

    @property
    def arguments(self) -> tuple[str, ...]:
        """What gives the secret, by every way in."""
        vault = self.directory.parent / "vault"
        named = {
            "from_file": f"src={vault}/file",
            "from_variable": "env=VARIABLE",
            "from_command": f"cmd=cat {vault}/file",
        }
        given = [word for name, source in named.items() for word in ("--secret", f"id={name},{source}")]
        word = "--param" if self.frontend == "Buildfile" else "--build-arg"
        base = () if self.frontend == "Buildfile" else ("--build-context", "base=oci-layout://base")
        return (*given, "--ssh", f"default={vault}/key", word, f"word={WORD}", *base)

    def words(self, *arguments: str) -> list[str]:
        """The build, as words after the program's name."""
        return ["build", "-f", self.frontend, "--progress", "json", *self.arguments, *arguments, "."]

    def write(self, *scripts: str) -> None:
        """Write the build file, whose one step does all this."""
        text = _TEXTS[self.frontend].replace("@SCRIPT@", "".join(scripts).strip())
        (self.directory / self.frontend).write_text(text)

    def build(self, *arguments: str) -> Result:
        """Build, however it ends."""
        return self.pybuild(*self.words(*arguments), cwd=self.directory)

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A build whose step has arrived where it waits."""
        command = [sys.executable, "-m", "buildkit_py.cli", *self.words(*arguments)]
        with subprocess.Popen(
            command,
            cwd=self.directory,
            env=self.pybuild.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            while self._arrived() is None:
                assert process.poll() is None, process.stdout and process.stdout.read()
                Event().wait(0.02)
            yield process

    def left(self) -> list[Path]:
        """Where the secret or the key is, but for the places that it came from."""
        home = self.directory.parent
        places = [each for each in home.iterdir() if each.name != "vault"]
        files = [each for each in places if each.is_file() and holds(each.read_bytes(), self.secret, self.key)]
        return [*files, *(path for each in places if each.is_dir() for path in found_in(each, self.secret, self.key))]

    def said(self, result: Result) -> bool:
        """Whether a command printed it."""
        return holds(result.output.encode(), self.secret, self.key)

    @contextmanager
    def watched(self) -> Iterator[set[str]]:
        """The processes, by name, that hold the secret in a command line or an environment while the step waits."""
        seen: set[str] = set()
        over = Event()

        def look() -> None:
            while not over.wait(0.02):
                if (up := self._arrived()) is not None:
                    seen.update(_holders(self.secret, self.key))
                    up.unlink()

        watcher = Thread(target=look)
        watcher.start()
        try:
            yield seen
        finally:
            over.set()
            watcher.join()

    def _arrived(self) -> Path | None:
        return next(self.pybuild.store.glob("caches/*/*/up"), None)


def _holders(*values: str) -> Iterator[str]:
    """pybuild itself is left out: it and its forks have the environment that it was started with."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "comm").read_text().strip()
            found = {part: (process / part).read_bytes() for part in ("cmdline", "environ")}
        except OSError:
            continue
        if b"\0buildkit_py.cli\0" in found["cmdline"]:
            del found["environ"]
        yield from (f"{part} of {name}" for part, data in found.items() if holds(data, *values))
