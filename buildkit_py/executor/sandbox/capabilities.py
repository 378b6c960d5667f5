"""Linux capabilities: their numbers, and the sets that steps get (capabilities(7))."""

from __future__ import annotations

from collections.abc import Iterable

_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""

CAPABILITIES: dict[str, int] = {name: number for number, name in enumerate(_NAMES.split())}
"""Name without `CAP_` → bit."""

HOST_CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
)
"""What a host step has: enough to fill a root file system, not to mount or to make devices."""

DEFAULT_CAPABILITIES = (*HOST_CAPABILITIES[:5], "NET_BIND_SERVICE", *HOST_CAPABILITIES[5:])
"""What root has in a `run` step that names no more."""


def mask(names: Iterable[str]) -> int:
    """The capabilities as a bit set."""
    bits = 0
    for name in names:
        bits |= 1 << CAPABILITIES[name]
    return bits


def current_capabilities() -> tuple[str, ...]:
    """All that this process has."""
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("CapEff:"))
    held = int(line.split()[1], 16)
    return tuple(name for name, number in CAPABILITIES.items() if held >> number & 1)


def last_capability() -> int:
    """The number of the highest capability that this kernel knows."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        return int(file.read())
