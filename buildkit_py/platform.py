"""Platforms: `os/architecture[/variant]`, normalised as container tools do."""

from __future__ import annotations

import os

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import UsageError

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
    "armv7l": "arm",
    "armv6l": "arm",
    "i386": "386",
    "i686": "386",
    "loongarch64": "loong64",
}
_VARIANTS = {("arm", ""): "v7", ("arm64", "v8"): "", ("amd64", "v1"): ""}
_KNOWN = frozenset(
    {
        *("386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle"),
        *("ppc64", "ppc64le", "riscv64", "s390x", "wasm", "unknown"),
    }
)
_MOST = 100
"""Characters of a platform; none comes near."""
_SYSTEMS = frozenset({"linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "illumos", "solaris", "wasi"})
_IMPLIED_VARIANTS = {"armel": "v6", "armv6l": "v6"}


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """One platform; `variant` is empty where the architecture has none or the usual one."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Parse `linux/amd64`, `linux/arm/v7`, `arm64`, …; raises `UsageError`."""
        if len(text) > _MOST:
            raise UsageError(f"a platform of {len(text)} characters is too long: {text[:40]!r}…")
        parts = text.strip().lower().split("/")
        if len(parts) == 1:
            parts = ["linux", parts[0]]
        if len(parts) > 3 or not all(part and part.replace("_", "").replace("-", "").isalnum() for part in parts):
            raise UsageError(f"not a platform: {text!r}", hint="write os/architecture, as linux/amd64 or linux/arm/v7")
        given = parts[1]
        architecture = _ARCHITECTURES.get(given, given)
        if architecture not in _KNOWN:
            raise UsageError(f"not a platform: {text!r}", hint=_remedy(given, parts[0]))
        variant = parts[2] if len(parts) == 3 else _IMPLIED_VARIANTS.get(given, "")
        return cls(parts[0], architecture, _VARIANTS.get((architecture, variant), variant))

    @classmethod
    def host(cls) -> Platform:
        """The platform of this machine."""
        return cls.parse(f"linux/{os.uname().machine}")

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def _remedy(given: str, system: str) -> str:
    """What to write in place of a word that is no architecture."""
    if given in _SYSTEMS:
        return f"an architecture is missing, write it as {given}/amd64"
    from difflib import get_close_matches

    near = get_close_matches(given, sorted(_KNOWN | set(_ARCHITECTURES)), n=1)
    if near:
        return f"did you mean `{system}/{_ARCHITECTURES.get(near[0], near[0])}`?"
    return f"there is no architecture `{given}`: write one as amd64, arm64, riscv64 or s390x"
