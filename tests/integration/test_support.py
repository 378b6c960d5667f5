"""The tests' own tools work: what they make is read by programs that no one here wrote."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import cache, httpd, packages
from tests.support.leftovers import leftovers
from tests.support.registry import RegistryServer
from tests.support.trees import unpack


@pytest.mark.parametrize(
    ("base", "program"),
    [
        ("tiny", ("sh", "-c", "echo works")),
        pytest.param("python", ("python3", "-c", "print('works')"), marks=pytest.mark.xdist_group("mmdebstrap")),
        pytest.param("node", ("node", "-e", "console.log('works')"), marks=pytest.mark.xdist_group("node")),
    ],
)
def test_base_images_run(
    base: str, program: tuple[str, ...], bases: Callable[..., str], registry: RegistryServer, tmp_path: Path
) -> None:
    reference = bases(base, "1")
    assert reference == f"docker.io/library/{base}:1"
    source = f"docker://{registry.name}/library/{base}:1"
    cache.run("skopeo", "copy", "--quiet", "--src-tls-verify=false", source, f"oci:{tmp_path / 'layout'}:latest")
    image = unpack(tmp_path / "layout", tmp_path / "bundle")
    assert image.files()["/tmp"].mode == 0o1777
    assert image.run(*program) == "works\n"


def test_pip_installs_a_handmade_wheel(tmp_path: Path) -> None:
    packages.wheel(tmp_path / "index", "imitation", "1.0", "ANSWER = 42\n")
    with httpd.serve(tmp_path / "index", password="user:long-password") as served:
        url = served.url.replace("//", "//user:long-password@")
        install = ("install", "--quiet", "--no-cache-dir", "--isolated", "--target", tmp_path / "out")
        cache.run(sys.executable, "-m", "pip", *install, "--index-url", f"{url}/simple", "imitation==1.0")
    assert (tmp_path / "out" / "imitation.py").read_text() == "ANSWER = 42\n"


def test_leftovers_are_seen(tmp_path: Path) -> None:
    target = tmp_path / "mount"
    target.mkdir()
    cache.run("mount", "-t", "tmpfs", "none", target)
    try:
        assert leftovers(tmp_path)[0].startswith("mounted: ")
    finally:
        cache.run("umount", target)
    with subprocess.Popen(["sleep", "60"], cwd=target) as process:
        # Its words are there only a moment after the call that starts it has returned.
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes():
            time.sleep(0.001)
        found = leftovers(tmp_path)
        process.kill()
    assert found == [f"running: {process.pid} sleep 60"]
    assert leftovers(tmp_path) == []
