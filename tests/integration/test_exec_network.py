"""What a step has of the network, by the real command: nothing, or the builder's, and none of it in a layer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import httpd
from tests.support.httpd import Served
from tests.support.project import Project

RUNTIMES = ("runc", "crun", "bwrap")
AUTHORITIES = "/run/pybuild/ca-certificates.crt"


def fetch(served: Served) -> str:
    return f"run wget -q -O - {served.url}/file\n"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_without_the_grant_there_is_only_a_loopback_of_its_own(project: Project, tmp_path: Path, runtime: str) -> None:
    body = r"""
    run sed -n 's/^ *\([a-z0-9]*\):.*/\1/p' /proc/net/dev; ls /sys/class/net; cat /etc/resolv.conf
    run cat /etc/hosts
    """
    with httpd.serve(tmp_path) as served:
        built = project.ok(body, "--runtime", runtime)
        assert built.printed()[:2] == ["lo", "lo"]
        assert "127.0.0.1\tlocalhost pybuild" in built.printed()
        refused = project.build(fetch(served), "--runtime", runtime)
        assert refused.code == 5
        assert "Connection refused" in refused.message
        assert served.requests == []


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_with_the_grant_it_is_the_builders(project: Project, tmp_path: Path, runtime: str) -> None:
    (tmp_path / "file").write_text("served\n")
    body = "with network\nrun cat /etc/resolv.conf\nwith network\n"
    with httpd.serve(tmp_path) as served:
        built = project.ok(body + fetch(served), "--runtime", runtime)
        assert served.requests == ["/file"]
    assert built.printed()[-1] == "served"
    assert built.printed()[:-1] == Path("/etc/resolv.conf").read_text().splitlines()


@pytest.mark.skipif(not Path("/etc/ssl/certs/ca-certificates.crt").exists(), reason="needs ca-certificates")
def test_the_builders_authorities_are_shown_to_an_image_that_has_none(project: Project) -> None:
    count = f"grep -c BEGIN {AUTHORITIES} || true"
    body = f"""
    run env; {count}
    with network
    run env; {count}
    write /etc/ssl/certs/ca-certificates.crt "of the image"
    with network
    run env | grep -c pybuild || true
    env SSL_CERT_FILE = "/mine"
    remove /etc/ssl
    with network
    run env | grep SSL_CERT_FILE
    """
    lines = project.lines(body)
    assert lines.count(f"SSL_CERT_FILE={AUTHORITIES}") == lines.count(f"REQUESTS_CA_BUNDLE={AUTHORITIES}") == 1
    numbers = [int(line) for line in lines if line.isdigit()]
    assert numbers[0] > 0 and numbers[-1] == 0
    assert lines[-1] == "SSL_CERT_FILE=/mine"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_nothing_of_it_reaches_a_layer_even_without_an_etc(project: Project, runtime: str) -> None:
    build = """
    remove /etc /run optional
    with network
    run touch /made
    run touch /made2
    """
    assert [name for name in project.added(build, "--runtime", runtime) if "wh." not in name] == ["made", "made2"]


def test_what_a_step_writes_beside_the_mounts_stays(project: Project) -> None:
    body = """
    remove /etc
    run mkdir -p /etc/mine /run/other; echo x > /etc/mine/file; cat /etc/hosts >/dev/null
    """
    files = project.files(body)
    assert sorted(name for name in files if name.startswith(("/etc", "/run"))) == [
        *("/etc", "/etc/mine", "/etc/mine/file", "/run", "/run/other"),
    ]


def test_resolv_conf_of_the_image_is_kept_as_it_is(project: Project) -> None:
    body = """
    write /etc/resolv.conf "nameserver 192.0.2.1\\n"
    symlink /etc/hosts to ../run/hosts
    with network
    run touch /made
    """
    files = project.files(body)
    assert files["/etc/resolv.conf"].text == "nameserver 192.0.2.1\n"
    assert files["/etc/hosts"].text == "../run/hosts"
    assert "/run/hosts" not in files


def test_refresh_runs_what_has_the_network_again(project: Project) -> None:
    body = "run touch /a\nwith network\nrun touch /b\n"
    assert project.ok(body).ran > 0
    assert project.ok(body).ran == 0
    again = project.ok(body, "--refresh")
    assert again.ran == 1
