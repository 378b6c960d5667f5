"""Owners and modes that COPY and ADD give, .dockerignore, and archives that ADD unpacks."""

from __future__ import annotations

import tarfile

from tests.differential.case import DOCKER, archive, case, file, folder, link
from tests.support.layouts import Entry
from tests.support.layouts import folder as member_folder
from tests.support.layouts import link as member_link

_TREE = {"d/a": "a", "d/sub/b": "b", "f": "f", "g": "g"}
_MEMBERS = (
    member_folder("top", 0o750),
    Entry(name="top/x", data=b"x", mode=0o640, uid=7, gid=8),
    Entry(name="top/run", data=b"#!/bin/sh\n", mode=0o4755),
    member_link("top/l", "x"),
    Entry(name="top/hard", kind=tarfile.LNKTYPE, target="top/x", mode=0o640, uid=7, gid=8),
)
_IGNORED = {"a.txt": "", "b.md": "", "d/a.txt": "", "d/b.md": "", "d/e/c.md": "", "d/e/keep.md": "", "node/x": ""}


def _ignore(name: str, rule: str, text: str, **options: bool):  # type: ignore[no-untyped-def]
    where = (DOCKER,) if options.get("docker_only") else ("buildah", DOCKER)
    return case(name, rule, "FROM scratch\nCOPY . /all/\n", {".dockerignore": text, **_IGNORED}, on=where)


