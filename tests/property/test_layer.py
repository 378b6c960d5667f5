"""Layers: a diff applied to the old tree gives the new one, whichever way it was found and however it travelled."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildkit_py.layer.apply import Applied, apply_layer, outline_layer
from buildkit_py.layer.archive import write_layer
from buildkit_py.layer.compose import carried, compose, needs_lower
from buildkit_py.layer.draft import checkout
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.incoming import lay_down, parse_diff
from buildkit_py.layer.openat import open_in
from buildkit_py.layer.tree import ChainTree, EmptyTree, Tree
from buildkit_py.layer.upper import collect, collect_full

NAMES = ["a", "b", "c", "a-b", "\udcff", "n\nl"]
slow = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts an overlay and makes whiteouts")

paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
steps = st.one_of(
    st.tuples(st.just("file"), paths, st.sampled_from([b"", b"1", b"22", b"x" * 70_000])),
    st.tuples(st.just("dir"), paths),
    st.tuples(st.just("symlink"), paths, st.sampled_from(["a", "/b", "../x", "\udcfe"])),
    st.tuples(st.just("fifo"), paths),
    st.tuples(st.just("link"), paths, paths),
    st.tuples(st.just("remove"), paths),
    st.tuples(st.just("chmod"), paths, st.sampled_from([0o644, 0o755, 0o4755, 0o1777, 0o000])),
    st.tuples(st.just("chown"), paths, st.integers(0, 3)),
    st.tuples(st.just("xattr"), paths, st.sampled_from([b"", b"\n=\xff"])),
    st.tuples(st.just("again"), paths),
)
edits = st.lists(steps, max_size=14)


def perform(root: Path, step: tuple[Any, ...]) -> None:
    """One edit of a real directory, as a program would do it; what can't be done is left undone."""
    kind, path, *more = step
    place = root / path
    with contextlib.suppress(FileExistsError, FileNotFoundError, NotADirectoryError, IsADirectoryError):
        if any((root / each).is_symlink() for each in place.relative_to(root).parents):
            return
        if kind in ("file", "symlink", "fifo", "link", "remove", "again"):
            if kind == "link" and (not (root / more[0]).is_file() or (root / more[0]).is_symlink() or more[0] == path):
                return
            if kind == "link" and f"{more[0]}/".startswith(f"{path}/"):
                return
            was_directory = place.is_dir() and not place.is_symlink()
            if was_directory:
                shutil.rmtree(place)
            elif os.path.lexists(place):
                place.unlink()
            place.parent.mkdir(parents=True, exist_ok=True)
            if kind == "again":
                place.mkdir()
        if kind == "file":
            place.write_bytes(more[0])
        elif kind == "dir":
            place.mkdir(parents=True)
        elif kind == "symlink":
            place.symlink_to(more[0])
        elif kind == "fifo":
            os.mkfifo(place)
        elif kind == "link":
            os.link(root / more[0], place)
        elif place.is_symlink():
            return
        elif kind == "chmod":
            place.chmod(more[0])
        elif kind == "chown":
            os.chown(place, more[0], more[0])
        elif kind == "xattr" and (place.is_dir() or place.is_file()):
            os.setxattr(place, "user.note", more[0])


def oracle(root: Path) -> dict[str, tuple[Any, ...]]:
    """A real directory as plain facts, found by nothing of the room."""
    found: dict[str, tuple[Any, ...]] = {}
    for folder, folders, files in os.walk(root):
        for path in [Path(folder), *(Path(folder, name) for name in (*folders, *files))]:
            facts = path.lstat()
            content = b""
            if stat.S_ISREG(facts.st_mode):
                content = hashlib.sha256(path.read_bytes()).digest()
            elif stat.S_ISLNK(facts.st_mode):
                content = os.fsencode(os.readlink(path))
            notes = () if stat.S_ISLNK(facts.st_mode) or stat.S_ISFIFO(facts.st_mode) else _notes(path)
            found[str(path.relative_to(root))] = (facts.st_mode, facts.st_uid, facts.st_gid, content, notes)
    return found


