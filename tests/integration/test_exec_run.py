"""`run` steps by the real command: what a program is given, as whom and where it runs, what becomes of its output."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.project import Project

RUNTIMES = ("runc", "crun", "bwrap")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USERS = r"""
write /etc/passwd "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"
write /etc/group "root:x:0:\napp:x:1000:\naudio:x:29:other,app\nvideo:x:44:app\nnone:x:45:apple\n"
"""


@pytest.fixture
def project(pybuild: Pybuild, tmp_path: Path) -> Project:
    directory = tmp_path / "project"
    directory.mkdir()
    made = Project(pybuild=pybuild.having(PLANTED="ambient", LANG="de_DE.UTF-8"), directory=directory)
    made.base()
    return made


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_environment_is_what_the_file_says(project: Project, runtime: str) -> None:
    body = """
    env GREETING = "a b"
    run ["/bin/busybox", "env"]
    """
    found = project.lines(body, "--runtime", runtime)
    assert sorted(found) == ["GREETING=a b", "HOME=/root", PATH, "SOURCE_DATE_EPOCH=0"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_users_by_name_and_number_with_their_groups(project: Project, runtime: str) -> None:
    body = (
        USERS
        + r"""
    run id -u; id -G; echo $HOME
    user app
    run id -u; id -G; echo $HOME
    user app:audio
    run id -u; id -G
    user 1000
    run id -G; echo $HOME
    user 77:88
    run id -u; id -G; echo $HOME; grep CapEff /proc/self/status
    """
    )
    assert project.lines(body, "--runtime", runtime) == [
        *("0", "0", "/root"),
        *("1000", "1000 29 44", "/home/app"),
        *("1000", "29"),
        *("1000 29 44", "/home/app"),
        *("77", "88", "/", "CapEff:\t0000000000000000"),
    ]


def test_a_user_who_is_not_there(project: Project) -> None:
    built = project.build("user nobodi\nrun true")
    assert built.code == 14
    assert "Buildfile:5:1: error: run true: the image has no user 'nobodi'" in built.message
    assert "did you mean 'nobody'?" in built.message


def test_a_missing_workdir_is_made_for_its_user(project: Project) -> None:
    body = "user 10:20\nworkdir /srv/app\nrun pwd; touch made"
    assert project.lines(body) == ["/srv/app"]
    files = project.files(body)
    assert (files["/srv/app"].uid, files["/srv/app"].gid, files["/srv/app"].mode) == (10, 20, 0o755)
    assert files["/srv/app/made"].uid == 10


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_test_starts_in_a_workdir_that_only_the_configuration_has(project: Project, runtime: str) -> None:
    body = """
    workdir /not/there
    test "starts" {
        run pwd; touch /x; test -d /not/there
    }
    """
    built = project.ok(body, "--runtime", runtime)
    assert built.printed() == ["/not/there"]


def test_an_interpreter_block_is_a_file_that_reaches_no_layer(project: Project) -> None:
    body = r"""
    write /bin/shout "#!/bin/sh\nwhile read -r line; do echo \"<\$line>\"; done < \"\$1\"; touch /done\n" mode 0755
    run {
        #!/bin/shout
        a $HOME "b"
    }
    """
    built = project.ok(body)
    assert built.printed() == ["<#!/bin/shout>", '<a $HOME "b">']
    added = project.added(body)
    assert "done" in added
    assert not [name for name in added if name.startswith(("dev", "run"))]


def test_a_list_runs_without_a_shell(project: Project) -> None:
    body = """
    run ["/bin/busybox", "echo", "$HOME", "a;b", "*"]
    run ["echo", "from PATH"]
    """
    assert project.lines(body) == ["$HOME a;b *", "from PATH"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("statement", "status", "said"),
    [
        ("run exit 42", 42, []),
        ("run sh -c 'kill $$'; true", 143, ["Terminated"]),
        ('run ["/bin/missing"]', 127, ["/bin/missing: no such file"]),
        ('run ["/etc/passwd"]', 126, ["/etc/passwd: not an executable file"]),
    ],
)
def test_the_exit_status_is_told(project: Project, statement: str, status: int, said: list[str], runtime: str) -> None:
    built = project.build(statement, "--runtime", runtime)
    assert built.code == 5
    assert "Buildfile:4:1: error: run " in built.message
    assert f": ended with exit code: {status}" in built.message
    assert built.printed("stderr") == said


def test_a_failure_shows_the_last_lines_and_keeps_nothing(project: Project) -> None:
    built = project.build("run for i in $(seq 100); do echo line $i; done; touch /kept; false")
    assert built.code == 5
    assert len(built.printed()) == 100
    shown = [line.split("| ")[1] for line in built.message.splitlines() if "    | line " in line]
    assert shown == [f"line {number}" for number in range(91, 101)]
    again = project.ok("run test ! -e /kept")
    assert again.ran == 1


def test_each_stream_keeps_its_order(project: Project) -> None:
    built = project.ok("run for i in $(seq 500); do echo out $i; echo err $i >&2; done")
    assert built.printed() == [f"out {number}" for number in range(1, 501)]
    assert built.printed("stderr") == [f"err {number}" for number in range(1, 501)]


def test_output_of_any_kind_is_passed_on(project: Project) -> None:
    body = r"""
    run head -c 1000000 /dev/zero | tr '\0' x; echo
    run printf '\377\376\0\033[31mred\033[0m\n'; printf 'no line end'
    run head -c 300000 /dev/urandom
    """
    built = project.ok(body)
    lines = built.printed()
    first = next(place for place, line in enumerate(lines) if "red" in line)
    assert sum(map(len, lines[:first])) == 1_000_000
    assert lines[first].startswith("\ufffd\ufffd\0")
    assert lines[first + 1] == "no line end"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_there_is_no_input(project: Project, runtime: str) -> None:
    assert project.lines("run cat; readlink /proc/self/fd/0; wc -c < /dev/stdin", "--runtime", runtime) == [
        "/dev/null",
        "0",
    ]


def test_what_a_step_leaves_running_ends_with_it(project: Project) -> None:
    """A process in the background that keeps the output open does not hold the build."""
    built = project.ok("run (sleep 1000; touch /late) >/dev/null 2>&1 & sleep 1000 & echo up")
    assert built.printed() == ["up"]


def test_the_runtime_is_in_no_digest(project: Project) -> None:
    body = "run echo a > /a; mkdir /d; ln /a /b; rm /bin/wget; chown 5:6 /d"
    digests = {project.ok(body, "--runtime", runtime, "--no-cache").digest for runtime in RUNTIMES}
    assert len(digests) == 1
