"""Findings about the files of the merged tree: who may do what with them, and what leads to nothing."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import islice

from buildkit_py.errors import SourceInputError
from buildkit_py.layer.entry import Entry
from buildkit_py.layer.tree import Tree, ancestors, printable, resolve, walk
from buildkit_py.layer.xattrs import CAPABILITY
from buildkit_py.scan.model import Finding, Rule, Severity
from buildkit_py.scan.reading import ReadImage

RULES = (
    Rule(id="setuid", severity="medium", about="A program runs with the rights of its owner, whoever starts it."),
    Rule(id="setgid", severity="low", about="A program runs with the rights of its group, whoever starts it."),
    Rule(id="file-capability", severity="medium", about="A program has rights of root by a file capability."),
    Rule(id="world-writable", severity="medium", about="Every user of a container may change this."),
    Rule(id="device-node", severity="medium", about="A device node is in the image."),
    Rule(id="broken-link", severity="low", about="A symbolic link leads to nothing in the image."),
    Rule(id="unknown-owner", severity="low", about="Files belong to a user whom /etc/passwd does not know."),
)
_SETUID, _SETGID, _STICKY, _WRITABLE, _EXECUTABLE = 0o4000, 0o2000, 0o1000, 0o002, 0o111
_USUAL_WORDS = (
    "su sudo mount umount passwd chsh chfn newgrp gpasswd expiry chage wall write pam_timestamp_check "
    "unix_chkpwd fusermount fusermount3 newuidmap newgidmap ssh-keysign ssh-agent dbus-daemon-launch-helper "
    "polkit-agent-helper-1 pkexec crontab at bwrap ping ping6 mount.nfs mount.cifs utempter bbsuid doas sg "
    "userhelper usernetctl grub2-set-bootflag unix-lgetpw unix_update mail-lock mail-unlock mail-touchlock "
    "dotlockfile arping clockdiff traceroute6.iputils iputils-ping locate plocate"
)
_USUAL = frozenset(_USUAL_WORDS.split())
"""Programs that distributions give these rights to."""
_SYSTEM = ("bin/", "sbin/", "lib/", "usr/bin/", "usr/sbin/", "usr/lib/", "usr/libexec/")
_GIVEN = ("proc", "dev", "sys", "run", "var/run", "tmp", "etc/mtab", "etc/resolv.conf", "etc/hosts", "etc/hostname")
"""What is made or mounted when a container starts, so that a link to it is whole then."""
_CAPABILITIES_WORDS = (
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable "
    "net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot "
    "sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease "
    "audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read "
    "perfmon bpf checkpoint_restore"
)
_CAPABILITIES = tuple(_CAPABILITIES_WORDS.split())
_MILD = frozenset(("net_bind_service", "net_raw", "audit_write", "kill", "ipc_lock", "sys_nice", "net_broadcast"))
_GRAVE_WORDS = (
    "dac_override dac_read_search setuid setgid setpcap setfcap sys_admin sys_module sys_ptrace sys_rawio bpf "
    "mknod chown fowner"
)
_GRAVE = frozenset(_GRAVE_WORDS.split())
PASSWD_LIMIT = 1 << 20
MAX_OF_A_RULE = 10_000
_MAX_LOOKS = 20_000_000


Told = tuple[str, Severity, str]
"""Rule, severity and message."""


class FileFindings:
    """What is to be said of each path of the merged tree; `notes` say where an image was too much to look at."""

    def __init__(self, read: ReadImage, users: frozenset[int] | None) -> None:
        """`users` are the ids that `/etc/passwd` knows, None where there is none."""
        self._read = read
        self._users = users
        self._links = _Counted(read.tree)
        self._counts: dict[str, int] = {}
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Finding]:
        strangers: list[Entry] = []
        for entry in walk(self._read.tree):
            for rule, severity, message in self._checked(entry):
                if self._counts.setdefault(rule, 0) < MAX_OF_A_RULE:
                    self._counts[rule] += 1
                    layer = self._read.layer(entry.path)
                    place = printable(entry.path)
                    yield Finding(rule=rule, severity=severity, message=message, place=place, layer=layer)
            if self._users is not None and entry.uid not in self._users:
                strangers.append(entry)
        yield from islice(_strangers(self._read, strangers), MAX_OF_A_RULE)
        for rule, number in self._counts.items():
            if number == MAX_OF_A_RULE:
                self.notes.append(f"of {rule} only the first {MAX_OF_A_RULE} findings are told")
        if self._links.left <= 0:
            self.notes.append("not every symbolic link was followed: there are too many, and they lead too far")

    def _checked(self, entry: Entry) -> Iterator[Told]:
        if entry.type == "symlink":
            if self._links.left > 0:
                yield from _link(self._links, entry)
            return
        if entry.type in ("char", "block"):
            yield from _device(entry)
            return
        if entry.type in ("file", "hardlink"):
            yield from _rights(entry)
            yield from _capabilities(entry)
        if entry.mode & _WRITABLE and not (entry.type == "dir" and entry.mode & _STICKY):
            yield from _writable(entry)


class _Counted:
    """A tree that counts how often it is asked: chains of links can ask very often."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.left = _MAX_LOOKS
        self.children, self.open = tree.children, tree.open

    def lookup(self, path: str) -> Entry | None:
        """The entry of a name."""
        self.left -= 1
        return self._tree.lookup(path)


