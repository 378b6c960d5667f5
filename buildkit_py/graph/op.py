"""Ops: what a vertex does, as data.

Every op describes one file tree made from named inputs. Two families: *sources* (no inputs) bring trees into the graph;
*steps* have a `base` input, whose tree they change, and perhaps others. A field that has its default value is left
out of the encoding, so that a field added later changes no digest of a graph that does not use it.

Common shapes: a path inside a tree is absolute and `/`-separated. An owner is `user[:group]`, numbers or names of the
base's `/etc/passwd` and `/etc/group`. A mode is octal text (`"0644"`) or symbolic (`"u+x,go-w"`).
"""

from __future__ import annotations

from typing import Literal

from buildkit_py.dataclass import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """The empty tree."""

    type: Literal["scratch"] = "scratch"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """The file tree of an image.

    `ref` is a normalised registry reference, or `oci:PATH[:REF]`, `oci-archive:PATH[:REF]`,
    `docker-archive:PATH[:REF]` or `dir:PATH` below the directory of the build. `digest` is that of the platform's
    manifest; a source without one is pinned by the engine before anything runs.
    """

    type: Literal["image"] = "image"
    ref: str
    platform: str
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSource:
    """A directory of the client: `context`, the directory of the build, or another that the client offers by name.

    `ignore` holds ignore-file patterns (anchored, the last match wins, `!` includes again). `hidden` names single
    paths that a directory or a glob never selects, though their own name does. With `special`, names that share one
    file go on sharing it, a socket is there as an empty file, and a device is there too; without it every name is a
    file of its own, a socket is not there and a device is an error.
    """

    type: Literal["local"] = "local"
    name: str = "context"
    ignore: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    special: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSource:
    """One file fetched from a URL, at `/filename` in its tree, with `mode` (octal)."""

    type: Literal["http"] = "http"
    url: str
    filename: str
    digest: str | None = None
    mode: str = "0644"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSource:
    """The files of a git repository at a commit (40 or 64 hexadecimal digits), `subdir` as the root; with
    `submodules`, those of its submodules too."""

    type: Literal["git"] = "git"
    url: str
    commit: str
    subdir: str = ""
    keep_git_dir: bool = False
    submodules: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Inputs `base`, `from`: copy `sources` (paths or globs of `from`) to `dest`.

    A `dest` that ends with `/` is a directory to copy into, otherwise the name that the one source gets. `contents`
    says which directory sources stand for what they hold: those written with a final `/` (`slash`), or all (`always`).
    `owner` None keeps the source's. `mode` None keeps the source's; `auto` gives 0755 to directories and executable
    files and 0644 to other files; `directory_mode` is the mode of directories where it is not `mode`.

    Missing parents of `dest` are made 0755, 0:0, or, with `made` `alike`, with the owner (and the octal mode) that
    what is copied gets. `optional`: a glob may match nothing. `parents`: the directories of a source's path, from the
    pivot `/./` on if it has one, are made below `dest` as they are in `from`. `unpack`: a source that is a tar archive
    (plain, gzip, bzip2, xz, zstd) is unpacked into the directory `dest`, its whiteouts obeyed, its modes kept.
    """

    type: Literal["copy"] = "copy"
    sources: tuple[str, ...]
    dest: str
    exclude: tuple[str, ...] = ()
    owner: str | None = None
    mode: str | None = None
    contents: Literal["slash", "always"] = "slash"
    directory_mode: str | None = None
    made: Literal["root", "alike"] = "root"
    optional: bool = False
    parents: bool = False
    unpack: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Inputs `base`, `from`: lay everything that `from` holds over `base`, each entry as it is.

    Nothing of `base` decides where an entry goes: no link is followed, a directory over anything else replaces it, and
    so does anything else over a directory. So what it changes is the same over every base.
    """

    type: Literal["merge"] = "merge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mkdir:
    """Input `base`: make a directory and its missing parents; one that exists gets the mode and owner, or, with
    `keep_existing`, stays as it is. Missing parents are 0755, 0:0, or, with `made` `alike`, get the owner too."""

    type: Literal["mkdir"] = "mkdir"
    path: str
    mode: str = "0755"
    owner: str = "0:0"
    keep_existing: bool = False
    made: Literal["root", "alike"] = "root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Input `base`: make or replace a regular file holding `text` as UTF-8."""

    type: Literal["write"] = "write"
    path: str
    text: str
    mode: str = "0644"
    owner: str = "0:0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Symlink:
    """Input `base`: make or replace a symbolic link at `path`."""

    type: Literal["symlink"] = "symlink"
    path: str
    target: str
    owner: str = "0:0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Input `base`: remove files and directories; `paths` may be globs. Nothing there is an error unless
    `missing_ok`."""

    type: Literal["remove"] = "remove"
    paths: tuple[str, ...]
    missing_ok: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chmod:
    """Input `base`: change modes; `paths` may be globs. Symbolic links are left alone."""

    type: Literal["chmod"] = "chmod"
    paths: tuple[str, ...]
    mode: str
    recursive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chown:
    """Input `base`: change owners; `paths` may be globs. Symbolic links themselves are changed, never followed."""

    type: Literal["chown"] = "chown"
    paths: tuple[str, ...]
    owner: str
    recursive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpack:
    """Inputs `base`, `from`: unpack tar archives (plain, gzip, bzip2, xz, zstd) or zip files into `dest`.

    `strip` leading path components are dropped. `owner` None keeps the archive's numbers.
    """

    type: Literal["unpack"] = "unpack"
    sources: tuple[str, ...]
    dest: str
    owner: str | None = None
    strip: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount:
    """`source` inside the tree of the input named `input`, a role of its own; writes to a mount that is not
    `read_only` are thrown away."""

    kind: Literal["bind"] = "bind"
    target: str
    input: str
    source: str = "/"
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMount:
    """A directory of the build machine that outlives the step; `id` names it, and is in the key.

    A new one holds what `source` of the input named `input` holds, if that is given.
    """

    kind: Literal["cache"] = "cache"
    target: str
    id: str
    sharing: Literal["shared", "private", "locked"] = "shared"
    read_only: bool = False
    mode: str = "0755"
    owner: str = "0:0"
    input: str | None = None
    source: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class TmpfsMount:
    """An empty file system in memory; `size` in bytes."""

    kind: Literal["tmpfs"] = "tmpfs"
    target: str
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretMount:
    """The secret `id`, as a file at `target`, in the variable `env`, or both. Its value is in no key and no digest."""

    kind: Literal["secret"] = "secret"
    id: str
    target: str | None = None
    env: str | None = None
    required: bool = True
    mode: str = "0400"
    owner: str = "0:0"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshMount:
    """The client's ssh agent `id` as a socket at `target`; SSH_AUTH_SOCK points to it."""

    kind: Literal["ssh"] = "ssh"
    id: str = "default"
    target: str | None = None
    required: bool = True
    mode: str = "0600"
    owner: str = "0:0"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMount:
    """A read-only file holding `text`, seen by the step alone; how a script with its own interpreter is handed over."""

    kind: Literal["file"] = "file"
    target: str
    text: str
    mode: str = "0555"


