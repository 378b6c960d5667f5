"""COPY: what is taken, where it goes, under which names."""

from __future__ import annotations

from tests.differential.case import DOCKER, case, file, folder, link, pipe, same_as

_TREE = {"d/a": "a", "d/b": "b", "d/sub/c": "c", "f": "f", "g": "g"}

CASES = [
    case("copy-file-to-file", "a file to a name", "FROM scratch\nCOPY f /x\n", _TREE),
    case("copy-file-to-folder", "a destination that ends with / is a directory", "FROM scratch\nCOPY f /x/\n", _TREE),
    case("copy-file-deep", "missing directories are made", "FROM scratch\nCOPY f /p/q/r\n", _TREE),
    case("copy-two-files", "several sources go into a directory", "FROM scratch\nCOPY f g /x/\n", _TREE),
    case(
        "copy-two-files-to-existing",
        "several sources go into a directory that is there, its slash missing",
        "FROM busybox\nCOPY f g /opt/\n",
        _TREE,
    ),
    case("copy-folder", "a directory's contents are copied, not itself", "FROM scratch\nCOPY d /x\n", _TREE),
    case("copy-folder-slash", "a slash changes nothing for a directory", "FROM scratch\nCOPY d/ /x/\n", _TREE),
    case("copy-folder-and-file", "a directory and a file", "FROM scratch\nCOPY d f /x/\n", _TREE),
    case("copy-all", "the whole context", "FROM scratch\nCOPY d /\nCOPY f g /\n", _TREE),
    case("copy-dot", "a dot is the whole context", "FROM scratch\nCOPY . /all/\n", {"a/b": "1", "c": "2"}),
    case(
        "copy-into-existing-folder",
        "a directory is merged with what is there",
        """
        FROM busybox
        RUN mkdir -p /x/sub && echo old > /x/a && echo kept > /x/kept && chmod 700 /x/sub
        COPY d /x
        """,
        _TREE,
    ),
    case(
        "copy-file-over-file",
        "a file is replaced",
        "FROM busybox\nCOPY f /srv/kept\n",
        _TREE,
    ),
    case(
        "copy-file-to-existing-folder",
        "a file goes into a directory that is there, even without a slash",
        "FROM busybox\nCOPY f /srv\n",
        _TREE,
    ),
    case(
        "copy-relative-destination",
        "a relative destination is below WORKDIR",
        """
        FROM busybox
        WORKDIR /w
        COPY f .
        COPY f x/
        COPY f ./y
        COPY d ../z
        """,
        _TREE,
    ),
    case("copy-glob", "a pattern takes what matches", "FROM scratch\nCOPY *.txt /t/\n",
         {"a.txt": "a", "b.txt": "b", "c": ""}),
    case("copy-glob-question", "? is one character", "FROM scratch\nCOPY a?.x /t/\n",
         {"a1.x": "", "a2.x": "", "a12.x": ""}),
    case("copy-glob-set", "[] is a set", "FROM scratch\nCOPY [ab]* /t/\n", {"a1": "", "b1": "", "c1": ""}),
    case(
        "copy-glob-folder",
        "a pattern that matches directories takes their contents",
        "FROM scratch\nCOPY d* /t/\n",
        {"d1/a": "a", "d2/b": "b", "d3": "file"},
    ),
    case("copy-glob-inside", "a pattern below a directory", "FROM scratch\nCOPY d/*.x /t/\n",
         {"d/a.x": "", "d/b.y": ""}),
    case("copy-glob-middle", "a pattern in the middle", "FROM scratch\nCOPY */x /t/\n", {"p/x": "p", "q/y": "q"}),
    case("copy-glob-dotfiles", "* matches names that begin with a dot", "FROM scratch\nCOPY * /t/\n",
         {".h": "h", "v": "v"}),
    case("copy-missing", "a source that is not there is an error", "FROM scratch\nCOPY nope /x\n", _TREE, fails=True),
    case(
        "copy-missing-of-two",
        "one of two sources is not there",
        "FROM scratch\nCOPY f nope /x/\n",
        _TREE,
        fails=True,
    ),
    case(
        "copy-glob-nothing",
        "a pattern that matches nothing makes an empty layer",
        "FROM busybox\nCOPY *.nope /t/\n",
        {"a": ""},
        on=(DOCKER,),
    ),
    case("copy-no-destination", "COPY needs a destination", "FROM scratch\nCOPY f\n", _TREE, fails=True),
    case("copy-escape-context", "`..` stays in the context", "FROM scratch\nCOPY ../../f /x\n", _TREE),
    case("copy-absolute-source", "a source's leading slash is the context's root", "FROM scratch\nCOPY /d/a /x\n",
         _TREE),
    case("copy-dotted-source", "a source is cleaned", "FROM scratch\nCOPY ./d/../d/./a /x\n", _TREE),
    case("copy-json", "the list form allows spaces", 'FROM scratch\nCOPY ["a b", "c d", "/t u/"]\n',
         {"a b": "1", "c d": "2"}),
    case("copy-space-in-quotes", "quotes are part of a name in the text form", 'FROM scratch\nCOPY "a" /x\n',
         {"a": "1"}),
    case(
        "copy-modes",
        "modes of files and directories are kept",
        "FROM scratch\nCOPY d /d\n",
        {
            "d/x": file("x", 0o755), "d/s": file("s", 0o4711), "d/r": file("r", 0o400), "d/w": file("w", 0o666),
            "d/p": folder(0o700), "d/t": folder(0o1777), "d/g": folder(0o2775),
        },
    ),
    case(
        "copy-top-folder-mode",
        "a new destination takes the mode of the directory that is copied to it",
        "FROM scratch\nCOPY d /new\nCOPY d /deep/er\n",
        {"d": folder(0o700), "d/x": "x"},
    ),
    case("copy-empty-folder", "an empty directory is copied", "FROM scratch\nCOPY d /d\n",
         {"d": folder(), "d/e": folder()}),
    case(
        "copy-over-folder-mode",
        "a directory that is there takes the mode of what is copied over it",
        "FROM busybox\nRUN mkdir -m 700 /x /x/sub\nCOPY d /x\n",
        {"d/sub": folder(0o777), "d/sub/f": "f"},
    ),
    case(
        "copy-link-in-folder",
        "links inside a directory stay links",
        "FROM scratch\nCOPY d /d\n",
        {"d/f": "f", "d/l": link("f"), "d/abs": link("/etc/passwd"), "d/up": link("../.."), "d/broken": link("nope")},
    ),
    case(
        "copy-link-as-source",
        "a link that is itself the source is followed",
        "FROM scratch\nCOPY l /x\nCOPY dl /y\n",
        {"f": "f", "l": link("f"), "d/a": "a", "dl": link("d")},
    ),
    case(
        "copy-through-link-source",
        "a source below a linked directory",
        "FROM scratch\nCOPY dl/a /x\nCOPY abs/a /y\n",
        {"d/a": "a", "dl": link("d"), "abs": link("/d")},
        on=(DOCKER,),
    ),
    case(
        "copy-link-escapes",
        "a source's link that climbs out of the context stays in it",
        "FROM scratch\nCOPY l /x\n",
        {"f": "f", "l": link("../../../f")},
        on=(DOCKER,),
    ),
    case("copy-link-broken", "a source that is a broken link is an error", "FROM scratch\nCOPY l /x\n",
         {"l": link("no")}, fails=True),
    case(
        "copy-glob-links",
        "links that a pattern matches",
        "FROM scratch\nCOPY l* /t/\n",
        {"f": "f", "l1": link("f"), "l2": "real"},
        on=(DOCKER,),
    ),
    case(
        "copy-hard-links",
        "hard links in the context",
        "FROM scratch\nCOPY d /d\n",
        {"d/a": "same", "d/b": same_as("a")},
        on=(DOCKER,),
    ),
    case("copy-pipe", "a named pipe", "FROM scratch\nCOPY d /d\n", {"d/p": pipe, "d/f": "f"}, on=(DOCKER,)),
    case("copy-to-link", "a destination that is a link to a directory is followed", "FROM links\nCOPY f /absolute\n",
         _TREE),
    case("copy-to-link-slash", "so it is with a slash", "FROM links\nCOPY f /relative/\n", _TREE),
    case("copy-below-link", "so it is in the middle of the path", "FROM links\nCOPY f /absolute/new/x\n", _TREE),
    case("copy-folder-to-link", "a directory through a link", "FROM links\nCOPY d /relative\n", _TREE),
    case(
        "copy-to-file-link",
        "a destination that is a link to a file: the file is written",
        "FROM links\nCOPY f /file-link\n",
        _TREE,
        on=(DOCKER,),
    ),
    case("copy-to-climbing-link", "a link that climbs out of the root stays in it", "FROM links\nCOPY f /up/x\n",
         _TREE),
    case(
        "copy-file-over-folder-name",
        "a directory in the destination under the name of a file is an error",
        "FROM busybox\nRUN mkdir -p /x/f/y\nCOPY f /x/\n",
        _TREE,
        fails=True,
        on=(DOCKER,),
    ),
    case(
        "copy-folder-over-file",
        "a directory where a file is",
        "FROM busybox\nCOPY d /srv/kept\n",
        _TREE,
        fails=True,
    ),
    case(
        "copy-same-twice",
        "a file that is there already is a layer all the same",
        "FROM scratch\nCOPY f /f\nCOPY f /f\n",
        _TREE,
    ),
    case("copy-folder-twice", "two directories into one", "FROM scratch\nCOPY p q /x/\n",
         {"p/a": "p", "p/b": "p", "q/a": "q"}),
    case("copy-to-root", "into the root", "FROM scratch\nCOPY f g /\nCOPY d /\n", _TREE),
    case("copy-to-dot", "to `.` without WORKDIR", "FROM scratch\nCOPY f .\n", _TREE),
    case("copy-unknown-flag", "an unknown flag is an error", "FROM scratch\nCOPY --nope f /f\n", _TREE, fails=True),
    case("copy-large-names", "long names", "FROM scratch\nCOPY d /d\n", {f"d/{'n' * 120}/{'m' * 200}": "x"}),
    case("copy-odd-names", "odd characters in names", "FROM scratch\nCOPY d /d\n",
         {"d/a b": "1", "d/ü": "2", "d/x\\y": "3", "d/q'\"": "4"}),
]  # fmt: skip