CASES = [
    case("chown-numbers", "two numbers", "FROM busybox\nCOPY --chown=5:6 d /x\n", _TREE),
    case("chown-one-number", "one number is user and group", "FROM busybox\nCOPY --chown=5 f /x\n", _TREE, on=(DOCKER,)),
    case("chown-name", "a name has the group of passwd", "FROM busybox\nCOPY --chown=app f /x\n", _TREE),
    case("chown-names", "a user's and a group's name", "FROM busybox\nCOPY --chown=web:staff f /x\n", _TREE),
    case("chown-mixed", "a name and a number", "FROM busybox\nCOPY --chown=app:9 f /x\nCOPY --chown=9:app f /y\n", _TREE),
    case("chown-group-only", "a group alone", "FROM busybox\nCOPY --chown=:33 f /x\n", _TREE, on=(DOCKER,)),
    case("chown-unknown", "a name that passwd lacks counts as root's", "FROM busybox\nCOPY --chown=nobody2 f /x\n", _TREE, on=(DOCKER,)),
    case("chown-unknown-group", "so does a group that is unknown leave the user's", "FROM busybox\nCOPY --chown=app:nope f /x\n", _TREE, on=(DOCKER,)),
    case("chown-scratch", "names mean nothing to an empty image", "FROM scratch\nCOPY --chown=app f /x\n", _TREE, fails=True),
    case("chown-scratch-root", "but root, which is 0 everywhere", "FROM scratch\nCOPY --chown=root f /x\nCOPY --chown=3:root f /y\n", _TREE, on=(DOCKER,)),
    case("chown-scratch-numbers", "numbers need no passwd", "FROM scratch\nCOPY --chown=3:4 f /x\n", _TREE),
    case("chown-new-parents", "directories that are made belong to the owner too", "FROM busybox\nCOPY --chown=5:6 f /p/q/x\n", _TREE, on=(DOCKER,)),
    case("chown-existing-parent", "a directory that is there keeps its owner", "FROM busybox\nCOPY --chown=5:6 f /srv/x\n", _TREE),
    case("chown-user-is-not-asked", "USER has nothing to do with COPY", "FROM busybox\nUSER app\nCOPY f /home/app/x\n", _TREE),
    case("chown-folder-merge", "a directory that is merged takes the owner", "FROM busybox\nCOPY --chown=5:6 d /srv\n", _TREE, on=(DOCKER,)),
    case("chmod-octal", "--chmod sets the mode", "FROM scratch\nCOPY --chmod=751 f /x\n", _TREE, on=(DOCKER,)),
    case("chmod-folder", "--chmod holds for everything below", "FROM scratch\nCOPY --chmod=700 d /x\n", _TREE, on=(DOCKER,)),
    case("chmod-leading-zero", "a leading zero changes nothing", "FROM scratch\nCOPY --chmod=0644 f /x\n", {"f": file("f", 0o777)}, on=(DOCKER,)),
    case("chmod-special-bits", "bits beyond permissions", "FROM scratch\nCOPY --chmod=4755 f /x\n", _TREE, on=(DOCKER,)),
    case("chmod-and-chown", "both together", "FROM scratch\nCOPY --chown=1:2 --chmod=600 f g /x/\n", _TREE, on=(DOCKER,)),
    case("chmod-bad", "a mode that is none", "FROM scratch\nCOPY --chmod=99x f /x\n", _TREE, fails=True, on=(DOCKER,)),
    case("chmod-links", "links have no mode", "FROM scratch\nCOPY --chmod=600 d /x\n", {"d/f": "f", "d/l": link("f")}, on=(DOCKER,)),
    case("add-file", "ADD copies files as COPY does", "FROM busybox\nADD f /x/\nADD d /y\n", _TREE),
    case("add-chown", "ADD --chown", "FROM busybox\nADD --chown=app:staff f /x\n", _TREE),
    case("add-tar", "a tar archive is unpacked", "FROM busybox\nADD a.tar /x/\n", {"a.tar": archive(*_MEMBERS)}),
    case("add-tar-gz", "so is one by gzip", "FROM busybox\nADD a.tar.gz /x/\n", {"a.tar.gz": archive(*_MEMBERS, form="gz")}),
    case("add-tar-bz2", "so is one by bzip2", "FROM busybox\nADD a.tbz /x/\n", {"a.tbz": archive(*_MEMBERS, form="bz2")}),
    case("add-tar-xz", "so is one by xz", "FROM busybox\nADD a.txz /x/\n", {"a.txz": archive(*_MEMBERS, form="xz")}),
    case("add-tar-by-content", "what is an archive is seen by its content", "FROM busybox\nADD data /x/\nADD f.tar /y/\n", {"data": archive(*_MEMBERS), "f.tar": "no archive\n"}),
    case("add-tar-without-slash", "the destination is a directory though it has no slash", "FROM busybox\nADD a.tar /x\n", {"a.tar": archive(*_MEMBERS)}),
    case("add-tar-merge", "an archive is merged with what is there", "FROM busybox\nRUN mkdir -m 700 /x /x/top && echo old > /x/top/x && echo kept > /x/top/kept\nADD a.tar /x/\n", {"a.tar": archive(*_MEMBERS)}),
    case("add-tar-chown", "--chown gives away what is unpacked", "FROM busybox\nADD --chown=5:6 a.tar /x/\n", {"a.tar": archive(*_MEMBERS)}, on=(DOCKER,)),
    case("add-tar-hard-link", "a hard link of an archive has an owner and a mode of its own, which the file gets", "FROM busybox\nADD a.tar /x/\n",
         {"a.tar": archive(*_MEMBERS[:2], Entry(name="top/hard", kind=tarfile.LNKTYPE, target="top/x", mode=0o604, uid=1, gid=2))}),
    case("copy-tar", "COPY does not unpack", "FROM busybox\nCOPY a.tar /x/\n", {"a.tar": archive(*_MEMBERS)}),
    case("add-gz-no-tar", "what is compressed but no archive stays", "FROM busybox\nADD f.gz /x/\n", {"f.gz": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"}),
    case("add-tar-glob", "a pattern may match archives and files", "FROM busybox\nADD p* /x/\n", {"p.tar": archive(*_MEMBERS), "p.txt": "t"}),
    case("add-tar-in-folder", "an archive inside a directory stays", "FROM busybox\nADD d /x/\n", {"d/a.tar": archive(*_MEMBERS)}),
    case("add-two", "an archive and a file", "FROM busybox\nADD a.tar f /x/\n", {"a.tar": archive(*_MEMBERS), "f": "f"}),
    case("add-tar-dotted", "members may begin with ./", "FROM busybox\nADD a.tar /x/\n", {"a.tar": archive(member_folder("./", 0o711), Entry(name="./y", data=b"y"))}),
    case("add-tar-no-parents", "an archive may lack the directories of its members", "FROM busybox\nADD a.tar /x/\n", {"a.tar": archive(Entry(name="p/q/y", data=b"y", uid=3, gid=3))}),
    case("add-missing", "a source that is not there", "FROM busybox\nADD nope.tar /x/\n", {"f": ""}, fails=True),
    _ignore("ignore-name", "a name", "a.txt\n"),
    _ignore("ignore-folder", "a directory with all that is in it", "d\n"),
    _ignore("ignore-pattern", "* stays within a name", "*.md\n"),
    _ignore("ignore-anywhere", "** is any number of directories", "**/*.md\n"),
    _ignore("ignore-one-deep", "a pattern for one level", "*/*.md\n"),
    _ignore("ignore-exception", "! takes back", "**/*.md\n!d/e/keep.md\n"),
    _ignore("ignore-last-wins", "the last match counts", "!b.md\n*.md\n!d\n"),
    _ignore("ignore-all-but", "all but one", "*\n!a.txt\n"),
    _ignore("ignore-folder-exception", "an exception below an ignored directory", "d\n!d/e/keep.md\n"),
    _ignore("ignore-comment", "# in the first column is a comment, blank lines are nothing", "# a.txt\n\n  \nb.md\n"),
    _ignore("ignore-anchored", "a pattern is anchored at the root; slashes at its ends change nothing", "/e\nd/\n/node/\n"),
    _ignore("ignore-question", "? and sets", "?.txt\n[x-z]*\nnod[de]\n"),
    _ignore("ignore-dots", "patterns are cleaned", "./d/../a.txt\nd/./b.md\n", docker_only=True),
    _ignore("ignore-self", "the Dockerfile and the ignore file may be left out", "Dockerfile\n.dockerignore\nd\n"),
    _ignore("ignore-spaces", "spaces around a pattern vanish", "  a.txt  \n\tb.md\n"),
    _ignore("ignore-double-star-middle", "** in the middle", "d/**/c.md\n"),
    case("ignore-source", "what is ignored is not there", "FROM scratch\nCOPY a /a\n", {".dockerignore": "a\n", "a": ""}, fails=True),
    case("ignore-not-for-from", ".dockerignore does not concern other stages", "FROM busybox AS s\nRUN echo x > /a\nFROM scratch\nCOPY --from=s /a /a\n", {".dockerignore": "a\n"}),
    case("ignore-own-file", "an ignore file of the Dockerfile's name is preferred", "FROM scratch\nCOPY . /all/\n", {".dockerignore": "a\n", "Dockerfile.dockerignore": "b\n", "a": "", "b": ""}, on=(DOCKER,)),
    case("ignore-empty-folders", "a directory whose files are ignored one by one stays", "FROM scratch\nCOPY . /all/\n", {".dockerignore": "d/*\n", "d/a": "", "e": folder()}),
]  # fmt: skip
