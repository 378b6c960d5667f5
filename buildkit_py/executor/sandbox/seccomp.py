"""Which system calls a step may make: an allow-list, as the field's runtimes have by default.

What is left out reaches into the kernel or the machine (modules, keyrings, mounts, clocks, bpf, io_uring, new user
namespaces) or is obsolete. A capability that a step was granted opens the calls that make no sense without it.
The same profile becomes OCI runtime JSON (`to_oci`) and a BPF program (see `bpf`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from buildkit_py.dataclass import dataclass

_ALWAYS = """
accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown chown32 chroot
clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range
connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2
epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64
fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64
futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_mempolicy get_robust_list
get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid
getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
io_pgetevents_time64 io_setup io_submit ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listxattr listxattrat llistxattr _llseek
lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack mbind membarrier memfd_create memfd_secret mincore
mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv
msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause
pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv
preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev
pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages
removexattr removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 sendfile sendfile64 sendmmsg sendmsg
sendto set_mempolicy set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid
setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid
setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt
shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs
statfs64 statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink
unlinkat utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
"""

_BY_CAPABILITY = {
    "BPF": "bpf",
    "DAC_READ_SEARCH": "open_by_handle_at",
    "PERFMON": "perf_event_open",
    "SYS_ADMIN": """bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr
    move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns umount umount2 unshare
    statmount listmount open_tree_attr""",
    "SYS_BOOT": "reboot",
    "SYS_MODULE": "delete_module finit_module init_module",
    "SYS_NICE": "migrate_pages move_pages set_mempolicy_home_node",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "SYS_RAWIO": "ioperm iopl",
    "SYS_TIME": "clock_settime clock_settime64 settimeofday stime clock_adjtime clock_adjtime64",
    "SYS_TTY_CONFIG": "vhangup",
    "SYSLOG": "syslog",
}

_NAMESPACE_FLAGS = 0x7E020000
_TIOCSTI = 0x5412
_FAMILIES = {"unix": 1, "inet": 2, "inet6": 10, "netlink": 16}
_PACKET = 17
_PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

EPERM, ENOSYS = 1, 38


@dataclass(frozen=True, slots=True)
class Condition:
    """What argument number `argument` must be: equal, unequal (in its low 32 bits), or without the bits `value`."""

    argument: int
    test: Literal["equal", "unequal", "without"]
    value: int


@dataclass(frozen=True, slots=True)
class Profile:
    """`allowed` calls, calls allowed where one condition of several holds, and calls that claim not to exist; any
    other fails with EPERM."""

    allowed: frozenset[str]
    conditional: tuple[tuple[str, tuple[Condition, ...]], ...]
    absent: frozenset[str]


def opening(capabilities: Iterable[str]) -> tuple[str, ...]:
    """Those of the capabilities that open a call: two sets of which these are equal have one profile."""
    return tuple(sorted({"NET_RAW", *_BY_CAPABILITY}.intersection(capabilities)))


def profile(capabilities: Iterable[str]) -> Profile:
    """The profile for a process with these capabilities."""
    granted = set(capabilities)
    allowed = set(_ALWAYS.split())
    for name in granted & set(_BY_CAPABILITY):
        allowed |= set(_BY_CAPABILITY[name].split())
    families = [*_FAMILIES.values(), *([_PACKET] if "NET_RAW" in granted else [])]
    conditional = {
        "clone": (Condition(0, "without", _NAMESPACE_FLAGS),),
        "ioctl": (Condition(1, "unequal", _TIOCSTI),),
        "personality": tuple(Condition(0, "equal", value) for value in _PERSONALITIES),
        "socket": tuple(Condition(0, "equal", value) for value in families),
    }
    return Profile(
        frozenset(allowed),
        tuple((name, rules) for name, rules in conditional.items() if name not in allowed),
        frozenset({"clone3"} - allowed),
    )


_OCI_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
}


def to_oci(value: Profile, machine: str) -> dict[str, Any]:
    """As `linux.seccomp` of an OCI runtime configuration."""
    rules: list[dict[str, Any]] = [{"names": sorted(value.allowed), "action": "SCMP_ACT_ALLOW"}]
    for name, conditions in value.conditional:
        rules.extend(
            {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [comparison]}
            for item in conditions
            for comparison in _oci_comparisons(item)
        )
    if value.absent:
        rules.append({"names": sorted(value.absent), "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "architectures": _OCI_ARCHITECTURES.get(machine, []),
        "syscalls": rules,
    }


def _oci_comparisons(condition: Condition) -> list[dict[str, Any]]:
    """Comparisons of all 64 bits of an argument, of which one must hold.

    Half an argument can only be compared for being equal, under a mask. To be unequal is to differ in a bit.
    """
    match condition.test:
        case "without":
            return [_masked(condition.argument, condition.value, 0)]
        case "equal":
            return [{"index": condition.argument, "value": condition.value, "op": "SCMP_CMP_EQ"}]
        case "unequal":
            bits = [1 << number for number in range(32)]
            return [_masked(condition.argument, bit, ~condition.value & bit) for bit in bits]


def _masked(argument: int, mask: int, value: int) -> dict[str, Any]:
    return {"index": argument, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
