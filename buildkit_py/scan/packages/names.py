"""Package URLs (ECMA-427) of what is installed."""

from __future__ import annotations

from buildkit_py.scan.libraries import library
from buildkit_py.scan.packages.language import Described
from buildkit_py.scan.packages.system import Distribution, Installed

_DEFAULT = {"deb": "debian", "apk": "alpine"}


def purl_of(package: Installed | Described, distribution: Distribution | None = None) -> str | None:
    """The purl of a package; that of a distribution names it as namespace and qualifier. None where its name is none,
    as one of slashes and blanks alone."""
    if isinstance(package, Described):
        namespace, _, name = package.name.rpartition("/")
        return _purl(package.kind, namespace, name, package.version)
    about = distribution or Distribution()
    source = package.source
    qualifiers = {
        "arch": package.architecture,
        "distro": about.qualifier,
        "epoch": package.epoch,
        "upstream": source.name if source is not None and source.name != package.name else "",
    }
    return _purl(package.kind, about.id or _DEFAULT.get(package.kind, ""), package.name, package.version, qualifiers)


def _purl(kind: str, namespace: str, name: str, version: str, qualifiers: dict[str, str] | None = None) -> str | None:
    if not name.replace("/", " ").strip():
        return None
    given = {key: value for key, value in (qualifiers or {}).items() if value}
    made = library("packageurl").PackageURL(kind, namespace or None, name, version or None, given or None)
    return str(made.to_string())
