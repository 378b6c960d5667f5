"""`pybuild mount` and `pybuild umount`: an image's files for any program of this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkit_py.cli.parser import Command, Namespace, Parser, add_json, add_store
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import MissingToolError, PybuildError, SandboxError, UsageError

if TYPE_CHECKING:
    from buildkit_py.store import Store
    from buildkit_py.store.holders import Holder, Sight

_ONLY_ROOT = "only root can mount where every program sees it"
_AS_USER = "for one program alone: pybuild mount {} DIR -- PROGRAM …; or look from inside: pybuild shell {}"


def prepare_mount(parser: Parser) -> None:
    """Add the arguments of `mount`."""
    parser.add_argument(
        "name",
        nargs="?",
        metavar="IMAGE",
        help="an image's name in the store, or its digest, or how that begins (default: list what is mounted)",
    )
    parser.add_argument("directory", nargs="?", metavar="DIR", help="an empty directory (default: one is made)")
    parser.set_defaults(command=[])
    parser.add_argument("--write", action="store_true", help="let it be written to; what is written is thrown away")
    parser.add_argument(
        "--platform", metavar="P", help="of several, this one, as linux/arm64 (default: this machine's)"
    )
    add_json(parser)
    add_store(parser)


def words(given: Sequence[str], parser: Parser) -> list[str]:
    """What follows `--` is a command of this machine."""
    mine = list(given)
    if "--" in mine:
        place = mine.index("--")
        parser.set_defaults(command=mine[place + 1 :])
        del mine[place:]
    return mine


def run_mount(args: Namespace, shell: Shell) -> int:
    """Mount an image, for everybody or for one command, or list what is mounted."""
    if args.name is None:
        return _list(args, shell)
    if args.command and args.directory is None:
        raise UsageError("a command needs a directory to look at", hint="pybuild mount IMAGE DIR -- COMMAND …")
    if os.geteuid() != 0 and not args.command:
        raise SandboxError(_ONLY_ROOT, hint=_AS_USER.format(args.name, args.name))
    from buildkit_py.engine.views import alone, mounted_for

    with shell.store(args.store, make=False) as store:
        if args.command:
            alone()
            holder = _mount(args, shell, store)
            with mounted_for(store, holder):
                return _run(args.command)
        holder = _mount(args, shell, store)
    shell.print(json.dumps(_row(holder, (holder.point,)), indent=2) if args.json else holder.point)
    return 0


def _mount(args: Namespace, shell: Shell, store: Store) -> Holder:
    from buildkit_py.cli.fetching import Fetching
    from buildkit_py.engine.views import mount
    from buildkit_py.platform import Platform

    return mount(
        store,
        args.name,
        Path(args.directory) if args.directory is not None else None,
        platform=Platform.parse(args.platform) if args.platform else None,
        writable=args.write,
        tell=Fetching(shell),
        note=lambda text: shell.complain(f"pybuild: {text}\n"),
    )


def _run(command: Sequence[str]) -> int:
    """Run a command of this machine to its end, as a shell does."""
    import signal
    import subprocess

    # Ctrl-C is meant for the command, which the terminal sends it to as well; a handler is not inherited.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with subprocess.Popen(command) as process:
            try:
                code = process.wait()
            except BaseException:
                process.terminate()
                raise
        return code if code >= 0 else 128 - code
    except OSError as error:
        raise MissingToolError(f"{command[0]} can't be run: {error.strerror}") from error
    finally:
        signal.signal(signal.SIGINT, before)


def _list(args: Namespace, shell: Shell) -> int:
    if args.write or args.platform or args.command:
        raise UsageError("`pybuild mount` needs an IMAGE to mount", hint="pybuild mount IMAGE [DIR]")
    with shell.store(args.store, make=False) as store:
        live = sorted(store.holders().live, key=lambda sight: sight.holder.made)
    if args.json:
        rows = [_row(sight.holder, sight.points, sight) for sight in live]
        shell.print(json.dumps(rows, indent=2))
    else:
        shell.write(_listing(live) if live else "no images are mounted\n")
    return 0


def _row(holder: Holder, points: tuple[str, ...], sight: Sight | None = None) -> dict[str, Any]:
    return {
        "id": holder.id,
        "image": holder.image,
        "digest": holder.digest,
        "platform": holder.platform,
        "point": holder.point,
        "writable": holder.writable,
        "made": holder.made,
        "pid": holder.pid,
        "uid": holder.uid,
        "points": list(points),
        "elsewhere": [
            {"namespace": each.inode, "pids": list(each.pids)} for each in (sight.others if sight is not None else ())
        ],
    }


def _listing(live: list[Sight]) -> str:
    import time

    from buildkit_py.progress.text import clean, short_digest, table

    rows = [("IMAGE", "PLATFORM", "DIGEST", "MODE", "SINCE", "AT")]
    for sight in live:
        holder = sight.holder
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(holder.made))
        mode = "scratch" if holder.writable else "read-only"
        points = ", ".join(map(clean, sight.points)) or f"{clean(holder.point)} {clean(sight.elsewhere)}"
        rows.append((clean(holder.image), holder.platform, short_digest(holder.digest), mode, since, points))
    return table(rows)


def prepare_umount(parser: Parser) -> None:
    """Add the arguments of `umount`."""
    parser.add_argument("names", nargs="*", metavar="DIR|IMAGE", help="where it is mounted, or what")
    parser.add_argument("-a", "--all", action="store_true", help="every image of this store that is mounted here")
    parser.add_argument(
        "-l", "--lazy", action="store_true", help="let it vanish now although it is used; it ends with its last user"
    )
    add_json(parser)
    add_store(parser)


def run_umount(args: Namespace, shell: Shell) -> int:
    """Take mounts away, as many as can be; the first fault is told at the end."""
    if bool(args.names) == args.all:
        raise UsageError("name what to unmount, or say --all", hint="pybuild umount DIR|IMAGE, or pybuild umount --all")
    from buildkit_py.engine.views import meant

    with shell.store(args.store, make=False) as store:
        holders = store.holders()
        here = [sight for sight in holders.live if sight.points]
        wanted = here if args.all else [meant(holders, name) for name in args.names]
        # Who stands in a mount keeps it busy: that shall not be this command itself.
        os.chdir("/")
        faults: list[PybuildError] = []
        done: list[str] = []
        for each in dict.fromkeys(wanted):
            try:
                done.extend(_take_away(store, each, shell, lazy=args.lazy))
            except PybuildError as error:
                faults.append(error)
    if args.json:
        shell.print(json.dumps({"unmounted": done}, indent=2))
    else:
        shell.write("".join(f"{point}\n" for point in done))
    if faults:
        raise faults[0]
    return 0


def _take_away(store: Store, each: Sight | Holder, shell: Shell, *, lazy: bool) -> tuple[str, ...]:
    """The places that were unmounted."""
    from buildkit_py.engine.views import unmount
    from buildkit_py.store.holders import Holder

    if isinstance(each, Holder):
        shell.complain(f"pybuild: {each.image} was not mounted at {each.point} any more; that is forgotten now\n")
        return ()
    left = unmount(store, each, lazy=lazy)
    if left is not None:
        shell.complain(f"pybuild: {left.why}: until that ends, it is held\n")
    return each.points


MOUNT = Command(
    "mount",
    usage="[options] [IMAGE [DIR [-- COMMAND ...]]]",
    about=(
        "Show the files of an image in a directory, so that any program can look at them; nothing of the image is\n"
        "run, and nothing in it can be. Prints the directory. While it is mounted, the store keeps the image. With\n"
        "a COMMAND of this machine, only that sees it, for as long as it runs: an ordinary user can do that too.\n"
        "Without an IMAGE, lists what is mounted."
    ),
    examples=(
        ("pybuild mount app:1 /mnt", "to read, at a directory"),
        ("pybuild mount app:1", "at a new directory, which is printed"),
        ("pybuild mount --write app:1 /mnt", "to change as well, for as long as it is mounted"),
        ("pybuild mount --json", "what is mounted, for programs"),
    ),
    prepare=prepare_mount,
    run=run_mount,
    words=words,
)
UMOUNT = Command(
    "umount",
    usage="[options] [DIR|IMAGE ...]",
    about="Take mounted images away again. What was written to one that was mounted with --write is gone.",
    examples=(
        ("pybuild umount /mnt", "by where it is"),
        ("pybuild umount app:1", "by what it is"),
        ("pybuild umount --all", "everything of this store that is mounted here"),
        ("pybuild umount --lazy /mnt", "though it is used"),
    ),
    prepare=prepare_umount,
    run=run_umount,
)
