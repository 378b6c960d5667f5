"""Snippets of Dockerfiles and what they are as Buildfiles; everything that is written passes `pybuild check`."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import dedent, indent

import pytest

from buildkit_py.errors import SourceError
from frontends import buildfile
from frontends.buildfile.words import RESERVED, SHELL_NAMES
from frontends.dockerfile import convert
from frontends.dockerfile.conversion import language
from frontends.dockerfile.conversion.excludes import below
from frontends.dockerfile.conversion.kinds import Kind
from frontends.dockerfile.conversion.shelltext import is_strict_alike, layout

CONTEXT: Mapping[str, Kind] = {"src": "directory", "app.py": "file", "site": "directory", "setup": "file"}


def look(path: str) -> frozenset[Kind]:
    kind = CONTEXT.get(path.strip("/"))
    return frozenset({kind}) if kind else frozenset()


def converted(text: str, *, ignore: str = "") -> tuple[str, list[str]]:
    """The Buildfile in its usual form, and what was said: severity, line, message."""
    made = convert(text, find={".dockerignore": ignore}.get if ignore else None, look=look)
    formatted = buildfile.format_text(made.text)
    assert [item for item in buildfile.check(formatted) if item.severity == "error"] == [], formatted
    return formatted, [f"{note.severity} {note.span.line if note.span else 0}: {note.message}" for note in made.notes]


def body(text: str, **options: str) -> str:
    """The statements of the only image, from busybox."""
    made, _ = converted(f"FROM busybox\n{text}", **options)
    start = made.index('    from "busybox"\n') + len('    from "busybox"\n')
    return dedent(made[start:].removesuffix("}\n"))


SETTINGS = {
    "ENV A=1 B=two": 'env A = "1"\nenv B = "two"\n',
    "ENV A=1\nENV B=$A-x": 'env A = "1"\nenv B = "${env.A}-x"\n',
    "ENV a=1\nENV a=2 b=$a": 'env a = "1"\nenv b = env.a\nenv a = "2"\n',
    "ENV PATH=/x:$PATH": 'env PATH = "/x:${env.PATH}"\n',
    r"ENV A='$B' C=\$D": 'env A = "\\$B"\nenv C = "\\$D"\n',
    "ENV A=abc\nENV B=${A%c} C=${A#a} D=${U:-d}": 'env A = "abc"\nenv B = "ab"\nenv C = "bc"\nenv D = "d"\n',
    'LABEL a.b="c d" e=f': 'label "a.b" = "c d"\nlabel "e" = "f"\n',
    "CMD echo $A": 'command ["/bin/sh", "-c", "echo \\$A"]\n',
    'CMD ["a", "b c"]': 'command ["a", "b c"]\n',
    "CMD []": "unset command\n",
    "ENTRYPOINT []": "unset entrypoint\nunset command\n",
    'SHELL ["/bin/bash", "-c"]\nENTRYPOINT x': 'entrypoint ["/bin/bash", "-c", "x"]\n',
    "USER app:staff": "user app:staff\n",
    "USER 1000": "user 1000\n",
    "EXPOSE 80 53/UDP 90/tcp 100-102 127.0.0.1:81:82": "expose 80, 53/udp, 90, 100-102, 82\n",
    'ENV P="80 81"\nEXPOSE $P': 'env P = "80 81"\nexpose 80, 81\n',
    'VOLUME ["/a b", "/c"]': 'volume "/a b", /c\n',
    "STOPSIGNAL term": "stop_signal SIGTERM\n",
    "STOPSIGNAL 9": "stop_signal 9\n",
    "HEALTHCHECK NONE": "healthcheck none\n",
    'HEALTHCHECK --interval=90s --retries=4 CMD ["a"]': 'healthcheck ["a"] interval 1m30s retries 4\n',
    "HEALTHCHECK CMD a || b": 'healthcheck ["/bin/sh", "-c", "a || b"]\n',
    "MAINTAINER A <b@c>": 'label "org.opencontainers.image.authors" = "A <b@c>"\n',
}


@pytest.mark.parametrize("text", SETTINGS)
def test_settings(text: str) -> None:
    assert body(text) == SETTINGS[text]


ARGUMENTS = [
    ("ARG V=1\nFROM a:$V\nENV X=$V", 'image app {\n    from "a:${V}"\n', "param V"),
    ("ARG V=1\nFROM a:$V\nARG V\nLABEL v=$V", 'label "v" = V', 'param V: string = "1"'),
    ("FROM a\n# The release.\nARG V=1\nLABEL v=$V", 'label "v" = V', 'param V: string = "1"  # The release.'),
    ("FROM a\nARG A=1 B=$A.2\nLABEL v=$B", 'label "v" = B', 'param B: string = "${A}.2"'),
    ("FROM a\nARG U=app\nARG USER=$U\nUSER $USER", "user ${USER_arg}", "param USER_arg: string = U"),
    ("FROM a\nARG TARGETARCH\nLABEL v=$TARGETARCH", 'label "v" = platform.arch', ""),
    ("FROM a\nARG V=1 TARGETOS\nARG F=$V-$TARGETOS\nLABEL f=$F", 'label "f" = "${V}-${platform.os}"', ""),
    ("FROM a\nARG V=1\nARG F=$V-$TARGETOS\nLABEL f=$F", 'label "f" = F', 'param F: string = "${V}-"'),
    ("FROM a\nARG V=v1.2\nLABEL v=${V#v}", 'label "v" = remove_prefix(V, "v")', ""),
    ("FROM a\nARG V=1.2\nLABEL v=${V//./_}", 'label "v" = replace(V, ".", "_")', ""),
    (
        "FROM a\nARG V\nLABEL v=${V:-none}",
        'if V == "" {\n        label "v" = "none"\n    } else {\n        label "v" = V\n    }',
        'param V: string = ""',
    ),
    (
        "FROM a\nARG TARGETOS\nRUN make",
        "env TARGETOS = platform.os\n    with network\n    run make\n    unset env TARGETOS",
        "",
    ),
    ("FROM a\nARG V=1\nRUN make install", "run make install  # reads $V", ""),
    ("FROM a\nARG V=1\nRUN make v=$V", "run make v=$V\n", ""),
    ("FROM a\nARG V=1\nRUN mkdir /x", "    run mkdir /x\n", ""),
    ("FROM a\nARG V=1\nENV V=$V\nRUN make v=$V", "run make v=$V\n", ""),
    ("FROM a\nARG V=1\nENV V=x$V\nRUN make v=$V", 'run ["/bin/sh", "-c", "make v=\\$V"]', ""),
]


@pytest.mark.parametrize(("text", "statement", "declaration"), ARGUMENTS)
def test_arguments(text: str, statement: str, declaration: str) -> None:
    made, _ = converted(text)
    assert statement in made, made
    assert declaration in made.partition("image app")[0]


RUNS = {
    "RUN make && make install": "with network\nrun make && make install\n",
    "RUN mkdir -p /a /b": "run mkdir -p /a /b\n",
    "RUN --network=none make": "run make\n",
    "RUN make; make install": "with network\nrun {\n    #!/bin/sh\n    make; make install\n}\n",
    "RUN curl x | tar x": "with network\nrun {\n    #!/bin/sh\n    curl x | tar x\n}\n",
    "RUN echo $UNSET": "run {\n    #!/bin/sh\n    echo $UNSET\n}\n",
    "RUN set -eu; make; make install": "with network\nrun set -eu; make; make install\n",
    'RUN ["a", "$b"]': 'with network\nrun ["a", "\\$b"]\n',
    'SHELL ["/bin/bash", "-eo", "pipefail", "-c"]\nRUN a | b': (
        "with network\nrun {\n    #!/bin/bash -eo pipefail\n    a | b\n}\n"
    ),
    'SHELL ["/s", "-x"]\nRUN a': 'with network\nrun ["/s", "-x", "a"]\n',
    "RUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF": (
        "with network\nrun {\n    #!/usr/bin/env python3\n    print(1)\n}\n"
    ),
    "RUN a\nRUN b": "with network {\n    run a\n    run b\n}\n",
    "RUN --mount=type=cache,target=/c,sharing=locked --mount=type=tmpfs,target=/t,size=64m a": (
        "with network, cache(/c, sharing: locked), tmpfs(/t, size: 64m)\nrun a\n"
    ),
    "RUN --mount=type=bind,source=src,target=x,rw --mount=type=ssh,required a": (
        "with network, mount(./src, at: /x, writable: true), ssh\nrun a\n"
    ),
    "RUN mknod /dev/x c 1 3": "with capability(MKNOD)\nrun mknod /dev/x c 1 3\n",
    (
        "RUN apt-get update && apt-get install -y --no-install-recommends aaaaaaaaaaaaaaaa \\\n"
        "        bbbbbbbbbbbbbbbb && rm -rf /x"
    ): (
        "with network\n"
        "run apt-get update \\\n"
        "    && apt-get install -y --no-install-recommends aaaaaaaaaaaaaaaa \\\n"
        "        bbbbbbbbbbbbbbbb \\\n"
        "    && rm -rf /x\n"
    ),
}


@pytest.mark.parametrize("text", RUNS)
def test_steps(text: str) -> None:
    assert body(text) == RUNS[text]


COPIES = {
    "COPY app.py /app/": "copy ./app.py to /app/ mode keep\n",
    "COPY src /app": "copy ./src/ to /app/ mode keep\n",
    "COPY . .": "copy ./ to / mode keep\n",
    "WORKDIR /app\nCOPY src .": "workdir /app\ncopy ./src/ to /app/ mode keep\n",
    "COPY app.py setup /app/": "copy ./app.py ./setup to /app/ mode keep\n",
    "COPY app.py /tmp": "copy ./app.py to /tmp/ mode keep\n",
    "COPY thing /x": "copy ./thing to /x mode keep\n",
    "COPY thing /x/": 'copy "./thin[g]/" to /x/ mode keep\n',
    "COPY --chown=5:6 --chmod=600 app.py /etc/x": "copy ./app.py to /etc/x owner 5:6 mode 0600\n",
    "COPY --chown=5:6 app.py /data/app/": (
        "mkdir /data /data/app owner 5:6\ncopy ./app.py to /data/app/ owner 5:6 mode keep\n"
    ),
    "COPY --from=nginx:1 /etc/nginx/x.conf /x": 'copy /etc/nginx/x.conf to /x from "nginx:1" mode keep\n',
    "COPY --exclude=*.md --exclude=d/** src /x": "copy ./src/ to /x/ mode keep exclude *.md, d/**\n",
    "COPY --parents src/a/b.txt /x/": "copy ./src/a/b.txt to /x/src/a/ mode keep\n",
    "COPY <<EOF /a\nx\nEOF": 'write /a "x\\n"\n',
    "ENV A=b\nCOPY <<EOF /a\nx $A\n\ny\nEOF": 'env A = "b"\nwrite /a """\n    x ${env.A}\n\n    y\n    """\n',
    "COPY --chmod=755 <<'EOF' /bin/\n$A\n${B}\n\"c\"\nEOF": (
        'write /bin/EOF """\n    \\$A\n    \\${B}\n    "c"\n    """ mode 0755\n'
    ),
    "ADD a.tar.gz /x": "unpack ./a.tar.gz to /x/\n",
    "ADD https://e.org/a.txt /x/": 'fetch "https://e.org/a.txt" to /x/ mode 0600\n',
    "ADD https://e.org/a.git#v1:sub /x": 'git "https://e.org/a.git" at v1 to /x/ subdir sub\n',
    "USER 5\nWORKDIR /a/b": "user 5\nworkdir /a/b\nmkdir /a /a/b owner 5\n",
    "RUN useradd x\nWORKDIR /a": (
        "run useradd x\nworkdir /a\n# makes the working directory, where it is not there\nrun true\n"
    ),
}


@pytest.mark.parametrize("text", COPIES)
def test_copies(text: str) -> None:
    assert body(text) == COPIES[text]


def test_what_is_ignored() -> None:
    ignore = "*.md\n**/*.o\nsrc/tmp\n!README.md\n"
    assert body("COPY . /x", ignore=ignore) == (
        'copy ./ to /x/ mode keep exclude *.md, **/*.o, src/tmp, "!README.md"\n'
    )
    assert body("COPY src /x", ignore=ignore) == "copy ./src/ to /x/ mode keep exclude **/*.o, tmp\n"
    assert body("COPY app.py /x", ignore=ignore) == "copy ./app.py to /x mode keep\n"
    assert below(["*", "!src"], "src") == ()
    assert below(["**a/b"], "src") is None


def test_stages() -> None:
    made, notes = converted(
        "FROM a AS Build\nRUN make\nFROM a AS other\n"
        "FROM scratch\nCOPY --from=build /out/x.txt /\nCOPY --from=0 /etc/ /e/\n"
    )
    assert made == dedent(
        """\
        buildfile 1

        stage build {
            from "a"
            with network
            run make
        }

        image app {
            from scratch
            env PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            copy /out/x.txt to / from build mode keep
            copy /etc/ to /e/ from build mode keep
        }
        """
    )
    assert notes == ["note 3: nothing of app needs this stage: it is left out"]


def test_triggers_of_a_stage_are_carried_out() -> None:
    made, notes = converted("FROM a AS b\nONBUILD ENV A=1\nFROM b\nENV B=$A\n")
    assert indent('env A = "1"\nenv B = env.A\n', "    ") in made
    assert notes == []


UNTOLD = {
    "ONBUILD RUN x": "error 2: ONBUILD RUN has no equivalent: an image does nothing later",
    "ENV a.b=1": "error 2: no variable can be called a.b",
    "RUN --security=insecure x": "error 2: --security=insecure has no equivalent",
    "COPY --parents **/*.txt /x/": "error 2: --parents with a pattern has no equivalent",
    "ARG BUILDARCH": "error 2: BUILDARCH has no equivalent: a Buildfile knows the platform that it builds for alone",
    "ARG V=1.2\nLABEL v=${V%.*}": "error 3: ${V%…} takes a part of a value that is known only when it is built",
    "EXPOSE 1-5000": "error 2: not ports that a Buildfile can name: 1-5000",
    "HEALTHCHECK --start-interval=1s CMD a": "error 2: --start-interval of HEALTHCHECK has no equivalent",
    "RUN --mount=type=secret,id=s,uid=5 x": (
        "error 2: this secret belongs to root, whom the step runs as, and not to 5"
    ),
    "RUN --mount=type=cache,target=/c,from=a x": "error 2: from= of a cache has no equivalent: a cache begins empty",
    "MAINTAINER a": "warning 2: an image has no maintainer here: the label org.opencontainers.image.authors says it",
    "COPY *.nope /x/": "warning 2: nothing matches *.nope now, and a `copy` of nothing is an error: it is left out",
    "WORKDIR a": "warning 2: the base image's working directory is not known: it is taken for /",
    "ENV A=$B": "note 2: B is taken for a variable of the base image",
    "RUN sudo make": "warning 2: a step of a Buildfile gains nothing from set-user-id programs",
}


@pytest.mark.parametrize("text", UNTOLD)
def test_what_can_not_be_said_is_noted_and_stands_in_the_text(text: str) -> None:
    made, notes = converted(f"FROM busybox\n{text}\n")
    assert UNTOLD[text] in notes
    severity, _, message = UNTOLD[text].partition(": ")
    if severity.startswith("error") and "ARG BUILD" not in text:
        assert f"# Dockerfile:{severity.split()[1]}: {message}" in made


def test_a_dockerfile_that_is_wrong() -> None:
    with pytest.raises(SourceError, match="STOPSIGN"):
        converted("FROM a\nSTOPSIGN x\n")


@pytest.mark.parametrize(
    ("text", "alike"),
    [
        ("a && b || c", True),
        ("a; b", False),
        ("a | b", False),
        ("a &", False),
        ("x=$(a) && echo $x", True),
        ("x=$(a | b)", False),
        ("echo ${U:-d} $U", False),
        ("echo ${U:-d}", True),
        ("echo '$U'", True),
        ('echo "$KNOWN"', True),
        ("export A=1 && echo $A", True),
        ("if a; then b; fi", False),
        ("set -e; a; b", True),
        ("set -e; a | b", False),
        ("set -euo pipefail; a | b", True),
        ("set +e; a", False),
        (". ./env && a", False),
        ("a `b`", False),
        ("echo $1", False),
        ("cat <<X", False),
    ],
)
def test_text_that_means_the_same_with_strict_options(text: str, alike: bool) -> None:
    assert is_strict_alike(text, {"KNOWN"}) is alike


def test_layout_keeps_the_words() -> None:
    text = "set -eux;     a 'b    c'   d" + " x" * 60 + " &&   e"
    lines = layout(text)
    assert len(lines) > 2
    assert "".join(line.removesuffix("\\") for line in lines).split() == text.split()
    assert "'b    c'" in "".join(lines)


def test_words_of_the_language() -> None:
    assert RESERVED <= language.KEYWORDS
    assert not any(map(language.is_param, RESERVED | SHELL_NAMES))
