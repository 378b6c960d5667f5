"""Trees as data: stacking, links, walking; and what comes of edits, composition and encoding."""

from __future__ import annotations

import errno
import io
import os
from dataclasses import replace
from pathlib import Path

import pytest

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError, SandboxError, SourceInputError, StoreError
from buildkit_py.graph.op import GitSource, HttpSource
from buildkit_py.layer import writer as writing
from buildkit_py.layer.compose import compose, needs_lower
from buildkit_py.layer.draft import Draft, checkout, dress_root, materialise
from buildkit_py.layer.edit import Edit
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.flat import flat
from buildkit_py.layer.modes import apply_mode
from buildkit_py.layer.openat import open_beneath, open_in
from buildkit_py.layer.owner import resolve_owner, resolve_user
from buildkit_py.layer.stored import git_content_id, http_content_id
from buildkit_py.layer.tree import ChainTree, EmptyTree, Tree, resolve, walk
from buildkit_py.layer.writer import TreeWriter


def diff(text: str) -> Diff:
    """`d/` a directory, `-d` a whiteout, `l>t` a link, `h=t` a hard link, `f` a file that holds its name."""
    entries = [Entry(path="", type="dir", mode=0o755)]
    for word in text.split():
        if word.endswith("/"):
            entries.append(Entry(path=word[:-1], type="dir", mode=0o755))
        elif word.startswith("-"):
            entries.append(Entry(path=word[1:], type="whiteout"))
        elif ">" in word:
            path, _, target = word.partition(">")
            entries.append(Entry(path=path, type="symlink", mode=0o777, target=target))
        else:
            path, link, target = word.partition("=")
            data = (target or path).encode()
            more = {"type": "hardlink", "target": target} if link else {"type": "file"}
            entries.append(Entry(path=path, mode=0o644, size=len(data), digest=str(Digest.of(data)), **more))
    return Diff.of(entries)


def stacked(*texts: str) -> ChainTree:
    return ChainTree([(Path("/nowhere"), diff(text)) for text in texts])


def names(tree: Tree) -> str:
    return " ".join(entry.path + "/" * (entry.type == "dir") for entry in walk(tree) if entry.path)


@pytest.mark.parametrize(
    ("layers", "seen"),
    [
        (["a/ a/x b", "a/ a/y -b"], "a/ a/x a/y"),
        (["a/ a/x", "-a", "a/ a/y"], "a/ a/y"),
        (["a/ a/x", "a"], "a"),
        (["a/ a/x", "a", "a/ a/y"], "a/ a/y"),
        (["a", "a/ a/x"], "a/ a/x"),
        (["a/ a/b/ a/b/c", "a/ -a/b"], "a/"),
        (["a/ a/b/ a/b/c", "-a", "a/ a/b/"], "a/ a/b/"),
    ],
)
def test_snapshots_are_merged(layers: list[str], seen: str) -> None:
    assert names(stacked(*layers)) == seen


def test_what_is_hidden_is_not_found_below_either() -> None:
    tree = stacked("a/ a/x", "a")
    assert tree.lookup("a/x") is None and list(tree.children("a")) == [] and list(tree.children("no/thing")) == []
    assert stacked().lookup("").type == "dir" and EmptyTree().lookup("x") is None


def test_a_file_that_the_store_lost_is_a_fault_of_the_store() -> None:
    for opened in (stacked("a").open, EmptyTree().open):
        with pytest.raises(StoreError):
            opened("a")


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("bin/sh", "usr/bin/sh"), ("/bin/./sh", "usr/bin/sh"), ("bin/../x", "usr/x"), ("../../etc", "etc"),
        ("abs/x", "usr/bin/x"), ("up/up/x", "x"), ("", ""), ("new/../bin", "usr/bin"), ("bin/", "usr/bin"),
    ],
)  # fmt: skip
def test_links_lead_inside(path: str, real: str) -> None:
    tree = stacked("usr/ usr/bin/ bin>usr/bin abs>/bin up>../../..")
    assert resolve(tree, path) == real


def test_the_last_link_may_be_left_alone_and_circles_end() -> None:
    tree = stacked("usr/ usr/bin/ bin>usr/bin a>b b>a")
    assert resolve(tree, "bin", follow_last=False) == "bin"
    with pytest.raises(SourceInputError, match="too many"):
        resolve(tree, "a")


def test_a_walk_does_not_look_at_what_it_skips() -> None:
    looked: list[str] = []

    class Watching(ChainTree):
        def lookup(self, path: str) -> Entry | None:
            looked.append(path)
            return super().lookup(path)

    tree = Watching([(Path("/"), diff("a/ a/x b"))])
    assert [entry.path for entry in walk(tree, skip=lambda path: path == "a")] == ["", "b"]
    assert "a" not in looked


