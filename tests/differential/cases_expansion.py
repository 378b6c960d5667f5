"""Variables: where they are replaced, and by which operators."""

from __future__ import annotations

from tests.differential.case import DOCKER, case

CASES = [
    case(
        "expand-plain-and-braces",
        "`$x` and `${x}` are replaced in ENV and LABEL",
        """
        FROM busybox
        ENV A=1 B2=two
        ENV C=$A-${B2}-$A$B2-${A}x-$B2x
        LABEL l=$C k=${A}
        """,
    ),
    case(
        "expand-default",
        "`:-` gives another value for what is unset or empty, `:+` where it is set",
        """
        FROM busybox
        ENV S=set E=
        ENV A=${S:-d} B=${E:-d} C=${U:-d} D=${S:+y} F=${E:+y} G=${U:+y}
        """,
    ),
    case(
        "expand-default-nested",
        "the other value is expanded itself",
        """
        FROM busybox
        ENV A=1
        ENV B=${U:-${A}} C=${U:-x$A} D=${A:+<$A>} E=${U:-"two words"}
        """,
    ),
    case(
        "expand-env-is-simultaneous",
        "one ENV sees the values from before it",
        """
        FROM busybox
        ENV a=1
        ENV a=2 b=$a
        ENV c=$a$b
        """,
    ),
    case(
        "expand-arg-is-sequential",
        "one ARG sees the values that it gave itself",
        """
        FROM busybox
        ARG p=1 q=$p
        ENV r=$q
        """,
        on=(DOCKER,),
    ),
    case(
        "expand-unset-is-empty",
        "a variable that nobody set is empty",
        """
        FROM busybox
        ENV A=x${NOPE}y B=$NOPE
        LABEL l=$NOPE
        """,
    ),
    case(
        "expand-escaped-dollar",
        "a backslash keeps the dollar",
        r"""
        FROM busybox
        ENV A=1
        ENV B=\$A C="\$A" D='$A' E='\$A'
        """,
    ),
    case(
        "expand-quotes",
        "double quotes expand, single quotes don't",
        """
        FROM busybox
        ENV A=v
        ENV B="$A" C='$A' D="a $A b" E=$A"$A"'$A'
        LABEL x="$A" y='$A'
        """,
    ),
    case(
        "expand-label-key",
        "the key of a label is expanded",
        """
        FROM busybox
        ENV A=v
        LABEL $A=1 "$A.b"=2 'q$A'=3
        """,
        on=(DOCKER,),
    ),
    case(
        "expand-not-in-run",
        "RUN is left to the shell, which sees the environment",
        """
        FROM busybox
        ENV A=from-env
        ARG B=from-arg
        RUN A=shell; echo $A $B '$B' > /out
        """,
    ),
    case(
        "expand-not-in-cmd",
        "CMD, ENTRYPOINT, SHELL and HEALTHCHECK keep their dollars",
        """
        FROM busybox
        ENV A=v
        SHELL ["/bin/sh", "-c"]
        ENTRYPOINT ["$A"]
        CMD echo $A
        HEALTHCHECK CMD echo $A
        """,
    ),
    case(
        "expand-in-copy",
        "sources and the destination of COPY are expanded",
        """
        FROM busybox
        ENV SRC=a DST=/d
        COPY $SRC ${DST}/
        COPY ${SRC}b $DST/c
        """,
        {"a": "a", "ab": "ab"},
    ),
    case(
        "expand-in-workdir-user",
        "WORKDIR, USER, EXPOSE, VOLUME and STOPSIGNAL are expanded",
        """
        FROM busybox
        ENV W=/w U=app P=90 V=/vol S=SIGINT
        WORKDIR $W/${U}
        EXPOSE $P ${P}1/udp
        VOLUME $V
        STOPSIGNAL $S
        USER $U
        """,
    ),
    case(
        "expand-expose-words",
        "what EXPOSE expands to is split into words",
        """
        FROM busybox
        ENV P="80 81"
        EXPOSE $P
        """,
        on=(DOCKER,),
    ),
    case(
        "expand-copy-is-not-split",
        "what COPY expands to stays one word",
        """
        FROM busybox
        ENV F="a b"
        COPY $F /d/
        """,
        {"a b": "x"},
    ),
    case(
        "expand-chown",
        "--chown is expanded",
        """
        FROM busybox
        ARG WHO=33:50
        COPY --chown=$WHO a /a
        """,
        {"a": "a"},
    ),
    case("expand-bad-substitution", "an unclosed brace is an error", "FROM busybox\nENV A=${B\n", fails=True),
    case(
        "expand-unsupported-operator",
        "an operator that there is not is an error",
        "FROM busybox\nENV A=${B:x}\n",
        fails=True,
    ),
    case(
        "expand-lone-dollar",
        "a dollar with nothing behind it stays",
        """
        FROM busybox
        ENV A=a$ B="x$ y"
        LABEL p=5$
        """,
    ),
]
