"""The lock file, and the resolver that obeys it."""

import errno
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.digest import Digest
from buildkit_py.errors import LockfileError
from buildkit_py.graph.resolver import ImageConfig, ResolvedImage
from buildkit_py.lockfile import LockedResolver, LockFile
from buildkit_py.platform import Platform

AMD64, ARM64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")
PYTHON = "docker.io/library/python:3.12"
ONE, TWO = str(Digest.of(b"1")), str(Digest.of(b"2"))
COMMIT = "0123456789abcdef" * 2 + "01234567"


@dataclass
class World:
    """An inner resolver whose answers can change; it notes what it was asked."""

    digest: str | None = ONE
    imported: str = "stage x {}\n"
    asked: list[str] = field(default_factory=list)

    def image(self, ref: str, platform: Platform) -> ResolvedImage:
        self.asked.append(f"{ref} {platform}")
        return ResolvedImage(digest=ref.partition("@")[2] or self.digest, config=ImageConfig(user=ref))

    def http(self, url: str) -> str:
        self.asked.append(url)
        return str(self.digest)

    def git(self, url: str, ref: str) -> str:
        self.asked.append(f"{url} {ref}")
        return COMMIT

    def text(self, path: str) -> str:
        return self.imported


@pytest.fixture
def lock(tmp_path: Path) -> LockFile:
    return LockFile.load(tmp_path / "Buildfile.lock")


def test_the_text_is_readable_sorted_and_stable(lock: LockFile) -> None:
    lock.put_url("https://example.org/a.tar.gz", TWO)
    lock.put_image(PYTHON, ARM64, TWO)
    lock.put_image(PYTHON, AMD64, ONE)
    lock.put_image("docker.io/library/alpine:3", AMD64, ONE)
    lock.put_git("https://example.org/a.git", "main", COMMIT)
    lock.put_import("lib/users.build", ONE)
    assert lock.text() == (
        "# Made by pybuild. Keep it under version control; `pybuild update` moves what it pins.\n"
        "version = 1\n\n"
        f'[image."docker.io/library/alpine:3"]\n"linux/amd64" = "{ONE}"\n\n'
        f'[image."docker.io/library/python:3.12"]\n"linux/amd64" = "{ONE}"\n"linux/arm64" = "{TWO}"\n\n'
        f'[url."https://example.org/a.tar.gz"]\ndigest = "{TWO}"\n\n'
        f'[git."https://example.org/a.git"]\n"main" = "{COMMIT}"\n\n'
        f'[import."lib/users.build"]\ndigest = "{ONE}"\n'
    )
    assert lock.save() is True
    assert lock.save() is False
    again = LockFile.load(lock.path)
    assert again.pins == lock.pins
    assert again.get_image(PYTHON, ARM64) == TWO
    assert again.get_url("https://example.org/a.tar.gz") == TWO
    assert again.get_git("https://example.org/a.git", "main") == COMMIT
    assert again.get_import("lib/users.build") == ONE
    assert again.get_image(PYTHON, Platform.parse("linux/s390x")) is None


@given(st.text(st.characters(exclude_categories=("Cs",))), st.text(st.characters(exclude_categories=("Cs",))))
def test_any_name_survives_a_round_trip(name: str, ref: str) -> None:
    lock = LockFile(Path("x"))
    lock.put_git(name, ref, COMMIT)
    lock.put_import(name, ONE)
    assert tomllib.loads(lock.text())["git"] == {name: {ref: COMMIT}}
    assert tomllib.loads(lock.text())["import"] == {name: {"digest": ONE}}


