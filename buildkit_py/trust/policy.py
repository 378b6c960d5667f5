"""The trust policy: which images may be used, in the format of containers-policy.json(5).

    {"default": [REQUIREMENT, …],
     "transports": {"docker": {"registry.example/team": [REQUIREMENT, …], "": […]}, "oci": {…}, …}}

The most specific scope that fits an image counts alone, and all of its requirements must be met. The file is read
strictly: what is unknown in it makes it unusable, since half a policy is none. Nothing heavy is imported to read one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from buildkit_py.dataclass import dataclass
from buildkit_py.errors import UsageError
from buildkit_py.reference import Reference
from buildkit_py.trust.foreign import Fields, from_base64, json_object
from buildkit_py.trust.identity import Identity, identity_of

SYSTEM = Path("/etc/containers/policy.json")
_MANUAL = "containers-policy.json(5) describes it"
_MAX_BYTES = 1 << 20
_NOT_KEPT = ("fulcio", "pki", "rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """Where keys come from: files, or the bytes themselves."""

    paths: tuple[str, ...] = ()
    data: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Accept:
    """`insecureAcceptAnything`: met by every image."""


@dataclass(frozen=True, slots=True)
class Reject:
    """`reject`: met by none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBy:
    """`signedBy`: an OpenPGP signature of simple signing, by one of the keys, with that identity."""

    keys: KeySource
    identity: Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class SigstoreSigned:
    """`sigstoreSigned`: a signature of sigstore's tools, by one of the keys, with that identity."""

    keys: KeySource
    identity: Identity


Requirement = Accept | Reject | SignedBy | SigstoreSigned
Requirements = tuple[Requirement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy; `path` is the file that it came from."""

    path: Path
    default: Requirements
    transports: Mapping[str, Mapping[str, Requirements]]

    def requirements(self, transport: str, scopes: Sequence[str]) -> tuple[str, Requirements]:
        """What an image must meet, and the scope that says so. `scopes` are the image's, the most specific first."""
        known = self.transports.get(transport, {})
        for scope in (*scopes, ""):
            if scope in known:
                return f"{transport}: {scope}" if scope else f"{transport}: all", known[scope]
        return "the default", self.default


def places(environ: Mapping[str, str], given: Path | None = None) -> tuple[Path, ...]:
    """Where a policy is looked for, the first that is there counts: `given`, or $PYBUILD_POLICY, alone; else the user's
    and the system's of the other tools for containers."""
    if given is not None or environ.get("PYBUILD_POLICY"):
        return (given or Path(environ["PYBUILD_POLICY"]),)
    home = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME') or '/'}/.config"
    return (Path(home) / "containers" / "policy.json", SYSTEM)


def load(environ: Mapping[str, str] = os.environ, given: Path | None = None) -> Policy | None:
    """The policy that holds here, None where there is none. Raises `UsageError`."""
    for path in places(environ, given):
        try:
            with path.open("rb") as file:
                return parse(file.read(_MAX_BYTES + 1), path)
        except (FileNotFoundError, NotADirectoryError):
            if len(places(environ, given)) == 1:
                raise UsageError(f"there is no trust policy {path}", hint=_MANUAL) from None
        except OSError as error:
            raise UsageError(f"the trust policy {path} can't be read: {error.strerror}") from None
    return None


def parse(raw: bytes, path: Path) -> Policy:
    """A policy from the bytes of a file. Raises `UsageError` that says where it is wrong."""
    try:
        document = json_object(raw, f"the trust policy {path}", UsageError)
        default = _requirements(document.items("default"), f"{document.what}: 'default'")
        transports = document.table("transports") if "transports" in document else None
        document.end()
        return Policy(path=path, default=default, transports=_transports(transports))
    except UsageError as error:
        error.hint = error.hint or _MANUAL
        raise


def docker_scopes(ref: Reference) -> Iterator[str]:
    """The scopes of an image in a registry, the most specific first: itself, its repository, the namespaces above, the
    host, and `*.` with each domain above the host."""
    if ref.digest is not None:
        yield f"{ref.name}@{ref.digest}"
    if ref.tag is not None:
        yield f"{ref.name}:{ref.tag}"
    name = ref.name
    while name:
        yield name
        name = name.rpartition("/")[0]
    domain = ref.registry.partition(":")[0]
    while "." in domain:
        domain = domain.partition(".")[2]
        yield f"*.{domain}"


def path_scopes(path: Path, name: str | None) -> Iterator[str]:
    """The scopes of an image in files, the most specific first: with its name, its path, the directories above."""
    if name:
        yield f"{path}:{name}"
    yield str(path)
    yield from (str(parent) for parent in path.parents if parent != Path("/"))


def _transports(table: Fields | None) -> dict[str, dict[str, Requirements]]:
    if table is None:
        return {}
    found = {}
    for transport in table.names:
        scopes = table.table(transport)
        found[transport] = {
            scope: _requirements(scopes.items(scope), f"{scopes.what}: {scope[:100]!r}") for scope in scopes.names
        }
    return found


def _requirements(values: list[object], what: str) -> Requirements:
    if not values:
        raise UsageError(f"{what} is empty, and would be met by nothing", hint='write [{"type": "reject"}]')
    return tuple(_requirement(Fields(value, what, UsageError)) for value in values)


def _requirement(fields: Fields) -> Requirement:
    kind = fields.text("type")
    made: Requirement
    if kind == "insecureAcceptAnything":
        made = Accept()
    elif kind == "reject":
        made = Reject()
    elif kind == "signedBy":
        if (kept := fields.text("keyType")) != "GPGKeys":
            raise UsageError(f"{fields.what}: keys of the type {kept[:40]!r} are not known", hint="write GPGKeys")
        made = SignedBy(keys=_keys(fields), identity=identity_of(fields))
    elif kind == "sigstoreSigned":
        for name in _NOT_KEPT:
            if name in fields:
                raise UsageError(
                    f"{fields.what}: {name!r} asks for a certificate authority or a transparency log, which are not "
                    "checked here",
                    hint="demand a signature by a key: keyPath, keyPaths, keyData or keyDatas",
                )
        made = SigstoreSigned(keys=_keys(fields), identity=identity_of(fields))
    else:
        raise UsageError(f"{fields.what}: there is no requirement {kind[:60]!r}")
    fields.end()
    return made


def _keys(fields: Fields) -> KeySource:
    given = [name for name in ("keyPath", "keyPaths", "keyData", "keyDatas") if name in fields]
    if len(given) != 1:
        raise UsageError(f"{fields.what}: exactly one of keyPath, keyPaths, keyData and keyDatas must be there")
    name = given[0]
    values = fields.texts(name) if name.endswith("s") else [fields.text(name)]
    if not values:
        raise UsageError(f"{fields.what}: {name!r} is empty")
    if name.startswith("keyPath"):
        return KeySource(paths=tuple(values))
    what = f"{fields.what}: {name!r}"
    return KeySource(data=tuple(from_base64(value, what, fault=UsageError) for value in values))
