"""Images mounted for any program of this machine, and taken away again; `store/holders.py` remembers them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from buildkit_py.engine.unpacked import UnpackedImage, unpacked
from buildkit_py.errors import NotFoundError, OutputError, SandboxError, StoreBusyError, UsageError
from buildkit_py.executor.sandbox import kernel
from buildkit_py.executor.views import show
from buildkit_py.image.view import begins
from buildkit_py.store.holders import Holder, Holders, Sight, forget, register
from buildkit_py.store.mounts import Mounts
from buildkit_py.store.namespaces import process_name, users_of

if TYPE_CHECKING:
    from buildkit_py.executor.source.image import Tell
    from buildkit_py.platform import Platform
    from buildkit_py.store import Store
    from buildkit_py.store.leases import Use

_SHOWN = 3


def mount(
    store: Store,
    name: str,
    point: Path | None,
    *,
    platform: Platform | None,
    writable: bool,
    tell: Tell,
    note: Callable[[str], None],
) -> Holder:
    """Mount the files of an image at an empty directory, or, without one, at a new one inside of the store.

    Raises `OutputError` for a directory that can't be mounted on, `NotFoundError`, `SandboxError`, and what unpacking
    raises.
    """
    if point is not None:
        # Once before anything is fetched, and once more when nobody else mounts there.
        os.close(_open_point(store, point))
    with (
        unpacked(store, name, platform, tell=tell, note=note) as found,
        _taken(store, point) as target,
        register(
            store.layout,
            store.owner,
            image=name,
            digest=str(found.image.descriptor.digest),
            platform=str(found.image.platform or ""),
            point=os.readlink(f"/proc/self/fd/{target}") if target is not None else None,
            writable=writable,
            objects=_needed(name, found),
        ) as (holder, place),
    ):
        at = target if target is not None else _made_point(Path(holder.point))
        show(holder.name, found.directories, found.tree, place, at, writable=writable)
        return holder


def _needed(name: str, found: UnpackedImage) -> tuple[Use, ...]:
    documents = (found.root.digest, found.image.descriptor.digest, found.image.manifest.config.digest)
    objects = [("image", name), *(("blob", str(digest)) for digest in documents)]
    objects += [("snapshot", each) for each in found.snapshots]
    return tuple(dict.fromkeys(objects))


@contextmanager
def _taken(store: Store, point: Path | None) -> Iterator[int | None]:
    """The directory to mount on, open, while no other process of this store mounts there."""
    if point is None:
        yield None
        return
    with store.lock(f"mount-{os.path.realpath(point)}"):
        fd = _open_point(store, point)
        try:
            yield fd
        finally:
            os.close(fd)


def _open_point(store: Store, point: Path) -> int:
    """The directory to mount on, open; raises `OutputError`."""
    try:
        fd = os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        hint = f"make it first: mkdir {point}" if error.errno == errno.ENOENT else "name an empty directory"
        raise OutputError(f"can't mount at {point}: {error.strerror}", hint=hint) from error
    where = os.readlink(f"/proc/self/fd/{fd}")
    if Path(where).is_relative_to(store.root):
        raise OutputError(f"{where} belongs to the store", hint="name a directory elsewhere, or none")
    if where in Mounts().views():
        raise OutputError(f"an image is mounted at {where} already", hint=f"take it away: pybuild umount {point}")
    if os.listdir(fd):
        raise OutputError(f"{where} is not empty: a mount would hide what is in it", hint="name an empty directory")
    return fd


def _made_point(point: Path) -> int:
    point.mkdir()
    return os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def alone() -> None:
    """Give this process a mount namespace of its own, so that nobody else sees what it mounts from now on."""
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.stop_propagation()
    except OSError as error:
        raise SandboxError(f"can't make a mount namespace: {error.strerror}", hint="run it as root") from error


@contextmanager
def mounted_for(store: Store, holder: Holder) -> Iterator[None]:
    """Take a mount away when the block ends; what still uses it then keeps it for as long as it lives."""
    try:
        yield
    finally:
        kernel.unmount(holder.point, lazy=True)
        store.holders()


def meant(holders: Holders, word: str) -> Sight | Holder:
    """The mount that a directory, or an image by its name or digest, stands for; a `Holder` where it is gone already.

    Raises `NotFoundError` where there is none, `UsageError` where an image is mounted more than once.
    """
    path = os.path.realpath(word)
    live = [sight for sight in holders.live if path in (sight.holder.point, *sight.points)]
    top = Mounts().top(path)
    live = [sight for sight in live if sight.holder.name == top] or live
    live = live or [sight for sight in holders.live if _is_of(sight.holder, word)]
    if len(live) > 1:
        places = ", ".join(point for sight in live for point in sight.points or (sight.holder.point,))
        raise UsageError(f"{word} is mounted more than once", hint=f"name one of {places}; or --all")
    gone = [holder for holder in holders.gone if holder.point == path or _is_of(holder, word)]
    found: tuple[Sight | Holder, ...] = (*live, *gone)
    if found:
        return found[0]
    if top is not None:
        raise NotFoundError(f"what is mounted at {path} is no image of this store", hint="umount(8) unmounts it")
    raise NotFoundError(f"nothing that is called {word!r} is mounted", hint="`pybuild mount` lists the images that are")


def _is_of(holder: Holder, word: str) -> bool:
    return word == holder.image or any(kind == "blob" and begins(digest, word) for kind, digest in holder.objects[:3])


def unmount(store: Store, sight: Sight, *, lazy: bool) -> Sight | None:
    """Take a view away, wherever it is seen in this mount namespace; `lazy` leaves it to the processes that use it.

    What was written to it is gone. Returns where it is still seen, if other mount namespaces have it too. Raises
    `StoreBusyError` where somebody uses it, or where only another mount namespace has it.
    """
    if not sight.points:
        raise _out_of_reach(sight)
    for point in sight.points:
        if Mounts().top(point) != sight.holder.name:
            raise StoreBusyError(f"something else is mounted over {point}", hint=f"unmount that first: umount {point}")
        _unmount(point, lazy=lazy)
    for left in store.holders().live:
        if left.holder.id == sight.holder.id:
            if left.points or left.others:
                return left
            forget(store.layout, store.owner, sight.holder)
    return None


def _unmount(point: str, *, lazy: bool) -> None:
    try:
        kernel.unmount(point, lazy=lazy)
    except OSError as error:
        if error.errno == errno.EINVAL:
            # Somebody else was faster.
            return
        if error.errno != errno.EBUSY:
            raise SandboxError(f"can't unmount {point}: {error.strerror}", hint="run it as root") from error
        raise StoreBusyError(
            f"{point} is in use: {_users(point)}",
            hint="end that first; or `pybuild umount --lazy`: it vanishes now, and ends when nobody uses it any more",
        ) from error


def _users(point: str) -> str:
    inside = [each for each in Mounts().below(Path(point)) if each != point]
    if inside:
        return f"something is mounted at {inside[0]}"
    users = [f"process {pid} ({process_name(pid)}) uses {path}" for pid, path in users_of(point)]
    more = f", and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
    return f"{', '.join(users[:_SHOWN])}{more}" if users else "it is not to be seen by whom"


def _out_of_reach(sight: Sight) -> StoreBusyError:
    pids = [pid for namespace in sight.others for pid in namespace.pids]
    point = sight.holder.point
    told = f"run it there: nsenter -t {pids[0]} -m pybuild umount {point}" if pids else None
    return StoreBusyError(sight.why, hint=told)
