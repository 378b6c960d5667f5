"""COPY and ADD with the flags that came after Debian's release: --link, --parents, --exclude, symbolic --chmod."""

from __future__ import annotations

from tests.differential.case import archive, file, folder, link
from tests.differential.reason import INPUT, SOURCE, Reasoned, reason
from tests.differential.tree import file_text as f
from tests.differential.tree import folder_text as d
from tests.differential.tree import link_text as l
from tests.support.layouts import Entry

_DEEP = {"p/q/r.txt": "r", "p/q/s.md": "s", "p/t.txt": "t", "u.txt": "u"}
_ALL = {"d/a.txt": "a", "d/b.md": "b", "d/e/c.txt": "c", "d/e/d.md": "d", "f.txt": "f"}
_MODES = {"d": folder(0o755), "d/plain": file("p", 0o644), "d/run": file("r", 0o755), "d/s": folder(0o700)}
_TAR = archive(Entry(name="p/y", data=b"y", mode=0o640, uid=3, gid=4), Entry(name="z", data=b"z"))


def chmod(name: str, rule: str, mode: str, plain: int, run: int, inner: int) -> Reasoned:
    """A symbolic mode on 0644, 0755 and a directory of 0700."""
    expected = {"/x": d(), "/x/plain": f("p", plain), "/x/run": f("r", run), "/x/s": d(inner)}
    return reason(f"chmod-{name}", rule, f"FROM scratch\nCOPY --chmod={mode} d /x\n", _MODES, tree=expected)


