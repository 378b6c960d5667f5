"""What `pybuild convert` writes builds to the same files and the same configuration as its Dockerfile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.differential import (
    bases,
    cases_config,
    cases_copy,
    cases_expansion,
    cases_owner,
    cases_run,
    cases_stages,
)
from tests.differential.case import Case, by_name
from tests.differential.record import Record, differences, flat, from_layout
from tests.differential.referees import Ours
from tests.support import cache, standins
from tests.support.command import ROOT, Pybuild, Result
from tests.support.registry import RegistryServer, write_config

# How lines are read is the same for both: those cases are not built here.
TABLES = (cases_expansion, cases_stages, cases_run, cases_copy, cases_owner, cases_config)
CASES = {name: case for name, case in by_name(*(table.CASES for table in TABLES)).items() if not case.fails}
UNTOLD: Mapping[str, str] = {
    "arg-target-platform": "BUILDPLATFORM has no equivalent",
    "stages-platform": "--platform=linux/",
    "run-cache-mount-owner": "this cache belongs to root",
    "run-secret-mount-options": "this secret belongs to root",
    "onbuild-stored": "ONBUILD RUN has no equivalent",
}
"""What a conversion says of those that have no equivalent."""
EXAMPLES = ROOT / "examples" / "dockerfile"
BUILT = ("go", "java", "nginx", "php", "distroless", "heredocs")
"""Examples that need nothing but base images: no package index, no secret, no further context."""
UNTOLD_EXAMPLES: Mapping[str, str] = {
    "c": "--parents with a pattern has no equivalent",
    "cross": "--platform=$BUILDPLATFORM has no equivalent",
    "onbuild/base": "ONBUILD COPY has no equivalent",
    "secrets": "this secret belongs to root, whom the step runs as",
}


@pytest.fixture(scope="module")
def ours(registry: RegistryServer, registries_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Ours:
    """pybuild with a store that all cases share."""
    for name in bases.NAMES:
        source, target = f"oci:{bases.layout(name)}:latest", f"docker://{registry.name}/library/{name}:latest"
        cache.run("skopeo", "copy", "--quiet", "--dest-tls-verify=false", source, target)
    home = tmp_path_factory.mktemp("home")
    return Ours(pybuild=Pybuild(home=home, store=home / "store", registries=registries_file))


@pytest.mark.parametrize("name", [name for name in CASES if name not in UNTOLD])
def test_a_conversion_builds_to_the_same(name: str, ours: Ours, tmp_path: Path) -> None:
    case = CASES[name]
    directory = case.write(tmp_path / name)
    theirs = ours.build(case, directory)
    assert isinstance(theirs, Record), theirs
    target, words = parted(case)
    said = convert(ours.pybuild, directory, *target)
    assert said.code == 0, f"{case.text}\n{said.output}"
    text = (directory / "Buildfile").read_text()
    out = ("-f", "Buildfile", "--progress", "plain", "-o", f"layout:{tmp_path / 'layout'}")
    built = ours.pybuild("build", ".", *out, *words, cwd=directory)
    assert built.code == 0, f"{case.text}\n{text}\n{said.stderr}\n{built.output}"
    found = differences(alike(from_layout(tmp_path / "layout")), alike(theirs))
    assert not found, f"{case.text}\n{text}\n{said.stderr}\n{json.dumps(found, indent=1)}"


@pytest.mark.parametrize("name", UNTOLD)
def test_what_has_no_equivalent_is_said(name: str, ours: Ours, tmp_path: Path) -> None:
    directory = CASES[name].write(tmp_path / name)
    said = convert(ours.pybuild, directory)
    assert said.code == 1
    assert UNTOLD[name] in said.stderr
    assert not (directory / "Buildfile").exists()
    assert convert(ours.pybuild, directory, "--force").code == 0
    assert "# Dockerfile:" in (directory / "Buildfile").read_text()


def test_every_example_is_converted(ours: Ours, tmp_path: Path) -> None:
    for file in sorted(EXAMPLES.rglob("Dockerfile")):
        name = str(file.parent.relative_to(EXAMPLES))
        directory = tmp_path / name.replace("/", "-")
        shutil.copytree(file.parent, directory)
        said = convert(ours.pybuild, directory)
        assert said.code == (1 if name in UNTOLD_EXAMPLES else 0), f"{name}: {said.output}"
        assert UNTOLD_EXAMPLES.get(name, "") in said.stderr


@pytest.fixture(scope="module")
def machine(registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> Pybuild:
    """The command, with stand-ins for the base images of the examples."""
    for name in standins.STANDINS:
        standins.push(name, registry.name)
    home = tmp_path_factory.mktemp("examples")
    mirrors = {host: [registry.name] for host in standins.HOSTS}
    file = write_config(home / "registries.toml", registry.name, mirrors=mirrors)
    return Pybuild(home=home, store=home / "store", registries=file)


@pytest.mark.parametrize("name", BUILT)
def test_a_converted_example_builds_to_the_same(name: str, machine: Pybuild, tmp_path: Path) -> None:
    directory = tmp_path / name
    shutil.copytree(EXAMPLES / name, directory)
    machine.ok("build", ".", "-o", f"layout:{tmp_path / 'theirs'}", cwd=directory)
    assert convert(machine, directory).code == 0
    machine.ok("build", ".", "-f", "Buildfile", "-o", f"layout:{tmp_path / 'ours'}", cwd=directory)
    found = differences(alike(from_layout(tmp_path / "ours")), alike(from_layout(tmp_path / "theirs")))
    assert not found, f"{(directory / 'Buildfile').read_text()}\n{json.dumps(found, indent=1)}"


def convert(pybuild: Pybuild, directory: Path, *words: str) -> Result:
    """Write the Buildfile beside the Dockerfile."""
    return pybuild("convert", "-o", "Buildfile", *words, cwd=directory)


def parted(case: Case) -> tuple[list[str], list[str]]:
    """The words that say which stage, which are the conversion's, and the others, which are the build's."""
    words = list(case.arguments)
    if "--target" not in words:
        return [], words
    at = words.index("--target")
    return words[at : at + 2], words[:at] + words[at + 2 :]


def alike(record: Record) -> dict[str, str]:
    """What is compared of an image: not what a Buildfile says in other words, or does not say."""
    facts = flat(record, layers=False)
    for name in ("ArgsEscaped", "Shell", "Author"):
        facts.pop(f"config.{name}", None)
    if facts.get("config.WorkingDir") == '"/"':
        del facts["config.WorkingDir"]
    facts = {name: text.replace('["CMD-SHELL", "', '["CMD", "/bin/sh", "-c", "') for name, text in facts.items()}
    if "config.Env" in facts:
        facts["config.Env"] = json.dumps(sorted(json.loads(facts["config.Env"])))
    return facts
