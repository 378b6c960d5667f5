"""FROM: stages, their names, targets, scratch, what a stage inherits."""

from __future__ import annotations

from tests.differential.case import BUILDAH, DOCKER, case
from tests.support.layouts import ARCHITECTURE

CASES = [
    case(
        "stages-copy-from-name",
        "COPY --from takes files of a named stage, its name in any case",
        """
        FROM busybox AS Build
        RUN mkdir /out && echo built > /out/x
        FROM scratch
        COPY --from=build /out/x /x
        """,
    ),
    case(
        "stages-copy-from-number",
        "a stage has its number as a name",
        """
        FROM busybox
        RUN echo zero > /zero
        FROM busybox AS named
        RUN echo one > /one
        FROM scratch
        COPY --from=0 /zero /
        COPY --from=1 /one /
        """,
    ),
    case(
        "stages-copy-from-image",
        "--from names an image where no stage has the name",
        """
        FROM scratch
        COPY --from=busybox /srv/kept /etc/passwd /d/
        """,
    ),
    case(
        "stages-from-stage",
        "a stage may begin from another, with its files and its settings",
        """
        FROM busybox AS one
        WORKDIR /w
        RUN echo 1 > f
        ENV A=1
        CMD ["one"]
        FROM one AS two
        RUN cat f > g
        LABEL b=2
        """,
    ),
    case(
        "stages-last-is-built",
        "the last stage is what is built; what it does not need is not",
        """
        FROM busybox AS broken
        RUN false
        FROM busybox
        LABEL ok=1
        """,
        on=(DOCKER,),
    ),
    case(
        "stages-target",
        "--target names the stage",
        """
        FROM busybox AS a
        LABEL a=1
        FROM busybox AS b
        LABEL b=1
        FROM busybox AS c
        LABEL c=1
        """,
        None,
        "--target",
        "b",
    ),
    case(
        "stages-target-case",
        "names of stages are compared without case",
        """
        FROM busybox AS First
        LABEL a=1
        FROM busybox
        LABEL b=1
        """,
        None,
        "--target",
        "FIRST",
        on=(DOCKER,),
    ),
    case(
        "stages-target-missing",
        "an unknown target is an error",
        "FROM busybox AS a\n",
        None,
        "--target",
        "nope",
        fails=True,
    ),
    case(
        "stages-scratch",
        "scratch is empty, and has a PATH",
        """
        FROM scratch
        COPY a /
        LABEL l=1
        """,
        {"a": "a"},
    ),
    case(
        "stages-scratch-settings-only",
        "an image may have no layer at all",
        """
        FROM scratch
        LABEL l=1
        CMD ["x"]
        """,
        on=(BUILDAH,),
    ),
    case(
        "stages-arg-in-from",
        "FROM is expanded by the ARGs above it, operators included",
        """
        ARG NAME=busy
        ARG TAG
        FROM ${NAME}box:${TAG:-latest} AS x
        LABEL a=1
        """,
    ),
    case(
        "stages-arg-names-stage",
        "an ARG may choose the stage to begin from",
        """
        ARG WHICH=two
        FROM busybox AS one
        LABEL n=1
        FROM busybox AS two
        LABEL n=2
        FROM $WHICH
        LABEL final=1
        """,
    ),
    case(
        "stages-same-base-twice",
        "stages from one base do not share changes",
        """
        FROM busybox AS a
        RUN echo a > /a
        FROM busybox AS b
        RUN echo b > /b
        COPY --from=a /a /from-a
        """,
    ),
    case(
        "stages-from-later",
        "a stage can't take from one below it",
        """
        FROM busybox AS a
        COPY --from=b /x /
        FROM busybox AS b
        RUN echo > /x
        """,
        None,
        "--target",
        "a",
        fails=True,
    ),
    case(
        "stages-same-name",
        "where two stages have one name, the last counts",
        """
        FROM busybox AS x
        RUN echo 1 > /n
        FROM busybox AS x
        RUN echo 2 > /n
        FROM scratch
        COPY --from=x /n /n
        """,
        on=(DOCKER,),
    ),
    case(
        "stages-bad-name",
        "a stage's name begins with a letter",
        "FROM busybox AS 1a\nLABEL a=1\n",
        fails=True,
        on=(DOCKER,),
    ),
    case("stages-from-two-words", "FROM takes one image", "FROM busybox other\n", fails=True),
    case("stages-from-nothing", "FROM needs an image", "FROM\n", fails=True),
    case("stages-from-empty-arg", "FROM can't begin from an empty name", "ARG X\nFROM $X\n", fails=True),
    case(
        "stages-chain",
        "three stages hand files down",
        """
        FROM busybox AS a
        RUN mkdir /d && echo a > /d/a
        FROM busybox AS b
        COPY --from=a /d /d
        RUN echo b > /d/b
        FROM busybox
        COPY --from=b /d /final
        """,
    ),
    case(
        "stages-copy-keeps-owner",
        "COPY --from without --chown keeps owners and modes",
        """
        FROM busybox AS a
        RUN mkdir /d && echo x > /d/x && chown 1000:50 /d/x && chmod 4750 /d/x && chown 33:33 /d
        FROM busybox
        COPY --from=a /d /d
        COPY --from=a /d/x /y
        """,
        on=(DOCKER,),
    ),
    case(
        "stages-copy-chown",
        "COPY --from with --chown gives all of them away",
        """
        FROM busybox AS a
        RUN mkdir /d && echo x > /d/x && chown 1000:50 /d/x && chown 33:33 /d
        FROM busybox
        COPY --from=a --chown=1:2 /d /d
        """,
    ),
    case(
        "stages-copy-links",
        "COPY --from keeps links inside a directory",
        """
        FROM busybox AS a
        RUN mkdir -p /d/sub && echo x > /d/x && ln -s x /d/soft && ln -s /etc/passwd /d/abs && ln -s sub /d/subl
        FROM scratch
        COPY --from=a /d /d
        """,
    ),
    case(
        "stages-copy-relative-from",
        "a relative source of another stage is relative to its root, not to its WORKDIR",
        """
        FROM busybox AS a
        WORKDIR /w
        RUN echo in-w > f
        FROM scratch
        COPY --from=a w/f /f
        """,
    ),
    case(
        "stages-capability",
        "a file's capabilities survive a copy, and a step that changes its mode",
        """
        FROM links AS s
        RUN chmod 700 /real/ping
        FROM links
        COPY --from=s /real/ping /copied
        COPY --from=s /real /all
        RUN chmod 711 /real/ping
        """,
    ),
    case(
        "stages-capability-chown",
        "a copy that changes the owner",
        "FROM scratch\nCOPY --from=links --chown=5:6 /real/ping /copied\n",
    ),
    case(
        "stages-rich-step",
        "user, directory, shell and environment of the base hold for steps",
        """
        FROM rich
        RUN pwd > /tmp/out; id -u >> /tmp/out; echo $- $FROM_BASE "$SPACED" $HOME >> /tmp/out
        """,
    ),
    case("stages-rich-settings", "a stage without steps keeps all settings of its base", "FROM rich\nLABEL n=1\n"),
    case(
        "stages-platform",
        "--platform of the machine changes nothing",
        f"FROM --platform=linux/{ARCHITECTURE} busybox\nLABEL a=1\n",
    ),
]
