import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.engine import compile as compile_module
from buildkit_py.errors import SourceError
from buildkit_py.source import Diagnostic, Span


class Frontend:
    """A language whose lines end without blanks, and that imports with `import PATH`."""

    @staticmethod
    def format_text(text: str) -> str:
        if "broken" in text:
            raise SourceError([Diagnostic(message="it is broken", span=Span("Buildfile", 1, 1, 1, 7))])
        return "".join(f"{line.rstrip()}\n" for line in text.splitlines())

    @staticmethod
    def check(text: str, *, file: str, read: Callable[[str], str]) -> list[Diagnostic]:
        if "syntax" in text:
            raise SourceError([Diagnostic(message="not a word", span=Span(file, 1, 1, 1, 7))])
        found = []
        for number, line in enumerate(text.splitlines(), start=1):
            if line.startswith("import "):
                path = str(Path(file).parent / line.removeprefix("import "))
                if "wrong" in read(path):
                    found.append(Diagnostic(message="wrong", span=Span(path, 1, 1, 1, 6)))
            if line in ("error", "warning"):
                severity: Any = line
                span = Span(file, number, 1, number, len(line) + 1)
                found.append(Diagnostic(message=f"a {line}", span=span, severity=severity, hint="mend it"))
        return found


@pytest.fixture(autouse=True)
def frontend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_module, "load_frontend", lambda name: Frontend)


def test_check_shows_all_and_fails_on_errors_only(cli: Any) -> None:
    Path("Buildfile").write_text("fine\nwarning\n")
    assert cli("check") == 0
    assert cli.err == "Buildfile:2:1: warning: a warning\n   |\n 2 | warning\n   | ^^^^^^^\n  help: mend it\n"
    Path("Buildfile").write_text("error\nwarning\nerror\n")
    assert cli("check") == 3
    assert cli.err.count("error: a error") == 2
    assert cli.err.endswith("\n2 errors\n")
    assert cli.out == ""


def test_check_takes_files_and_directories(cli: Any) -> None:
    Path("lib").mkdir()
    Path("lib/Buildfile").write_text("error\n")
    Path("x.build").write_text("syntax\n")
    assert cli("check", "lib", "x.build") == 3
    assert "lib/Buildfile:1:1: error: a error" in cli.err
    assert "x.build:1:1: error: not a word" in cli.err


def test_check_as_json(cli: Any) -> None:
    Path("Buildfile").write_text("error\n")
    assert cli("check", "--json") == 3
    assert json.loads(cli.out) == [
        {
            "severity": "error",
            "message": "a error",
            "span": ["Buildfile", 1, 1, 1, 6],
            "hint": "mend it",
            "rule": None,
            "notes": [],
        }
    ]
    assert cli.err == ""


def test_check_reads_imports_below_the_directory_only(cli: Any, tmp_path: Path) -> None:
    Path("Buildfile").write_text("import lib.build\n")
    assert cli("check") == 14
    assert "lib.build can't be read" in cli.err
    Path("lib.build").write_text("fine")
    assert cli("check") == 0
    Path("lib.build").unlink()
    (tmp_path / "outside").write_text("fine")
    Path("lib.build").symlink_to(tmp_path / "outside")
    assert cli("check") == 14


def test_imports_start_from_the_file_and_are_named_from_here(cli: Any) -> None:
    Path("web/lib").mkdir(parents=True)
    Path("web/Buildfile").write_text("import lib/users.build\n")
    Path("web/lib/users.build").write_text("wrong\n")
    shown = "web/lib/users.build:1:1: error: wrong\n   |\n 1 | wrong\n   | ^^^^^\n"
    for words in (("web",), ("web/Buildfile",), ("-C", ".", "web"), ("-C", "web", "web/Buildfile")):
        assert cli("check", *words) == 3
        assert cli.err == shown


def test_no_build_file(cli: Any) -> None:
    for name in ("check", "fmt"):
        assert cli(name) == 14
        assert "there is no Buildfile in" in cli.err


def test_fmt_writes_in_place_only_what_changes(cli: Any) -> None:
    Path("Buildfile").write_text("a  \nb\n")
    Path("other").write_text("a\n")
    before = Path("other").stat().st_ino
    assert cli("fmt", "Buildfile", "other") == 0
    assert Path("Buildfile").read_text() == "a\nb\n"
    assert Path("other").stat().st_ino == before
    assert cli.err == "formatted Buildfile\n"


def test_fmt_check_and_diff_write_nothing(cli: Any) -> None:
    Path("Buildfile").write_text("a  \nb")
    assert cli("fmt", "--check", "--diff") == 1
    assert cli.err == "would format Buildfile\n"
    assert cli.out == (
        "--- Buildfile\n+++ Buildfile (formatted)\n@@ -1,2 +1,2 @@\n-a  \n-b\n\\ No newline at end of file\n+a\n+b\n"
    )
    assert cli("fmt", "--diff") == 0
    assert Path("Buildfile").read_text() == "a  \nb"
    Path("Buildfile").write_text("a\n")
    assert cli("fmt", "--check") == 0


def test_fmt_goes_on_after_a_file_that_is_wrong(cli: Any) -> None:
    Path("one").write_text("broken\n")
    Path("two").write_text("a  \n")
    assert cli("fmt", "one", "two") == 3
    assert "one:1:1: error: it is broken" in cli.err
    assert Path("two").read_text() == "a\n"


def test_fmt_as_a_filter(cli: Any) -> None:
    assert cli("fmt", "-", stdin="a  \n") == 0
    assert cli.out == "a\n"
    assert cli("fmt", "--check", "-", stdin="a  \n") == 1
    assert cli.out == ""
    assert cli("fmt", "-", "x") == 2
    assert cli("fmt", "-", stdin="a\n \udcff") == 3
    assert "-:2:2: error: not UTF-8 text: byte 0xff" in cli.err


def test_check_reads_standard_input(cli: Any) -> None:
    assert cli("check", "-", stdin="fine\n") == 0
    assert cli("check", "-", stdin="fine\nerror\n") == 3
    assert cli.err.startswith("-:2:1: error: a error\n   |\n 2 | error\n")
    assert cli("check", "-", "x") == 2
