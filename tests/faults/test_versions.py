"""Fault 25: stores of other versions are refused or migrated as a whole; a clock that jumps frees nothing in use."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.cli.commands import COMMANDS, load
from buildkit_py.cli.run import run
from buildkit_py.cli.shell import Shell
from buildkit_py.errors import StoreBusyError, StoreError
from buildkit_py.store import Store
from buildkit_py.store import index as index_module
from buildkit_py.store.index import Index
from buildkit_py.store.schema import SCHEMA, Schema
from tests.support.build import Project
from tests.support.command import Pybuild
from tests.support.disturb import at_another_time
from tests.support.stored import names

WORDS: dict[str, tuple[str, ...]] = {
    "build": ("{here}",),
    "graph": ("{here}",),
    "update": ("{here}",),
    "builds": (),
    "timings": (),
    "why": ("--all",),
    "ls": (),
    "inspect": ("app:1",),
    "history": ("app:1",),
    "diff": ("app:1", "app:1"),
    "scan": ("app:1",),
    "mount": ("app:1", "{here}"),
    "umount": ("{here}",),
    "shell": ("app:1", "--", "true"),
    "tag": ("app:1", "app:2"),
    "untag": ("app:1",),
    "rmi": ("app:1",),
    "import": ("{here}/root.tar", "root:1"),
    "export": ("-o", "{here}/out.tar", "app:1"),
    "save": ("app:1", "-o", "{here}/out.tar"),
    "load": ("-i", "{here}/root.tar"),
    "pull": ("127.0.0.1:1/app:1",),
    "push": ("app:1", "127.0.0.1:1/app:1"),
    "copy": ("app:1", "oci:{here}/out"),
    "sign": ("app:1", "--key", "{here}/key"),
    "verify": ("app:1", "--key", "{here}/key"),
    "install": ("app:1",),
    "upgrade": ("app",),
    "df": (),
    "prune": ("--all",),
    "store": ("check", "--repair"),
    "info": (),
}
"""What each command that knows of stores is called with."""
# These ask the store only once something else is known, and write nothing to it.
LATER = frozenset({"graph", "sign", "verify", "upgrade", "install", "info", "update"})


def with_store() -> set[str]:
    """The commands that take `--store`."""
    return {name for name in COMMANDS if load(name).parser().option("--store") is not None}


def newer_index(root: Path) -> None:
    connection = sqlite3.connect(root / "index.db")
    connection.execute(f"PRAGMA user_version={SCHEMA.version + 1}")
    connection.close()


def newer_layout(root: Path) -> None:
    (root / "version").write_text("2\n")


def described(root: Path) -> dict[str, bytes]:
    """Every file of a store with its bytes, but for locks and leases."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.parent.name not in ("locks", "leases") and not path.name.endswith(("-wal", "-shm"))
    }


def test_25_every_command_with_a_store_is_tested() -> None:
    assert with_store() == set(WORDS)


@pytest.mark.parametrize("newer", [newer_index, newer_layout])
def test_25_a_newer_store_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newer: Callable[..., Any]
) -> None:
    """By every command, in the same words, and with nothing changed."""
    root, here = tmp_path / "store", tmp_path / "here"
    here.mkdir()
    (here / "Buildfile").write_text("buildfile 1\nimage a {\nfrom scratch\ncopy ./Buildfile to /f\n}\n")
    (here / "root.tar").write_bytes(bytes(10240))
    monkeypatch.chdir(here)
    monkeypatch.setenv("PYBUILD_STORE", str(root))
    with Store.open(root) as store:
        store.images.put("app:1", {"digest": store.blobs.put(b"{}"), "size": 2, "mediaType": "x"})
    newer(root)
    before = described(root)
    environ = {"HOME": str(tmp_path), "PYBUILD_STORE": str(root), "PATH": os.environ["PATH"]}
    for name, words in WORDS.items():
        shell = Shell(io.StringIO(), io.StringIO(), environ, io.StringIO())
        code = run([name, *(word.format(here=here) for word in words)], shell)
        told = shell.err.getvalue()  # type: ignore[attr-defined]
        if name not in LATER:
            assert code == 12, f"{name}: {code} {told}"
            assert "this pybuild knows 1" in told, name
            assert "choose another store with `--store DIR`" in told, name
        assert "internal error" not in told, told
        assert described(root) == before, name


V1 = Schema(version=1, create=("CREATE TABLE t (a TEXT)",))
V2 = Schema(
    version=2,
    create=("CREATE TABLE t (a TEXT, b TEXT)",),
    migrations={1: ("ALTER TABLE t ADD COLUMN b TEXT", "UPDATE t SET b = a || '!'")},
)


