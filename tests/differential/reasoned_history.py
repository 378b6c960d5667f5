"""History lines exactly as BuildKit writes them, and which instruction makes a layer."""

from __future__ import annotations

from tests.differential.case import folder
from tests.differential.reason import Reasoned, reason
from tests.differential.tree import file_text as f
from tests.differential.tree import folder_text as d


def line(name: str, rule: str, instruction: str, *history: str, base: str = "busybox", since: int = 23) -> Reasoned:
    """One or several instructions and their lines."""
    context = {"a": "a", "b c": "b", "d/x": "x"}
    return reason(f"history-{name}", rule, f"FROM {base}\n{instruction}\n", context, since=since, history=list(history))


CASES = [
    line("run-shell", "the shell's words, then the command", "RUN echo hi", "+ RUN /bin/sh -c echo hi # buildkit"),
    line("run-exec", "a list with blanks between", 'RUN ["true", "x y"]', "+ RUN true x y # buildkit"),
    line(
        "run-args",
        "the number of ARGs, their values, then the command",
        "ARG A=b\nARG C\nARG D=\nRUN echo hi",
        "- ARG A=b", "- ARG C", "- ARG D=", "+ RUN |3 A=b C= D= /bin/sh -c echo hi # buildkit",
    ),
    line(
        "run-args-redeclared",
        "an ARG that is declared twice is one",
        "ARG A=1\nARG A=2\nRUN true",
        "- ARG A=1", "- ARG A=2", "+ RUN |1 A=2 /bin/sh -c true # buildkit",
    ),
    line(
        "run-arg-and-env",
        "an ARG that ENV hides shows the value of ENV",
        "ARG A=1\nENV A=2\nRUN true",
        "- ARG A=1", "- ENV A=2", "+ RUN |1 A=2 /bin/sh -c true # buildkit",
    ),
    line(
        "run-arg-with-blank",
        "values with blanks are not quoted",
        'ARG A="x y"\nRUN true',
        "- ARG A=x y", "+ RUN |1 A=x y /bin/sh -c true # buildkit",
    ),
    line("run-flags", "flags of RUN are left out", "RUN --network=none true", "+ RUN /bin/sh -c true # buildkit"),
    line(
        "run-continued",
        "continued lines are joined as the shell gets them",
        "RUN echo a && \\\n  # comment\n    echo   b",
        "+ RUN /bin/sh -c echo a &&     echo   b # buildkit",
    ),
    line("copy", "COPY as it is", "COPY a /x", "+ COPY a /x # buildkit"),
    line("copy-several", "several sources", "COPY a d /x/", "+ COPY a d /x/ # buildkit"),
    line("copy-json", "a list as words", 'COPY ["b c", "/x"]', "+ COPY b c /x # buildkit"),
    line(
        "copy-expanded",
        "sources and destination are expanded",
        "ENV S=a D=/y\nCOPY $S ${D}/",
        "- ENV S=a D=/y", "+ COPY a /y/ # buildkit",
    ),
    line("copy-flags", "--chown and --chmod stand there", "COPY --chown=1:2 --chmod=600 a /x",
         "+ COPY --chown=1:2 --chmod=600 a /x # buildkit"),
    line("copy-link", "--link is left out", "COPY --link a /x", "+ COPY a /x # buildkit"),
    line("add", "ADD as it is", "ADD a /x", "+ ADD a /x # buildkit"),
    line("env", "values without quotes", "ENV A=1 B=\"x y\" C='z'", "- ENV A=1 B=x y C=z"),
    line("env-legacy", "the old form as the new", "ENV A x  y", "- ENV A=x  y"),
    line("label", "labels without quotes", 'LABEL a=b "c d"="e f"', "- LABEL a=b c d=e f"),
    line("cmd-exec", "a list in brackets, each word in quotes", 'CMD ["a", "b c"]', '- CMD ["a" "b c"]'),
    line("cmd-shell", "text with its shell", "CMD echo a  b", '- CMD ["/bin/sh" "-c" "echo a  b"]'),
    line("entrypoint", "ENTRYPOINT as CMD", 'ENTRYPOINT ["/x", "y"]', '- ENTRYPOINT ["/x" "y"]'),
    line("expose", "ports in brackets, sorted as words", "EXPOSE 90/udp 80", "- EXPOSE [80/tcp 90/udp]"),
    line("expose-range", "ranges as their ports", "EXPOSE 8-10", "- EXPOSE [8/tcp 9/tcp 10/tcp]"),
    line("volume", "volumes in brackets", "VOLUME /b /a", "- VOLUME [/b /a]"),
    line("user", "USER as it is", "USER app:staff", "- USER app:staff"),
    line("workdir", "WORKDIR as the whole path", "WORKDIR x", "+ WORKDIR /x"),
    line("workdir-twice", "a directory that is there makes no files, and a layer all the same",
         "WORKDIR /opt\nWORKDIR /", "+ WORKDIR /opt", "- WORKDIR /"),
    line("stopsignal", "STOPSIGNAL as it is", "STOPSIGNAL SIGINT", "- STOPSIGNAL SIGINT"),
    line("shell", "SHELL in brackets, without quotes", 'SHELL ["/bin/sh", "-ec"]', "- SHELL [/bin/sh -ec]"),
    line("maintainer", "MAINTAINER as it is", "MAINTAINER A B <a@b>", "- MAINTAINER A B <a@b>"),
    line("onbuild", "ONBUILD has no line", "ONBUILD RUN x\nLABEL a=1", "- LABEL a=1"),
    line(
        "healthcheck",
        "a check with its five times and its retries",
        "HEALTHCHECK --interval=1m --timeout=2s --start-period=3s --start-interval=4s --retries=5 CMD true",
        "- HEALTHCHECK {Test:[CMD-SHELL true] Interval:1m0s Timeout:2s StartPeriod:3s StartInterval:4s Retries:5}",
        since=29,
    ),
    line(
        "healthcheck-none",
        "NONE",
        "HEALTHCHECK NONE",
        "- HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
        since=29,
    ),
    line("arg", "several ARGs of one line", "ARG A=1 B C=$A", "- ARG A=1 B C=1"),
    line("lower-case", "instructions stand in capitals", "label a=1\nrun true", "- LABEL a=1",
         "+ RUN /bin/sh -c true # buildkit"),
    reason(
        "history-given-arg",
        "an ARG's line shows the value that was given",
        "FROM busybox\nARG A=1\nARG B\nRUN true\n",
        None,
        "--build-arg",
        "A=x",
        "--build-arg",
        "B=y",
        history=["- ARG A=x", "- ARG B=y", "+ RUN |2 A=x B=y /bin/sh -c true # buildkit"],
    ),
    reason(
        "history-proxy",
        "proxies that nobody declares do not appear",
        "FROM busybox\nRUN true\n",
        None,
        "--build-arg",
        "http_proxy=http://x",
        history=["+ RUN /bin/sh -c true # buildkit"],
    ),
    reason(
        "history-predefined",
        "a predefined ARG that is declared shows its value",
        "FROM busybox\nARG TARGETOS\nRUN true\n",
        history=["- ARG TARGETOS=linux", "+ RUN |1 TARGETOS=linux /bin/sh -c true # buildkit"],
    ),
    reason(
        "history-global-arg",
        "a global ARG that is declared shows its value",
        "ARG V=7\nFROM busybox\nARG V\nRUN true\n",
        history=["- ARG V=7", "+ RUN |1 V=7 /bin/sh -c true # buildkit"],
    ),
    reason(
        "history-of-stage",
        "a stage that begins from another has its lines as well",
        "FROM busybox AS one\nARG A=1\nRUN true\nFROM one\nRUN echo 2\n",
        history=[
            "- ARG A=1",
            "+ RUN |1 A=1 /bin/sh -c true # buildkit",
            "+ RUN |1 A=1 /bin/sh -c echo 2 # buildkit",
        ],
    ),
    reason(
        "history-other-stage",
        "and no lines of a stage that it only copies from",
        "FROM busybox AS one\nRUN echo > /x\nFROM busybox\nCOPY --from=one /x /y\n",
        history=["+ COPY /x /y # buildkit"],
    ),
    reason(
        "history-trigger",
        "triggers of the base have lines as instructions",
        "FROM trigger\n",
        {"a": "a"},
        history=[
            "+ RUN /bin/sh -c echo fired > /fired # buildkit",
            "+ COPY a /triggered/ # buildkit",
            "- ENV TRIGGERED=1",
            "- LABEL t=1",
        ],
        config={"OnBuild": None, "Labels": {"t": "1"}},
    ),
    reason(
        "history-scratch",
        "an image from scratch has no other lines",
        "FROM scratch\nCOPY a /\nCMD [\"/a\"]\n",
        {"a": "a"},
        history=["+ COPY a / # buildkit", '- CMD ["/a"]'],
        layers=[{"/a": f("a")}],
        config={"WorkingDir": "/", "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
    ),
    reason(
        "layers-one-each",
        "RUN, COPY, ADD and WORKDIR make a layer each, also where nothing changes",
        "FROM busybox\nRUN true\nCOPY a /a\nCOPY a /a\nADD a /a\nWORKDIR /w\nRUN true\n",
        {"a": "a"},
        layers=[{}, {"/a": f("a")}, {}, {}, {"/w": d()}, {}],
    ),
    reason(
        "layers-settings",
        "other instructions make none",
        "FROM busybox\nENV A=1\nLABEL a=1\nUSER app\nEXPOSE 1\nVOLUME /v\nCMD x\nSTOPSIGNAL 1\n",
        layers=[],
    ),
    reason(
        "layers-empty-folder",
        "a glob that matches nothing makes an empty layer",
        "FROM busybox\nCOPY *.nope /t/\nRUN ls -d /t > /out 2>&1 || true\n",
        {"d": folder()},
        layers=[{}, {"/out": f("ls: /t: No such file or directory\n")}],
        history=[
            "+ COPY *.nope /t/ # buildkit",
            "+ RUN /bin/sh -c ls -d /t > /out 2>&1 || true # buildkit",
        ],
    ),
]  # fmt: skip
