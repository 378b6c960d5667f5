"""Keywords, flags and the rest of a line."""

import pytest

from frontends.dockerfile.flags import split_command
from tests.support.dockerfile_parse import complaint, one, part


@pytest.mark.parametrize(
    ("rule", "text", "flags", "args"),
    [
        ("none", "RUN a --b", [], "a --b"),
        ("with a value", "RUN --a=b c", [("a", "b")], "c"),
        ("without one", "COPY --link a b", [("link", None)], "a b"),
        ("a value may hold =", "RUN --a=b=c d", [("a", "b=c")], "d"),
        ("an empty value", "RUN --a= d", [("a", "")], "d"),
        ("several, white space between", "RUN  --a=1 \t --b  c", [("a", "1"), ("b", None)], "c"),
        ("a lone -- ends them", "RUN --a=1 -- --b c", [("a", "1")], "--b c"),
        ("-- at the very end", "RUN --a=1 --", [("a", "1")], ""),
        ("one dash is no flag", "RUN -a b", [], "-a b"),
        ("quotes are taken away", "RUN --a=\"b c\" --d='e f' g", [("a", "b c"), ("d", "e f")], "g"),
        ("quotes around the whole value", "RUN --a=\"b\"'c'd e", [("a", "bcd")], "e"),
        ("a quoted name", 'RUN --"a"=b c', [("a", "b")], "c"),
        ("a backslash escapes", "RUN --a=b\\ c\\\\ d", [("a", "b c\\")], "d"),
        ("in quotes too", 'RUN --a="b\\"c" d', [("a", 'b"c')], "d"),
        ("in single quotes too", "RUN --a='b\\'c' d", [("a", "b'c")], "d"),
        ("a quote that is not closed takes the rest", "RUN --a='b c d", [("a", "b c d")], ""),
        ("an escaped =", "RUN --a\\=b c", [("a", "b")], "c"),
    ],
)
def test_split(rule: str, text: str, flags: list[tuple[str, str | None]], args: str) -> None:
    found = split_command(part(text))
    assert [(flag.name, flag.value) for flag in found.flags] == flags, rule
    assert found.args.text == args, rule


@pytest.mark.parametrize(
    ("text", "keyword"),
    [("RUN", "RUN"), (" RUN\ta", "RUN"), ("RUN\va", "RUN"), ("RUN\xa0a", "RUN\xa0a"), ("", ""), ("run a", "run")],
)
def test_keyword(text: str, keyword: str) -> None:
    assert split_command(part(text)).keyword.text == keyword


def test_spans_of_values() -> None:
    (flag,) = split_command(part('RUN --mount="type=x" a')).flags
    assert (flag.span.column, flag.span.end_column) == (5, 21)
    assert flag.value_span is not None and (flag.value_span.column, flag.value_span.end_column) == (13, 21)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("COPY --form=x a b", "COPY has no flag --form"),
        ("COPY --from a b", "--from needs a value"),
        ("COPY --from=x --from=y a b", "--from stands here a second time"),
        ("COPY --link=maybe a b", "--link is true or false, not 'maybe'"),
        ("COPY --link= a b", "--link needs a value"),
        ("COPY --checksum=sha256:1 a b", "COPY has no flag --checksum"),
        ("ADD --from=a b c", "ADD has no flag --from"),
        ("ADD --parents a b", "ADD has no flag --parents"),
        ("RUN --From=a b", "RUN has no flag --From"),
        ("CMD --version", "CMD has no flag --version"),
        ("ENV --a b=c", "ENV has no flag --a"),
        ("WORKDIR --a /b", "WORKDIR has no flag --a"),
        ("USER --a b", "USER has no flag --a"),
        ("EXPOSE --a 1", "EXPOSE has no flag --a"),
        ("VOLUME --a /b", "VOLUME has no flag --a"),
        ("LABEL --a b=c", "LABEL has no flag --a"),
        ("ENTRYPOINT --a b", "ENTRYPOINT has no flag --a"),
        ('SHELL --a ["b"]', "SHELL has no flag --a"),
        ("MAINTAINER --a b", "MAINTAINER has no flag --a"),
        ("ONBUILD --a RUN b", "ONBUILD has no flag --a"),
        ("RUN --network=hosts a", "--network can't be 'hosts'"),
        ("RUN --network= a", "--network can't be ''"),
        ("RUN --security=secure a", "--security can't be 'secure'"),
    ],
)
def test_faults(text: str, message: str) -> None:
    assert complaint(text) == message


@pytest.mark.parametrize(
    "text",
    [
        "COPY --link=TRUE --parents=False a b",
        "ADD --unpack --keep-git-dir=false --checksum=x --exclude=a --exclude=b c d",
        "COPY --exclude=a --exclude=b --from=x --chown= --chmod=u+x c d",
        "RUN --device=vendor.com/device=x --device=y --mount=type=ssh --mount=type=ssh a",
        "RUN --network=none --security=insecure a",
        "CMD -- --version",
    ],
)
def test_accepted(text: str) -> None:
    assert one(text).text == text


@pytest.mark.parametrize("text", ["ARG --foo a", "STOPSIGNAL --foo 9", "HEALTHCHECK --interval=1 NONE"])
def test_what_looks_at_no_flags(text: str) -> None:
    assert one(text).text == text
