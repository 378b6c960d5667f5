"""Laying an image out as a release: its tree, verified, its state, begun, its bundle and its unit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from buildkit_py.dataclass import dataclass, replace
from buildkit_py.errors import MissingToolError, NotFoundError, SandboxError, StoreError
from buildkit_py.image.rootfs import merged
from buildkit_py.layer.draft import checkout
from buildkit_py.layer.owner import User, resolve_user
from buildkit_py.service.bundle import Places, configuration, stop_signal
from buildkit_py.service.declared import Declared, declared_by
from buildkit_py.service.home import Service, new_directory
from buildkit_py.service.names import service_in, unit_of
from buildkit_py.service.order import check_order
from buildkit_py.service.settings import Release, Settings
from buildkit_py.service.tree import Below, Dressed
from buildkit_py.service.unit import body

if TYPE_CHECKING:
    from buildkit_py.image.stored import StoredImage
    from buildkit_py.layer.tree import Tree

_ROOT = User(uid=0, gid=0, groups=(0,), home="/root")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be laid out: an image, what a person calls it, and what they say about the service."""

    image: StoredImage
    name: str
    settings: Settings


def lay_out(service: Service, wanted: Wanted) -> Release:
    """Make a release of an image beside those that there are. Raises `UsageError`, `SandboxError`, `IntegrityError`."""
    runc = shutil.which("runc")
    if runc is None:
        raise MissingToolError("runc is not installed", hint="apt-get install runc")
    config = wanted.image.config
    stop = stop_signal(config)
    with merged(wanted.image) as tree, _translated():
        user = resolve_user(tree, config.user) if config.user else _ROOT
        said = _declared(wanted, tree)
        release = _release(service, wanted, said)
        dressed = Dressed(tree, user)
        volumes = (*config.volumes, *wanted.settings.state)
        places = dressed.places(config.workdir, volumes, wanted.settings.network, service.state)
        network, env = wanted.settings.network, wanted.settings.env
        release = replace(release, volumes=tuple(sorted(places.volumes)))
        plain = configuration(config, name=service.name, user=user, env=env, network=network, places=places)
        unit = body(release, service.bundle(release.id), runc, stop, config.stop_timeout, said.directives)
        with new_directory(service.path / "releases", release.id) as bundle:
            (bundle / "rootfs").mkdir(mode=0o755)
            checkout(dressed.tree, bundle / "rootfs")
            (bundle / "config.json").write_text(json.dumps(plain, indent=1))
            (bundle / "release.json").write_text(json.dumps(release.to_plain(), indent=1))
            (bundle / "unit").write_text(unit, encoding="utf-8")
            _begin_state(service, dressed.tree, places)
    return release


def _declared(wanted: Wanted, tree: Tree) -> Declared:
    """What the image says, unless a person has said something in its place."""
    return declared_by(wanted.image.config, tree) if wanted.settings.template is None else Declared()


def _release(service: Service, wanted: Wanted, said: Declared) -> Release:
    """The release, when the services that it names are found to be there, and in an order."""
    settings, config = wanted.settings, wanted.image.config
    requires = _services((*map(unit_of, settings.requires), *map(unit_of, said.requires)))
    after = {*requires, *_services((*map(unit_of, settings.after), *map(unit_of, said.after)))}
    others = _others(service)
    # An order among the machine's own units could be a circle, which systemd opens by leaving one of them out.
    for name in filter(service.home.is_foreign, said.after):
        raise SandboxError(
            f"the image asks to start after {name}.service, a unit of this machine",
            hint="give a template of your own with --template FILE; an empty one leaves the image's lines out",
        )
    started = {*said.requires, *said.wants, *(word for word in settings.requires if word in requires)}
    for missing in sorted(started - set(others)):
        raise NotFoundError(
            f"{service.name} needs {missing}, and no service of that name is installed",
            hint=f"install it first, or write {missing}.service for a unit of the machine",
        )
    check_order(service.name, after, others)
    return Release(
        service=service.name,
        image=wanted.name,
        digest=str(wanted.image.descriptor.digest),
        platform=str(wanted.image.platform),
        settings=settings,
        after=tuple(sorted(after)),
        requires=tuple(sorted(requires)),
        ports=config.exposed_ports,
    )


def _services(units: Collection[str]) -> set[str]:
    return {name for name in map(service_in, units) if name is not None}


def _others(service: Service) -> Mapping[str, Collection[str]]:
    """The other services that are installed, and those that each starts after."""
    found = {}
    for other in service.home.services():
        switch = other.switch() if other.name != service.name else None
        if switch is not None:
            found[other.name] = other.release(switch.release).after
    return found


def _begin_state(service: Service, tree: Tree, places: Places) -> None:
    """Give volumes that were not there before what the image has in them; those that were stay as they are."""
    for path, directory in places.volumes.items():
        if not directory.exists():
            with new_directory(service.state, directory.name) as made:
                checkout(Below(tree, path.lstrip("/")), made)


@contextmanager
def _translated() -> Iterator[None]:
    """What fails here is not the store's disk: the file system's own words come out, for who knows the place."""
    try:
        yield
    except StoreError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
