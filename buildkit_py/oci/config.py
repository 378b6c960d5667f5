"""Image configurations: what a container made of the image would run, and the diff ids of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from buildkit_py.dataclass import dataclass, field
from buildkit_py.digest import Digest
from buildkit_py.oci.descriptor import platform_from_plain
from buildkit_py.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One line of an image's history; `empty_layer` where it made no layer."""

    created: str | None = None
    created_by: str = ""
    comment: str = ""
    author: str = ""
    empty_layer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfigDoc:
    """An image's configuration. `config` is the document's own `config` object, with the names of the specification.

    The properties give its fields in typed form; absent ones are empty, except where absent and empty differ
    (`entrypoint`, `command`), which are None.
    """

    raw: bytes = field(repr=False)
    platform: Platform | None
    config: Mapping[str, Any]
    diff_ids: tuple[Digest, ...]
    history: tuple[History, ...] = ()
    created: str | None = None
    author: str | None = None

    @property
    def digest(self) -> Digest:
        """The digest of the raw bytes; Docker's image id."""
        return Digest.of(self.raw)

    @property
    def env(self) -> tuple[tuple[str, str], ...]:
        """Names and values in the document's order."""
        pairs = (item.partition("=") for item in self.config.get("Env") or ())
        return tuple((name, value) for name, _, value in pairs if name)

    @property
    def user(self) -> str:
        """`user`, `uid`, `user:group` or `uid:gid`; empty for root. As written: nothing is checked here."""
        return str(self.config.get("User") or "")

    @property
    def workdir(self) -> str:
        """The working directory; empty where none is set."""
        return str(self.config.get("WorkingDir") or "")

    @property
    def entrypoint(self) -> tuple[str, ...] | None:
        """The entry point; None where it is not set."""
        return _words(self.config.get("Entrypoint"))

    @property
    def command(self) -> tuple[str, ...] | None:
        """The default arguments (`Cmd`); None where they are not set."""
        return _words(self.config.get("Cmd"))

    @property
    def exposed_ports(self) -> tuple[str, ...]:
        """`8080/tcp` and the like, sorted."""
        return tuple(sorted(self.config.get("ExposedPorts") or ()))

    @property
    def volumes(self) -> tuple[str, ...]:
        """Paths that are volumes, sorted."""
        return tuple(sorted(self.config.get("Volumes") or ()))

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels; inert text."""
        return dict(self.config.get("Labels") or {})

    @property
    def stop_signal(self) -> str | None:
        """The signal that stops the container, as written."""
        return self.config.get("StopSignal") or None

    @property
    def healthcheck(self) -> Mapping[str, Any] | None:
        """Docker's `Healthcheck` object, as written."""
        return self.config.get("Healthcheck") or None

    @property
    def shell(self) -> tuple[str, ...] | None:
        """Docker's `Shell`, which the shell form of a Dockerfile's steps uses."""
        return _words(self.config.get("Shell"))

    @property
    def on_build(self) -> tuple[str, ...]:
        """Docker's `OnBuild` triggers."""
        return _words(self.config.get("OnBuild")) or ()

    @property
    def stop_timeout(self) -> int | None:
        """Docker's `StopTimeout`, in seconds."""
        value: int | None = self.config.get("StopTimeout")
        return value

    @property
    def args_escaped(self) -> bool:
        """Docker's `ArgsEscaped`."""
        return bool(self.config.get("ArgsEscaped"))

    @classmethod
    def from_plain(cls, raw: bytes, plain: Mapping[str, Any]) -> ImageConfigDoc:
        """From a JSON value that is known to be well-formed, and the bytes that it was read from."""
        return cls(
            raw=raw,
            platform=platform_from_plain(plain),
            config=plain.get("config") or {},
            diff_ids=tuple(Digest.parse(item) for item in plain["rootfs"].get("diff_ids") or ()),
            history=tuple(_history(item) for item in plain.get("history") or ()),
            created=plain.get("created"),
            author=plain.get("author"),
        )


def _words(value: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


def _history(plain: Mapping[str, Any]) -> History:
    return History(
        created=plain.get("created"),
        created_by=plain.get("created_by") or "",
        comment=plain.get("comment") or "",
        author=plain.get("author") or "",
        empty_layer=bool(plain.get("empty_layer")),
    )


def chain_ids(diff_ids: Sequence[Digest]) -> tuple[Digest, ...]:
    """The chain id of each layer and all below it, lowest first (OCI image specification, "Layer ChainID")."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(Digest.of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)


def chain_id(diff_ids: Sequence[Digest]) -> Digest | None:
    """The chain id of all layers together; None where there is no layer."""
    return chain_ids(diff_ids)[-1] if diff_ids else None