def _notes(path: Path) -> tuple[Any, ...]:
    names = [name for name in os.listxattr(path) if name.startswith("user.") and "overlay" not in name]
    return tuple((name, os.getxattr(path, name)) for name in sorted(names))


def blob_of(diff: Diff, content: Callable[[Entry], Any], compression: str = "gzip") -> bytes:
    out = io.BytesIO()
    write_layer(diff, content, out, compression=compression)
    return out.getvalue()


class Stack:
    """Snapshots on disk, made by `apply_layer` alone."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self.snapshots: list[tuple[Path, Diff]] = []

    @property
    def tree(self) -> Tree:
        return ChainTree(self.snapshots) if self.snapshots else EmptyTree()

    def apply(self, blob: bytes) -> Applied:
        path = Path(tempfile.mkdtemp(dir=self._top))
        path.chmod(0o755)
        applied = apply_layer(io.BytesIO(blob), path, lower=self.tree)
        assert outline_layer(io.BytesIO(blob), lower=self.tree) == applied
        self.snapshots.append((path, applied.diff))
        return applied

    def facts(self) -> dict[str, tuple[Any, ...]]:
        path = Path(tempfile.mkdtemp(dir=self._top))
        path.chmod(0o755)
        checkout(self.tree, path)
        return oracle(path)


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        yield Path(name)


def fresh(top: Path) -> Path:
    path = Path(tempfile.mkdtemp(dir=top))
    path.chmod(0o755)
    return path


def edited_on_overlay(top: Path, lowers: list[Path], steps: list[Any], root_of: Tree) -> tuple[Path, dict[str, Any]]:
    """Do edits on a real overlay, mounted by a child for itself; gives the upper directory and the merged facts."""
    upper, work, merged = fresh(top), fresh(top), fresh(top)
    facts = root_of.lookup("")
    assert facts is not None
    upper.chmod(facts.mode)
    os.chown(upper, facts.uid, facts.gid)
    for name, value in facts.xattrs:
        os.setxattr(upper, name, value)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.unshare(0x00020000) == 0
            assert libc.mount(None, b"/", None, 1 << 18 | 1 << 14, None) == 0
            stack = ":".join(map(str, reversed(lowers)))
            options = f"lowerdir={stack},upperdir={upper},workdir={work},redirect_dir=off,metacopy=off".encode()
            assert libc.mount(b"overlay", str(merged).encode(), b"overlay", 0, options) == 0, os.strerror(
                ctypes.get_errno()
            )
            for step in steps:
                perform(merged, step)
            with os.fdopen(writer, "wb") as out:
                out.write(repr(oracle(merged)).encode("utf-8", "surrogateescape"))
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as source:
        data = source.read()
    assert os.waitpid(child, 0)[1] == 0
    import ast

    return upper, ast.literal_eval(data.decode("utf-8", "surrogateescape"))


@as_root
@slow
@given(edits, edits)
def test_diff_then_apply_gives_the_edited_tree(first: list[Any], second: list[Any]) -> None:
    with workplace() as top:
        stack = Stack(top)
        original = fresh(top)
        for step in first:
            perform(original, step)
        copy = fresh(top)
        shutil.rmtree(copy)
        subprocess.run(["cp", "-a", original, copy], check=True)
        upper = fresh(top)
        diff = collect_full(copy, EmptyTree(), upper, epoch=5)
        stack.apply(blob_of(diff, lambda entry: open_in(upper, entry.path)))
        assert stack.facts() == oracle(original)

        edited, facts = edited_on_overlay(top, [fresh(top), stack.snapshots[0][0]], second, stack.tree)
        change = collect(edited, stack.tree, epoch=5)
        applied = stack.apply(blob_of(change, lambda entry: open_in(edited, entry.path), "zstd"))
        assert stack.facts() == facts
        assert applied.diff == change, "what was collected is what a puller gets"
        merged = ChainTree([stack.snapshots[0], (edited, change)])
        again = fresh(top)
        checkout(merged, again)
        assert oracle(again) == facts, "the cleaned upper directory is a snapshot of the diff"


@as_root
@slow
@given(edits, edits)
def test_a_whole_copy_gives_the_same_diff_as_an_overlay(first: list[Any], second: list[Any]) -> None:
    with workplace() as top:
        stack = Stack(top)
        whole, upper = fresh(top), fresh(top)
        for step in first:
            perform(whole, step)
        diff = collect_full(whole, EmptyTree(), upper, epoch=0)
        stack.apply(blob_of(diff, lambda entry: open_in(upper, entry.path)))
        edited, facts = edited_on_overlay(top, [fresh(top), stack.snapshots[0][0]], second, stack.tree)
        overlay = collect(edited, stack.tree, epoch=0)
        copied, moved = fresh(top), fresh(top)
        checkout(stack.tree, copied)
        for step in second:
            perform(copied, step)
        shared = any(entry.type == "hardlink" for entry in diff.entries)
        if not shared:
            # On an overlay, a change of one name of a shared file leaves the others as they were.
            assert collect_full(copied, stack.tree, moved, epoch=0) == overlay
        assert facts


@as_root
@slow
@given(edits, edits, edits)
def test_composed_diffs_do_what_they_do_one_by_one(first: list[Any], second: list[Any], third: list[Any]) -> None:
    with workplace() as top:
        stack, uppers, diffs = Stack(top), [], []
        whole, upper = fresh(top), fresh(top)
        for step in first:
            perform(whole, step)
        base = collect_full(whole, EmptyTree(), upper, epoch=0)
        stack.apply(blob_of(base, lambda entry: open_in(upper, entry.path)))
        lower = stack.tree
        for steps in (second, third):
            edited, _ = edited_on_overlay(
                top, [path for path, _ in [(fresh(top), None), *stack.snapshots]], steps, stack.tree
            )
            diffs.append(collect(edited, stack.tree, epoch=0))
            uppers.append(edited)
            stack.snapshots.append((edited, diffs[-1]))
        one_by_one = stack.facts()
        for below in [lower] if needs_lower(diffs) else [lower, EmptyTree()]:
            composed = compose(diffs, below)

            def content(entry: Entry, composed: Any = composed) -> Any:
                number, path = composed.origin[entry.path]
                return open_in(uppers[number], path)

            assert all(
                lower.lookup(entry.path) is not None for entry in composed.diff.entries if entry.type == "whiteout"
            )
            other = Stack(top)
            other.snapshots = stack.snapshots[:1]
            blob = blob_of(composed.diff, content)
            other.apply(blob)
            assert other.facts() == one_by_one
            other.snapshots = stack.snapshots[:1]
            for diff, upper, holds in zip(diffs, uppers, carried(diffs), strict=True):
                box = blob if holds else blob_of(diff, lambda entry, upper=upper: open_in(upper, entry.path))
                place = fresh(top)
                lay_down(parse_diff(diff.encoded), [partial(io.BytesIO, box)], place, 0)
                other.snapshots.append((place, diff))
            assert other.facts() == one_by_one, "what one machine sends, another lays down"


@slow
@given(
    st.lists(
        st.tuples(
            paths,
            st.sampled_from(["file", "dir", "symlink", "whiteout"]),
            st.integers(0, 0o7777),
            st.binary(max_size=5),
        ),
        max_size=9,
    )
)
def test_a_diff_survives_its_encoding(rows: list[Any]) -> None:
    entries = {}
    for path, kind, mode, data in rows:
        more: dict[str, Any] = (
            {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)} if kind == "file" else {}
        )
        if kind == "symlink":
            more["target"] = path
        entries[path] = Entry(
            path=path, type=kind, mode=mode, uid=mode, xattrs=(("user.x", data),) if data else (), **more
        )
    diff = Diff.of(entries.values())
    assert Diff.decode(diff.encoded) == diff
    assert Diff.decode(diff.encoded).digest == diff.digest


@as_root
@slow
@given(edits, st.sampled_from(["gzip", "zstd", "none"]))
def test_a_layer_is_the_same_bytes_each_time_and_others_can_read_it(steps: list[Any], compression: str) -> None:
    with workplace() as top:
        whole, upper = fresh(top), fresh(top)
        for step in steps:
            perform(whole, step)
        facts = oracle(whole)
        diff = collect_full(whole, EmptyTree(), upper, epoch=3)
        blob = blob_of(diff, lambda entry: open_in(upper, entry.path), compression)
        assert blob == blob_of(Diff.decode(diff.encoded), lambda entry: open_in(upper, entry.path), compression)
        file, out = top / "layer", fresh(top)
        file.write_bytes(blob)
        decompress = {"gzip": ["-z"], "zstd": ["--zstd"], "none": []}[compression]
        options = ["-p", "--numeric-owner", "--xattrs", "--xattrs-include=user.*"]
        if compression != "zstd" or shutil.which("zstd"):
            subprocess.run(["tar", "-x", *decompress, *options, "-f", file, "-C", out], check=True, capture_output=True)
            assert oracle(out) == facts
        if compression != "zstd":
            with tarfile.open(file) as tar:
                names = [member.name for member in tar]
                assert {member.mtime for member in tar} <= {0}
            assert sorted(names) == sorted(entry.path or "." for entry in diff.entries if entry.path or "." in names)


items = st.lists(
    st.one_of(
        st.tuples(paths, st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])),
        st.tuples(paths.map(lambda path: _prefixed(path, ".wh.")), st.just(tarfile.REGTYPE)),
        st.tuples(paths.map(lambda path: f"{path}/.wh..wh..opq"), st.just(tarfile.REGTYPE)),
    ),
    max_size=10,
)


def _prefixed(path: str, prefix: str) -> str:
    parent, slash, name = path.rpartition("/")
    return f"{parent}{slash}{prefix}{name}"


def play(state: dict[str, str], layer: list[tuple[str, bytes]]) -> dict[str, str] | None:
    """What the OCI specification says of a layer, on a dictionary; None where a file would have things in it."""
    below, mine = dict(state), dict[str, str]()
    for path, kind in layer:
        parent, _, name = path.rpartition("/")
        parents = ["/".join(path.split("/")[:n]) for n in range(1, path.count("/") + 1)]
        if name == ".wh..wh..opq":
            below = {each: what for each, what in below.items() if not each.startswith(f"{parent}/")}
            continue
        if name.startswith(".wh."):
            gone = f"{parent}/{name[4:]}".lstrip("/")
            below = {each: what for each, what in below.items() if each != gone and not each.startswith(f"{gone}/")}
            continue
        for each in parents:
            if mine.get(each, below.get(each, "dir")) != "dir":
                return None
            mine[each] = "dir"
        made = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "dir", tarfile.FIFOTYPE: "fifo"}[kind]
        if made != "dir" or mine.get(path, "dir") != "dir":
            if path in mine:
                below = {each: what for each, what in below.items() if not each.startswith(f"{path}/")}
            mine = {each: what for each, what in mine.items() if not each.startswith(f"{path}/")}
        if made != "dir" or below.get(path, "dir") != "dir":
            below = {each: what for each, what in below.items() if not each.startswith(f"{path}/")}
        mine[path] = made
    merged = {**below, **mine}
    return {path: kind for path, kind in merged.items() if all(merged.get(p, "dir") == "dir" for p in _above(path))}


def _above(path: str) -> list[str]:
    return ["/".join(path.split("/")[:n]) for n in range(1, path.count("/") + 1)]


@as_root
@slow
@given(st.lists(items, min_size=1, max_size=3))
def test_tars_of_others_are_applied_as_the_specification_says(layers: list[list[tuple[str, bytes]]]) -> None:
    with workplace() as top:
        stack, state = Stack(top), dict[str, str]()
        for layer in layers:
            expected = play(state, layer)
            if expected is None:
                return
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for name, kind in layer:
                    info = tarfile.TarInfo(name)
                    info.type = kind
                    tar.addfile(info)
            stack.apply(out.getvalue())
            state = expected
            kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFIFO: "fifo"}
            found = {path: kinds[stat.S_IFMT(facts[0])] for path, facts in stack.facts().items() if path != "."}
            assert found == state
