"""File steps as pure functions: what each makes of a tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py.digest import Digest
from buildkit_py.errors import SourceInputError
from buildkit_py.graph.op import Chmod, Chown, Copy, FileStep, Mkdir, Remove, Symlink, Write
from buildkit_py.layer.draft import Draft, checkout, materialise
from buildkit_py.layer.entry import Diff, Entry
from buildkit_py.layer.fileops import apply_op
from buildkit_py.layer.tree import ChainTree, EmptyTree, Tree


def tree(tmp_path: Path, **files: str) -> Tree:
    """A stored tree: `a__b="text"` is the file a/b, a text `-> x` a link, `/` an empty directory."""
    place = tmp_path / f"tree{len(list(tmp_path.iterdir()))}"
    place.mkdir()
    made: Tree = EmptyTree()
    chain: list[tuple[Path, Diff]] = []
    for number, (name, text) in enumerate(files.items()):
        path = "/" + name.replace("__", "/").replace("DOT", ".")
        op: FileStep = Write(path=path, text=text)
        if text == "/":
            op = Mkdir(path=path)
        elif text.startswith("-> "):
            op = Symlink(path=path, target=text[3:])
        draft = apply_op(op, made)
        directory = place / str(number)
        directory.mkdir()
        materialise(draft, directory, 0)
        chain.append((directory, draft.diff))
        made = ChainTree(list(chain))
    return made


def shape(draft: Draft) -> list[tuple[str, str]]:
    return [(entry.path, entry.type) for entry in draft.diff.entries if entry.path]


def paths(draft: Draft) -> list[str]:
    return [entry.path for entry in draft.diff.entries if entry.type != "dir"]


def text(draft: Draft, path: str) -> str:
    with draft.contents[path]() as file:
        return file.read().decode()


def copy(base: Tree, source: Tree, *sources: str, to: str, **more: object) -> Draft:
    return apply_op(Copy(sources=sources, dest=to, **{"owner": "0:0", "mode": "auto", **more}), base, source)


def test_write_makes_parents_and_says_nothing_twice(tmp_path: Path) -> None:
    draft = apply_op(Write(path="/etc/app/conf", text="ä", mode="0600", owner="1:2"), EmptyTree())
    assert shape(draft) == [("etc", "dir"), ("etc/app", "dir"), ("etc/app/conf", "file")]
    assert draft.diff.entries[-1] == Entry(
        path="etc/app/conf", type="file", mode=0o600, uid=1, gid=2, size=2, digest=str(Digest.of("ä".encode()))
    )
    base = tree(tmp_path, etc__conf="x")
    assert not apply_op(Write(path="/etc/conf", text="x"), base).diff
    with pytest.raises(SourceInputError, match="a directory"):
        apply_op(Write(path="/etc", text="x"), base)


def test_a_change_carries_its_parents_as_they_are(tmp_path: Path) -> None:
    base = apply_op(Mkdir(path="/d", mode="1777", owner="5:6"), EmptyTree())
    (tmp_path / "base").mkdir()
    materialise(base, tmp_path / "base", 0)
    draft = apply_op(Write(path="/d/f", text=""), ChainTree([(tmp_path / "base", base.diff)]))
    assert draft.diff.entries[:2] == (
        Entry(path="", type="dir", mode=0o755), Entry(path="d", type="dir", mode=0o1777, uid=5, gid=6),
    )  # fmt: skip


def test_a_file_gets_a_name_or_goes_into_a_directory(tmp_path: Path) -> None:
    source, base = tree(tmp_path, a__f="f"), tree(tmp_path, dir="/", bin="-> usr/bin", usr__bin="/")
    assert paths(copy(base, source, "/a/f", to="/x/y")) == ["x/y"]
    assert paths(copy(base, source, "/a/f", to="/x/y/")) == ["x/y/f"]
    assert paths(copy(base, source, "/a/f", to="/dir/")) == ["dir/f"]
    assert paths(copy(base, source, "/a/f", to="/bin/")) == ["usr/bin/f"]
    assert paths(copy(base, source, "/a/f", to="/bin/x")) == ["usr/bin/x"]
    assert shape(copy(base, source, "/a/f", to="/bin")) == [("bin", "file")]


def test_a_file_never_replaces_a_directory(tmp_path: Path) -> None:
    source, base = tree(tmp_path, f="f", d__f="f"), tree(tmp_path, dir__x="x", f="old")
    with pytest.raises(SourceInputError, match="a directory is there") as error:
        copy(base, source, "/f", to="/dir")
    assert error.value.hint == "write /dir/ to copy into it"
    assert paths(copy(base, source, "/f", to="/dir", contents="always")) == ["dir/f"]
    with pytest.raises(SourceInputError, match="a file is there"):
        copy(base, source, "/d", to="/f")


def test_directories_keep_their_name_or_stand_for_what_they_hold(tmp_path: Path) -> None:
    source = tree(tmp_path, src__a="a", src__sub__b="b")
    assert paths(copy(EmptyTree(), source, "/src", to="/to/")) == ["to/src/a", "to/src/sub/b"]
    assert paths(copy(EmptyTree(), source, "/src/", to="/to/")) == ["to/a", "to/sub/b"]
    assert paths(copy(EmptyTree(), source, "/src", to="/to")) == ["to/a", "to/sub/b"]
    assert paths(copy(EmptyTree(), source, "/src", to="/to/", contents="always")) == ["to/a", "to/sub/b"]
    assert paths(copy(EmptyTree(), source, "/", to="/")) == ["src/a", "src/sub/b"]
    assert paths(copy(EmptyTree(), source, "/", to="/all/")) == ["all/src/a", "all/src/sub/b"]


def test_a_directory_that_meets_a_link_to_one_goes_there(tmp_path: Path) -> None:
    source = tree(tmp_path, bin__tool="t", lib__so="s")
    base = tree(tmp_path, usr__bin="/", bin="-> usr/bin", lib="-> nowhere")
    assert paths(copy(base, source, "/bin", to="/")) == ["usr/bin/tool"]
    with pytest.raises(SourceInputError, match="a symlink is there"):
        copy(base, source, "/lib", to="/")


def test_globs_and_exclusions(tmp_path: Path) -> None:
    source = tree(tmp_path, a__x_c="1", a__x_h="2", b__x_c="3", DOTgit__x_c="4", b__keep__x_c="5")
    assert paths(copy(EmptyTree(), source, "/*/x_c", to="/o/", exclude=("none",))) == ["o/x_c"]
    assert paths(copy(EmptyTree(), source, "/", to="/o/", exclude=("**/x_c", "!b/keep/x_c", ".git"))) == [
        "o/a/x_h", "o/b/keep/x_c",
    ]  # fmt: skip
    assert paths(copy(EmptyTree(), source, "/", to="/o/", exclude=("*", "!b/keep/x_c"))) == ["o/b/keep/x_c"]
    assert paths(copy(EmptyTree(), source, "/a", "/b", to="/o/", exclude=("x_c",))) == ["o/a/x_h", "o/b/keep/x_c"]
    assert paths(copy(EmptyTree(), source, "/*/x_h", to="/o/", exclude=("x_*",))) == []


def test_the_named_link_is_followed_and_inner_ones_are_kept(tmp_path: Path) -> None:
    source = tree(tmp_path, real__f="f", real__ln="-> f", top="-> real", out="-> /../../real/f", dead="-> nowhere")
    assert shape(copy(EmptyTree(), source, "/top/", to="/o/")) == [("o", "dir"), ("o/f", "file"), ("o/ln", "symlink")]
    assert text(copy(EmptyTree(), source, "/out", to="/o/"), "o/out") == "f"
    with pytest.raises(SourceInputError, match="dead is not there"):
        copy(EmptyTree(), source, "/dead", to="/o/")
    assert ("o/dead", "symlink") in shape(copy(EmptyTree(), source, "/*", to="/o/"))


def test_modes_and_owners(tmp_path: Path) -> None:
    base = tree(tmp_path, etc__passwd="root:x:0:0::/:\napp:x:7:8::/:\n", etc__group="staff:x:50:\n")
    source = tree(tmp_path, f="f")
    assert copy(base, source, "/f", to="/x", owner="app").diff.entries[-1].uid == 7
    entry = copy(base, source, "/f", to="/x", owner="app:staff", mode="u+x,go=").diff.entries[-1]
    assert (entry.uid, entry.gid, entry.mode) == (7, 50, 0o700)
    with pytest.raises(SourceInputError, match="no user 'apt'") as error:
        copy(base, source, "/f", to="/x", owner="apt")
    assert error.value.hint == "did you mean 'app'?"


@pytest.mark.parametrize(
    ("modes", "made"),
    [
        ({"mode": "0640"}, [0o640, 0o640, 0o640]),
        ({"mode": "0640", "directory_mode": "0750"}, [0o750, 0o750, 0o640]),
        ({"mode": "u=rw,go="}, [0o600, 0o600, 0o600]),
        ({"mode": None, "directory_mode": "a-x"}, [0o644, 0o644, 0o644]),
        ({"mode": "auto", "directory_mode": "0700"}, [0o700, 0o700, 0o644]),
        ({"mode": "g=u,o-r"}, [0o771, 0o771, 0o660]),
    ],
)
def test_directories_get_the_mode_that_is_theirs(tmp_path: Path, modes: dict[str, str], made: list[int]) -> None:
    source = tree(tmp_path, d__sub__f="f")
    assert [entry.mode for entry in copy(EmptyTree(), source, "/d", to="/x", **modes).diff.entries[-3:]] == made


def test_what_a_copy_makes_on_the_way_can_be_like_what_it_copies(tmp_path: Path) -> None:
    source = tree(tmp_path, f="f")
    draft = copy(EmptyTree(), source, "/f", to="/a/b/", owner="3:4", mode="0640", made="alike")
    assert [(e.path, e.mode, e.uid) for e in draft.diff.entries] == [
        ("", 0o755, 0), ("a", 0o640, 3), ("a/b", 0o640, 3), ("a/b/f", 0o640, 3),
    ]  # fmt: skip
    made = apply_op(Mkdir(path="/a/b", owner="3:4", mode="0700", made="alike"), EmptyTree()).diff.entries
    assert [(e.path, e.mode, e.uid) for e in made] == [("", 0o755, 0), ("a", 0o755, 3), ("a/b", 0o700, 3)]


def test_an_optional_glob_may_match_nothing(tmp_path: Path) -> None:
    source = tree(tmp_path, f="f")
    assert not copy(EmptyTree(), source, "/x*", to="/a/", optional=True).diff
    assert paths(copy(EmptyTree(), source, "/x*", "/f", to="/a/", optional=True)) == ["a/f"]
    with pytest.raises(SourceInputError, match="not there"):
        copy(EmptyTree(), source, "/x", to="/a/", optional=True)


def test_missing_sources_name_what_is_near(tmp_path: Path) -> None:
    source = tree(tmp_path, src__main="m")
    with pytest.raises(SourceInputError) as error:
        copy(EmptyTree(), source, "/src/mian", to="/x")
    assert error.value.hint == "did you mean /src/main?"
    two = tree(tmp_path, main__a="", mian__b="", Dockerfile="")
    for path, hint in (("/mann/b", "did you mean /mian/b?"), ("/nofile", None), ("/manual/b", None)):
        with pytest.raises(SourceInputError) as error:
            copy(EmptyTree(), two, path, to="/x")
        assert error.value.hint == hint
    with pytest.raises(SourceInputError) as error:
        copy(EmptyTree(), tree(tmp_path, src__out="-> /none"), "/src/out", to="/x")
    assert error.value.hint == "/src/out is a link that leads to nothing in there"
    with pytest.raises(SourceInputError) as error:
        copy(EmptyTree(), source, "/srcs/nothing", to="/x")
    assert error.value.hint is None
    with pytest.raises(SourceInputError, match="nothing matches"):
        copy(EmptyTree(), source, "/*.py", to="/x/")
    with pytest.raises(SourceInputError, match="not a directory"):
        copy(EmptyTree(), source, "/src/main/", to="/x/")
    assert text(copy(EmptyTree(), source, "/../../src/main", to="/x"), "x") == "m"


def test_names_of_one_file_stay_so_when_copied(tmp_path: Path) -> None:
    digest = str(Digest.of(b"1"))
    diff = Diff.of([
        Entry(path="", type="dir", mode=0o755), Entry(path="a", type="file", mode=0o644, size=1, digest=digest),
        Entry(path="b", type="hardlink", mode=0o644, size=1, digest=digest, target="a"),
    ])  # fmt: skip
    (tmp_path / "a").write_bytes(b"1")
    draft = copy(EmptyTree(), ChainTree([(tmp_path, diff)]), "/", to="/o/")
    assert [(e.path, e.type, e.target) for e in draft.diff.entries[2:]] == [
        ("o/a", "file", None),
        ("o/b", "hardlink", "o/a"),
    ]
    alone = copy(EmptyTree(), ChainTree([(tmp_path, diff)]), "/b", to="/o/")
    assert [(e.path, e.type) for e in alone.diff.entries[2:]] == [("o/b", "file")]


def test_mkdir(tmp_path: Path) -> None:
    base = tree(tmp_path, d="/", f="")
    assert apply_op(Mkdir(path="/d", mode="0700"), base).diff.entries[1].mode == 0o700
    assert not apply_op(Mkdir(path="/d", mode="0700", keep_existing=True), base).diff
    with pytest.raises(SourceInputError, match="is a file"):
        apply_op(Mkdir(path="/f"), base)
    with pytest.raises(SourceInputError, match="not a directory"):
        apply_op(Mkdir(path="/f/x"), base)


def test_symlink(tmp_path: Path) -> None:
    base = tree(tmp_path, d="/", bin="-> usr/bin", usr__bin="/")
    assert apply_op(Symlink(path="/bin/sh", target="dash"), base).diff.entries[-1].path == "usr/bin/sh"
    with pytest.raises(SourceInputError, match="is a directory"):
        apply_op(Symlink(path="/d", target="x"), base)


def test_remove(tmp_path: Path) -> None:
    base = tree(tmp_path, d__x="x", d__y="y", f="f", ln="-> d")
    assert shape(apply_op(Remove(paths=("/d", "/ln")), base)) == [("d", "whiteout"), ("ln", "whiteout")]
    assert shape(apply_op(Remove(paths=("/ln/*",)), base)) == [("d", "dir"), ("d/x", "whiteout"), ("d/y", "whiteout")]
    for missing in ("/no", "/no*"):
        assert not apply_op(Remove(paths=(missing,), missing_ok=True), base).diff
        with pytest.raises(SourceInputError):
            apply_op(Remove(paths=(missing,)), base)
    with pytest.raises(SourceInputError, match="root"):
        apply_op(Remove(paths=("/",)), base)


def test_chmod_and_chown(tmp_path: Path) -> None:
    base = tree(tmp_path, d__x="x", ln="-> d/x")
    draft = apply_op(Chmod(paths=("/d",), mode="u=rwX,go=", recursive=True), base)
    assert [(e.path, e.mode) for e in draft.diff.entries[1:]] == [("d", 0o700), ("d/x", 0o600)]
    assert text(draft, "d/x") == "x"
    assert paths(apply_op(Chmod(paths=("/ln",), mode="0600"), base)) == ["d/x"]
    assert paths(apply_op(Chown(paths=("/ln",), owner="3"), base)) == ["ln"]
    assert not apply_op(Chmod(paths=("/d/*",), mode="0644"), base).diff


def test_a_draft_laid_down_is_what_its_diff_says(tmp_path: Path) -> None:
    source = tree(tmp_path, a__f="f", a__ln="-> f")
    out = tmp_path / "out"
    out.mkdir()
    checkout(source, out, 5)
    assert (out / "a/f").read_text() == "f"
    assert (out / "a/ln").readlink().as_posix() == "f"
    assert {path.lstat().st_mtime for path in out.rglob("*")} == {5}
