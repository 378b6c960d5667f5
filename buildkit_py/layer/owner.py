"""Users and groups: names become numbers by the tree's own /etc/passwd and /etc/group, read as data."""

from __future__ import annotations

from collections.abc import Iterator

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import SourceInputError
from buildkit_py.layer.tree import Tree, resolve

MAX_BYTES = 1 << 20
MAX_ID = 2**32 - 2


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who a process runs as; `groups` are all its groups."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def resolve_owner(tree: Tree, owner: str, *, lenient: bool = False) -> tuple[int, int]:
    """Numbers of `user[:group]`. A user alone takes the group of /etc/passwd, a number that is not there its own
    number. With `lenient`, names that nobody knows say nothing: a user is root, a group that of the user; but in a tree
    without anything there is nobody to know one."""
    user, colon, group = owner.partition(":")
    lenient = lenient and any(True for _ in tree.children(""))
    uid, own_group = _user(tree, user, lenient) if user else (0, 0)
    return uid, _group(tree, group, own_group if lenient else None) if colon and group else own_group


def resolve_user(tree: Tree, user: str) -> User:
    """Who `user[:group]` is, with the groups of /etc/group when no group is named."""
    name, colon, group = user.partition(":")
    row = next((row for row in _rows(tree, "etc/passwd") if name in (row[0], row[2])), None)
    if row is None and not name.isdigit():
        raise _unknown(tree, "user", name, "etc/passwd")
    uid = _number(row[2] if row else name)
    home = row[5] if row and len(row) > 5 and row[5] else "/"
    if colon and group:
        gid = _group(tree, group)
        return User(uid=uid, gid=gid, groups=(gid,), home=home)
    gid = _number(row[3]) if row else 0
    more = [_number(line[2]) for line in _rows(tree, "etc/group") if row and row[0] in line[3].split(",")]
    return User(uid=uid, gid=gid, groups=tuple(dict.fromkeys((gid, *more))), home=home)


def _user(tree: Tree, name: str, lenient: bool) -> tuple[int, int]:
    if name.isdigit():
        return _number(name), _number(name)
    for row in _rows(tree, "etc/passwd"):
        if row[0] == name:
            return _number(row[2]), _number(row[3])
    if lenient:
        return 0, 0
    raise _unknown(tree, "user", name, "etc/passwd")


def _group(tree: Tree, name: str, otherwise: int | None = None) -> int:
    if name.isdigit():
        return _number(name)
    for row in _rows(tree, "etc/group"):
        if row[0] == name:
            return _number(row[2])
    if otherwise is not None:
        return otherwise
    raise _unknown(tree, "group", name, "etc/group")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_ID):
        raise SourceInputError(f"not a user or group number: {text[:40]!r}", hint=f"they go from 0 to {MAX_ID}")
    return int(text)


def _rows(tree: Tree, path: str) -> Iterator[list[str]]:
    entry = tree.lookup(real := resolve(tree, path))
    if entry is None:
        return
    if entry.type not in ("file", "hardlink") or entry.size > MAX_BYTES:
        raise SourceInputError(f"/{path} of the image is not a file of a sensible size")
    with tree.open(real) as file:
        text = (file.read(MAX_BYTES) or b"").decode(errors="replace")
    for line in text.splitlines():
        row = line.strip().split(":")
        if len(row) >= 4:
            yield row


def _unknown(tree: Tree, kind: str, name: str, path: str) -> SourceInputError:
    from buildkit_py.suggest import suggest

    close = suggest(name, [row[0] for row in _rows(tree, path)])
    hint = f"did you mean {close!r}?" if close else f"add it first, or write its number (/{path} has no such name)"
    return SourceInputError(f"the image has no {kind} {name!r}", hint=hint)
