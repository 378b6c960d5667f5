"""Expansion by the operators that came after Debian's release, and the scopes of ARG and ENV."""

from __future__ import annotations

from tests.differential.reason import SOURCE, Reasoned, reason
from tests.differential.tree import file_text as f


def label(name: str, rule: str, word: str, value: str, *, given: str = "") -> Reasoned:
    """What a word becomes, where P is /usr/local/lib/x.tar.gz, E is empty, A is abcabc, U is unset."""
    text = f"FROM busybox\nARG P=/usr/local/lib/x.tar.gz\nARG E=\nARG A=abcabc\n{given}\nLABEL v={word}\n"
    return reason(f"operator-{name}", rule, text, {"x": ""}, config={"Labels": {"v": value}}, tree=None)


def broken(name: str, rule: str, word: str, line: int = 5) -> Reasoned:
    """A word that is an error."""
    text = f"FROM busybox\nARG P=/x\nARG E=\nARG A=a\nLABEL v={word}\n"
    return reason(f"operator-{name}", rule, text, fails=(SOURCE, line))


_OPERATORS = [
    ("prefix", "# takes the shortest prefix away", "${A#*b}", "cabc"),
    ("prefix-long", "## takes the longest", "${A##*b}", "c"),
    ("prefix-none", "what does not match stays", "${A#x}", "abcabc"),
    ("prefix-text", "a prefix without a pattern", "${A#ab}", "cabc"),
    ("suffix", "% takes the shortest suffix away", "${A%b*}", "abca"),
    ("suffix-long", "%% takes the longest", "${A%%b*}", "a"),
    ("suffix-text", "a suffix without a pattern", "${P%.gz}", "/usr/local/lib/x.tar"),
    ("suffix-path", "* goes over slashes", "${P%%/l*}", "/usr"),
    ("base-name", "the usual way to a file's name", "${P##*/}", "x.tar.gz"),
    ("folder-name", "and to its directory", "${P%/*}", "/usr/local/lib"),
    ("question", "? is one character", "${A#??}", "cabc"),
    ("replace", "/ replaces the first match", "${A/b/X}", "aXcabc"),
    ("replace-all", "// replaces every match", "${A//b/X}", "aXcaXc"),
    ("replace-nothing", "by nothing", "${A//b/}", "acac"),
    ("replace-pattern", "a match is the longest", "${A/b*/X}", "aX"),
    ("replace-question", "each of two characters", "${A//?c/X}", "aXaX"),
    ("replace-none", "nothing to replace", "${A/x/y}", "abcabc"),
    ("replace-slash", "a slash of the pattern is escaped", r"${P//\//:}", ":usr:local:lib:x.tar.gz"),
    ("minus", "- asks whether it is set", "x${E-d}${U-d}", "xd"),
    ("colon-minus", ":- asks whether it is set and not empty", "x${E:-d}${U:-d}", "xdd"),
    ("plus", "+ asks whether it is set", "x${E+d}${U+d}${A+d}", "xdd"),
    ("colon-plus", ":+ asks whether it is set and not empty", "x${E:+d}${U:+d}${A:+d}", "xd"),
    ("error-set", ":? changes nothing for what is set", "${A:?no}", "abcabc"),
    ("error-empty", "? accepts what is empty", "x${E?no}", "x"),
    ("nested", "an operator's word is expanded", "${U:-${A#ab}}", "cabc"),
    ("nested-pattern", "a pattern is expanded", "${A#${U:-ab}}", "cabc"),
    ("quoted-default", "quotes of a word group", '"${U:-a b}"', "a b"),
    ("empty-pattern", "an empty pattern matches nothing", "${A#}", "abcabc"),
    ("unset-prefix", "an operator on what is unset gives nothing", "x${U#a}", "x"),
    ("escaped-star", "a backslash makes a star plain", r"${A#\*}", "abcabc"),
]