def users_of(passwd: bytes) -> frozenset[int]:
    """The ids in a file as passwd(5) describes it; root's is always one."""
    fields = (line.split(b":") for line in passwd.splitlines())
    return frozenset(
        {0, *(int(each[2]) for each in fields if len(each) > 3 and each[2].isdigit() and len(each[2]) < 11)}
    )


def _rights(entry: Entry) -> Iterator[Told]:
    usual = entry.path.rpartition("/")[2] in _USUAL and entry.path.startswith(_SYSTEM)
    changeable = bool(entry.mode & _WRITABLE)
    if entry.mode & _SETUID and entry.mode & _EXECUTABLE:
        severity: Severity = "critical" if changeable else "low" if usual else "medium"
        yield "setuid", severity, f"runs as the user {entry.uid}, whoever starts it"
    if entry.mode & _SETGID and entry.mode & _EXECUTABLE:
        yield "setgid", "high" if changeable else "low", f"runs as the group {entry.gid}, whoever starts it"


def _capabilities(entry: Entry) -> Iterator[Told]:
    value = dict(entry.xattrs).get(CAPABILITY)
    names = capabilities(value) if value is not None else ()
    if names:
        severity: Severity = "low" if _MILD.issuperset(names) else "medium" if _GRAVE.isdisjoint(names) else "high"
        yield "file-capability", severity, f"has the capabilities {', '.join(names)}"


def capabilities(value: bytes) -> tuple[str, ...]:
    """The names of what a value of `security.capability` permits (capabilities(7), `struct vfs_cap_data`)."""
    if len(value) < 12:
        return ()
    low = struct.unpack_from("<I", value, 4)[0]
    high = struct.unpack_from("<I", value, 12)[0] if len(value) >= 20 else 0
    bits = low | high << 32
    return tuple(name for number, name in enumerate(_CAPABILITIES) if bits >> number & 1)


def _writable(entry: Entry) -> Iterator[Told]:
    if entry.type == "dir":
        yield "world-writable", "medium", "everybody may write in this directory, and it has no sticky bit"
    elif entry.mode & _EXECUTABLE and entry.type != "fifo":
        yield "world-writable", "high", "everybody may change this program"
    else:
        yield "world-writable", "medium", f"everybody may write to this {'pipe' if entry.type == 'fifo' else 'file'}"


def _device(entry: Entry) -> Iterator[Told]:
    # What is below /dev is covered when a container starts.
    major, minor = entry.device or (0, 0)
    kind = "block" if entry.type == "block" else "character"
    severity: Severity = "low" if entry.path.startswith("dev/") else "high" if entry.type == "block" else "medium"
    yield "device-node", severity, f"a {kind} device {major}:{minor}"


def _link(tree: Tree, entry: Entry) -> Iterator[Told]:
    target = printable(entry.target or "")
    try:
        there = resolve(tree, entry.path)
    except SourceInputError:
        yield "broken-link", "low", f"leads to {target}, and round in circles"
        return
    given = any(there == place or there.startswith(f"{place}/") for place in _GIVEN)
    if not given and not entry.path.startswith(("proc/", "dev/", "sys/")) and tree.lookup(there) is None:
        yield "broken-link", "low", f"leads to {target}, which is not there"


def _strangers(read: ReadImage, entries: Iterable[Entry]) -> Iterator[Finding]:
    """One finding for each user and each outermost directory."""
    groups: dict[tuple[int, str], list[Entry]] = {}
    for entry in entries:
        above = ("", *ancestors(entry.path)) if entry.path else ()
        first = next((place for place in above if (entry.uid, place) in groups), entry.path)
        groups.setdefault((entry.uid, first), []).append(entry)
    for (uid, top), found in groups.items():
        yield Finding(
            rule="unknown-owner",
            severity="low",
            message=f"belongs to the user {uid}, whom /etc/passwd does not know",
            place=printable(top),
            layer=read.layer(found[0].path),
            count=len(found),
        )