@pytest.mark.parametrize(
    ("lower", "diffs", "made"),
    [
        ("", ["a", "b"], "+ a b"),
        ("a", ["-a", "a"], "+ a"),
        ("a", ["b", "-b"], ""),
        ("", ["a", "-a"], ""),
        ("d/ d/x", ["-d", "d/ d/y"], "+ d d/-x d/y"),
        ("d/ d/x", ["d", "d/ d/y"], "+ d d/-x d/y"),
        ("d/ d/x", ["d/ -d/x", "-d"], "+ -d"),
        ("d/ d/s/ d/s/x", ["-d", "d/", "d/ d/s/"], "+ d d/s d/s/-x"),
        ("d/ d/x", ["d/ d/y", "d"], "+ d"),
    ],
)
def test_diffs_are_composed(lower: str, diffs: list[str], made: str) -> None:
    composed = compose([diff(text) for text in diffs], stacked(lower)).diff
    shown = [_shown(entry) for entry in composed.entries]
    assert " ".join(shown).strip() == made or (made == "" and all(e.type == "dir" for e in composed.entries))


def _shown(entry: Entry) -> str:
    parent, slash, name = entry.path.rpartition("/")
    return (parent + slash + "-" + name if entry.type == "whiteout" else entry.path) or "+"


def test_composed_links_and_where_bytes_come_from() -> None:
    composed = compose([diff("a b=a c=a"), diff("a")], EmptyTree())
    assert [(e.path, e.type, e.target) for e in composed.diff.entries[1:]] == [
        ("a", "file", None), ("b", "file", None), ("c", "hardlink", "b"),
    ]  # fmt: skip
    assert (composed.origin["a"], composed.origin["b"]) == ((1, "a"), (0, "b"))


def test_when_the_tree_below_matters() -> None:
    assert not needs_lower([diff("a/ a/x"), diff("a/ a/y b")])
    assert needs_lower([diff("-a")])
    assert needs_lower([diff("a"), diff("a/")])
    assert not needs_lower([diff("a/"), diff("a")])


def test_a_whole_tree_keeps_links_that_still_hold() -> None:
    assert [(e.path, e.type, e.target) for e in flat(stacked("a b=a c=a", "-a")).entries[1:]] == [
        ("b", "file", None), ("c", "hardlink", "b"),
    ]  # fmt: skip
    changed = ChainTree(
        [(Path("/"), diff("a b=a")), (Path("/"), Diff.of([Entry(path="a", type="file", digest="other")]))]
    )
    assert [(e.path, e.type) for e in flat(changed).entries[1:]] == [("a", "file"), ("b", "file")]


def test_an_edit_sees_its_own_changes() -> None:
    edit = Edit(stacked("d/ d/x d/y f l>d"))
    edit.remove("d/x")
    edit.put(Entry(path="new/deep/z", type="fifo"))
    assert names(edit) == "d/ d/y f l new/ new/deep/ new/deep/z"
    edit.remove("d")
    edit.put(Entry(path="d", type="dir", mode=0o755))
    assert list(edit.children("d")) == [] and edit.lookup("d/y") is None
    assert edit.place("l/made") == "d/made" and edit.place("/l") == "l"
    with pytest.raises(SourceInputError, match="not a directory"):
        edit.put(Entry(path="f/x", type="fifo"))
    shown = [_shown(entry) for entry in edit.draft().diff.entries]
    assert shown == ["+", "d", "d/-x", "d/-y", "new", "new/deep", "new/deep/z"]


def test_an_edit_that_changes_nothing_is_empty() -> None:
    edit = Edit(stacked("d/ d/x"))
    edit.remove("d")
    edit.remove("never")
    edit.put(Entry(path="d", type="dir", mode=0o755))
    entry = stacked("d/ d/x").lookup("d/x")
    edit.put(entry, lambda: io.BytesIO())
    assert not edit.draft().diff


def test_a_draft_that_changes_on_the_way_is_refused(tmp_path: Path) -> None:
    draft = Draft(diff=diff("f"), contents={"f": lambda: io.BytesIO(b"other")})
    with pytest.raises(IntegrityError, match="was changed while"):
        materialise(draft, tmp_path, 0)


def test_a_draft_never_leads_out(tmp_path: Path) -> None:
    out, inside = tmp_path / "out", tmp_path / "in"
    out.mkdir()
    inside.mkdir()
    broken = Diff((*diff(f"a>{out}").entries, *diff("a/x").entries[1:]))
    with pytest.raises(StoreError):
        materialise(Draft(diff=broken, contents={"a/x": lambda: io.BytesIO(b"a/x")}), inside, 0)
    assert list(out.iterdir()) == []


def test_a_checkout_shares_files_as_the_tree_does(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "out").mkdir()
    checkout(ChainTree([(tmp_path, diff("a b=a"))]), tmp_path / "out")
    assert (tmp_path / "out/a").samefile(tmp_path / "out/b")