CASES = [
    *(label(*each) for each in _OPERATORS),
    broken("error-unset", ":? is an error for what is unset", "${U:?no value}"),
    broken("error-empty-colon", ":? is an error for what is empty", "${E:?no value}"),
    broken("unclosed", "an unclosed brace", "${A"),
    broken("unknown", "an operator that there is not", "${A!b}"),
    broken("no-name", "a brace without a name", "${}"),
    reason(
        "scope-arg-sequential",
        "ARG sees what the same line set",
        "FROM scratch\nARG p=1 q=$p r=$q$q\nLABEL v=$r\n",
        config={"Labels": {"v": "11"}},
    ),
    reason(
        "scope-env-simultaneous",
        "ENV and LABEL see what stood before their line",
        "FROM scratch\nENV a=1\nENV a=2 b=$a\nLABEL v=$b$a\n",
        config={"Labels": {"v": "12"}},
    ),
    reason(
        "scope-global-uses-global",
        "an ARG above FROM sees the ones before it",
        "ARG A=busy\nARG B=${A}box\nFROM ${B}\nARG B\nLABEL v=$B\n",
        config={"Labels": {"v": "busybox"}},
    ),
    reason(
        "scope-from-operators",
        "FROM knows all operators",
        "ARG IMAGE=xbusybox-slim\nFROM ${IMAGE#x}\nLABEL a=1\n".replace("${IMAGE#x}", "${IMAGE:+busybox}"),
        config={"Labels": {"a": "1"}},
    ),
    reason(
        "scope-from-pattern",
        "patterns too",
        "ARG IMAGE=busybox-slim\nFROM ${IMAGE%-*} AS ${IMAGE##*-}\nLABEL a=1\n",
        fails=(SOURCE, 2),
    ),
    reason(
        "scope-arg-hides-env-of-base",
        "an ARG with a value hides a variable of the base for steps and words, not in the image",
        "FROM rich\nARG FROM_BASE=arg\nUSER root\nRUN echo $FROM_BASE > /x\nLABEL v=$FROM_BASE\n",
        tree={"/x": f("arg\n")},
        config={
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "FROM_BASE=yes", "SPACED=a b"]
        },
    ),
    reason(
        "scope-env-after-arg",
        "ENV hides an ARG whether it stands before or after it, unless the ARG has a value and comes later",
        "FROM busybox\nARG A=arg\nENV A=env\nARG A\nRUN echo $A > /x\n",
        tree={"/x": f("env\n")},
    ),
    reason(
        "scope-given-arg-over-env",
        "a given value of an ARG that comes after ENV counts for steps",
        "FROM busybox\nENV A=env\nARG A\nRUN echo $A > /x\n",
        None,
        "--build-arg",
        "A=given",
        tree={"/x": f("given\n")},
    ),
    reason(
        "scope-stage-arg-inherited",
        "a stage inherits the ARGs of the one that it begins from, with their values",
        "FROM busybox AS a\nARG A=1\nFROM a AS b\nFROM b\nRUN echo x$A > /x\n",
        tree={"/x": f("x1\n")},
    ),
    reason(
        "scope-predefined-undeclared",
        "RUN sees no predefined ARG that is not declared",
        "FROM busybox\nRUN echo x$TARGETARCH$TARGETOS > /x\n",
        tree={"/x": f("x\n")},
    ),
    reason(
        "scope-predefined-default",
        "a predefined ARG that is declared with a default has that one",
        "FROM busybox\nARG TARGETOS=plan9\nRUN echo $TARGETOS > /x\n",
        tree={"/x": f("plan9\n")},
    ),
    reason(
        "scope-target-stage",
        "TARGETSTAGE is the stage that is asked for",
        "FROM busybox AS one\nARG TARGETSTAGE\nRUN echo $TARGETSTAGE > /x\nFROM one AS two\n",
        None,
        "--target",
        "two",
        tree={"/x": f("two\n")},
    ),
    reason(
        "scope-target-stage-default",
        "without a target it is called default",
        "FROM busybox\nARG TARGETSTAGE\nRUN echo $TARGETSTAGE > /x\n",
        tree={"/x": f("default\n")},
    ),
    reason(
        "scope-proxy-not-kept",
        "a proxy reaches the step, and neither the image nor its history",
        "FROM busybox\nRUN echo $http_proxy > /x\n",
        None,
        "--build-arg",
        "http_proxy=http://p:1",
        tree={"/x": f("http://p:1\n")},
        history=["+ RUN /bin/sh -c echo $http_proxy > /x # buildkit"],
        config={"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
    ),
    reason(
        "scope-mount-expanded",
        "the values of --mount are expanded, by ENV and ARG",
        "FROM busybox\nARG T=/here\nENV ID=z\nRUN --mount=type=cache,id=$ID,target=$T/c touch $T/c/f && ls $T > /x\n",
        tree={"/x": f("c\n")},
    ),
    reason(
        "scope-from-flag-not-expanded",
        "--from is not expanded",
        "FROM busybox AS s\nFROM busybox\nARG S=s\nCOPY --from=$S /srv/kept /x\n",
        fails=(SOURCE, 0),
    ),
    reason(
        "scope-json-not-expanded",
        "words of a list are not expanded in CMD",
        'FROM busybox\nENV A=1\nCMD ["$A", "${A}"]\n',
        config={"Cmd": ["$A", "${A}"]},
    ),
    reason(
        "scope-copy-json-expanded",
        "and are in COPY",
        'FROM scratch\nARG S=a\nCOPY ["$S", "/${S}b"]\n',
        {"a": "a"},
        tree={"/ab": f("a")},
    ),
    reason(
        "scope-user-and-stopsignal",
        "USER, STOPSIGNAL, VOLUME and EXPOSE are expanded",
        "FROM busybox\nARG V=7\nUSER $V\nSTOPSIGNAL ${V}\nVOLUME /v$V\nEXPOSE ${V}0/udp\n",
        config={"User": "7", "StopSignal": "7", "Volumes": {"/v7": {}}, "ExposedPorts": {"70/udp": {}}},
    ),
    reason(
        "scope-expose-splits",
        "EXPOSE splits what it expands to",
        'FROM busybox\nENV P="80 443/tcp"\nEXPOSE $P\n',
        config={"ExposedPorts": {"443/tcp": {}, "80/tcp": {}}},
    ),
    reason(
        "scope-chown-chmod",
        "--chown and --chmod are expanded",
        "FROM scratch\nARG O=3:4\nARG M=640\nCOPY --chown=$O --chmod=$M a /x\n",
        {"a": "a"},
        tree={"/x": f("a", 0o640, "3:4")},
        history=["- ARG O=3:4", "- ARG M=640", "+ COPY --chown=3:4 --chmod=640 a /x # buildkit"],
    ),
    reason(
        "scope-onbuild-late",
        "a trigger is expanded where it fires",
        "FROM busybox AS base\nARG V=base\nONBUILD LABEL v=$V\nFROM base\n",
        config={"Labels": {"v": "base"}},
    ),
]