def test_an_empty_lock_makes_no_file(lock: LockFile) -> None:
    assert lock.save() is False
    assert not lock.path.exists()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "has no version"),
        ("version = 2\n", 1, "version 2, and this pybuild reads version 1"),
        ("version = 1.0\n", 1, "version 1.0"),
        ("version = true\n", 1, "version True"),
        ("version = 1\n[image\n", 2, "expected ']'"),
        ("version = 1\n<<<<<<< HEAD\n", 2, "invalid statement"),
        ("version = 1\n[images.a]\n", 2, "no section 'images'"),
        ("version = 1\nimage = 3\n", 2, "not a table"),
        ("version = 1\n[image]\nx = 1\n", 3, "'x' is not a table"),
        ('version = 1\n\n[image."a"]\n"linux/amd64" = "sha256:abc"\n', 4, "not a digest"),
        (f'version = 1\n[image."a"]\n"amd64" = "{ONE}"\n', 3, "not a platform"),
        (f'version = 1\n[image."a"]\n"!" = "{ONE}"\n', 3, "not a platform"),
        ('version = 1\n[url."a"]\ndigest = 3\n', 3, "not text"),
        (f'version = 1\n[url."a"]\nsha = "{ONE}"\n', 3, "unknown key 'sha'"),
        ('version = 1\n[git."a"]\n"main" = "main"\n', 3, "not a full commit"),
        ('version = 1\n[git."a"]\n[git."a"]\n', 3, "twice"),
        ("version = 1\n[git.a]\nx = " + "[" * 5000 + "\n", 4, ""),
    ],
)
def test_a_damaged_file_is_told_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = tmp_path / "Buildfile.lock"
    path.write_text(text)
    with pytest.raises(LockfileError) as caught:
        LockFile.load(path)
    assert words in caught.value.message
    assert caught.value.span is not None
    assert caught.value.span.line == line
    assert caught.value.message.startswith(f"Buildfile.lock line {line} can't be used: ")


def test_bytes_that_are_no_text_and_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "Buildfile.lock"
    path.write_bytes(b"version = 1\n# \xff\n")
    with pytest.raises(LockfileError, match="line 2 can't be used: it is not UTF-8"):
        LockFile.load(path)
    with pytest.raises(LockfileError, match="can't be read: Is a directory"):
        LockFile.load(tmp_path)
    path.write_bytes(b"#" * (16 * 1024 * 1024 + 1))
    with pytest.raises(LockfileError, match="larger than 16 MiB"):
        LockFile.load(path)


def test_a_save_that_fails_leaves_the_old_file(lock: LockFile, monkeypatch: pytest.MonkeyPatch) -> None:
    lock.put_import("a", ONE)
    lock.save()
    before = lock.path.read_bytes()
    lock.put_import("a", TWO)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LockfileError, match="can't be written: No space left"):
        lock.save()
    assert lock.path.read_bytes() == before
    assert [child.name for child in lock.path.parent.iterdir()] == ["Buildfile.lock"]


def test_the_first_build_asks_and_the_second_obeys(lock: LockFile) -> None:
    first = LockedResolver(world := World(), lock)
    assert first.image(PYTHON, AMD64).digest == ONE
    assert first.http("https://x/a") == ONE
    assert first.git("https://x/a.git", "main") == COMMIT
    assert first.text("lib/a.build") == "stage x {}\n"
    assert world.asked == [f"{PYTHON} linux/amd64", "https://x/a", "https://x/a.git main"]
    lock.save()

    later = World(digest=TWO)
    second = LockedResolver(later, LockFile.load(lock.path), locked=True)
    assert second.image(PYTHON, AMD64) == ResolvedImage(digest=ONE, config=ImageConfig(user=f"{PYTHON}@{ONE}"))
    assert second.http("https://x/a") == ONE
    assert second.git("https://x/a.git", "main") == COMMIT
    assert second.text("lib/a.build") == "stage x {}\n"
    assert later.asked == [f"{PYTHON}@{ONE} linux/amd64"]


def test_locked_refuses_what_is_missing_and_asks_nobody(lock: LockFile) -> None:
    lock.put_image(PYTHON, AMD64, ONE)
    lock.put_import("lib/a.build", TWO)
    before = lock.text()
    resolver = LockedResolver(world := World(), lock, locked=True)
    for ask, words in [
        (lambda: resolver.image(PYTHON, ARM64), f"the image {PYTHON} for linux/arm64"),
        (lambda: resolver.http("https://x/a"), "the URL https://x/a"),
        (lambda: resolver.git("https://x/a.git", "v1"), "the git ref https://x/a.git v1"),
        (lambda: resolver.text("lib/b.build"), "the imported file lib/b.build"),
        (lambda: resolver.text("lib/a.build"), "lib/a.build is not the one that Buildfile.lock pins"),
    ]:
        with pytest.raises(LockfileError) as caught:
            ask()
        assert words in caught.value.message
        assert "pybuild update " in str(caught.value.hint)
    assert world.asked == []
    assert lock.text() == before


