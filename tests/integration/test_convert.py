"""What `pybuild convert` writes builds to the same files and the same configuration as its Dockerfile."""

from __future__ import annotations

import json
import posixpath
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from buildkit_py.cli.convert import Beside
from frontends import buildfile, dockerfile
from frontends.dockerfile.conversion import Conversion
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
_IGNORED = ("ignore-exception", "ignore-all-but", "ignore-anywhere", "ignore-own-file", "ignore-source")
CASES = {
    name: case
    for name, case in by_name(*(table.CASES for table in TABLES)).items()
    if not case.fails and (name in _IGNORED or not name.startswith("ignore-"))
}
UNTOLD: Mapping[str, str] = {
    "stages-platform": "--platform=linux/",
    "stages-copy-keeps-owner": "COPY keeps the owners that files have in a",
    "run-cache-mount-owner": "this cache belongs to root",
    "run-secret-mount-options": "this secret belongs to root",
    "onbuild-stored": "ONBUILD RUN has no equivalent",
}
"""What a conversion says of those that have no equivalent."""
TOLD: Mapping[str, str] = {
    "expand-plain-and-braces": "B2x is taken for a variable of the base image",
    "expand-unset-is-empty": "NOPE is taken for a variable of the base image",
    "onbuild-fires": "TRIGGERED is taken for a variable of the base image",
    "run-workdir-of-base": "the base image's working directory is not known",
    "maintainer": "the label org.opencontainers.image.authors says it",
    "chmod-links": "who may read one can enter it here",
}
"""What it says of those that are not the same, since it assumes something or says it in other words."""
UNLIKE: Mapping[str, str] = {
    "shell-of-base": "nobody knows the base's SHELL",
    "stages-rich-step": "nobody knows the base's SHELL",
    "run-writes-mounted-files": "the base has no PATH",
    "run-workdir-relative-first": "the base has no PATH",
    "copy-to-link": "nobody knows that the base has a link to a directory there",
    "copy-to-file-link": "nobody knows that the base has a link there",
    "chown-unknown": "names that there are not are an error",
    "chown-unknown-group": "names that there are not are an error",
    "add-tar-by-content": "archives are known by their names",
    "add-tar-glob": "archives are known by their names",
    "add-tar-hard-link": "`unpack` takes owner and mode of a hard link from another of its names",
}
"""Those that are not the same without a word about it, and why."""
EXAMPLES = ROOT / "examples" / "dockerfile"
BUILT = ("go", "nginx", "php", "heredocs")
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


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in UNTOLD | TOLD | UNLIKE])
def test_a_conversion_builds_to_the_same(name: str, ours: Ours, tmp_path: Path) -> None:
    case = CASES[name]
    directory = case.write(tmp_path / name)
    theirs = ours.build(case, directory)
    assert isinstance(theirs, Record), theirs
    targets, words = parted(case)
    made = converted(case, directory, targets)
    assert [note for note in made.notes if note.severity == "error"] == []
    (directory / "Buildfile").write_text(made.text)
    out = ("-f", "Buildfile", "--progress", "plain", "-o", f"layout:{tmp_path / 'layout'}")
    built = ours.pybuild("build", ".", *out, *words, cwd=directory)
    assert built.code == 0, f"{case.text}\n{made.text}\n{built.output}"
    found = differences(alike(from_layout(tmp_path / "layout")), alike(theirs))
    assert not found, f"{case.text}\n{made.text}\n{json.dumps(found, indent=1)}"


@pytest.mark.parametrize("name", UNTOLD | TOLD | UNLIKE)
def test_what_is_not_the_same_is_said(name: str, tmp_path: Path) -> None:
    made = converted(CASES[name], CASES[name].write(tmp_path / name), parted(CASES[name])[0])
    severities = {note.severity for note in made.notes}
    assert ("error" in severities) is (name in UNTOLD)
    if name not in UNLIKE:
        wanted = {**UNTOLD, **TOLD}[name]
        assert any(wanted in note.message for note in made.notes)
    if name in UNTOLD:
        assert "# Dockerfile:" in made.text


def converted(case: Case, directory: Path, targets: Sequence[str]) -> Conversion:
    """The conversion of a case in its directory, which passes `pybuild check`."""
    beside = Beside(directory)
    made = dockerfile.convert(case.text, targets=targets, find=beside.find, look=beside.look)
    found = buildfile.check(buildfile.format_text(made.text))
    assert [item.message for item in found if item.severity == "error"] == [], made.text
    return made


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
    """The stages that a case asks for, and its other words."""
    words = list(case.arguments)
    if "--target" not in words:
        return [], words
    at = words.index("--target")
    return [words[at + 1]], words[:at] + words[at + 2 :]


def alike(record: Record) -> dict[str, str]:
    """What is compared of an image: not what a Buildfile says in other words, or does not say."""
    facts = flat(record, layers=False)
    for name in ("config.ArgsEscaped", "config.Shell", "config.Author"):
        facts.pop(name, None)
    for place in ("tree/dev", "tree/proc", "tree/sys"):
        # Where a container has its own; a step of a Dockerfile leaves them behind.
        if facts.get(place) == "dir 0755 0:0":
            del facts[place]
    if "config.WorkingDir" in facts:
        facts["config.WorkingDir"] = posixpath.normpath(json.loads(facts["config.WorkingDir"]))
        if facts["config.WorkingDir"] == "/":
            del facts["config.WorkingDir"]
    if "config.Env" in facts:
        facts["config.Env"] = json.dumps(sorted(json.loads(facts["config.Env"])))
    # Hard links of archives and of the context become files of their own.
    plain = {name: text.partition(" same as ")[0] for name, text in facts.items()}
    return {name: text.replace('["CMD-SHELL", "', '["CMD", "/bin/sh", "-c", "') for name, text in plain.items()}
