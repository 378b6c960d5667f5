"""Settings: CMD, ENTRYPOINT, LABEL, EXPOSE, VOLUME, STOPSIGNAL, HEALTHCHECK, SHELL, ONBUILD, MAINTAINER, USER."""

from __future__ import annotations

from tests.differential.case import BUILDAH, DOCKER, case

CASES = [
    case("cmd-exec", "a list is stored as it is", 'FROM busybox\nCMD ["a", "b c", ""]\n'),
    case("cmd-shell", "text is stored with the shell", "FROM busybox\nCMD echo a && echo b\n"),
    case("cmd-last-wins", "the last CMD counts", 'FROM busybox\nCMD ["a"]\nCMD ["b"]\n'),
    case("entrypoint-shell", "so is an ENTRYPOINT of text", "FROM busybox\nENTRYPOINT exec top -b\n"),
    case("entrypoint-clears-cmd", "ENTRYPOINT clears the base's CMD", 'FROM busybox\nENTRYPOINT ["e"]\n'),
    case("entrypoint-after-cmd", "a CMD of the same stage survives", 'FROM busybox\nCMD ["c"]\nENTRYPOINT ["e"]\n'),
    case("entrypoint-before-cmd", "in either order", 'FROM busybox\nENTRYPOINT ["e"]\nCMD ["c"]\n'),
    case(
        "entrypoint-clears-stage-cmd",
        "ENTRYPOINT clears the CMD of the stage that this one begins from",
        """
        FROM busybox AS one
        CMD ["c"]
        FROM one
        ENTRYPOINT ["e"]
        """,
        on=(DOCKER,),
    ),
    case("cmd-keeps-entrypoint", "CMD leaves the base's ENTRYPOINT", 'FROM rich\nCMD ["c"]\n'),
    case("label-several", "several labels, later ones win", 'FROM rich\nLABEL a=1 b=2 from=me\nLABEL a=3 "x.y/z"=v\n'),
    case("label-option", "--label adds to the image", "FROM busybox\nLABEL a=1\n", None, "--label", "b=2", "--label",
         "a=3"),
    case("expose", "ports, protocols and ranges", "FROM rich\nEXPOSE 80 53/udp 90/tcp 100-102 5000/sctp\n"),
    case("expose-bad", "a port that is none", "FROM busybox\nEXPOSE nope\n", fails=True, on=(DOCKER,)),
    case("expose-range-udp", "a range with a protocol", "FROM busybox\nEXPOSE 10-12/udp\n"),
    case("volume-words", "volumes as words", "FROM rich\nVOLUME /a /b\n"),
    case("volume-json", "volumes as a list", 'FROM busybox\nVOLUME ["/a b", "/c"]\n'),
    case("volume-makes-nothing", "VOLUME makes no directory", "FROM busybox\nVOLUME /v\nRUN ls / > /out\n",
         on=(DOCKER,)),
    case(
        "volume-later-writes",
        "what a later step writes to a volume is kept",
        "FROM busybox\nRUN mkdir /v && echo 1 > /v/a\nVOLUME /v\nRUN echo 2 > /v/b\n",
        on=(DOCKER,),
    ),
    case("stopsignal-name", "a signal by name", "FROM rich\nSTOPSIGNAL SIGTERM\n"),
    case("stopsignal-number", "a signal by number", "FROM busybox\nSTOPSIGNAL 9\n"),
    case("stopsignal-bad", "a signal that there is not", "FROM busybox\nSTOPSIGNAL FOO\n", fails=True, on=(DOCKER,)),
    case("healthcheck-shell", "a check by the shell", "FROM busybox\nHEALTHCHECK CMD wget -q localhost || exit 1\n"),
    case("healthcheck-exec", "a check by a list", 'FROM busybox\nHEALTHCHECK CMD ["/check", "x"]\n'),
    case(
        "healthcheck-options",
        "its options",
        "FROM busybox\nHEALTHCHECK --interval=1m30s --timeout=5s --start-period=2m --retries=4 CMD true\n",
    ),
    case("healthcheck-none", "NONE turns off the base's", "FROM rich\nHEALTHCHECK NONE\n"),
    case("healthcheck-replaces", "the last one counts as a whole", "FROM rich\nHEALTHCHECK --timeout=9s CMD false\n"),
    case("healthcheck-zero", "0 is the default", "FROM busybox\nHEALTHCHECK --interval=0s CMD true\n"),
    case("healthcheck-bad-time", "a time that is none", "FROM busybox\nHEALTHCHECK --interval=x CMD true\n",
         fails=True),
    case("healthcheck-no-command", "a check needs a command", "FROM busybox\nHEALTHCHECK --interval=1s\n", fails=True),
    case("healthcheck-bad-retries", "retries are counted", "FROM busybox\nHEALTHCHECK --retries=-1 CMD true\n",
         fails=True),
    case("shell", "SHELL is stored", 'FROM busybox\nSHELL ["/bin/sh", "-xc"]\n'),
    case("shell-used", "CMD and ENTRYPOINT use it", 'FROM busybox\nSHELL ["/s", "-x"]\nCMD a b\nENTRYPOINT c d\n'),
    case("shell-text", "SHELL takes a list only", "FROM busybox\nSHELL /bin/sh -c\n", fails=True),
    case("shell-of-base", "the base's shell is used", "FROM rich\nCMD a\n"),
    case("maintainer", "MAINTAINER is the author", "FROM busybox\nMAINTAINER A B <a@b>\n"),
    case("user-stored", "USER is stored as it is written", "FROM busybox\nUSER 12:staff\n"),
    case("user-empty", "USER needs a word", "FROM busybox\nUSER\n", fails=True),
    case("workdir-stored", "WORKDIR is stored cleaned", "FROM busybox\nWORKDIR /a//b/../c/\n"),
    case(
        "onbuild-stored",
        "ONBUILD is stored as it is written",
        """
        FROM busybox
        ONBUILD RUN echo  a
        ONBUILD COPY . /app
        onbuild env A=$B
        """,
    ),
    case("onbuild-from", "FROM can't be a trigger", "FROM busybox\nONBUILD FROM x\n", fails=True),
    case("onbuild-onbuild", "ONBUILD can't be a trigger", "FROM busybox\nONBUILD ONBUILD RUN x\n", fails=True),
    case("onbuild-maintainer", "MAINTAINER can't be a trigger", "FROM busybox\nONBUILD MAINTAINER x\n", fails=True),
    case(
        "onbuild-fires",
        "the base's triggers fire first, and are not handed on",
        "FROM trigger\nRUN cat /fired /triggered/a > /out\nLABEL e=$TRIGGERED\n",
        {"a": "a\n"},
    ),
    case(
        "onbuild-of-stage",
        "a stage's triggers fire in the stage that begins from it",
        """
        FROM busybox AS base
        ONBUILD RUN echo fired > /fired
        ONBUILD ENV A=1
        FROM base
        LABEL a=$A
        """,
        on=(DOCKER,),
    ),
    case(
        "onbuild-copy-from",
        "a trigger may take from a stage of the file that it fires in",
        """
        FROM busybox AS data
        RUN echo d > /data
        FROM busybox AS base
        ONBUILD COPY --from=data /data /got
        FROM base
        """,
        on=(DOCKER,),
    ),
    case("settings-only", "settings alone make no layer", "FROM busybox\nENV A=1\nLABEL b=2\nUSER app\nCMD x\n"),
    case("volume-empty", "a volume that expands to nothing is an error", "FROM busybox\nUSER 5\nVOLUME $HOME /x\n",
         fails=True, on=(DOCKER,)),
    case("env-override", "ENV replaces the base's", "FROM rich\nENV FROM_BASE=no NEW=$SPACED\n"),
    case("workdir-root", "WORKDIR / of an image without files", "FROM scratch\nWORKDIR /\nLABEL a=1\n", on=(BUILDAH,)),
    case("workdir-scratch", "WORKDIR makes its directory in an empty image", "FROM scratch\nWORKDIR /a/b\n"),
    case("exec-form-escape", "escapes in JSON", r'FROM busybox' '\n' r'CMD ["a\"b", "c\\d", "\u00e9\n"]' '\n'),
]  # fmt: skip
