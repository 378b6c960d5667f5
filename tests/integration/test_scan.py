"""`pybuild scan` of real trees: what package managers say of a tree, it says too."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import bases, cache, layouts
from tests.support.build import Project
from tests.support.command import Pybuild
from tests.support.layouts import Entry
from tests.support.scans import pem_key


def report_of(pybuild: Pybuild, *words: str) -> dict[str, Any]:
    """What `--json` says."""
    document: dict[str, Any] = json.loads(pybuild.ok("scan", "--fail-on", "never", "--json", *words).stdout)
    return document


def unpacked(layout: Path, place: Path) -> Path:
    """The tree of a layout with one layer after the other, for tools that look at directories."""
    place.mkdir()
    for layer in layouts.layers_of(layout):
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            archive.extractall(place, filter="tar")
    return place


def of_kind(document: dict[str, Any], kind: str) -> set[tuple[str, str]]:
    return {(each["name"], each["version"]) for each in document["packages"] if each["kind"] == kind}


def test_a_debian_image_has_what_dpkg_says(pybuild: Pybuild, tmp_path: Path) -> None:
    layout = bases.layout("debian")
    document = report_of(pybuild, f"oci:{layout}:latest")
    tree = unpacked(layout, tmp_path / "tree")
    said = cache.run(
        "dpkg-query",
        f"--admindir={tree}/var/lib/dpkg",
        "-W",
        "-f",
        "${Package}\t${Version}\t${source:Package}\t${source:Version}\n",
    )
    rows = [tuple(line.split("\t")) for line in said.splitlines()]
    found = {
        (each["name"], each["version"], each["source"]["name"], each["source"]["version"])
        for each in document["packages"]
        if each["kind"] == "deb"
    }
    assert len(rows) > 50
    assert found == set(rows)
    assert not [each for each in document["findings"] if each["severity"] in ("high", "critical")], (
        "a plain base is no cause to fail"
    )
    assert not document["notes"]


def test_documents_of_a_debian_image_are_valid(pybuild: Pybuild, tmp_path: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    layout = f"oci:{bases.layout('python')}:latest"
    names = {f"{each['name']} {each['version']}" for each in report_of(pybuild, layout)["packages"]}
    text = pybuild.ok("scan", layout, "--sbom", "cyclonedx").stdout
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert {f"{each['name']} {each['version']}" for each in json.loads(text)["components"]} == names
    pybuild.ok("scan", layout, "--sbom", "spdx", "-o", tmp_path / "x.spdx.json")
    document = parse_file(str(tmp_path / "x.spdx.json"))
    assert not validate_full_spdx_document(document)
    assert {f"{each.name} {each.version}" for each in document.packages[1:]} == names


def test_an_image_with_python_has_what_pip_says(pybuild: Pybuild, tmp_path: Path) -> None:
    cache.run(
        sys.executable, "-m", "pip", "install", "--quiet", "--target", tmp_path / "site", "packaging", "lark", "click"
    )
    said = json.loads(cache.run(sys.executable, "-m", "pip", "list", "--path", tmp_path / "site", "--format", "json"))
    layout = layout_of(tmp_path / "layout", {"opt/venv/lib/python3.11/site-packages": tmp_path / "site"})
    found = {
        (each["purl"].partition("@")[0].rpartition("/")[2], each["version"])
        for each in report_of(pybuild, f"oci:{layout}")["packages"]
    }
    assert found == {(each["name"].lower().replace("_", "-"), each["version"]) for each in said}


def test_an_image_with_node_has_what_npm_says(pybuild: Pybuild, tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "package.json").write_text('{"name": "own", "version": "1.0.0"}')
    cache.run(
        "npm", "install", "--silent", "--no-audit", "--ignore-scripts", "chalk@4.1.2", "@types/sarif@2.1.7", cwd=app
    )
    tree = json.loads(cache.run("npm", "ls", "--all", "--json", cwd=app))
    said: set[tuple[str, str]] = set()
    pending = [tree["dependencies"]]
    while pending:
        for name, each in pending.pop().items():
            said.add((name, each["version"]))
            pending.append(each.get("dependencies", {}))
    layout = layout_of(tmp_path / "layout", {"app": app})
    assert len(said) > 4
    assert of_kind(report_of(pybuild, f"oci:{layout}"), "npm") == said


@pytest.mark.skipif(not shutil.which("rpmbuild"), reason="rpmbuild makes the packages, and is not installed")
def test_an_image_with_rpm_has_what_rpm_says(pybuild: Pybuild, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/lib/sysimage/rpm").mkdir(parents=True)
    options = ("--define", "_db_backend sqlite", "--dbpath", "/usr/lib/sysimage/rpm", "--root", str(root))
    for number in range(3):
        rpm = made_rpm(tmp_path / f"build{number}", f"sample{number}", epoch=number)
        cache.run("rpm", *options, "--nodeps", "--noscripts", "-i", rpm)
    said = cache.run(
        "rpm", *options, "-qa", "--qf", "%{NAME}\t%|EPOCH?{%{EPOCH}}:{0}|:%{VERSION}-%{RELEASE}\t%{LICENSE}\n"
    )
    rows = {
        (name, version.removeprefix("0:"), licence)
        for name, version, licence in (line.split("\t") for line in said.splitlines())
    }
    layout = layout_of(tmp_path / "layout", {"": root})
    found = {
        (each["name"], each["version"], each["licences"][0]) for each in report_of(pybuild, f"oci:{layout}")["packages"]
    }
    assert len(rows) == 3
    assert found == rows


def made_rpm(directory: Path, name: str, *, epoch: int) -> Path:
    directory.mkdir()
    spec = directory / "x.spec"
    spec.write_text(
        f"Name: {name}\nVersion: 1.2~rc1\nRelease: 3\n{f'Epoch: {epoch}' if epoch else ''}\nSummary: x\nLicense: MIT\n"
        "BuildArch: noarch\n%description\nx\n%files\n"
    )
    cache.run("rpmbuild", "--quiet", "--define", f"_topdir {directory}", "-bb", spec)
    return next(directory.glob("RPMS/**/*.rpm"))


def test_a_go_program_has_the_modules_that_it_was_built_of(pybuild: Pybuild, tmp_path: Path) -> None:
    """esbuild, which npm brings as an executable of Go's."""
    cache.run(
        "npm",
        "pack",
        "--silent",
        "--pack-destination",
        tmp_path,
        f"@esbuild/linux-{'x64' if layouts.ARCHITECTURE == 'amd64' else 'arm64'}@0.25.0",
    )
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as archive:
        archive.extractall(tmp_path / "x", filter="data")
    program = tmp_path / "x/package/bin/esbuild"
    layout = tmp_path / "layout"
    layouts.write_layout(
        layout, [layouts.layer([Entry(name="usr/bin/esbuild", data=program.read_bytes(), mode=0o755)])]
    )
    found = of_kind(report_of(pybuild, f"oci:{layout}"), "golang")
    names = {name for name, _ in found}
    assert {"stdlib", "github.com/evanw/esbuild", "golang.org/x/sys"} <= names
    if shutil.which("go"):
        said = cache.run("go", "version", "-m", program)
        rows = [line.split("\t")[1:] for line in said.splitlines()[1:]]
        assert names - {"stdlib"} == {row[1] for row in rows if row[0] in ("mod", "dep")}


