"""Who holds what for longer than a process lives: images that are mounted somewhere, as the files below mounts/ tell.

    mounts/ID/holder     JSON: what is mounted where, which objects that needs, who did it; locked while it is made
    mounts/ID/…          what the mount is made of and where its changes go; gone with it

A record is made before its mount, and lives as long as the mount is in some mount table of this machine, under the
name `pybuild-ID`. Whatever ends a mount (umount(8), the end of its namespace, a reboot) ends the holding: no process
has to tell. A record that is left alone is found and dropped by whoever looks next; one whose file is locked is being
made at this moment.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkit_py.dataclass import dataclass, fields
from buildkit_py.errors import StoreError
from buildkit_py.store import files
from buildkit_py.store.faults import guard
from buildkit_py.store.leases import Use, boot_id
from buildkit_py.store.locks import try_acquire
from buildkit_py.store.mounts import VIEW, Mounts
from buildkit_py.store.namespaces import (
    Namespace,
    namespaces,
    pid_namespace,
    process_name,
    sees_all_of,
)
from buildkit_py.store.schema import seal

if TYPE_CHECKING:
    from buildkit_py.store.layout import Layout
    from buildkit_py.store.leases import Owner

_LIMIT = 1 << 24
_FILE = "holder"
_UNKNOWN: Mapping[str, Any] = {
    **dict.fromkeys(("image", "digest", "platform", "point"), "?"),
    **dict.fromkeys(("pid", "uid", "made"), 0),
    "writable": False,
    "objects": (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A mounted image. `objects` are what the mount needs, as leases name it, and ("image", NAME); `digest` is that of
    the manifest. `pid`, `uid` and `made` (seconds since 1970) say who mounted it and when."""

    id: str
    image: str
    digest: str
    platform: str
    point: str
    writable: bool
    objects: tuple[Use, ...]
    boot: str
    pid_namespace: int
    pid: int
    uid: int
    made: float

    @property
    def name(self) -> str:
        """What the mount is called in mount tables."""
        return f"{VIEW}{self.id}"


@dataclass(frozen=True, slots=True)
class Sight:
    """A live holder, and where its mount was seen: at `points` of this mount namespace, in `others`, or, with neither,
    nowhere: it is being made, or lies where this process can't look."""

    holder: Holder
    points: tuple[str, ...] = ()
    others: tuple[Namespace, ...] = ()

    @property
    def why(self) -> str:
        """Why what it holds must stay, in words."""
        image, point = _shown(self.holder.image), _shown(self.holder.point)
        if self.points:
            return f"the image {image} is mounted at {', '.join(map(_shown, self.points))}"
        if self.others:
            return f"the image {image} is mounted at {point}, {self.elsewhere}"
        return f"the image {image} is mounted at {point} by process {self.holder.pid}"

    @property
    def elsewhere(self) -> str:
        """Which other mount namespaces have it."""
        pids = [pid for namespace in self.others for pid in namespace.pids]
        if not pids:
            return "in a mount namespace that a file keeps alive"
        name = process_name(pids[0])
        more = f" and {len(pids) - 1} more" if len(pids) > 1 else ""
        return f"in the mount namespace of process {pids[0]}{f' ({_shown(name)})' if name else ''}{more}"


@dataclass(frozen=True, slots=True)
class Holders:
    """One look at all holders: the live ones, and the records that were dropped at this look because their mounts are
    gone."""

    live: tuple[Sight, ...]
    gone: tuple[Holder, ...]
    _held: Mapping[Use, Sight]

    @property
    def unknown(self) -> tuple[Sight, ...]:
        """Those whose records are damaged: nobody knows what their mounts need."""
        return tuple(sight for sight in self.live if not sight.holder.objects)

    @classmethod
    def read(cls, layout: Layout, owner: Owner) -> Holders:
        """Look at every record; those that nothing is mounted of any more are dropped."""
        with guard("looking who holds what", layout.mounts):
            looks = _Looks()
            live: list[Sight] = []
            gone: list[Holder] = []
            for place in [layout.mounts / name for name in files.names(layout.mounts)]:
                holder = _read(place)
                sight = looks.sight(holder) or _judge(place, owner, looks, holder)
                if sight is not None:
                    live.append(sight)
                else:
                    gone.append(holder)
        return cls(tuple(live), tuple(gone), {use: sight for sight in live for use in sight.holder.objects})

    def why(self, kind: str, id: str) -> str | None:  # noqa: A002 - as leases call it
        """Why an object must stay, in words; None where nobody holds it.

        `kind` is `snapshot` or `blob` (a digest: of what a mounted image's tree lies in, of its manifest, index and
        configuration), or `image` (a name, as the image was called when it was mounted).
        """
        sight = self._held.get((kind, id))
        if sight is None and (unknown := self.unknown):
            return f"{unknown[0].why}, and the record of what that needs is damaged"
        return sight.why if sight is not None else None


