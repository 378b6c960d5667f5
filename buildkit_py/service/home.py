"""Where services are on the disk, and the one step that switches a service from one release to another.

    ROOT/NAME/place.json            where its unit is; a directory without it is no service, and is left alone
    ROOT/NAME/releases/ID/          rootfs/  config.json  release.json  unit
    ROOT/NAME/…/.pybuild-new-…/     being made; removed by the next command
    ROOT/NAME/state/VOLUME/         what the service keeps; NAME has the mode 0700, for set-user-id files are in it
    UNITS/NAME.service              names the release that counts; replaced by one rename

Whatever the unit does not name is nobody's, and goes. A whole command holds ROOT for itself.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from buildkit_py.errors import NotFoundError, StoreError, UsageError
from buildkit_py.image.staging import locked, sync, translated
from buildkit_py.service.names import is_name
from buildkit_py.service.settings import Release
from buildkit_py.service.unit import Switch
from buildkit_py.store.files import remove, sync_file_system

ROOT = Path("/var/lib/pybuild-services")
UNITS = Path("/etc/systemd/system")
_NEW = ".pybuild-new-"
_PLACE = "place.json"
_SYSTEM_UNITS = (
    *(f"{place}/systemd/system" for place in ("/run", "/usr/local/lib", "/usr/lib", "/lib")),
    *(f"/run/systemd/generator{when}" for when in (".early", "", ".late")),
)
_WANTS = "multi-user.target.wants"
_RUN = Path("/run")
_FORBIDDEN = "\n\r\0\\\"'"


class Home:
    """All services below one directory."""

    def __init__(self, root: Path) -> None:
        if any(char in str(root) for char in _FORBIDDEN) or not str(root).isprintable():
            raise UsageError(f"services can't be kept at {str(root)!r}", hint="name one without quotes and backslashes")
        self.root = root.absolute()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold all services for this process; what a killed one left is cleared away first."""
        with translated(self.root):
            self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
            with locked(self.root):
                for left in self.root.glob(f"{_NEW}*"):
                    remove(left)
                for service in self.services():
                    service.sweep()
                yield

    def services(self) -> list[Service]:
        """Those that are installed, and those of which something is left."""
        places = sorted(self.root.glob(f"*/{_PLACE}")) if self.root.is_dir() else []
        return [Service(self, path.parent.name) for path in places if is_name(path.parent.name)]

    def service(self, name: str) -> Service:
        """The service of that name, installed or not."""
        return Service(self, name)

    def is_foreign(self, name: str) -> bool:
        """Whether a unit of that name is the machine's or an administrator's, and no service from here."""
        unit = f"{name}.service"
        return self.service(name).switch() is None and (_machine_has(unit) or os.path.lexists(UNITS / unit))

    def installed(self, name: str) -> tuple[Service, Switch]:
        """An installed one; raises `NotFoundError`."""
        service = self.service(name)
        switch = service.switch()
        if switch is None:
            raise NotFoundError(f"no service {name!r} is installed", hint="`pybuild installed` lists those that are")
        return service, switch


