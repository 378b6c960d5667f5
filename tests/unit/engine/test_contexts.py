"""Contexts that are no directory yet: standard input, archives, repositories, and directories by name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
import zstandard

from buildkit_py.engine.contexts import Wanted, gathered, is_archive
from buildkit_py.engine.options import BuildOptions
from buildkit_py.errors import PybuildError, SourceInputError, UsageError
from buildkit_py.store import Store
from tests.support import layouts
from tests.support.httpd import Served, serve

TEXT = "buildfile 1\n"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as store:
        yield store


@pytest.fixture
def www(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "www").mkdir()
    with serve(tmp_path / "www") as served:
        yield served


def tar(*members: layouts.Entry) -> bytes:
    return layouts.layer(members)


SIMPLE = tar(
    layouts.folder("sub"),
    layouts.Entry(name="Buildfile", data=TEXT.encode()),
    layouts.Entry(name="sub/other.build", data=b"buildfile 1\n# other\n"),
    layouts.Entry(name="run.sh", data=b"x", mode=0o755, uid=5, gid=6),
    layouts.link("link", "run.sh"),
)


def no_input() -> BinaryIO:
    raise AssertionError("standard input is not read")


def stdin(data: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(data)


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def leftovers(store: Store) -> list[Path]:
    return list(store.layout.tmp.iterdir())


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda data: data,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_archive_on_standard_input(opened: Store, compression: str) -> None:
    data = COMPRESSIONS[compression](SIMPLE)
    with gathered(opened, BuildOptions(context=Path("-")), Wanted(context="-"), stdin(data)) as options:
        assert names(options.context) == ["Buildfile", "link", "run.sh", "sub", "sub/other.build"]
        assert (options.text, options.temporary, options.file) == (TEXT, True, options.context / "Buildfile")
        assert (options.context / "run.sh").stat().st_mode & 0o7777 == 0o755
        assert (options.context / "run.sh").stat().st_uid == os.geteuid()
        assert options.shown(options.context / "sub/other.build") == "sub/other.build"
        assert options.context.is_relative_to(opened.root)
    assert leftovers(opened) == []


def test_a_file_inside_an_archive(opened: Store) -> None:
    wanted = Wanted(context="-", file="sub/other.build")
    with gathered(opened, BuildOptions(context=Path("-")), wanted, stdin(SIMPLE)) as options:
        assert options.text == "buildfile 1\n# other\n"
        assert options.file == options.context / "sub/other.build"


def test_a_build_file_on_standard_input_has_an_empty_directory(opened: Store) -> None:
    with gathered(opened, BuildOptions(context=Path("-")), Wanted(context="-"), stdin(b"FROM scratch\n")) as options:
        assert (options.text, names(options.context)) == ("FROM scratch\n", [])
        assert options.shown(options.file or Path()) == "-"


def test_a_build_file_on_standard_input_beside_a_directory(opened: Store, tmp_path: Path) -> None:
    wanted = Wanted(context=str(tmp_path), file="-")
    with gathered(opened, BuildOptions(context=tmp_path), wanted, stdin(TEXT.encode())) as options:
        assert (options.context, options.text, options.temporary) == (tmp_path, TEXT, False)
        assert options.lock is False
    with (
        pytest.raises(UsageError, match="lock file"),
        gathered(opened, BuildOptions(context=tmp_path, lock=True), wanted, stdin(TEXT.encode())),
    ):
        raise AssertionError("it was taken")


@pytest.mark.parametrize(
    ("data", "file", "words"),
    [
        (SIMPLE, "no", "holds no no"),
        (tar(layouts.Entry(name="x")), None, "holds no Buildfile and no Dockerfile"),
        (SIMPLE, "../outside", "can't be read"),
        (b"\x1f\x8b damaged", None, "can't be unpacked"),
        (b"BZh9 damaged", None, "can't be unpacked"),
        (gzip.compress(b"no tar"), None, "can't be unpacked"),
        (tar(layouts.Entry(name="../x")), None, "can't be unpacked"),
        (b"FROM scratch\n\xff", None, "not UTF-8"),
    ],
    ids=["no-file", "no-build-file", "outside", "bad-gzip", "bad-bzip2", "gzip-of-text", "name-outside", "no-text"],
)
def test_what_can_not_be_had_leaves_nothing(opened: Store, data: bytes, file: str | None, words: str) -> None:
    wanted = Wanted(context="-", file=file)
    with (
        pytest.raises(PybuildError, match=words),
        gathered(opened, BuildOptions(context=Path("-")), wanted, stdin(data)),
    ):
        raise AssertionError("it was taken")
    assert leftovers(opened) == []


def test_no_link_of_an_archive_leads_out_of_it(opened: Store, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the secret of the machine")
    data = tar(layouts.link("Dockerfile", str(tmp_path / "secret")))
    with (
        pytest.raises(SourceInputError, match="can't be read"),
        gathered(opened, BuildOptions(context=Path("-")), Wanted(context="-"), stdin(data)),
    ):
        raise AssertionError("it was followed")
    through = tar(layouts.link("out", str(tmp_path)), layouts.Entry(name="out/planted", data=b"x"))
    with (
        pytest.raises(PybuildError),
        gathered(opened, BuildOptions(context=Path("-")), Wanted(context="-"), stdin(through)),
    ):
        raise AssertionError("it was taken")
    assert not (tmp_path / "planted").exists()


def test_two_build_files_are_one_too_many(opened: Store) -> None:
    wanted = Wanted(context="-", file="Dockerfile")
    with (
        pytest.raises(UsageError, match="is one too"),
        gathered(opened, BuildOptions(context=Path("-")), wanted, stdin(b"FROM scratch\n")),
    ):
        raise AssertionError("it was taken")


def test_a_failure_of_the_build_removes_the_directory(opened: Store) -> None:
    with (
        pytest.raises(RuntimeError),
        gathered(opened, BuildOptions(context=Path("-")), Wanted(context="-"), stdin(SIMPLE)),
    ):
        raise RuntimeError("the build failed")
    assert leftovers(opened) == []


def test_urls(opened: Store, www: Served, tmp_path: Path) -> None:
    (tmp_path / "www/c.tar.gz").write_bytes(gzip.compress(SIMPLE))
    (tmp_path / "www/one.Dockerfile").write_text("FROM scratch\n")
    for name, inside, text in (("c.tar.gz", 5, TEXT), ("one.Dockerfile", 0, "FROM scratch\n")):
        wanted = Wanted(context=f"{www.url}/{name}")
        with gathered(opened, BuildOptions(context=Path(name)), wanted, no_input) as options:
            assert (len(names(options.context)), options.text) == (inside, text)
    wanted = Wanted(context=str(tmp_path), file=f"{www.url}/one.Dockerfile")
    with gathered(opened, BuildOptions(context=tmp_path), wanted, no_input) as options:
        assert (options.text, options.file) == ("FROM scratch\n", Path("one.Dockerfile"))
    with (
        pytest.raises(SourceInputError, match="404"),
        gathered(opened, BuildOptions(context=Path("x")), Wanted(context=f"{www.url}/no.tar"), no_input),
    ):
        raise AssertionError("it was taken")


@pytest.mark.parametrize("url", ["http://[", "http:///x", "http://a:b/x", "ssh://[/x", "https://user:pw@h.invalid/x"])
def test_urls_that_are_none(opened: Store, url: str) -> None:
    with (
        pytest.raises(PybuildError) as caught,
        gathered(opened, BuildOptions(context=Path("x")), Wanted(context=url), no_input),
    ):
        raise AssertionError("it was taken")
    assert "pw" not in caught.value.message


def test_a_directory_that_is_not_there(opened: Store) -> None:
    with (
        pytest.raises(SourceInputError, match="nowhere is not a directory"),
        gathered(opened, BuildOptions(context=Path("nowhere")), Wanted(context="nowhere"), no_input),
    ):
        raise AssertionError("it was taken")


def git(directory: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *identity, *words], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, www: Served) -> str:
    """A repository with a branch of its own, over plain HTTP."""
    work = tmp_path / "work"
    (work / "sub").mkdir(parents=True)
    (work / "Buildfile").write_text(TEXT)
    (work / "sub/Dockerfile").write_text("FROM scratch\n")
    git(work, "init", "-q")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "one")
    git(work, "tag", "v1")
    git(work, "checkout", "-qb", "other")
    (work / "new").write_text("x")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "two")
    git(work, "checkout", "-q", "main")
    git(tmp_path, "clone", "-q", "--bare", "work", "www/x.git")
    git(tmp_path / "www/x.git", "update-server-info")
    return f"{www.url}/x.git"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("", ["Buildfile", "sub", "sub/Dockerfile"]),
        ("#other", ["Buildfile", "new", "sub", "sub/Dockerfile"]),
        ("#v1:sub", ["Dockerfile"]),
        ("#:sub", ["Dockerfile"]),
        ("?branch=other", ["Buildfile", "new", "sub", "sub/Dockerfile"]),
        ("?tag=v1&subdir=sub", ["Dockerfile"]),
    ],
)
def test_repositories(opened: Store, repository: str, form: str, expected: list[str]) -> None:
    wanted = Wanted(context=repository + form)
    with gathered(opened, BuildOptions(context=Path("x")), wanted, no_input) as options:
        assert names(options.context) == expected
        assert options.temporary
    assert leftovers(opened) == []


def test_a_commit_is_fetched_once(opened: Store, repository: str, www: Served) -> None:
    for _ in range(2):
        with gathered(opened, BuildOptions(context=Path("x")), Wanted(context=repository), no_input):
            pass
    assert len([path for path in www.requests if "/objects/" in path]) <= 10
    before = len(www.requests)
    with gathered(opened, BuildOptions(context=Path("x")), Wanted(context=repository), no_input):
        pass
    assert not [path for path in www.requests[before:] if "/objects/" in path]


def test_the_history_of_a_repository_is_kept_where_that_is_asked_for(opened: Store, repository: str) -> None:
    wanted = Wanted(context=repository, keep_git=True)
    with gathered(opened, BuildOptions(context=Path("x")), wanted, no_input) as options:
        assert (options.context / ".git/HEAD").is_file()


def test_an_address_can_ask_for_the_history_too(opened: Store, repository: str) -> None:
    wanted = Wanted(context=f"{repository}?keep-git-dir=true")
    with gathered(opened, BuildOptions(context=Path("x")), wanted, no_input) as options:
        assert (options.context / ".git/HEAD").is_file()


@pytest.mark.parametrize(
    "form",
    ["#nothing", "#main:nothing", "?colour=red", "?branch=a&tag=b", "?branch=main#x", "?commit=0123", "?subdir="],
)
def test_wrong_repositories(opened: Store, repository: str, form: str) -> None:
    wanted = Wanted(context=repository + form)
    with (
        pytest.raises(PybuildError),
        gathered(opened, BuildOptions(context=Path("x")), wanted, no_input),
    ):
        raise AssertionError("it was taken")
    assert leftovers(opened) == []


def test_what_is_an_archive(tmp_path: Path) -> None:
    file = tmp_path / "file"
    old = io.BytesIO()
    with tarfile.open(fileobj=old, mode="w", format=tarfile.USTAR_FORMAT) as made:
        made.addfile(tarfile.TarInfo("x"))
    plain = bytearray(old.getvalue())
    for data, expected in (
        (SIMPLE, True),
        (bytes(plain), True),
        (bytes(10240), True),
        (b"FROM scratch\n" * 100, False),
        (b"", False),
        (plain[:148] + b"0000000\0" + plain[156:], False),
    ):
        file.write_bytes(data)
        assert is_archive(file) is expected


def test_directories_by_name(opened: Store, tmp_path: Path, www: Served, repository: str) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "www/c.tar").write_bytes(SIMPLE)
    (tmp_path / "www/one.txt").write_text("one")
    layouts.write_layout(tmp_path / "lay:out", [layouts.layer([])], tag="v1")
    named = {
        "src": str(tmp_path / "src"),
        "base": "docker-image://alpine:3",
        "acme/x:1": f"oci-layout://{tmp_path}/lay:out:v1",
        "git": f"{repository}#v1:sub",
        "archive": f"{www.url}/c.tar",
        "file": f"{www.url}/one.txt",
    }
    wanted = Wanted(context=str(tmp_path), named=named)
    with gathered(opened, BuildOptions(context=tmp_path), wanted, no_input) as options:
        assert options.settings.contexts == {
            "src": "local", "base": "docker-image://alpine:3", "acme/x:1": "oci-layout://acme/x-1",
            "git": "local", "archive": "local", "file": "local",
        }  # fmt: skip
        assert options.contexts["src"] == tmp_path / "src"
        assert [names(options.contexts[name]) for name in ("git", "file")] == [["Dockerfile"], ["one.txt"]]
        assert len(names(options.contexts["archive"])) == 5
        layout = options.layouts["acme/x-1"]
        assert (layout.path, layout.name, layout.digest) == (tmp_path / "lay:out", "v1", None)
    assert leftovers(opened) == []


@pytest.mark.parametrize("place", ["nowhere", "oci-layout://nowhere", "oci-layout://.@sha256:ab"])
def test_wrong_directories_by_name(opened: Store, tmp_path: Path, place: str) -> None:
    wanted = Wanted(context=str(tmp_path), named={"x": place})
    with (
        pytest.raises(PybuildError, match=r"the context 'x' can't be read|digest"),
        gathered(opened, BuildOptions(context=tmp_path), wanted, no_input),
    ):
        raise AssertionError("it was taken")
