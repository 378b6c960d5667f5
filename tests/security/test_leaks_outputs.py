"""What a build writes and what is told of it afterwards: outputs, caches, records, traces, documents, units."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.canary import found_in, holds, planted
from tests.support.command import Pybuild
from tests.support.planted import FRONTENDS, PRINTS, WORD, Planted

OUTPUTS = {"archive": "out.tar", "layout": "layout", "docker": "docker.tar", "rootfs": "tree"}
SILENT = {"iid"}
TELLING = {
    "builds": ("builds", "--json"),
    "timings": ("timings", "--json"),
    "why": ("why", "--all"),
    "history": ("history", "app"),
    "inspect": ("inspect", "app"),
    "scan": ("scan", "--fail-on", "never", "--json", "app"),
    "cyclonedx": ("scan", "--sbom", "cyclonedx", "app"),
    "spdx": ("scan", "--sbom", "spdx", "app"),
    "disk": ("df",),
}


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_nothing_that_a_build_writes_holds_a_secret(pybuild: Pybuild, tmp_path: Path, frontend: str) -> None:
    """Each place that holds what steps made and printed is proven to be looked into by a word that is no secret."""
    planted = Planted.make(pybuild, tmp_path, frontend)
    planted.write(PRINTS, "touch /meet/x")
    made = tmp_path / "made"
    made.mkdir()
    outputs = [word for kind, name in OUTPUTS.items() for word in ("-o", f"{kind}:{made}/{name}")]
    files = (f"--timings={made}/trace.json", "--iidfile", f"{made}/iid", "--metadata-file", f"{made}/metadata.json")
    cache = ("--cache-to", f"type=local,dest={made}/cache,mode=max")
    said = {"build": planted.build("-t", "app", *outputs, *files, *cache)}
    assert said["build"].code == 0, said["build"].output
    said |= {name: pybuild.ok(*words, cwd=planted.directory) for name, words in TELLING.items()}
    if os.geteuid() == 0:
        where = ("--root", made / "services", "--unit-dir", made / "units", "--no-reload")
        said["install"] = pybuild.ok("install", "app", *where)
        assert list((made / "units").iterdir())
    assert not [name for name, result in said.items() if planted.said(result)]
    assert planted.left() == []
    word = {path.relative_to(made).parts[0] for path in found_in(made, WORD)}
    assert word >= {*OUTPUTS.values(), "cache"}
    assert "index.db" in {path.name for path in found_in(pybuild.store, WORD)}
    assert holds(said["build"].stdout.encode(), WORD)


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_an_argument_is_no_secret_and_a_check_warns(pybuild: Pybuild, tmp_path: Path, frontend: str) -> None:
    """What a build is told in the open stands in the image's history or cache, as elsewhere."""
    planted = Planted.make(pybuild, tmp_path, frontend)
    planted.write("echo $word > /kept")
    file = planted.directory / frontend
    file.write_text(_named(file.read_text(), "api_token"))
    warned = pybuild("check", frontend, cwd=planted.directory)
    assert "api_token" in warned.output and "sounds like a secret" in warned.output, warned.output
    words = [word.replace("word=", "api_token=") for word in planted.words("-t", "app")]
    result = pybuild.having(VARIABLE=planted.secret)(*words, cwd=planted.directory)
    assert result.code == 0, result.output
    assert holds(b"".join(path.read_bytes() for path in found_in(pybuild.store, WORD)), WORD)
    history = pybuild.ok("history", "app", "--json").stdout
    assert (WORD in history) is (frontend == "Dockerfile")


def _named(text: str, name: str) -> str:
    return text.replace("$word", f"${name}").replace("param word", f"param {name}").replace("ARG word", f"ARG {name}")


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_short_secret_is_refused_or_not_searched_for(pybuild: Pybuild, tmp_path: Path, frontend: str) -> None:
    """Seven bytes are no secret; who insists is told that nothing looks for them."""
    planted = Planted.make(pybuild, tmp_path, frontend)
    (tmp_path / "vault/file").write_text("short7\n")
    short = Planted(
        pybuild=planted.pybuild.having(VARIABLE="short7\n"),
        directory=planted.directory,
        secret="short7",
        key=planted.key,
        frontend=frontend,
    )
    short.write('cp /c /kept; echo "it is $V"')
    refused = short.build()
    assert refused.code == 2, refused.output
    assert "fewer than 8 bytes" in refused.stderr and "--allow-short-secret" in refused.stderr
    assert "Started" not in refused.stdout
    taken = short.build("--allow-short-secret")
    assert taken.code == 0, taken.output
    assert "it is ***" in taken.stdout
    for name in ("from_file", "from_variable", "from_command"):
        assert f"the secret '{name}' is too short to be searched for" in taken.stdout


def test_the_search_of_these_tests_finds_every_form(tmp_path: Path) -> None:
    """In files of any kind, names, links and attributes."""
    from tests.support.canary import shapes

    value = planted()
    for number, shape in enumerate(set(shapes(value))):
        (tmp_path / str(number)).write_bytes(b"\0" + shape + b"\0")
    assert len(found_in(tmp_path, value)) == len(list(tmp_path.iterdir())) >= 9