def test_an_upper_directory_gets_the_root_of_the_tree(tmp_path: Path) -> None:
    root = Diff.of([Entry(path="", type="dir", mode=0o555, uid=3, xattrs=(("user.a", b"b"),))])
    dress_root(ChainTree([(Path("/"), root)]), tmp_path)
    assert (tmp_path.stat().st_mode & 0o7777, tmp_path.stat().st_uid) == (0o555, 3)
    assert os.getxattr(tmp_path, "user.a") == b"b"


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EINVAL, SandboxError), (errno.EPERM, SandboxError), (errno.ENOSPC, StoreError)]
)
def test_owners_that_this_user_may_not_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(writing.os, "fchown", refuse)
    with pytest.raises(kind), TreeWriter(tmp_path) as writer:
        writer.file(Entry(path="f", type="file", uid=70000), iter(()), 0)


def test_files_are_opened_inside_only(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "out").write_text("out")
    (root / "f").write_text("f")
    (root / "in").symlink_to("f")
    (root / "out").symlink_to("../out")
    os.mkfifo(root / "pipe")
    with open_in(root, "f") as file:
        assert file.read() == b"f"
    with open_beneath(root, "in") as file:
        assert file.read() == b"f"
    for opened, path in ((open_in, "in"), (open_beneath, "out"), (open_in, "../out"), (open_in, "pipe"), (open_in, "")):
        with pytest.raises(OSError):
            opened(root, path)


@pytest.mark.parametrize(
    ("text", "before", "directory", "after"),
    [
        ("0640", 0o777, False, 0o640), ("4755", 0, False, 0o4755), ("u+x,go-w", 0o666, False, 0o744),
        ("a=rX", 0o644, False, 0o444), ("a=rX", 0o644, True, 0o555), ("go=", 0o777, False, 0o700),
        ("+x", 0o644, False, 0o755), ("u+rw-x", 0o100, False, 0o600), ("u+s", 0o755, False, 0o4755),
        ("+t", 0o777, True, 0o1777), ("g=rx", 0o2777, True, 0o757),
        ("o+t", 0o777, True, 0o777), ("o=rt", 0o1700, True, 0o1704), ("=t", 0o640, False, 0o1640),
        ("u=g", 0o6755, False, 0o6555), ("a=u", 0o4700, False, 0o4777), ("u-x,a+X", 0o700, False, 0o711),
        ("=X", 0o6700, True, 0o111), ("u+s", 0o2755, True, 0o6755), ("g-s", 0o2755, True, 0o755),
    ],
)  # fmt: skip
def test_modes(text: str, before: int, directory: bool, after: int) -> None:
    assert apply_mode(text, before, directory=directory) == after


def accounts(tmp_path: Path, passwd: bytes, group: bytes = b"") -> Tree:
    draft = [("etc/group", group), ("etc/passwd", passwd)]
    entries = [Entry(path=path, type="file", size=len(data), digest="x") for path, data in draft]
    (tmp_path / "etc").mkdir()
    for path, data in draft:
        (tmp_path / path).write_bytes(data)
    return ChainTree([(tmp_path, Diff.of([Entry(path="etc", type="dir"), *entries]))])


def test_users_and_groups(tmp_path: Path) -> None:
    tree = accounts(
        tmp_path,
        b"root:x:0:0::/root:\nbad:x:y:z::\nwww:x:33:34::/srv:/bin/sh\n\xff\n",
        b"adm:x:4:root,www\nweb:x:34:\n",
    )
    assert resolve_owner(tree, "www") == (33, 34)
    assert resolve_owner(tree, "www:adm") == (33, 4)
    assert resolve_owner(tree, ":33") == (0, 33)
    assert resolve_owner(tree, "5") == (5, 5)
    user = resolve_user(tree, "www")
    assert (user.uid, user.gid, user.groups, user.home) == (33, 34, (34, 4), "/srv")
    assert resolve_user(tree, "77").gid == 0
    for text in ("nobody", "4294967295", "9" * 5000, "www:none"):
        with pytest.raises(SourceInputError):
            resolve_owner(tree, text)


def test_accounts_that_are_no_files(tmp_path: Path) -> None:
    for entry in (
        Entry(path="etc/passwd", type="fifo"),
        Entry(path="etc/passwd", type="file", size=1 << 40, digest="x"),
    ):
        tree = ChainTree([(tmp_path, Diff.of([Entry(path="etc", type="dir"), entry]))])
        with pytest.raises(SourceInputError, match="sensible size"):
            resolve_owner(tree, "www")


def test_how_a_source_is_laid_down_is_part_of_what_it_is_called() -> None:
    url = HttpSource(url="https://example.org/a", filename="a", digest="sha256:x")
    commit = GitSource(url="https://example.org/r", commit="0" * 40)
    assert http_content_id(replace(url, mode="0600")) != http_content_id(url)
    assert http_content_id(replace(url, url="https://example.org/b")) == http_content_id(url)
    assert git_content_id(replace(commit, submodules=True)) != git_content_id(commit)