def layout_of(place: Path, trees: dict[str, Path]) -> Path:
    """A layout of one layer of directories, by where they go."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, directory in trees.items():
            archive.add(directory, arcname=name or ".")
    layouts.write_layout(place, [out.getvalue()])
    return place


def test_a_key_that_a_build_left_is_found_with_its_line(pybuild: Pybuild, tmp_path: Path) -> None:
    project = Project.make(pybuild, tmp_path / "project")
    (project.directory / "id_ed25519").write_bytes(pem_key("ed25519", form="openssh"))
    project.write(
        {"Dockerfile": "FROM base\nCOPY id_ed25519 /root/.ssh/id_ed25519\nRUN true\nRUN rm /root/.ssh/id_ed25519\n"}
    )
    pybuild.ok(
        "build",
        "-q",
        "-f",
        "Dockerfile",
        "--build-context",
        "base=oci-layout://base",
        "-t",
        "app",
        ".",
        cwd=project.directory,
    )
    result = pybuild("scan", "app")
    assert result.code == 1, result.output
    document = report_of(pybuild, "app")
    (key,) = [each for each in document["findings"] if each["rule"] == "private-key"]
    assert (key["place"], key["state"]) == ("root/.ssh/id_ed25519", "deleted")
    assert key["layer"]["line"] == "Dockerfile:2"
    assert document["layers"][key["gone"] - 1]["line"] == "Dockerfile:4"
    project.check()


def test_an_image_of_a_registry_is_fetched_and_scanned(pybuild: Pybuild, registry: Any, bases: Any) -> None:
    name = bases("tiny")
    document = report_of(pybuild, f"docker://{name}")
    assert document["layers"]
    assert document["name"] == f"docker://{name}"
    pybuild.ok("store", "check")


def test_a_scan_that_was_killed_leaves_nothing_for_long(pybuild: Pybuild, tmp_path: Path, store: Path) -> None:
    layout = bases.layout("debian")
    killing = (
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=?unlink,unlinkat",
        "-e",
        "inject=?unlink,unlinkat:signal=KILL:when=1",
    )
    killed = replace(pybuild, wrapper=killing)
    pybuild.ok("scan", "--fail-on", "never", f"oci:{layout}")
    assert killed("scan", "--fail-on", "never", f"oci:{layout}").code != 0
    assert list((store / "tmp").iterdir())
    pybuild.ok("scan", "--fail-on", "never", f"oci:{layout}")
    assert not list((store / "tmp").iterdir())
    pybuild.ok("store", "check")


def test_nothing_is_left_behind_and_nothing_is_executed(pybuild: Pybuild, tmp_path: Path, store: Path) -> None:
    layout = bases.layout("tiny")
    wrapped = Pybuild(
        home=pybuild.home,
        store=store,
        wrapper=("strace", "-f", "-qq", "-e", "trace=execve", "-o", str(tmp_path / "trace")),
    )
    wrapped.ok("scan", "--fail-on", "never", f"oci:{layout}")
    programs = [line for line in (tmp_path / "trace").read_text().splitlines() if "execve(" in line]
    assert len(programs) == 1
    assert not list((store / "tmp").iterdir())
    pybuild.ok("store", "check")
