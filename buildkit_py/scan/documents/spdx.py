"""SPDX 2.3 as JSON, by the SPDX project's library. The same image gives the same document: no clock is read."""

from __future__ import annotations

import io
from typing import Any

from buildkit_py import __version__
from buildkit_py.scan.documents.cyclonedx import made_at
from buildkit_py.scan.libraries import library
from buildkit_py.scan.model import Package, Report

_NAMESPACE = "https://spdx.org/spdxdocs/pybuild-"
_DOCUMENT, _IMAGE = "SPDXRef-DOCUMENT", "SPDXRef-image"


def as_spdx(report: Report) -> str:
    """The packages of a report as a document."""
    model = library("spdx_tools.spdx.model")
    name = f"{report.name} {report.platform}".strip()
    about = model.CreationInfo(
        spdx_version="SPDX-2.3",
        spdx_id=_DOCUMENT,
        name=name,
        document_namespace=f"{_NAMESPACE}{report.digest.replace(':', '-')}",
        creators=[model.Actor(model.ActorType.TOOL, f"pybuild-{__version__}")],
        created=made_at(report).replace(tzinfo=None),
    )
    packages = [
        _image(model, report),
        *(_package(model, each, number, report) for number, each in enumerate(report.packages, 1)),
    ]
    kind = model.RelationshipType
    relations = [model.Relationship(_DOCUMENT, kind.DESCRIBES, _IMAGE)]
    relations += [model.Relationship(_IMAGE, kind.CONTAINS, each.spdx_id) for each in packages[1:]]
    document = model.Document(creation_info=about, packages=packages, relationships=relations)
    text = io.StringIO()
    library("spdx_tools.spdx.writer.json.json_writer").write_document_to_stream(document, text, validate=False)
    return text.getvalue().rstrip("\n") + "\n"


def _image(model: Any, report: Report) -> Any:
    algorithm, _, digest = report.digest.partition(":")
    return model.Package(
        spdx_id=_IMAGE,
        name=report.name,
        download_location=model.SpdxNoAssertion(),
        version=report.digest,
        files_analyzed=False,
        checksums=[model.Checksum(getattr(model.ChecksumAlgorithm, algorithm.upper()), digest)],
        primary_package_purpose=model.PackagePurpose.CONTAINER,
    )


def _package(model: Any, package: Package, number: int, report: Report) -> Any:
    layer = report.layers[package.layer - 1]
    category = model.ExternalPackageRefCategory.PACKAGE_MANAGER
    line = f", made by {layer.line}" if layer.line else ""
    return model.Package(
        spdx_id=f"SPDXRef-package-{number}",
        name=package.name,
        download_location=model.SpdxNoAssertion(),
        version=package.version or None,
        files_analyzed=False,
        license_concluded=model.SpdxNoAssertion(),
        license_declared=_declared(model, package),
        license_comment=f"stated as: {', '.join(package.licences)}" if package.licences else None,
        source_info=f"found in /{package.path} of the layer {layer.digest}{line}",
        external_references=[model.ExternalPackageRef(category, "purl", package.purl)],
    )


def _declared(model: Any, package: Package) -> Any:
    """What is stated as an expression of SPDX's licences; no assertion where it is none."""
    licensing = library("spdx_tools.common.spdx_licensing").spdx_licensing
    text = " AND ".join(f"({each})" for each in package.licences)
    if not text:
        return model.SpdxNoAssertion()
    try:
        return licensing.parse(text, validate=True, strict=True)
    except Exception:
        return model.SpdxNoAssertion()
