import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from buildkit_py import __version__, errors
from buildkit_py.cli import main
from buildkit_py.cli.run import run
from buildkit_py.cli.shell import Shell

ROOT = Path(__file__).parents[3]


def python(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environ, **more)


@pytest.mark.parametrize("words", [["version"], ["--version"], ["-V"]])
def test_the_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out == f"pybuild {__version__}\n"


def test_the_version_needs_no_imports() -> None:
    code = "import sys; from buildkit_py.cli import main; main(['version']); print(*sys.modules)"
    loaded = set(python("-c", code).stdout.split())
    assert not loaded & {
        "argparse",
        "dataclasses",
        "typing",
        "pathlib",
        "json",
        "rich",
        "lark",
        "pydantic",
        "buildkit_py.engine",
    }


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["biuld"], "no such command: 'biuld'", "did you mean 'build'?"),
        (["xyzzy"], "no such command: 'xyzzy'", "`pybuild help` lists the commands"),
        (["run", "app"], "no such command: 'run'", "`pybuild shell IMAGE -- COMMAND` runs a command in an image"),
        (["start", "app"], "no such command: 'start'", "pybuild makes images and starts none"),
        (["images"], "no such command: 'images'", "`pybuild ls` lists the images"),
        (["buildx", "ls"], "no such command: 'buildx'", "no builder to manage. `pybuild ls` lists the images"),
        (["build", "--bogus"], "`pybuild build` has no option --bogus", "`pybuild build --help` lists them"),
        (["build", "--platf", "x"], "`pybuild build` has no option --platf", "did you mean '--platform'?"),
        (["--quiet"], "no such option: '--quiet'", "`pybuild help` lists the commands"),
        (["build", "--no-cahce"], "`pybuild build` has no option --no-cahce", "did you mean '--no-cache'?"),
        (["build", "--tga=x"], "`pybuild build` has no option --tga", "did you mean '--tag'?"),
        (["build", "--progress", "plian"], "--progress can't be 'plian'", "did you mean 'plain'? it is one of"),
        (["build", "-j", "0"], "-j/--jobs: not a number of at least 1: '0'", "--help` says more"),
        (
            ["build", "a", "b"],
            "`pybuild build` takes no further argument: 'b'",
            "usage: pybuild build [options] [DIR | URL | -]",
        ),
        (["inspect"], "`pybuild inspect` needs NAME", "usage: pybuild inspect"),
        (["build", "--no"], "`pybuild build` has no option --no", None),
        (["version", "now"], "`pybuild version` takes no arguments: 'now'", None),
        (["prune", "--keep", "lots"], "--keep: not a size: 'lots'; write it as 10GB or 512MiB", None),
        (["prune", "--older-than", "7 years"], "--older-than: not a length of time", None),
    ],
)
def test_a_wrong_command_line_says_what_to_write(cli: Any, words: list[str], message: str, hint: str | None) -> None:
    assert cli(*words) == 2
    assert cli.out == ""
    first, _, rest = cli.err.partition("\n")
    assert first.startswith(f"pybuild: error: {message}")
    assert hint is None or hint in rest


def test_no_command_shows_the_overview(cli: Any) -> None:
    assert cli() == 2
    assert cli.err.startswith("usage: pybuild COMMAND")


def test_an_unexpected_error_is_one_line_and_a_private_report(cli: Any) -> None:
    def fail(options: Any, emit: Any) -> Any:
        raise RuntimeError("boom")

    cli.engine.on_build = fail
    assert cli("build", "--param", "token=hidden") == 70
    assert "Traceback" not in cli.err
    found = re.match(r"pybuild: internal error: RuntimeError; a report is in (.*)\n  help: ", cli.err)
    assert found is not None
    report = Path(found[1])
    assert report.parent == Path(cli.environ["HOME"]) / ".local/state/pybuild"
    assert report.stat().st_mode & 0o777 == 0o600
    text = report.read_text()
    assert "RuntimeError: boom" in text
    assert "command 'build'" in text
    assert "hidden" not in text


def test_the_report_goes_elsewhere_where_the_home_can_not_be_written(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cli.environ["XDG_STATE_HOME"] = str(tmp_path / "file")

    def fail(options: Any, emit: Any) -> Any:
        raise RuntimeError("boom")

    cli.engine.on_build = fail
    assert cli("build") == 70
    place = Path(cli.err.partition(" is in ")[2].partition("\n")[0])
    assert place.is_file()
    place.unlink()


def test_an_interrupt_ends_with_130(cli: Any) -> None:
    def interrupt(options: Any, emit: Any) -> Any:
        raise KeyboardInterrupt

    cli.engine.on_build = interrupt
    assert cli("build") == 130
    assert cli.err.endswith("pybuild: interrupted\n")


def test_an_interrupt_while_a_fault_is_told_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(error: Any, shell: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("buildkit_py.cli.faults.report", interrupt)
    assert main(["no-such-command"]) == 130
    assert capsys.readouterr().err == "\npybuild: interrupted\n"


def test_sigterm_stops_as_an_interrupt_does(cli: Any) -> None:
    left: list[str] = []

    def wait(options: Any, emit: Any) -> Any:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            left.append("cleaned up")

    cli.engine.on_build = wait
    assert cli("build") == 143
    assert left == ["cleaned up"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_process_ends_with_the_code_when_all_is_written() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "buildkit_py.cli", "completion", "bash"], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.rstrip().endswith("pybuild")
    done = subprocess.run(
        [sys.executable, "-m", "buildkit_py.cli", "nonsense"], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (2, "") and "no such command" in done.stderr


def test_a_reader_that_left_is_no_error() -> None:
    code = "import sys; from buildkit_py.cli import main; sys.exit(main(['completion', 'bash']))"
    reader, writer = os.pipe()
    os.close(reader)
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, env=environ)
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == b""


def test_output_that_the_terminal_can_not_encode_is_escaped() -> None:
    raw = io.BytesIO()
    shell = Shell(io.TextIOWrapper(raw, encoding="ascii"), io.StringIO(), {})
    shell.print("a → \udcff")
    shell.out.flush()
    assert raw.getvalue() == b"a \\u2192 \\udcff\n"


def test_every_error_is_text_and_its_exit_code(cli: Any) -> None:
    for kind in every_error():
        error = kind.__new__(kind)
        errors.PybuildError.__init__(error, "it broke", hint="mend it")
        if isinstance(error, errors.SourceError):
            error.diagnostics = ()
            continue
        if isinstance(error, errors.StepError):
            error.tail = ("last line",)

        def fail(options: Any, emit: Any, error: Exception = error) -> Any:
            raise error

        cli.engine.on_build = fail
        assert cli("build") == kind.exit_code
        assert cli.err.startswith("pybuild: error: it broke\n  help: mend it\n")


def every_error() -> list[type[errors.PybuildError]]:
    found, waiting = [], [errors.PybuildError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == "buildkit_py.errors"]


def test_every_exit_code_is_documented() -> None:
    from buildkit_py.cli.help import EXIT_CODES

    documented = {int(number) for number in re.findall(r"^ +(\d+)  ", EXIT_CODES, re.MULTILINE)}
    assert {kind.exit_code for kind in every_error()} | {0, 70, 141, 143} == documented


def test_run_never_raises(cli: Any) -> None:
    class Broken(Shell):
        def engine(self, root: str | None) -> Any:
            raise ValueError

    assert run(["build"], Broken(io.StringIO(), io.StringIO(), dict(cli.environ))) == 70
