"""Variables: where they are replaced, by which operators, and what ARG and ENV see of each other."""

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
    case(
        "arg-default-and-given",
        "a build argument replaces the default of its ARG",
        """
        FROM busybox
        ARG A=default
        ARG B=default
        RUN echo "$A $B" > /out
        LABEL a=$A b=$B
        """,
        None,
        "--build-arg",
        "A=given",
    ),
    case(
        "arg-empty-given",
        "an empty build argument counts as given",
        """
        FROM busybox
        ARG A=default
        LABEL a=x${A}x
        """,
        None,
        "--build-arg",
        "A=",
    ),
    case(
        "arg-before-from",
        "an ARG above FROM is known to FROM, and to a stage that declares it",
        """
        ARG BASE=busybox
        ARG V=1
        FROM $BASE
        LABEL before=x${V}
        ARG V
        LABEL after=x${V}
        """,
    ),
    case(
        "arg-stage-default-over-global",
        "a stage's own default beats the one above FROM",
        """
        ARG V=global
        FROM busybox
        ARG V=stage
        LABEL v=$V
        """,
    ),
    case(
        "arg-global-given",
        "a given value reaches the global ARG and the stage that names it",
        """
        ARG V=global
        FROM busybox
        ARG V
        LABEL v=$V
        """,
        None,
        "--build-arg",
        "V=given",
    ),
    case(
        "arg-env-wins-in-shell",
        "where ENV and ARG have one name, the later ARG with a value wins in RUN",
        """
        FROM busybox
        ENV F=e
        ARG F=a
        RUN echo $F > /out
        """,
        on=(DOCKER,),
    ),
    case(
        "arg-then-env",
        "an ENV after the ARG hides it",
        """
        FROM busybox
        ARG F=a
        ENV F=e-$F
        RUN echo $F > /out
        LABEL f=$F
        """,
    ),
    case(
        "arg-without-value-leaves-env",
        "an ARG without a value leaves the variable of ENV",
        """
        FROM busybox
        ENV F=e
        ARG F
        RUN echo $F > /out
        LABEL f=$F
        """,
    ),
    case(
        "arg-inherited-by-stage",
        "a stage that begins from another inherits its ARGs",
        """
        FROM busybox AS one
        ARG A=1
        FROM one
        RUN echo "x$A" > /out
        LABEL a=x$A
        """,
        on=(DOCKER,),
    ),
    case(
        "arg-not-in-other-stage",
        "a stage knows nothing of another's ARGs",
        """
        FROM busybox AS one
        ARG A=1
        RUN true
        FROM busybox
        COPY --from=one /srv/kept /kept
        RUN echo "x$A" > /out
        LABEL a=x$A
        """,
    ),
    case(
        "env-inherited-by-stage",
        "a stage that begins from another inherits its environment",
        """
        FROM busybox AS one
        ENV A=1
        FROM one
        ENV B=$A$A
        RUN echo $B > /out
        """,
    ),
    case(
        "arg-declared-late",
        "an ARG is known from its line on",
        """
        FROM busybox
        LABEL early=x$A
        ARG A=1
        LABEL late=x$A
        """,
        None,
        "--build-arg",
        "A=2",
    ),
    case(
        "arg-redeclared",
        "a second ARG with another default replaces the first",
        """
        FROM busybox
        ARG A=1
        LABEL one=$A
        ARG A=2
        LABEL two=$A
        """,
    ),
    case(
        "arg-target-platform",
        "TARGETOS and TARGETARCH are there for a stage that declares them, and for FROM without that",
        """
        FROM --platform=$TARGETPLATFORM busybox
        LABEL undeclared=x$TARGETARCH
        ARG TARGETOS
        ARG TARGETARCH
        ARG TARGETPLATFORM
        ARG BUILDPLATFORM
        LABEL os=$TARGETOS arch=$TARGETARCH platform=$TARGETPLATFORM build=$BUILDPLATFORM
        """,
    ),
    case(
        "arg-proxy",
        "the proxy variables need no ARG, and do not appear in the image",
        """
        FROM busybox
        RUN echo "$http_proxy $HTTPS_PROXY" > /out
        """,
        None,
        "--build-arg",
        "http_proxy=http://p:1",
        "--build-arg",
        "HTTPS_PROXY=http://q:2",
        on=(DOCKER,),
    ),
    case(
        "arg-unused-given",
        "a build argument that nobody declares is no error",
        "FROM busybox\nLABEL a=1\n",
        None,
        "--build-arg",
        "NOBODY=1",
    ),
    case(
        "arg-bad-name",
        "ARG needs a name",
        "FROM busybox\nARG\n",
        fails=True,
    ),
    case("expand-bad-substitution", "an unclosed brace is an error", "FROM busybox\nENV A=${B\n", fails=True),
    case(
        "expand-unsupported-operator",
        "an operator that there is not is an error",
        "FROM busybox\nENV A=${B:x}\n",
        fails=True,
    ),
    case(
        "env-keeps-order",
        "the environment keeps the order in which names came; a name that comes again keeps its place",
        """
        FROM busybox
        ENV Z=1 A=2
        ENV M=3
        ENV Z=4
        """,
    ),
    case(
        "env-path",
        "PATH is extended from the base's",
        """
        FROM busybox
        ENV PATH=/extra:$PATH
        RUN echo $PATH > /out
        """,
    ),
    case(
        "env-numeric-names",
        "positional and special names of a shell are expanded to nothing",
        """
        FROM busybox
        ENV A=x$1y B=a$@b C=a${1}b
        """,
        on=(DOCKER,),
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
