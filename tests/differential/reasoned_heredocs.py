"""Here-documents: files that stand in the Dockerfile, and scripts."""

from __future__ import annotations

from tests.differential.reason import SOURCE, STEP, reason
from tests.differential.tree import file_text as f
from tests.differential.tree import folder_text as d

CASES = [
    reason(
        "heredoc-copy",
        "COPY of a here-document makes a file of mode 0644 that belongs to root",
        "FROM scratch\nCOPY <<EOF /x\none\ntwo\nEOF\n",
        layers=[{"/x": f("one\ntwo\n")}],
        history=["+ COPY <<EOF /x # buildkit"],
    ),
    reason(
        "heredoc-copy-into-folder",
        "in a directory the file has the name of the document",
        "FROM scratch\nCOPY <<name.txt /d/\nx\nname.txt\n",
        layers=[{"/d": d(), "/d/name.txt": f("x\n")}],
    ),
    reason(
        "heredoc-copy-two",
        "several documents in one instruction, in their order",
        "FROM scratch\nCOPY <<A <<B /d/\na\nA\nb\nB\n",
        layers=[{"/d": d(), "/d/A": f("a\n"), "/d/B": f("b\n")}],
        history=["+ COPY <<A <<B /d/ # buildkit"],
    ),
    reason(
        "heredoc-copy-with-files",
        "documents and files of the context together",
        "FROM scratch\nCOPY a <<B /d/\nb\nB\n",
        {"a": "a"},
        tree={"/d": d(), "/d/a": f("a"), "/d/B": f("b\n")},
    ),
    reason(
        "heredoc-expands",
        "a document of COPY is expanded, its quotes kept",
        "FROM scratch\nARG V=v\nCOPY <<EOF /x\n$V ${V}x \"$V\" '$V' ${U:-u}\nEOF\n",
        tree={"/x": f("v vx \"v\" 'v' u\n")},
    ),
    reason(
        "heredoc-quoted",
        "with quotes around its name a document is taken as it is",
        "FROM scratch\nARG V=v\nCOPY <<\"EOF\" /x\n$V \\$V\nEOF\nCOPY <<'E2' /y\n$V\nE2\n",
        tree={"/x": f("$V \\$V\n"), "/y": f("$V\n")},
    ),
    reason(
        "heredoc-escaped-dollar",
        "a backslash keeps the dollar of a document",
        "FROM scratch\nARG V=v\nCOPY <<EOF /x\n\\$V $V\nEOF\n",
        tree={"/x": f("$V v\n")},
    ),
    reason(
        "heredoc-tabs",
        "`<<-` takes the tabs at the beginning of each line away, the last one's too",
        "FROM scratch\nCOPY <<-EOF /x\n\t\tone\n\t two\n  three\n\tEOF\n",
        tree={"/x": f("one\n two\n  three\n")},
    ),
    reason(
        "heredoc-tabs-kept",
        "`<<` keeps them",
        "FROM scratch\nCOPY <<EOF /x\n\tone\nEOF\n",
        tree={"/x": f("\tone\n")},
    ),
    reason(
        "heredoc-empty",
        "a document may be empty",
        "FROM scratch\nCOPY <<EOF /x\nEOF\n",
        tree={"/x": f("")},
    ),
    reason(
        "heredoc-comments-and-blanks",
        "inside a document there are no comments, blank lines and continuations; a backslash escapes what follows",
        "FROM scratch\nCOPY <<EOF /x\n# no comment\n\na \\\nb\nEOF\n",
        tree={"/x": f("# no comment\n\na \nb\n")},
    ),
    reason(
        "heredoc-end-with-space",
        "the name followed by a space does not end it",
        "FROM scratch\nCOPY <<EOF /x\nEOF \nEOF\n",
        tree={"/x": f("EOF \n")},
    ),
    reason(
        "heredoc-looks-like-instructions",
        "a document may hold instructions",
        "FROM scratch\nCOPY <<Dockerfile /\nFROM x\nRUN y\nDockerfile\nLABEL a=1\n",
        tree={"/Dockerfile": f("FROM x\nRUN y\n")},
        config={"Labels": {"a": "1"}},
    ),
    reason(
        "heredoc-chmod-chown",
        "flags hold for documents",
        "FROM scratch\nCOPY --chown=5:6 --chmod=750 <<EOF /s/x\n#!/bin/sh\nEOF\n",
        tree={"/s": d(0o750, "5:6"), "/s/x": f("#!/bin/sh\n", 0o750, "5:6")},
        history=["+ COPY --chown=5:6 --chmod=750 <<EOF /s/x # buildkit"],
    ),
    reason(
        "heredoc-user-is-not-asked",
        "USER has nothing to do with it",
        "FROM busybox\nUSER app\nCOPY <<EOF /x\nx\nEOF\n",
        tree={"/x": f("x\n")},
    ),
    reason(
        "heredoc-add",
        "ADD takes documents too",
        "FROM scratch\nADD <<EOF /x\nx\nEOF\n",
        tree={"/x": f("x\n")},
        history=["+ ADD <<EOF /x # buildkit"],
    ),
    reason(
        "heredoc-overwrites",
        "of two documents for one name without a slash the last is kept",
        "FROM scratch\nCOPY <<A <<B /x\na\nA\nb\nB\n",
        tree={"/x": f("b\n")},
    ),
    reason(
        "heredoc-run",
        "RUN of a document alone is a script for the shell, which expands it",
        "FROM busybox\nARG A=1\nENV E=2\nRUN <<EOF\necho $A $E > /x\necho '$A' >> /x\nEOF\n",
        layers=[{"/x": f("1 2\n$A\n")}],
        history=["- ARG A=1", "- ENV E=2", "+ RUN |1 A=1 /bin/sh -c echo $A $E > /x\necho '$A' >> /x\n # buildkit"],
    ),
    reason(
        "heredoc-run-quoted",
        "quotes around its name change nothing for RUN: the shell expands",
        "FROM busybox\nENV E=2\nRUN <<'EOF'\necho $E > /x\nEOF\n",
        tree={"/x": f("2\n")},
    ),
    reason(
        "heredoc-run-no-early-exit",
        "a script goes on after a command that fails",
        "FROM busybox\nRUN <<EOF\nfalse\necho on > /x\nEOF\n",
        tree={"/x": f("on\n")},
    ),
    reason(
        "heredoc-run-last-fails",
        "a script fails as its last command does",
        "FROM busybox\nRUN <<EOF\ntrue\nfalse\nEOF\n",
        fails=(STEP, 2),
    ),
    reason(
        "heredoc-run-shebang",
        "a document that begins with #! is a program",
        "FROM busybox\nARG A=1\nRUN <<EOF\n#!/bin/busybox sh\necho $0 $A > /x\nEOF\n",
        tree={"/x": f("/dev/pipes/EOF 1\n")},
        history=["- ARG A=1", "+ RUN |1 A=1 /bin/sh -c /dev/pipes/EOF # buildkit"],
    ),
    reason(
        "heredoc-run-command",
        "a command with documents is the shell's affair",
        "FROM busybox\nENV E=2\nRUN cat <<A > /x && cat <<'B' > /y\n$E\nA\n$E\nB\n",
        tree={"/x": f("2\n"), "/y": f("$E\n")},
        history=["- ENV E=2", "+ RUN /bin/sh -c cat <<A > /x && cat <<'B' > /y\n$E\nA\n$E\nB # buildkit"],
    ),
    reason(
        "heredoc-run-tabs",
        "`<<-` for a script",
        "FROM busybox\nRUN <<-EOF\n\techo a > /x\n\t\techo b >> /x\n\tEOF\n",
        tree={"/x": f("a\nb\n")},
        history=["+ RUN /bin/sh -c echo a > /x\necho b >> /x\n # buildkit"],
    ),
    reason(
        "heredoc-run-descriptor",
        "a number before << is a file descriptor",
        "FROM busybox\nRUN cat 3<<EOF <&3 > /x\nthree\nEOF\n",
        tree={"/x": f("three\n")},
    ),
    reason(
        "heredoc-run-shell",
        "SHELL runs the script",
        'FROM busybox\nSHELL ["/bin/sh", "-e", "-c"]\nRUN <<EOF\nfalse\necho on > /x\nEOF\n',
        fails=(STEP, 3),
    ),
    reason(
        "heredoc-run-mounts",
        "flags before a document",
        "FROM busybox\nRUN --mount=type=tmpfs,target=/t <<EOF\ntouch /t/x\nls /t > /out\nEOF\n",
        layers=[{"/out": f("x\n")}],
    ),
    reason(
        "heredoc-unended",
        "a document that does not end is an error at its instruction",
        "FROM scratch\nLABEL a=1\nCOPY <<EOF /x\nx\n",
        fails=(SOURCE, 3),
    ),
    reason(
        "heredoc-onbuild",
        "a trigger may have a document",
        "FROM busybox AS base\nONBUILD COPY <<EOF /x\nhi\nEOF\nFROM base\n",
        tree={"/x": f("hi\n")},
    ),
    reason(
        "heredoc-onbuild-run",
        "and a script",
        "FROM busybox AS base\nONBUILD RUN <<EOF\necho a > /x\necho b >> /x\nEOF\nFROM base\n",
        tree={"/x": f("a\nb\n")},
    ),
    reason(
        "heredoc-crlf",
        "lines of a document that end with CR LF",
        "FROM scratch\r\nCOPY <<EOF /x\r\none\r\nEOF\r\n",
        tree={"/x": f("one\r\n")},
    ),
    reason(
        "heredoc-not-in-other-instructions",
        "<< means nothing elsewhere",
        "FROM busybox\nLABEL a=<<EOF\nCMD cat <<EOF\n",
        config={"Labels": {"a": "<<EOF"}, "Cmd": ["/bin/sh", "-c", "cat <<EOF"]},
    ),
    reason(
        "heredoc-herestring",
        "<<< is the shell's own",
        'FROM busybox\nRUN echo "a <<< b" > /x\n',
        tree={"/x": f("a <<< b\n")},
    ),
]