class Service:
    """One service on the disk."""

    def __init__(self, home: Home, name: str) -> None:
        self.home = home
        self.name = name
        self.path = home.root / name
        self.state = self.path / "state"

    @property
    def unit(self) -> Path:
        """Its unit, where it was put."""
        place = _read(self.path / _PLACE) or {}
        return Path(place.get("units", UNITS)) / f"{self.name}.service"

    def put_at(self, units: Path) -> None:
        """Say where its unit is to be. Raises `UsageError` where another unit is called so."""
        unit = units / f"{self.name}.service"
        if _machine_has(unit.name):
            raise UsageError(
                f"the machine has a unit {unit.name} of its own, which would be hidden", hint="choose another --name"
            )
        if os.path.lexists(unit) and not self._is_ours(unit):
            raise UsageError(f"{unit} is there and is not of this service", hint="choose another --name, or remove it")
        units.mkdir(parents=True, exist_ok=True)
        place = {"units": str(units.absolute())}
        if (self.path / _PLACE).is_file():
            self.write(self.path / _PLACE, json.dumps(place))
            return
        if os.path.lexists(self.path):
            raise UsageError(f"{self.path} is there and is not of this service", hint="choose another --name or --root")
        with new_directory(self.home.root, self.name) as made:
            (made / "releases").mkdir(mode=0o700)
            (made / "state").mkdir(mode=0o700)
            (made / _PLACE).write_text(json.dumps({**place, "fresh": True}))

    def _is_ours(self, unit: Path) -> bool:
        found = _switch_in(unit)
        return found is not None and (found.service, found.root) == (self.name, str(self.home.root))

    def switch(self) -> Switch | None:
        """Which release counts; None where the service is not installed."""
        unit = self.unit
        return _switch_in(unit) if self._is_ours(unit) else None

    def bundle(self, release: str) -> Path:
        """The directory of a release."""
        return self.path / "releases" / release

    def release(self, identity: str) -> Release:
        """What a release is; raises `StoreError` where that can't be read."""
        plain = _read(self.bundle(identity) / "release.json")
        if plain is None:
            raise StoreError(f"the release {identity} of {self.name} is gone", hint="uninstall it and install it again")
        return Release.from_plain(plain)

    def commit(self, switch: Switch) -> None:
        """Have the unit run a release that is there: the switch."""
        text = (self.bundle(switch.release) / "unit").read_text()
        self.write(self.unit, switch.complete(text), mode=0o644)
        self._settle()

    def _settle(self) -> None:
        """Note that the service was installed, so that what it keeps is worth keeping."""
        place = _read(self.path / _PLACE) or {}
        if place.pop("fresh", False):
            self.write(self.path / _PLACE, json.dumps(place))

    def enable(self, wanted: bool) -> bool:
        """Have the unit start with the machine, or not, by the link of `systemctl enable`; whether that is new."""
        link = self._link
        if os.path.lexists(link) == wanted:
            return False
        if wanted:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(self.unit)
        else:
            link.unlink()
        sync(link.parent)
        return True

    @property
    def enabled(self) -> bool:
        """Whether it starts with the machine."""
        return os.path.lexists(self._link)

    @property
    def _link(self) -> Path:
        return self.unit.parent / _WANTS / self.unit.name

    def drop(self) -> None:
        """Take the unit away: from here on the service is not installed."""
        self.unit.unlink()
        sync(self.unit.parent)
        self.enable(False)

    def purge(self) -> None:
        """Remove what the service keeps."""
        if self.state.is_dir():
            remove(self.state)

    def sweep(self) -> None:
        """Remove what was not finished and what no unit names; all of a service of which nothing is left to keep."""
        switch = self.switch()
        if switch is None and not self.unit.parent.is_dir():
            # A disk that is not there now says nothing about what is installed.
            return
        wanted = {switch.release, switch.previous, self._running()} if switch else set()
        for directory in (self.path / "releases", self.state):
            for path in directory.iterdir() if directory.is_dir() else ():
                if path.name.startswith(_NEW) or (directory != self.state and path.name not in wanted):
                    remove(path)
        _scratch(self.unit).unlink(missing_ok=True)
        _scratch(self.path / _PLACE).unlink(missing_ok=True)
        if switch is None and not self.unit.exists():
            self.enable(False)
        if switch is not None:
            self._settle()
        elif (_read(self.path / _PLACE) or {}).get("fresh") or not any(self.state.glob("*")):
            remove(self.path)

    def _running(self) -> str | None:
        """The release that runs now, as runc has noted it: an older one where nobody restarted the service."""
        try:
            noted = json.loads((_RUN / f"pybuild-{self.name}" / self.name / "state.json").read_bytes())
            root, pid = Path(noted["config"]["rootfs"]), int(noted["init_process_pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return root.parent.name if Path(f"/proc/{pid}").exists() else None

    def write(self, path: Path, text: str, *, mode: int = 0o600) -> None:
        """Replace a file as a whole, durably."""
        scratch = _scratch(path)
        scratch.unlink(missing_ok=True)
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        scratch.rename(path)
        sync(path.parent)


@contextmanager
def new_directory(parent: Path, name: str) -> Iterator[Path]:
    """A directory to fill, which gets its name when the block ends well and all of it is on the disk."""
    scratch = parent / f"{_NEW}{secrets.token_hex(4)}"
    scratch.mkdir(mode=0o700)
    try:
        fd = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield scratch
            sync_file_system(fd)
        finally:
            os.close(fd)
        scratch.rename(parent / name)
    except BaseException:
        remove(scratch)
        raise
    sync(parent)


def _machine_has(unit: str) -> bool:
    return any(os.path.lexists(Path(place) / unit) for place in _SYSTEM_UNITS)


def _scratch(path: Path) -> Path:
    return path.with_name(f".{path.name}.pybuild")


def _switch_in(unit: Path) -> Switch | None:
    try:
        return Switch.read(unit.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} can't be read: {error}") from error
    if not isinstance(plain, dict):
        raise StoreError(f"{path} is not what pybuild writes")
    return plain