Mount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount | FileMount


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Input `base` and those that mounts name: run a process inside the tree.

    `env` is the whole environment (name, value), `user` is `user[:group]` of the tree, empty for 0:0. `network` is
    `none` (a loopback only) or `host` (the builder's network). `platform` is what the process is built for, empty for
    the machine's own. `hostname` is empty for the sandbox's own; `hosts` are further lines of /etc/hosts (name,
    address); `limits` are resource limits as setrlimit(2) has them (name in lower case without RLIMIT_, soft, hard;
    -1 for none). With `set_id`, set-user-id programs and file capabilities work. `proxy`: the client's proxy variables
    are added to the environment, and are in no key. `security` `insecure` takes the sandbox away; the engine runs such
    a step only for a client that allows it. `xattrs`: whether all attributes that belong to files are kept in what the
    process leaves, or capabilities alone. `system_directories`: whether /dev, /proc and /sys, made for the process
    where the tree has none, are gone afterwards, or stay as empty directories. `surroundings` `plain`: a process with a
    network is not told of the machine's names and certificate authorities, so that what it sees is the same everywhere;
    SSH_AUTH_SOCK is set whether an agent was given or not. `timeout` (milliseconds), `memory` (bytes), `pids` and
    `cpus` (thousandths of a processor) are the most that the step may use.
    """

    type: Literal["run"] = "run"
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    user: str = ""
    network: Literal["none", "host"] = "none"
    mounts: tuple[Mount, ...] = ()
    capabilities: tuple[str, ...] = ()
    platform: str = ""
    hostname: str = ""
    hosts: tuple[tuple[str, str], ...] = ()
    limits: tuple[tuple[str, int, int], ...] = ()
    set_id: bool = False
    proxy: bool = False
    security: Literal["sandbox", "insecure"] = "sandbox"
    xattrs: Literal["all", "capabilities"] = "all"
    system_directories: Literal["vanish", "stay"] = "vanish"
    surroundings: Literal["helpful", "plain"] = "helpful"
    timeout: int | None = None
    memory: int | None = None
    pids: int | None = None
    cpus: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program that must be on the build machine; `name` is looked up on the PATH of host steps.

    `package` is the Debian package to name where it is missing. The program's identity is part of the step's key.
    """

    name: str
    package: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Input `base` and those that mounts name: run a program of the build machine outside the tree.

    The tree is mounted read-write at the path in `$ROOTFS`. With an input `tools`, the programs are those of that
    image and not the machine's. The most that the step may use stands in the fields that a `Run` has for it.
    """

    type: Literal["host"] = "host"
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    network: Literal["none", "host"] = "none"
    mounts: tuple[Mount, ...] = ()
    capabilities: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    platform: str = ""
    timeout: int | None = None
    memory: int | None = None
    pids: int | None = None
    cpus: int | None = None


def _tag(cls: type, name: str) -> str:
    return str(next(item.default for item in fields(cls) if item.name == name))


Source = Scratch | ImageSource | LocalSource | HttpSource | GitSource
FileStep = Copy | Merge | Mkdir | Write | Symlink | Remove | Chmod | Chown | Unpack
ExecStep = Run | Host
Op = Source | FileStep | ExecStep

SOURCES = (Scratch, ImageSource, LocalSource, HttpSource, GitSource)
FILE_STEPS = (Copy, Merge, Mkdir, Write, Symlink, Remove, Chmod, Chown, Unpack)
EXEC_STEPS = (Run, Host)
MOUNTS = (BindMount, CacheMount, TmpfsMount, SecretMount, SshMount, FileMount)
WHOLE = frozenset({"base", "tools"})
"""The roles of inputs whose whole tree a step sees; a mount can't take one of them."""
OPS: dict[str, type[Op]] = {_tag(cls, "type"): cls for cls in SOURCES + FILE_STEPS + EXEC_STEPS}
MOUNT_KINDS: dict[str, type[Mount]] = {_tag(cls, "kind"): cls for cls in MOUNTS}
