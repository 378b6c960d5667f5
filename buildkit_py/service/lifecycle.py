"""The life of a service: installed, upgraded, rolled back, uninstalled. Each either happens or does not.

Everything is laid out beside what runs; then one rename of the unit is the change. What a killed command leaves is
cleared away by the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import InfrastructureError, NotFoundError, UsageError
from buildkit_py.image.staging import translated
from buildkit_py.service.home import UNITS, Home, Service
from buildkit_py.service.lay import Wanted, lay_out
from buildkit_py.service.settings import Release, Settings, identity
from buildkit_py.service.unit import Switch

if TYPE_CHECKING:
    from buildkit_py.image.stored import StoredImage
    from buildkit_py.service.systemd import Systemd

Tell = Callable[[str], None]
"""Told what is being done, a line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A service after a command: its release, whether anything changed, and the release before."""

    service: Service
    release: Release
    changed: bool
    previous: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What commands work with: the services, systemd, and somebody to tell."""

    home: Home
    systemd: Systemd
    tell: Tell


def install(hands: Hands, name: str, wanted: Wanted, units: Path | None, *, enable: bool, start: bool) -> Outcome:
    """Install a service, and enable or start it. One that is there with the same image and settings is left as it is;
    any other is not touched. Raises `UsageError`."""
    service = hands.home.service(name)
    with hands.home.alone(), translated(service.path):
        switch = service.switch()
        wish = identity(name, str(wanted.image.descriptor.digest), wanted.settings)
        if switch is not None:
            release = service.release(switch.release)
            if units is not None and units.absolute() != service.unit.parent:
                raise UsageError(f"{name} is installed already, with its unit in {service.unit.parent}")
            if switch.release != wish:
                raise UsageError(
                    f"{name} is installed already, from {release.image}, or with other settings",
                    hint=f"`pybuild upgrade {name} IMAGE` switches to another image or other settings",
                )
        else:
            service.put_at(units or UNITS)
            release = _laid_out(hands, service, wanted)
        # The link leads to nothing for a moment, so that a service to be enabled never is there without it.
        enabled = enable and service.enable(True)
        if switch is None:
            service.commit(Switch(service=name, root=str(hands.home.root), release=wish))
        if switch is None or enabled:
            hands.systemd.reload()
        if start:
            hands.systemd.start(service.unit.name)
        return Outcome(service=service, release=release, changed=switch is None or enabled)


def upgrade(hands: Hands, name: str, image: Callable[[Settings], Wanted]) -> Outcome:
    """Switch an installed service to what `image` makes of its settings; it is restarted if it runs."""
    with hands.home.alone():
        service, switch = hands.home.installed(name)
        with translated(service.path):
            wanted = image(service.release(switch.release).settings)
            wish = identity(name, str(wanted.image.descriptor.digest), wanted.settings)
            if wish == switch.release:
                release = service.release(wish)
                return Outcome(service=service, release=release, changed=False, previous=switch.previous)
            there = wish == switch.previous
            release = service.release(wish) if there else _laid_out(hands, service, wanted)
            return _switch(hands, service, switch, release)


def rollback(hands: Hands, name: str) -> Outcome:
    """Switch an installed service to the release before, which is then the one after."""
    with hands.home.alone():
        service, switch = hands.home.installed(name)
        if switch.previous is None:
            raise NotFoundError(f"{name} was never upgraded, so there is nothing to go back to")
        with translated(service.path):
            return _switch(hands, service, switch, service.release(switch.previous))


def _switch(hands: Hands, service: Service, before: Switch, release: Release) -> Outcome:
    service.commit(Switch(service=service.name, root=before.root, release=release.id, previous=before.release))
    try:
        hands.systemd.reload()
        hands.systemd.restart(service.unit.name)
    except InfrastructureError as error:
        error.hint = f"{error.hint or 'see what systemd says'}; `pybuild rollback {service.name}` goes back"
        raise
    # The release before the last is nobody's now.
    service.sweep()
    return Outcome(service=service, release=release, changed=True, previous=before.release)


def _laid_out(hands: Hands, service: Service, wanted: Wanted) -> Release:
    hands.tell(f"laying out {wanted.name} ({len(wanted.image.layers)} layers) for {service.name}")
    return lay_out(service, wanted)


def uninstall(hands: Hands, name: str, *, purge: bool) -> bool:
    """Stop and remove a service, and with `purge` what it keeps; whether any of that is left.

    Raises `NotFoundError`, and `UsageError` where another service requires it.
    """
    with hands.home.alone():
        service = hands.home.service(name)
        if service.switch() is None and not (purge and service.path.is_dir()):
            hands.home.installed(name)
        for other in hands.home.services():
            switch = other.switch()
            if switch is not None and other.name != name and name in other.release(switch.release).requires:
                raise UsageError(f"{other.name} requires {name}", hint=f"uninstall {other.name} first")
        with translated(service.path):
            if service.switch() is not None:
                hands.systemd.stop(service.unit.name)
                service.drop()
                hands.systemd.reload()
            if purge:
                service.purge()
            service.sweep()
        return service.state.is_dir()


def bring(image: StoredImage, tell: Tell) -> None:
    """Fetch the layers of bases that no step needed yet."""
    missing = [layer for layer in image.layers if not image.store.blobs.has(str(layer.digest))]
    if missing:
        from buildkit_py.executor.source.image import Images

        tell(f"fetching {len(missing)} layers")
        Images(image.store, Path()).fetch(missing)
