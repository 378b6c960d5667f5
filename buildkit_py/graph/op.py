"""Ops: what a vertex does, as data.

Every op describes one file tree made from named inputs. Two families: *sources* (no inputs) bring trees into the graph;
*steps* have a `base` input, whose tree they change, and perhaps others. A field that has its default value is left
out of the encoding, so that a field added later changes no digest of a graph that does not use it.

Common shapes: a path inside a tree is absolute and `/`-separated. An owner is `user[:group]`, numbers or names of the
base's `/etc/passwd` and `/etc/group`. A mode is octal text (`"0644"`) or symbolic (`"u+x,go-w"`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """The empty tree."""

    type: Literal["scratch"] = "scratch"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """The file tree of an image.

    `ref` is a normalised registry reference, or `oci:PATH[:REF]` / `oci-archive:PATH[:REF]` below the directory of
    the build. `digest` is that of the platform's manifest; a source without one is pinned by the engine before
    anything runs.
    """

    type: Literal["image"] = "image"
    ref: str
    platform: str
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSource:
    """A directory of the client; `context`, the directory of the build, is the only one there is.

    `ignore` holds ignore-file patterns (anchored, the last match wins, `!` includes again). `hidden` names single
    paths that a directory or a glob never selects, though their own name does.
    """

    type: Literal["local"] = "local"
    name: str = "context"
    ignore: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSource:
    """One file fetched from a URL, at `/filename` in its tree."""

    type: Literal["http"] = "http"
    url: str
    filename: str
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSource:
    """The files of a git repository at a commit (40 or 64 hexadecimal digits), `subdir` as the root."""

    type: Literal["git"] = "git"
    url: str
    commit: str
    subdir: str = ""
    keep_git_dir: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Inputs `base`, `from`: copy `sources` (paths or globs of `from`) to `dest`.

    A `dest` that ends with `/` is a directory to copy into, otherwise the name that the one source gets. Missing
    parents are made 0755, 0:0. `contents` says which directory sources stand for what they hold: those written with a
    final `/` (`slash`), or all (`always`). `owner` None keeps the source's. `mode` None keeps the source's; `auto`
    gives 0755 to directories and executable files and 0644 to other files.
    """

    type: Literal["copy"] = "copy"
    sources: tuple[str, ...]
    dest: str
    exclude: tuple[str, ...] = ()
    owner: str | None = None
    mode: str | None = None
    contents: Literal["slash", "always"] = "slash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mkdir:
    """Input `base`: make a directory and its missing parents; one that exists gets the mode and owner, or, with
    `keep_existing`, stays as it is."""

    type: Literal["mkdir"] = "mkdir"
    path: str
    mode: str = "0755"
    owner: str = "0:0"
    keep_existing: bool = False


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
    """A directory of the build machine that outlives the step; `id` names it, and is in the key."""

    kind: Literal["cache"] = "cache"
    target: str
    id: str
    sharing: Literal["shared", "private", "locked"] = "shared"
    read_only: bool = False
    mode: str = "0755"
    owner: str = "0:0"


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
    the machine's own.
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
    image and not the machine's.
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


def _tag(cls: type, name: str) -> str:
    return str(cls.__dataclass_fields__[name].default)  # type: ignore[attr-defined]


Source = Scratch | ImageSource | LocalSource | HttpSource | GitSource
FileStep = Copy | Mkdir | Write | Symlink | Remove | Chmod | Chown | Unpack
ExecStep = Run | Host
Op = Source | FileStep | ExecStep

SOURCES = (Scratch, ImageSource, LocalSource, HttpSource, GitSource)
FILE_STEPS = (Copy, Mkdir, Write, Symlink, Remove, Chmod, Chown, Unpack)
EXEC_STEPS = (Run, Host)
MOUNTS = (BindMount, CacheMount, TmpfsMount, SecretMount, SshMount, FileMount)
WHOLE = frozenset({"base", "tools"})
"""The roles of inputs whose whole tree a step sees; a mount can't take one of them."""
OPS: dict[str, type[Op]] = {_tag(cls, "type"): cls for cls in SOURCES + FILE_STEPS + EXEC_STEPS}
MOUNT_KINDS: dict[str, type[Mount]] = {_tag(cls, "kind"): cls for cls in MOUNTS}
