"""CycloneDX 1.6 as JSON, by OWASP's library. The same image gives the same document: no clock is read."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from buildkit_py import __version__
from buildkit_py.scan.libraries import library
from buildkit_py.scan.model import Package, Report

_NAMESPACE = uuid.UUID("6f6ef8c4-6b9a-5d5e-9f0c-6d1f6e0c7a11")
_PREFIX = "pybuild:scan:"


def as_cyclonedx(report: Report) -> str:
    """The packages of a report as a document."""
    bom_of, component, output = (
        library("cyclonedx.model.bom"),
        library("cyclonedx.model.component"),
        library("cyclonedx.output.json"),
    )
    bom = bom_of.Bom(serial_number=uuid.uuid5(_NAMESPACE, f"cyclonedx {report.digest}"))
    bom.metadata.timestamp = made_at(report)
    tool = component.Component(name="pybuild", version=__version__, type=component.ComponentType.APPLICATION)
    bom.metadata.tools.components.add(tool)
    root = component.Component(
        name=report.name, version=report.digest, type=component.ComponentType.CONTAINER, bom_ref=report.digest
    )
    bom.metadata.component = root
    made = [_component(package, number, report) for number, package in enumerate(report.packages, 1)]
    bom.components.update(made)
    # `register_dependency` looks each one up among all others.
    depend = library("cyclonedx.model.dependency").Dependency
    leaves = [depend(each.bom_ref) for each in made]
    bom.dependencies = [depend(root.bom_ref, leaves), *leaves]
    return str(output.JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def made_at(report: Report) -> datetime:
    """When the image was made, as it says itself; 1970 where it says nothing."""
    try:
        made = datetime.fromisoformat((report.created or "").replace("Z", "+00:00"))
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return made.astimezone(UTC).replace(microsecond=0) if made.tzinfo else made.replace(tzinfo=UTC, microsecond=0)


def _component(package: Package, number: int, report: Report) -> Any:
    model, component = library("cyclonedx.model"), library("cyclonedx.model.component")
    layer = report.layers[package.layer - 1]
    facts = {"path": f"/{package.path}", "layer": layer.digest, "line": layer.line, "owner": package.owner}
    if package.source is not None:
        facts["source"] = f"{package.source.name} {package.source.version}"
    return component.Component(
        name=package.name,
        version=package.version or None,
        type=component.ComponentType.LIBRARY,
        bom_ref=f"{number}-{package.purl}",
        purl=library("packageurl").PackageURL.from_string(package.purl),
        licenses=_licences(package),
        properties=[model.Property(name=f"{_PREFIX}{key}", value=value) for key, value in facts.items() if value],
    )


def _licences(package: Package) -> list[Any]:
    """Known ids and expressions as such, others by their names; an expression stands alone or not at all."""
    licence, spdx = library("cyclonedx.model.license"), library("cyclonedx.spdx")
    made = []
    for each in package.licences:
        known = spdx.fixup_id(each)
        if known is not None:
            made.append(licence.DisjunctiveLicense(id=known))
        elif len(package.licences) == 1 and spdx.is_expression(each):
            made.append(licence.LicenseExpression(each))
        else:
            made.append(licence.DisjunctiveLicense(name=each))
    return made