def test_a_changed_import_moves_its_pin(lock: LockFile) -> None:
    world = World()
    LockedResolver(world, lock).text("a.build")
    world.imported = "changed\n"
    assert LockedResolver(world, lock).text("a.build") == "changed\n"
    assert lock.get_import("a.build") == str(Digest.of(b"changed\n"))


@pytest.mark.parametrize("name", ["all", PYTHON, "python:3.12"])
def test_a_refresh_moves_what_it_names_once(lock: LockFile, name: str) -> None:
    lock.put_image(PYTHON, AMD64, ONE)
    lock.put_url("https://x/a", ONE)
    world = World(digest=TWO)
    resolver = LockedResolver(world, lock, refresh="all" if name == "all" else {name})
    assert resolver.image(PYTHON, AMD64).digest == TWO
    assert resolver.image(PYTHON, AMD64).digest == TWO
    assert resolver.http("https://x/a") == (TWO if name == "all" else ONE)
    assert world.asked[:2] == [f"{PYTHON} linux/amd64", f"{PYTHON}@{TWO} linux/amd64"]
    assert lock.get_image(PYTHON, AMD64) == TWO
    assert resolver.unknown() == []


def test_nothing_is_refreshed_while_it_is_locked(lock: LockFile) -> None:
    lock.put_url("https://x/a", ONE)
    resolver = LockedResolver(World(digest=TWO), lock, locked=True, refresh="all")
    assert resolver.http("https://x/a") == ONE


def test_a_name_that_nothing_asked_for_is_told(lock: LockFile) -> None:
    resolver = LockedResolver(World(), lock, refresh={"pyton:3.12", "./lib/a.build"})
    resolver.text("lib/a.build")
    assert resolver.unknown() == ["pyton:3.12"]


def test_what_is_pinned_as_written_is_not_locked(lock: LockFile) -> None:
    resolver = LockedResolver(World(), lock, locked=True)
    assert resolver.image(f"{PYTHON}@{TWO}", AMD64).digest == TWO
    assert resolver.image("oci-archive:base.tar", AMD64).digest == ONE
    assert resolver.git("https://x/a.git", COMMIT) == COMMIT
    assert lock.pins == LockFile(lock.path).pins


def test_an_image_whose_digest_is_not_known_is_not_locked(lock: LockFile) -> None:
    assert LockedResolver(World(digest=None), lock).image(PYTHON, AMD64).digest is None
    assert lock.get_image(PYTHON, AMD64) is None


def test_only_an_update_drops_what_is_not_used(lock: LockFile) -> None:
    lock.put_image(PYTHON, AMD64, ONE)
    lock.put_image(PYTHON, ARM64, ONE)
    lock.put_url("https://x/gone", ONE)
    resolver = LockedResolver(World(), lock)
    resolver.image(PYTHON, AMD64)
    assert lock.get_url("https://x/gone") == ONE
    assert resolver.drop_unused() == ["https://x/gone"]
    assert lock.get_image(PYTHON, ARM64) == ONE
    assert lock.get_url("https://x/gone") is None


def test_the_example_of_the_specification_is_one(tmp_path: Path) -> None:
    specification = (Path(__file__).parents[2] / "spec/lock.md").read_text()
    example = specification.partition("```toml\n")[2].partition("```")[0]
    path = tmp_path / "Buildfile.lock"
    path.write_text(example)
    lock = LockFile.load(path)
    assert lock.text() == example
    assert lock.save() is False


def test_no_link_laid_beside_it_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    monkeypatch.setattr(os, "urandom", lambda size: bytes(size))
    (tmp_path / f".Buildfile.lock.{bytes(8).hex()}.tmp").symlink_to(victim)
    lock = LockFile(tmp_path / "Buildfile.lock")
    lock.put_url("https://example.org/x", f"sha256:{'0' * 64}")
    with pytest.raises(LockfileError):
        lock.save()
    assert victim.read_text() == "kept"


def test_a_fifo_is_no_lock_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "Buildfile.lock")
    with pytest.raises(LockfileError, match="not a regular file"):
        LockFile.load(tmp_path / "Buildfile.lock")