def open_index(place: Path, schema: Schema = SCHEMA, busy_seconds: float = 60.0) -> Index:
    return Index(place / "index.db", place / "lock", lambda _: None, schema=schema, busy_seconds=busy_seconds)


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return int(found)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A directory with an index of version 1 and a row."""
    index = open_index(tmp_path, V1)
    index.execute("INSERT INTO t VALUES ('x')")
    index.close()
    return tmp_path


def test_25_an_older_index_is_migrated_with_its_rows(old: Path) -> None:
    new = open_index(old, V2)
    assert new.rows("SELECT a, b FROM t") == [("x", "x!")]
    new.close()
    with pytest.raises(StoreError, match="version 2, this pybuild knows 1"):
        open_index(old, V1)


def test_25_a_migration_that_fails_leaves_the_old_version_whole(old: Path) -> None:
    broken = Schema(version=2, create=(), migrations={1: (*V2.migrations[1], "nonsense")})
    with pytest.raises(StoreError):
        open_index(old, broken)
    assert version_of(old / "index.db") == 1
    again = open_index(old, V1)
    assert again.rows("SELECT * FROM t") == [("x",)]
    again.close()


def killed_at(place: Path, number: int, *, after: bool) -> bool:
    """Migrate in a process that is killed at its statement of that number; whether there was one."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    count = [0]

    class Deadly(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            count[0] += 1
            if count[0] == number and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            cursor = super().execute(*arguments)
            if count[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return cursor

    try:
        connect = sqlite3.connect
        index_module.sqlite3.connect = lambda *rest, **named: connect(*rest, **named, factory=Deadly)  # type: ignore
        open_index(place, V2)
    finally:
        os._exit(0)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_25_a_migration_that_is_killed_is_old_or_new(tmp_path: Path, after: bool) -> None:
    seen, number = set[int](), 0
    while True:
        number += 1
        place = tmp_path / str(number)
        place.mkdir()
        index = open_index(place, V1)
        index.execute("INSERT INTO t VALUES ('x')")
        index.close()
        dead = killed_at(place, number, after=after)
        version = version_of(place / "index.db")
        seen.add(version)
        index = open_index(place, V2 if version == 2 or number % 2 else V1)
        whole = [("x", "x!")] if version == 2 or number % 2 else [("x",)]
        assert index.rows("SELECT * FROM t") == whole
        index.close()
        if not dead:
            break
    assert seen == {1, 2}
    assert number > 5


def test_25_a_store_in_use_is_not_migrated_under_its_user(old: Path) -> None:
    user = open_index(old, V1)
    with pytest.raises(StoreBusyError, match="'index'"):
        open_index(old, V2, busy_seconds=0.05)
    assert user.rows("SELECT * FROM t") == [("x",)]
    user.close()
    open_index(old, V2).close()


def test_25_a_version_without_a_way_forward_is_refused(old: Path) -> None:
    with pytest.raises(StoreError, match="too old"):
        open_index(old, Schema(version=3, create=(), migrations={2: ()}))
    assert version_of(old / "index.db") == 1


def test_25_old_and_new_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole store: the newer one takes over names and results, the older one then keeps away."""
    root = tmp_path / "store"
    with Store.open(root) as store:
        descriptor = {"digest": store.blobs.put(b"{}"), "size": 2, "mediaType": "x"}
        store.images.put("app:1", descriptor)
        store.results.put("key", {"exit": 0}, {}, "b")
    newer = Schema(
        version=SCHEMA.version + 1,
        create=(*SCHEMA.create, "CREATE TABLE more (a TEXT)"),
        migrations={**SCHEMA.migrations, SCHEMA.version: ("CREATE TABLE more (a TEXT)",)},
    )
    with monkeypatch.context() as patched:
        patched.setitem(Index.__init__.__kwdefaults__, "schema", newer)
        with Store.open(root) as store:
            assert store.check() == []
            assert store.images.get("app:1") == descriptor
            assert store.results.get("key") is not None
    with pytest.raises(StoreError, match="has version 2"):
        Store.open(root)
    with monkeypatch.context() as patched:
        patched.setitem(Index.__init__.__kwdefaults__, "schema", newer)
        with Store.open(root) as store:
            assert store.images.get("app:1") == descriptor


YEARS = 10 * 365 * 86400
STEP = "with cache(/c, id: gate)\nrun touch /c/begun; until [ -e /c/go ]; do sleep 0.05; done; cat /data > /twice"


@pytest.mark.parametrize("jump", [YEARS, -YEARS], ids=["forward", "backward"])
def test_25_a_clock_that_jumps(pybuild: Pybuild, store: Path, tmp_path: Path, jump: int) -> None:
    """In the middle of a build, others prune by another clock: nothing goes that it made or found."""
    project = Project.make(pybuild, tmp_path / "project")
    project.write({"data": "data" * 1000})
    project.image("copy ./data to /data", STEP)
    project.write({"more/Buildfile": "buildfile 1\nimage kept {\nfrom scratch\ncopy ./Buildfile to /f\n}\n"})
    pybuild.ok("build", "-q", "-t", "kept:1", project.directory / "more")
    process = subprocess.Popen(
        [sys.executable, "-m", "buildkit_py.cli", "build", "-q", "-t", "app:1", "."],
        cwd=project.directory,
        env=pybuild.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not (begun := list(store.glob("caches/*/0/begun"))):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        jumped = at_another_time(pybuild, jump)
        for words in (("prune", "--all"), ("prune", "--all", "--older-than", "1h"), ("prune", "--keep", "1kB")):
            jumped.ok(*words)
        jumped.ok("df")
        assert begun[0].exists()
        begun[0].with_name("go").touch()
        said = process.communicate()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, said
    assert set(names(pybuild)) >= {"app:1", "kept:1"}
    for name in ("app:1", "kept:1"):
        jumped.ok("export", "-o", tmp_path / "out.tar", name)
    # Built by the clock of the others it is the same, and by our own again.
    assert jumped.ok("build", "-q", "-t", "app:1", ".", cwd=project.directory).stdout == said[0]
    assert pybuild.ok("build", "-q", "-t", "app:1", ".", cwd=project.directory).stdout == said[0]
    assert jumped.ok("store", "check").stdout == "the store is whole\n"
    project.check()
