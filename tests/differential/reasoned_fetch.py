"""ADD of what is fetched: files by HTTP, directories of git repositories. `@HTTP@` and `@GIT@` are the tests' own."""

from __future__ import annotations

from tests.differential.places import ARCHIVE, COMMIT_LENGTH, TEXT, checksum
from tests.differential.reason import SOURCE, reason
from tests.differential.tree import file_text as f
from tests.differential.tree import folder_text as d

_GOOD, _BAD = checksum(TEXT), checksum(b"something else")
_HEAD = {
    "/r": d(),
    "/r/a.txt": f("second\n"),
    "/r/run": f("#!/bin/sh\n", 0o755),
    "/r/sub": d(),
    "/r/sub/b.txt": f("b\n"),
}
_FIRST = {"/r": d(), "/r/a.txt": f("first\n"), "/r/sub": d(), "/r/sub/b.txt": f("b\n")}

CASES = [
    reason("fetch-file", "a file that is fetched has mode 0600 and is root's", "FROM scratch\nADD @HTTP@/file.txt /x\n",
           tree={"/x": f(TEXT, 0o600)}),
    reason("fetch-into-folder", "in a directory it has the name of the address",
           "FROM scratch\nADD @HTTP@/file.txt /d/\n",
           tree={"/d": d(), "/d/file.txt": f(TEXT, 0o600)}),
    reason("fetch-two", "two addresses and a file", "FROM scratch\nADD @HTTP@/file.txt a @HTTP@/other.txt /d/\n",
           {"a": "a"},
           tree={"/d": d(), "/d/file.txt": f(TEXT, 0o600), "/d/other.txt": f("other\n", 0o600), "/d/a": f("a")}),
    reason("fetch-flags", "--chmod and --chown", "FROM scratch\nADD --chmod=644 --chown=1:2 @HTTP@/file.txt /x\n",
           tree={"/x": f(TEXT, 0o644, "1:2")}),
    reason("fetch-checksum", "--checksum that agrees", f"FROM scratch\nADD --checksum={_GOOD} @HTTP@/file.txt /x\n",
           tree={"/x": f(TEXT, 0o600)}),
    reason("fetch-checksum-wrong", "--checksum that does not",
           f"FROM scratch\nADD --checksum={_BAD} @HTTP@/file.txt /x\n",
           fails=(0, 0)),
    reason("fetch-checksum-bad", "a checksum that is none", "FROM scratch\nADD --checksum=md5:0 @HTTP@/file.txt /x\n",
           fails=(0, 0)),
    reason("fetch-expanded", "address and checksum are expanded",
           f"FROM scratch\nARG N=file\nARG S={_GOOD}\nADD --checksum=$S @HTTP@/$N.txt /\n",
           tree={"/file.txt": f(TEXT, 0o600)}),
    reason("fetch-missing", "what the server does not have", "FROM scratch\nADD @HTTP@/nope.txt /x\n", fails=(0, 0)),
    reason("fetch-archive", "an archive that is fetched is not unpacked", "FROM scratch\nADD @HTTP@/a.tar /d/\n",
           tree={"/d": d(), "/d/a.tar": f(ARCHIVE, 0o600)}),
    reason("fetch-unpack", "unless --unpack wants it", "FROM scratch\nADD --unpack=true @HTTP@/a.tar /d/\n",
           tree={"/d": d(), "/d/p": d(), "/d/p/y": f("y", 0o640, "3:4")}),
    reason("fetch-link", "--link", "FROM scratch\nADD --link @HTTP@/file.txt /d/\n",
           tree={"/d": d(), "/d/file.txt": f(TEXT, 0o600)}),
    reason("fetch-query", "what stands behind ? is no part of the name", "FROM scratch\nADD @HTTP@/file.txt?a=b /d/\n",
           tree={"/d": d(), "/d/file.txt": f(TEXT, 0o600)}),
    reason("fetch-copy", "COPY fetches nothing", "FROM scratch\nCOPY @HTTP@/file.txt /x\n", fails=(SOURCE, 2)),
    reason("git-head", "a repository's files, without .git", "FROM scratch\nADD @GIT@/repo.git /r\n", tree=_HEAD),
    reason("git-tag", "a tag", "FROM scratch\nADD @GIT@/repo.git#v1 /r\n", tree=_FIRST),
    reason("git-branch-folder", "a directory of a branch", "FROM scratch\nADD @GIT@/repo.git#main:sub /r\n",
           tree={"/r": d(), "/r/b.txt": f("b\n")}),
    reason("git-folder", "a directory of what is current", "FROM scratch\nADD @GIT@/repo.git#:sub /r/\n",
           tree={"/r": d(), "/r/b.txt": f("b\n")}),
    reason("git-query", "the same with a query", "FROM scratch\nADD @GIT@/repo.git?ref=v1&subdir=sub /r\n",
           tree={"/r": d(), "/r/b.txt": f("b\n")}),
    reason("git-flags", "--chown", "FROM scratch\nADD --chown=1:2 @GIT@/repo.git#main:sub /r\n",
           tree={"/r": d(owner="1:2"), "/r/b.txt": f("b\n", owner="1:2")}),
    reason("git-keep", "--keep-git-dir keeps .git", "FROM busybox\nADD --keep-git-dir=true @GIT@/repo.git /r\n"
           "RUN --network=none ls -a /r | tr '\\n' ' ' > /out; rm -r /r\n",
           tree={"/out": f(". .. .git a.txt run sub ")}),
    reason("git-missing-ref", "a name that the repository lacks", "FROM scratch\nADD @GIT@/repo.git#nope /r\n",
           fails=(0, 0)),
    reason("git-checksum-wrong", "another commit than --checksum says",
           f"FROM scratch\nADD --checksum={'0' * COMMIT_LENGTH} @GIT@/repo.git#v1 /r\n", fails=(0, 0)),
]  # fmt: skip
