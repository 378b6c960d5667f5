"""`pybuild install`, `upgrade`, `rollback`, `uninstall` and `installed`: images as services of the machine."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkit_py.cli.parser import Command, Group, Namespace, Parser, add_json, add_store, repeatable
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import UsageError

if TYPE_CHECKING:
    from buildkit_py.service.home import Service
    from buildkit_py.service.lay import Wanted
    from buildkit_py.service.lifecycle import Hands, Outcome
    from buildkit_py.service.settings import Settings

_MOST_TEMPLATE = 1 << 16
_IMAGE_HELP = "an image's name in the store, or its digest, or how that begins"
_ROOT = "/var/lib/pybuild-services"
_UNITS = "/etc/systemd/system"


def _settings_options(group: Group) -> None:
    group.add_argument("--platform", metavar="P", help="of an image for several (default: that of the machine)")
    repeatable(group, "--after", "NAME", "start after this service, or UNIT.service of the machine; repeatable")
    repeatable(group, "--requires", "NAME", "start after it, and not without it; repeatable")
    group.add_argument(
        "--network", choices=("host", "none"), metavar="KIND", help="host (the default), or none: only a loopback"
    )
    repeatable(group, "--env", "NAME[=VALUE]", "a variable; NAME alone: as in pybuild's environment; repeatable")
    repeatable(group, "--state", "PATH", "a directory that can be written to and is kept; repeatable")
    group.add_argument(
        "--template", metavar="FILE", help="lines for the unit, in the place of those that the image brings"
    )


def _place_options(parser: Parser) -> None:
    parser.add_argument("--root", metavar="DIR", default=_ROOT, help=f"where services are kept (default: {_ROOT})")
    parser.add_argument("--no-reload", action="store_true", help="tell systemd nothing, and start and stop nothing")
    add_json(parser)


def _need_root() -> None:
    from buildkit_py.paths import STARTED_AS_ROOT

    if not STARTED_AS_ROOT:
        raise UsageError("services of the machine are installed by root", hint="run it as root")


def _hands(args: Namespace, shell: Shell) -> Hands:
    from buildkit_py.service.home import Home
    from buildkit_py.service.lifecycle import Hands
    from buildkit_py.service.systemd import Systemd

    _need_root()
    systemd = Systemd(quiet=args.no_reload)
    if not systemd.booted and not args.no_reload:
        shell.complain("note: this machine was not booted with systemd, so nothing is reloaded, started or stopped\n")
    return Hands(home=Home(Path(args.root)), systemd=systemd, tell=lambda line: shell.complain(f"{line}\n"))


def prepare_install(parser: Parser) -> None:
    """Add the arguments of `install`."""
    parser.add_argument("image", metavar="IMAGE", help=_IMAGE_HELP)
    parser.add_argument("--name", metavar="NAME", help="the service's name (default: the last part of the image's)")
    parser.add_argument("--unit-dir", metavar="DIR", type=Path, help=f"where the unit goes (default: {_UNITS})")
    parser.add_argument("--enable", action="store_true", help="start it with the machine from now on")
    parser.add_argument("--start", action="store_true", help="start it now")
    _settings_options(parser.add_argument_group("the service"))
    _place_options(parser)
    add_store(parser)


def run_install(args: Namespace, shell: Shell) -> int:
    """Install, and say what was made."""
    from buildkit_py.service.lifecycle import install
    from buildkit_py.service.names import checked_name, name_of

    name = checked_name(args.name) if args.name else name_of(args.image)
    settings = _settings(args, shell, None)
    hands = _hands(args, shell)
    if args.start:
        hands.systemd.need("--start")
    with ExitStack() as stack:
        wanted = _wanted(args, shell, stack, settings, hands)
        done = install(hands, name, wanted, args.unit_dir, enable=args.enable, start=args.start)
    if not done.changed and not args.json:
        shell.print(f"{name} is installed already, from {done.release.image}")
        return 0
    _tell(done, "installed", args, shell)
    return 0


def _wanted(args: Namespace, shell: Shell, stack: ExitStack, settings: Settings, hands: Hands) -> Wanted:
    """The image in the store, whole, which stays there until the stack ends."""
    from buildkit_py.image.stored import one_image
    from buildkit_py.image.view import find
    from buildkit_py.platform import Platform
    from buildkit_py.service.lay import Wanted
    from buildkit_py.service.lifecycle import bring

    store = stack.enter_context(shell.store(args.store, make=False))
    stack.enter_context(store.lease())
    platform = Platform.parse(args.platform) if args.platform else None
    image = one_image(store, find(store, args.image), platform)
    bring(image, hands.tell)
    return Wanted(image=image, name=args.image, settings=settings)


def _settings(args: Namespace, shell: Shell, before: Settings | None) -> Settings:
    """What the options say; what none speaks of is as it was before."""
    from buildkit_py.service.names import unit_of
    from buildkit_py.service.settings import Settings

    old = before or Settings()
    for word in (*args.after, *args.requires):
        unit_of(word)
    for path in args.state:
        if not path.startswith("/") or "\0" in path:
            raise UsageError(f"--state takes an absolute path of the image, not {path!r}")
    return Settings(
        after=tuple(args.after) or old.after,
        requires=tuple(args.requires) or old.requires,
        network=args.network or old.network,
        env=tuple(_variable(word, shell) for word in args.env) or old.env,
        state=tuple(args.state) or old.state,
        template=_template(args.template) if args.template else old.template,
    )


def _variable(word: str, shell: Shell) -> tuple[str, str]:
    name, given, value = word.partition("=")
    if not name:
        raise UsageError("--env needs the name of a variable")
    if not given and name not in shell.environ:
        raise UsageError(f"--env {name}: pybuild's environment has no such variable")
    return name, value if given else shell.environ[name]


def _template(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_MOST_TEMPLATE + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"can't read the template {path}: {reason}") from error
    if len(text) > _MOST_TEMPLATE:
        raise UsageError(f"the template {path} is too long")
    return text


def prepare_upgrade(parser: Parser) -> None:
    """Add the arguments of `upgrade`."""
    parser.add_argument("name", metavar="NAME", help="the service")
    parser.add_argument("image", metavar="IMAGE", help=_IMAGE_HELP)
    _settings_options(parser.add_argument_group("the service (default: as it was)"))
    _place_options(parser)
    add_store(parser)


def run_upgrade(args: Namespace, shell: Shell) -> int:
    """Switch to another image, and say from what."""
    from buildkit_py.service.lifecycle import upgrade

    _settings(args, shell, None)
    hands = _hands(args, shell)
    with ExitStack() as stack:
        done = upgrade(hands, args.name, lambda old: _wanted(args, shell, stack, _settings(args, shell, old), hands))
    if not done.changed and not args.json:
        shell.print(f"{args.name} runs {done.release.image} already")
        return 0
    _tell(done, "upgraded", args, shell)
    return 0


def prepare_rollback(parser: Parser) -> None:
    """Add the arguments of `rollback`."""
    parser.add_argument("name", metavar="NAME", help="the service")
    _place_options(parser)


def run_rollback(args: Namespace, shell: Shell) -> int:
    """Switch back."""
    from buildkit_py.service.lifecycle import rollback

    _tell(rollback(_hands(args, shell), args.name), "rolled back", args, shell)
    return 0


def _tell(done: Outcome, word: str, args: Namespace, shell: Shell) -> None:
    from buildkit_py.progress.text import clean

    service, release = done.service, done.release
    if args.json:
        shell.print(json.dumps({**_plain(service), "changed": done.changed}, indent=2))
        return
    shell.print(f"{word} {service.name}: {clean(release.image)} ({release.digest})")
    shell.print(f"  unit   {service.unit}{' (enabled)' if service.enabled else ''}")
    shell.print(f"  tree   {service.bundle(release.id) / 'rootfs'}")
    for path in release.volumes:
        shell.print(f"  state  {clean(path)}")
    if release.ports:
        shell.print(f"  ports  {', '.join(map(clean, release.ports))}")


def _plain(service: Service) -> dict[str, Any]:
    """All that is known of an installed service."""
    switch = service.switch()
    assert switch is not None
    release = service.release(switch.release)
    fields = ("image", "digest", "platform", "after", "requires", "volumes", "ports")
    return {
        "name": service.name,
        **{field: getattr(release, field) for field in fields},
        "release": switch.release,
        "previous": service.release(switch.previous).image if switch.previous else None,
        "unit": str(service.unit),
        "enabled": service.enabled,
        "rootfs": str(service.bundle(switch.release) / "rootfs"),
        "state": str(service.state),
    }


def prepare_uninstall(parser: Parser) -> None:
    """Add the arguments of `uninstall`."""
    parser.add_argument("name", metavar="NAME", help="the service")
    parser.add_argument("--purge", action="store_true", help="remove what it keeps as well")
    _place_options(parser)


def run_uninstall(args: Namespace, shell: Shell) -> int:
    """Remove a service."""
    from buildkit_py.service.lifecycle import uninstall

    hands = _hands(args, shell)
    kept = uninstall(hands, args.name, purge=args.purge)
    state = hands.home.service(args.name).state
    if args.json:
        shell.print(json.dumps({"name": args.name, "state": str(state) if kept else None}, indent=2))
    else:
        rest = f"; what it keeps stays in {state}, --purge removes it" if kept else ""
        shell.print(f"uninstalled {args.name}{rest}")
    return 0


def prepare_installed(parser: Parser) -> None:
    """Add the arguments of `installed`."""
    _place_options(parser)


def run_installed(args: Namespace, shell: Shell) -> int:
    """List the services."""
    from buildkit_py.service.home import Home
    from buildkit_py.service.systemd import Systemd

    _need_root()
    systemd = Systemd(quiet=args.no_reload)
    services = [service for service in Home(Path(args.root)).services() if service.switch() is not None]
    rows = [{**_row(service), "active": systemd.state(service.unit.name)} for service in services]
    if args.json:
        shell.print(json.dumps(rows, indent=2))
    elif not rows:
        shell.print("no services")
    else:
        shell.write(_listing(rows))
    return 0


def _row(service: Service) -> dict[str, Any]:
    """As `_plain`; one that is damaged does not hide the others."""
    from buildkit_py.errors import StoreError

    try:
        return _plain(service)
    except StoreError as error:
        return {"name": service.name, "image": None, "digest": None, "enabled": service.enabled, "error": error.message}


def _listing(rows: list[dict[str, Any]]) -> str:
    from buildkit_py.progress.text import clean, short_digest, table

    lines = [("NAME", "IMAGE", "DIGEST", "ENABLED", "STATE")]
    for row in rows:
        what = (clean(row["image"]), short_digest(row["digest"])) if row["image"] else ("damaged", "?")
        lines.append((row["name"], *what, "yes" if row["enabled"] else "no", row["active"] or "-"))
    return table(lines)


INSTALL = Command(
    "install",
    usage="[options] IMAGE",
    about=(
        "Lay an image of the store out read-only, and write a systemd unit that runs it by runc, without a daemon.\n"
        "The service does not need the store any more. An image can't widen what its service may do."
    ),
    examples=(
        ("pybuild install --enable --start web:1", "a service called web"),
        ("pybuild install --name db --state /var/lib/db --env MODE=prod db:2", "with a directory that is kept"),
        ("pybuild install --requires db --template web.unit web:1", "after another, with lines of your own"),
    ),
    prepare=prepare_install,
    run=run_install,
)
UPGRADE = Command(
    "upgrade",
    usage="[options] NAME IMAGE",
    about=(
        "Switch a service to another image, or to other settings, in one step; it is restarted if it runs.\n"
        "What was before stays, for `pybuild rollback`."
    ),
    examples=(
        ("pybuild upgrade web web:2", "another image, the same settings"),
        ("pybuild upgrade web web:1 --env MODE=test", "the same image, other settings"),
    ),
    prepare=prepare_upgrade,
    run=run_upgrade,
)
ROLLBACK = Command(
    "rollback",
    usage="[options] NAME",
    about="Switch a service back to what it was before the last upgrade; once more, and it is upgraded again.",
    examples=(("pybuild rollback web", "go back"),),
    prepare=prepare_rollback,
    run=run_rollback,
)
UNINSTALL = Command(
    "uninstall",
    usage="[options] NAME",
    about="Stop and remove a service. What it keeps stays, unless it is purged.",
    examples=(
        ("pybuild uninstall web", "a later install finds its state"),
        ("pybuild uninstall --purge web", "all of it"),
    ),
    prepare=prepare_uninstall,
    run=run_uninstall,
)
INSTALLED = Command(
    "installed",
    usage="[options]",
    about="List the services that are installed.",
    examples=(("pybuild installed", "to read"), ("pybuild installed --json", "for programs")),
    prepare=prepare_installed,
    run=run_installed,
)
