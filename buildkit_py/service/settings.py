"""What a person says about a service, and what an installed release of it is: plain values, kept as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from buildkit_py import canonical
from buildkit_py.dataclass import dataclass

Network = Literal["host", "none"]
_FORM = 1
_ID_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`after` and `requires` are words of the command line. `env` overrides the image's. `state` are further paths that
    can be written to and are kept. `template` is the text of a template that takes the place of the image's."""

    after: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    network: Network = "host"
    env: tuple[tuple[str, str], ...] = ()
    state: tuple[str, ...] = ()
    template: str | None = None

    def to_plain(self) -> dict[str, Any]:
        """As a JSON value."""
        return {
            "after": list(self.after),
            "requires": list(self.requires),
            "network": self.network,
            "env": [list(pair) for pair in self.env],
            "state": list(self.state),
            "template": self.template,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Settings:
        """From what `to_plain` gave."""
        return cls(
            after=tuple(plain["after"]),
            requires=tuple(plain["requires"]),
            network=plain["network"],
            env=tuple((name, value) for name, value in plain["env"]),
            state=tuple(plain["state"]),
            template=plain["template"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One image laid out for one service. `image` is what it was called, `digest` its manifest's.

    `after` and `requires` are the services of pybuild that the unit names, `volumes` the paths that are kept below
    `state/`, `ports` what the image says that it listens at.
    """

    service: str
    image: str
    digest: str
    platform: str
    settings: Settings
    after: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Names the release: the same image with the same settings has the same one."""
        return identity(self.service, self.digest, self.settings)

    def to_plain(self) -> dict[str, Any]:
        """As a JSON value."""
        return {
            "service": self.service,
            "image": self.image,
            "digest": self.digest,
            "platform": self.platform,
            "settings": self.settings.to_plain(),
            "after": list(self.after),
            "requires": list(self.requires),
            "volumes": list(self.volumes),
            "ports": list(self.ports),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Release:
        """From what `to_plain` gave."""
        return cls(
            service=plain["service"],
            image=plain["image"],
            digest=plain["digest"],
            platform=plain["platform"],
            settings=Settings.from_plain(plain["settings"]),
            after=tuple(plain["after"]),
            requires=tuple(plain["requires"]),
            volumes=tuple(plain["volumes"]),
            ports=tuple(plain["ports"]),
        )


def identity(service: str, digest: str, settings: Settings) -> str:
    """The id of a release before it is made."""
    return canonical.digest([_FORM, service, digest, settings.to_plain()]).hex[:_ID_DIGITS]
