"""The machine's systemd, if it was booted with it: told of new units, and asked to start and stop them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from buildkit_py.errors import InfrastructureError, MissingToolError, UsageError

_BOOTED = Path("/run/systemd/system")
_PASSED = re.compile(r"(?:PATH|HOME|LANG|LC_.*|XDG_RUNTIME_DIR|DBUS_.*|SYSTEMD_.*)\Z")


class Systemd:
    """`quiet` leaves systemd as it is; so does a machine that was not booted with it (sd_booted(3))."""

    def __init__(self, *, quiet: bool = False, booted: Path = _BOOTED) -> None:
        self.booted = booted.is_dir()
        self._quiet = quiet

    @property
    def works(self) -> bool:
        """Whether anything will be told."""
        return self.booted and not self._quiet

    def need(self, option: str) -> None:
        """Raise `UsageError` where `option` asks for what can't be done."""
        if not self.works:
            why = "this machine was not booted with systemd" if not self.booted else "--no-reload leaves systemd alone"
            raise UsageError(f"{option}: {why}, so nothing can be started", hint=f"leave {option} out")

    def reload(self) -> None:
        """Have it read its units again."""
        self._run("daemon-reload")

    def start(self, unit: str) -> None:
        """Start a unit."""
        self._run("start", unit)

    def restart(self, unit: str) -> None:
        """Start a unit anew if it is active."""
        self._run("try-restart", unit)

    def stop(self, unit: str) -> None:
        """Stop a unit."""
        self._run("stop", unit)

    def state(self, unit: str) -> str | None:
        """`active`, `failed`, `inactive`, …; None where nobody knows."""
        if not self.works:
            return None
        return self._call("is-active", unit)[1].strip() or None

    def _run(self, *words: str) -> None:
        if not self.works:
            return
        code, _, said = self._call(*words)
        if code != 0:
            reason = said.strip().splitlines()[-1:] or [f"exit status {code}"]
            raise InfrastructureError(
                f"systemctl {' '.join(words)} failed: {reason[0]}",
                hint=f"`journalctl -u {words[-1]}` says more" if len(words) > 1 else None,
            )

    def _call(self, *words: str) -> tuple[int, str, str]:
        import subprocess

        passed = {name: value for name, value in os.environ.items() if _PASSED.match(name)}
        try:
            done = subprocess.run(
                ["systemctl", *words], env=passed, capture_output=True, stdin=subprocess.DEVNULL, check=False
            )
        except FileNotFoundError:
            raise MissingToolError("systemctl is not installed", hint="leave systemd alone with --no-reload") from None
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
