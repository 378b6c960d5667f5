"""Variables: where ARG and ENV are known, which of them wins, what is given."""

from __future__ import annotations

from tests.differential.case import DOCKER, case

CASES = [
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
]