CASES = [
    chmod("symbolic-add", "u+x adds for the owner", "u+x", 0o744, 0o755, 0o700),
    chmod("symbolic-remove", "go-rwx takes away for group and others", "go-rwx", 0o600, 0o700, 0o700),
    chmod("symbolic-set", "a=r sets", "a=r", 0o444, 0o444, 0o444),
    chmod("symbolic-several", "several clauses in their order", "u=rwx,go=rx", 0o755, 0o755, 0o755),
    chmod("symbolic-conditional", "X holds for directories and what is executable", "a+X", 0o644, 0o755, 0o711),
    chmod("symbolic-nobody", "without a letter it is for all", "+w", 0o666, 0o777, 0o722),
    chmod("symbolic-copy", "g=u copies the owner's", "g=u", 0o664, 0o775, 0o770),
    reason("chmod-symbolic-new-parents", "the directories that are made keep 0755 with a symbolic mode",
           "FROM scratch\nCOPY --chmod=go-rwx f /p/q/f\n", {"f": "f"},
           tree={"/p": d(), "/p/q": d(), "/p/q/f": f("f", 0o600)}),
    reason("chmod-octal-new-parents", "an octal mode is that of the directories that are made too",
           "FROM scratch\nCOPY --chmod=700 f /p/q/f\n", {"f": "f"},
           tree={"/p": d(0o700), "/p/q": d(0o700), "/p/q/f": f("f", 0o700)}),
    reason("chmod-existing-folder", "a directory that is there keeps its mode when a file is copied into it",
           "FROM busybox\nCOPY --chmod=600 f /srv/\n", {"f": "f"}, tree={"/srv/f": f("f", 0o600)}),
    reason("chmod-bad-symbolic", "a mode that means nothing", "FROM scratch\nCOPY --chmod=u*x f /x\n", {"f": "f"},
           fails=(SOURCE, 2)),
    reason("chmod-bad-octal", "a mode with a digit that is none", "FROM scratch\nCOPY --chmod=8 f /x\n", {"f": "f"},
           fails=(SOURCE, 2)),
    reason("chmod-too-large", "a mode of five digits", "FROM scratch\nCOPY --chmod=77777 f /x\n", {"f": "f"},
           fails=(SOURCE, 2)),
    # --link
    reason("link-file", "--link makes a layer of its own", "FROM busybox\nCOPY --link f /x\n", {"f": "f"},
           layers=[{"/x": f("f")}]),
    reason("link-new-folders", "with the directories that it needs", "FROM busybox\nCOPY --link f /p/q/f\n", {"f": "f"},
           layers=[{"/p": d(), "/p/q": d(), "/p/q/f": f("f")}]),
    reason("link-into-existing", "a directory with a slash is merged",
           "FROM busybox\nCOPY --link f /srv/\n", {"f": "f"}, tree={"/srv/f": f("f")}),
    reason("link-replaces-folder", "without a slash a directory is replaced by the file",
           "FROM busybox\nCOPY --link f /srv\n", {"f": "f"}, tree={"/srv": f("f"), "/srv/kept": "gone"}),
    reason("link-replaces-link", "a link in the destination is replaced, not followed",
           "FROM links\nCOPY --link f /absolute/f\n", {"f": "f"}, tree={"/absolute": d(), "/absolute/f": f("f")}),
    reason("link-chown-numbers", "numbers are owners", "FROM busybox\nCOPY --link --chown=5:6 f /n/x\n", {"f": "f"},
           tree={"/n": d(owner="5:6"), "/n/x": f("f", owner="5:6")}),
    reason("link-chown-name", "a linked layer knows no base to look a name up in",
           "FROM busybox\nCOPY --link --chown=app f /x\n", {"f": "f"}, fails=(0, 2)),
    reason("link-relative", "a relative destination is below WORKDIR",
           "FROM busybox\nWORKDIR /w\nCOPY --link f x\n", {"f": "f"}, tree={"/w": d(), "/w/x": f("f")}),
    reason("link-from-stage", "from another stage",
           "FROM busybox AS s\nRUN echo x > /x && chown 7:8 /x\nFROM scratch\nCOPY --link --from=s /x /y\n",
           tree={"/y": f("x\n", owner="7:8")}),
    reason("link-twice", "two layers for one path: the later is on top",
           "FROM scratch\nCOPY --link a /x\nCOPY --link b /x\n", {"a": "a", "b": "b"},
           layers=[{"/x": f("a")}, {"/x": f("b")}]),
    reason("link-false", "--link=false is none", "FROM busybox\nCOPY --link=false f /srv\n", {"f": "f"},
           tree={"/srv/f": f("f")}),
    reason("link-then-run", "a step sees what was linked",
           "FROM busybox\nCOPY --link f /n/f\nRUN cat /n/f > /out\n", {"f": "f"},
           layers=[{"/n": d(), "/n/f": f("f")}, {"/out": f("f")}]),
    reason("link-folder", "a directory's contents", "FROM scratch\nCOPY --link d /x\n", {"d/a": "a", "d/s/b": "b"},
           tree={"/x": d(), "/x/a": f("a"), "/x/s": d(), "/x/s/b": f("b")}),
    reason("link-add", "ADD has it too, and unpacks", "FROM busybox\nADD --link a.tar /x/\n", {"a.tar": _TAR},
           tree={"/x": d(), "/x/p": d(), "/x/p/y": f("y", 0o640, "3:4"), "/x/z": f("z")}),
    reason("link-heredoc", "a document", "FROM scratch\nCOPY --link <<E /x\nx\nE\n", tree={"/x": f("x\n")}),
    # --parents
    reason("parents-file", "--parents keeps the directories of a source",
           "FROM scratch\nCOPY --parents p/q/r.txt /x/\n",
           _DEEP, since=29, tree={"/x": d(), "/x/p": d(), "/x/p/q": d(), "/x/p/q/r.txt": f("r")}),
    reason("parents-several", "of each source", "FROM scratch\nCOPY --parents p/t.txt p/q/s.md u.txt /x/\n", _DEEP,
           since=29,
           tree={"/x": d(), "/x/p": d(), "/x/p/t.txt": f("t"), "/x/p/q": d(), "/x/p/q/s.md": f("s"),
           "/x/u.txt": f("u")}),
    reason("parents-pivot", "what stands before /./ is left out", "FROM scratch\nCOPY --parents p/./q/r.txt /x/\n",
           _DEEP,
           since=29, tree={"/x": d(), "/x/q": d(), "/x/q/r.txt": f("r")}),
    reason("parents-double-star", "** is any number of directories", "FROM scratch\nCOPY --parents **/*.txt /x/\n",
           _DEEP,
           since=29,
           tree={"/x": d(), "/x/p": d(), "/x/p/q": d(), "/x/p/q/r.txt": f("r"), "/x/p/t.txt": f("t"),
           "/x/u.txt": f("u")}),
    reason("parents-pivot-star", "both together", "FROM scratch\nCOPY --parents p/./**/*.txt /x/\n", _DEEP, since=29,
           tree={"/x": d(), "/x/q": d(), "/x/q/r.txt": f("r"), "/x/t.txt": f("t")}),
    reason("parents-folder", "a directory is kept with its name", "FROM scratch\nCOPY --parents p/q /x/\n", _DEEP,
           since=29,
           tree={"/x": d(), "/x/p": d(), "/x/p/q": d(), "/x/p/q/r.txt": f("r"), "/x/p/q/s.md": f("s")}),
    reason("parents-mode", "the directories keep their modes", "FROM scratch\nCOPY --parents d/f /x/\n",
           {"d": folder(0o700), "d/f": "f"}, since=29, tree={"/x": d(), "/x/d": d(0o700), "/x/d/f": f("f")}),
    reason("parents-from-owner", "from a stage they keep their owners",
           "FROM busybox AS s\nRUN mkdir -p /d/e && echo x > /d/e/x && chown -R 5:6 /d\nFROM scratch\n"
           "COPY --parents --from=s /d/e/x /\n", since=29,
           tree={"/d": d(owner="5:6"), "/d/e": d(owner="5:6"), "/d/e/x": f("x\n", owner="5:6")}),
    reason("parents-chown", "--chown holds for them", "FROM scratch\nCOPY --parents --chown=5:6 p/t.txt /x/\n", _DEEP,
           since=29,
           tree={"/x": d(owner="5:6"), "/x/p": d(owner="5:6"), "/x/p/t.txt": f("t", owner="5:6")}),
    reason("parents-missing", "a source that is not there", "FROM scratch\nCOPY --parents nope/x /x/\n", _DEEP,
           since=29,
           fails=(INPUT, 2)),
    # --exclude
    reason("exclude-one", "--exclude leaves out what matches", "FROM scratch\nCOPY --exclude=*.md d /x\n", _ALL,
           tree={"/x": d(), "/x/a.txt": f("a"), "/x/e": d(), "/x/e/c.txt": f("c"), "/x/e/d.md": f("d")}),
    reason("exclude-deep", "** reaches below", "FROM scratch\nCOPY --exclude=**/*.md d /x\n", _ALL,
           tree={"/x": d(), "/x/a.txt": f("a"), "/x/e": d(), "/x/e/c.txt": f("c")}),
    reason("exclude-several", "it may be repeated", "FROM scratch\nCOPY --exclude=*.md --exclude=e d /x\n", _ALL,
           tree={"/x": d(), "/x/a.txt": f("a")}),
    reason("exclude-folder", "a directory with all that is in it", "FROM scratch\nCOPY --exclude=d/e . /x/\n", _ALL
           | {".dockerignore": "Dockerfile\n.dockerignore\n"},
           tree={"/x": d(), "/x/d": d(), "/x/d/a.txt": f("a"), "/x/d/b.md": f("b"), "/x/f.txt": f("f")}),
    reason("exclude-exception", "a ! takes back", "FROM scratch\nCOPY --exclude=**/*.md --exclude=!e/d.md d /x\n", _ALL,
           tree={"/x": d(), "/x/a.txt": f("a"), "/x/e": d(), "/x/e/c.txt": f("c"), "/x/e/d.md": f("d")}),
    reason("exclude-from-stage", "from a stage",
           "FROM busybox AS s\nRUN mkdir /d && touch /d/a /d/b\nFROM scratch\nCOPY --from=s --exclude=a /d /x\n",
           tree={"/x": d(), "/x/b": f("")}),
    reason("exclude-add", "ADD has it too", "FROM scratch\nADD --exclude=*.md d /x\n", _ALL,
           tree={"/x": d(), "/x/a.txt": f("a"), "/x/e": d(), "/x/e/c.txt": f("c"), "/x/e/d.md": f("d")}),
    reason("exclude-glob-source", "it is held against what is below a source, not against the source itself",
           "FROM scratch\nCOPY --exclude=*.md d/* /x/\n", _ALL,
           tree={"/x": d(), "/x/a.txt": f("a"), "/x/b.md": f("b"), "/x/c.txt": f("c")}),
    reason("exclude-not-expanded", "it is not expanded", "FROM scratch\nARG M=*.md\nCOPY --exclude=$M d /x\n", _ALL,
           tree={"/x": d(), "/x/a.txt": f("a"), "/x/b.md": f("b"), "/x/e": d(), "/x/e/c.txt": f("c"),
           "/x/e/d.md": f("d")}),
    reason("exclude-history", "it has no place in the history", "FROM scratch\nCOPY --exclude=*.md d /x\n", _ALL,
           history=["+ COPY d /x # buildkit"]),
    # ADD
    reason("unpack-false", "--unpack=false copies an archive as it is", "FROM scratch\nADD --unpack=false a.tar /x/\n",
           {"a.tar": _TAR}, tree={"/x": d(), "/x/a.tar": f(_TAR)}),
    reason("unpack-true", "--unpack says what ADD does anyway", "FROM scratch\nADD --unpack=true a.tar /x/\n",
           {"a.tar": _TAR}, tree={"/x": d(), "/x/p": d(), "/x/p/y": f("y", 0o640, "3:4"), "/x/z": f("z")}),
    reason("add-chmod-archive", "--chmod does not reach what is unpacked", "FROM scratch\nADD --chmod=700 a.tar /x/\n",
           {"a.tar": _TAR}, tree={"/x": d(), "/x/p": d(), "/x/p/y": f("y", 0o640, "3:4"), "/x/z": f("z")}),
    reason("add-chown-archive", "--chown does; directories that the archive leaves out are root's",
           "FROM scratch\nADD --chown=8:9 a.tar /x/\n", {"a.tar": _TAR},
           tree={"/x": d(owner="8:9"), "/x/p": d(), "/x/p/y": f("y", 0o640, "8:9"), "/x/z": f("z", owner="8:9")}),
    reason("add-whiteout", "a member .wh.x takes x away", "FROM busybox\nADD a.tar /srv/\n",
           {"a.tar": archive(Entry(name=".wh.kept"), Entry(name="n", data=b"n"))},
           tree={"/srv/kept": "gone", "/srv/n": f("n")}),
    reason("add-checksum-of-file", "--checksum is for what is fetched", "FROM scratch\n"
           f"ADD --checksum=sha256:{'0' * 64} f /x\n", {"f": "f"}, fails=(SOURCE, 2)),
    reason("add-keep-git-dir-file", "--keep-git-dir means nothing to a file",
           "FROM scratch\nADD --keep-git-dir=true f /x\n",
           {"f": "f"}, tree={"/x": f("f")}),
    # Rules of every COPY.
    reason("copy-several-without-slash", "several sources without a slash: the last is kept",
           "FROM scratch\nCOPY a b /x\n", {"a": "a", "b": "b"}, tree={"/x": f("b")}),
    reason("copy-several-to-new-folder", "a directory and a file without a slash",
           "FROM scratch\nCOPY d e /x\n", {"d/a": "a", "e/b": "b"}, tree={"/x": d(), "/x/a": f("a"), "/x/b": f("b")}),
    reason("copy-glob-without-slash", "a pattern of several files without a slash: the last by name is kept",
           "FROM scratch\nCOPY *.t /x\n", {"a.t": "a", "b.t": "b"}, tree={"/x": f("b")}),
    reason("copy-top-link", "the top of a source that is a link is followed, links inside are kept",
           "FROM scratch\nCOPY l /x\n", {"d/a": "a", "d/i": link("a"), "l": link("d")},
           tree={"/x": d(), "/x/a": f("a"), "/x/i": l("a")}),
    reason("copy-chown-one-number", "one number is user and group", "FROM scratch\nCOPY --chown=5 f /x\n", {"f": "f"},
           tree={"/x": f("f", owner="5:5")}),
    reason("copy-chown-group", "a group alone leaves root", "FROM busybox\nCOPY --chown=:33 f /x\n", {"f": "f"},
           tree={"/x": f("f", owner="0:33")}),
    reason("copy-from-stage-owner", "COPY --from keeps owners", "FROM busybox AS s\nRUN touch /a && chown 5:6 /a\n"
           "FROM scratch\nCOPY --from=s /a /a\n", tree={"/a": f("", owner="5:6")}),
    reason("copy-dangling-destination", "a destination below a broken link makes the link's target",
           "FROM links\nCOPY f /dangling/x\n", {"f": "f"},
           tree={"/not": d(), "/not/there": d(), "/not/there/x": f("f")}),
]  # fmt: skip