@contextmanager
def register(layout: Layout, owner: Owner, *, point: str | None, **facts: Any) -> Iterator[tuple[Holder, Path]]:
    """Note what is about to be mounted, inside a lease that names its objects; gives the holder and its directory.

    Without a `point` it is `view` in that directory. `facts` are the fields of a `Holder` but those that say who and
    when. A fault inside the block takes the record back.
    """
    name = os.urandom(8).hex()
    holder = Holder(
        id=name,
        point=point or str(layout.mounts / name / "view"),
        boot=boot_id(),
        pid_namespace=pid_namespace(),
        pid=os.getpid(),
        uid=os.getuid(),
        made=time.time(),
        **facts,
    )
    draft, place = owner.temporary(), layout.mounts / name
    with guard("noting a mount", place):
        draft.mkdir(mode=0o700)
        lock = try_acquire(draft / _FILE)
        if lock is None:
            raise StoreError(f"another process works in {draft}")
        try:
            files.write_all(lock.fd, _encode({each.name: getattr(holder, each.name) for each in fields(holder)}))
            draft.rename(place)
        except BaseException:
            lock.release()
            raise
    try:
        yield holder, place
    except BaseException:
        forget(layout, owner, holder)
        raise
    finally:
        lock.release()


def forget(layout: Layout, owner: Owner, holder: Holder) -> None:
    """Take a record away, and all that its mount was made of; nothing may be mounted of it any more."""
    _remove(layout.mounts / holder.id, owner)


class _Looks:
    """The mount tables, each read when it is first needed, and again on request."""

    def __init__(self) -> None:
        self._mounts = Mounts()
        self._others: list[Namespace] | None = None

    def sight(self, holder: Holder, *, again: bool = False) -> Sight | None:
        """Where a holder's mount is; None where it is nowhere."""
        if holder.boot != boot_id():
            return None
        if again:
            self._mounts, self._others = Mounts(), None
        points = self._mounts.named(holder.name)
        if points:
            return Sight(holder, points=tuple(points))
        if self._others is None:
            self._others = list(namespaces())
        others = tuple(each for each in self._others if each.mounts.named(holder.name))
        if others or not sees_all_of(holder.pid_namespace):
            return Sight(holder, others=others)
        return None


def _judge(place: Path, owner: Owner, looks: _Looks, holder: Holder) -> Sight | None:
    """Drop a record whose mount was not seen, unless it is being made, or was completed since it was looked at; what is
    no record at all goes too."""
    if not os.path.lexists(place / _FILE):
        _remove(place, owner)
        return None
    lock = try_acquire(place / _FILE, create=False)
    if lock is None:
        return Sight(holder) if place.exists() else None
    try:
        # Mounts are made under the lock: what is not mounted now never will be.
        sight = looks.sight(holder, again=True)
        if sight is None:
            _remove(place, owner)
        return sight
    finally:
        lock.release()


def _remove(place: Path, owner: Owner) -> None:
    doomed = owner.temporary()
    with suppress(FileNotFoundError):
        place.rename(doomed)
        # What can't be removed now is removed at the next start, as all that is left in tmp/.
        with suppress(OSError):
            files.remove(doomed)


def _read(place: Path) -> Holder:
    """The record in a directory; of one that can't be read nothing is known but its name."""
    plain: Mapping[str, Any] = {}
    with suppress(OSError, ValueError, RecursionError):
        plain = _decode(files.read_regular(place / _FILE, _LIMIT))
    try:
        facts = {each.name: plain[each.name] for each in fields(Holder)}
        return Holder(**{**facts, "id": place.name, "objects": tuple(_uses(plain["objects"]))})
    except (KeyError, TypeError, ValueError):
        return Holder(**{**_UNKNOWN, "id": place.name, "boot": boot_id(), "pid_namespace": pid_namespace()})


def _encode(plain: Mapping[str, Any]) -> bytes:
    text = json.dumps(plain)
    return json.dumps({**plain, "seal": seal(text).hex()}).encode()


def _decode(data: bytes) -> Mapping[str, Any]:
    """A record; nothing of one that fails its seal."""
    plain: Any = json.loads(data)
    if not isinstance(plain, dict):
        return {}
    sealed = plain.pop("seal", None)
    return plain if seal(json.dumps(plain)).hex() == sealed else {}


def _uses(rows: Iterable[Any]) -> Iterator[Use]:
    for kind, name in rows:
        yield str(kind), str(name)


def _shown(text: str) -> str:
    """A text of a record, which may be damaged, for people."""
    return text if isinstance(text, str) and text.isprintable() else repr(text)[:200]
