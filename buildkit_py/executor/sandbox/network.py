"""The files by which a step finds the network, or finds that there is none. They are mounted and reach no layer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from buildkit_py.executor.sandbox.spec import FileMount

CA_BUNDLE = "/run/pybuild/ca-certificates.crt"
"""Where a networked step finds the builder's certificate authorities. Not where systems keep theirs: a package that
brings certificates replaces that file, which can't be done to a mount."""

CA_ENVIRONMENT = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE")
"""The variables that make common programs read `CA_BUNDLE`."""

CA_PLACES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep their certificate authorities."""

_SIX = "::1\tlocalhost ip6-localhost ip6-loopback\n"
_LIMIT = 4 << 20


def network_mounts(
    network: Literal["none", "host"],
    hostname: str = "pybuild",
    hosts: Iterable[tuple[str, str]] = (),
    *,
    plain: bool = False,
) -> tuple[FileMount, ...]:
    """resolv.conf and hosts for that network; for the builder's network the names that the machine knows and its CA
    bundle too, unless it is to be `plain`.

    `hosts` are names of the step's own with their addresses; they stand before the machine's, where they win.
    """
    given = "".join(f"{address}\t{name}\n" for name, address in hosts).encode()
    local = f"127.0.0.1\tlocalhost {hostname}\n{_SIX}".encode()
    if plain:
        return _names(b"" if network == "none" else _read("/etc/resolv.conf"), local + given)
    if network == "none":
        return _names(b"", given + local)
    machine = _read("/etc/hosts")
    own = machine + f"127.0.0.1\t{hostname}\n".encode() if machine else local
    names = _names(_read("/etc/resolv.conf"), given + own)
    bundle = next(filter(None, map(_read, CA_PLACES)), b"")
    return (*names, FileMount(data=bundle, target=CA_BUNDLE)) if bundle else names


def _names(resolv: bytes, hosts: bytes) -> tuple[FileMount, ...]:
    return (FileMount(data=resolv, target="/etc/resolv.conf"), FileMount(data=hosts, target="/etc/hosts"))


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(_LIMIT)
    except OSError:
        return b""
