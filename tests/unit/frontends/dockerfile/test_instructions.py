"""What each instruction takes."""

import pytest

from frontends.dockerfile import syntax
from frontends.dockerfile.parser import parse
from tests.support.dockerfile_parse import complaint, faults, one


def start(text: str) -> syntax.From:
    return parse(text, "Dockerfile").stages[0].start


@pytest.mark.parametrize(
    ("text", "base", "stage", "keyword", "platform"),
    [
        ("FROM a", "a", None, None, None),
        ("from a:b@sha256:c", "a:b@sha256:c", None, None, None),
        ("FROM a AS b", "a", "b", "AS", None),
        ("FROM a As B-1.x_2", "a", "B-1.x_2", "As", None),
        ("FROM --platform=$P a", "a", None, None, "$P"),
        ("FROM --platform= ${a:-b}  as\tc ", "${a:-b}", "c", "as", ""),
        ("FROM as as as", "as", "as", "as", None),
    ],
)
def test_from(text: str, base: str, stage: str | None, keyword: str | None, platform: str | None) -> None:
    node = start(text)
    assert node.base.text == base
    assert (node.stage.text if node.stage else None, node.as_keyword) == (stage, keyword)
    assert (node.platform.value if node.platform else None) == platform


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM", "FROM needs the name of an image or a stage"),
        ("FROM --platform=x", "FROM needs the name of an image or a stage"),
        ("FROM a b", "FROM takes an image, and perhaps AS and a name"),
        ("FROM a AS", "FROM takes an image, and perhaps AS and a name"),
        ("FROM a IS b", "FROM takes an image, and perhaps AS and a name"),
        ("FROM a AS b c", "FROM takes an image, and perhaps AS and a name"),
        ("FROM a # b", "FROM takes an image, and perhaps AS and a name"),
        ("FROM a AS 1", "a stage can't be called 1"),
        ("FROM a AS $b", "a stage can't be called $b"),
        ("FROM a AS é", "a stage can't be called é"),
        ("FROM --platfrom=x a", "FROM has no flag --platfrom"),
        ("FROM --platform x", "--platform needs a value"),
    ],
)
def test_from_faults(text: str, message: str) -> None:
    (found,) = faults(text)
    assert (found.message, bool(found.hint)) == (message, True)


def test_stages_are_numbered_and_documented() -> None:
    text = "# builder compiles\n# more\nFROM a AS Builder\nRUN b\n# nothing about it\nFROM c AS d\nFROM e\n"
    stages = parse(text, "Dockerfile").stages
    assert [(stage.number, stage.title, stage.doc) for stage in stages] == [
        (0, "Builder", "compiles"),
        (1, "d", ""),
        (2, None, ""),
    ]
    assert [len(stage.instructions) for stage in stages] == [1, 0, 0]


def test_global_arguments() -> None:
    file = parse("ARG a=1\nARG b\nFROM $a\nARG c\n", "Dockerfile")
    assert [pair.name for arg in file.globals for pair in arg.pairs] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RUNN a", "there is no instruction RUNN"),
        ("&& a", "there is no instruction &&"),
        ("//syntax=x", "there is no instruction //syntax=x"),
        ("RUN\xa0a", "there is no instruction RUN\\xa0a"),
        ("WORKDIR", "WORKDIR needs an argument"),
        ("USER", "USER needs an argument"),
        ("EXPOSE", "EXPOSE needs an argument"),
        ("VOLUME", "VOLUME needs an argument"),
        ("VOLUME []", "VOLUME has an empty list"),
        ('VOLUME ["/a", " "]', "VOLUME names an empty path"),
        ("STOPSIGNAL", "STOPSIGNAL needs an argument"),
        ("MAINTAINER", "MAINTAINER needs an argument"),
        ("SHELL", "SHELL needs an argument"),
        ("SHELL []", "SHELL has an empty list"),
        ("SHELL /bin/sh -c", "SHELL needs a JSON list"),
        ("COPY", "COPY needs a source and a destination"),
        ("COPY a", "COPY needs a destination behind the source"),
        ('ADD ["a"]', "ADD needs a destination behind the source"),
        ("HEALTHCHECK", "HEALTHCHECK needs an argument"),
        ("HEALTHCHECK NONE a", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "HEALTHCHECK CMD has no command"),
        ("HEALTHCHECK CMD []", "HEALTHCHECK CMD has no command"),
        ("HEALTHCHECK curl x", "HEALTHCHECK takes CMD or NONE, not curl"),
        ("ONBUILD", "ONBUILD needs an argument"),
        ("ONBUILD ONBUILD RUN a", "ONBUILD can't fire ONBUILD"),
        ("ONBUILD from a", "ONBUILD can't fire FROM"),
        ("ONBUILD MAINTAINER a", "ONBUILD can't fire MAINTAINER"),
        ("ONBUILD FOO", "there is no instruction FOO"),
        ("ONBUILD COPY a", "COPY needs a destination behind the source"),
        ("ONBUILD RUN --foo a", "RUN has no flag --foo"),
    ],
)
def test_faults(text: str, message: str) -> None:
    assert complaint(text) == message


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("COPPY a b", "did you mean COPY?"),
        ("envv a=b", "did you mean env?"),
        ("&& a", "if this belongs to the instruction above, end the line before it with \\"),
        ("//syntax=x", "comments and directives begin with #"),
    ],
)
def test_hints_for_unknown_instructions(text: str, hint: str) -> None:
    (found,) = faults(f"FROM a\n{text}")
    assert found.hint == hint


@pytest.mark.parametrize(
    "text", ["RUN", "RUN []", "CMD", "CMD []", "ENTRYPOINT", "ENTRYPOINT []", "HEALTHCHECK NONE []"]
)
def test_empty_commands_are_accepted(text: str) -> None:
    assert one(text).text == text


def test_run() -> None:
    node = one("RUN --mount=type=cache,Target=/x,ro --network=none --device=a a && b")
    assert isinstance(node, syntax.Run)
    assert node.command == syntax.Command(form="shell", words=("a && b",))
    assert [mount.fields for mount in node.mounts] == [(("type", "cache"), ("target", "/x"), ("ro", None))]
    assert node.network is not None and node.network.value == "none"
    assert [device.value for device in node.devices] == ["a"]


def test_copy() -> None:
    node = one("COPY --from=x --chown=1:2 --chmod=644 --link --parents --exclude=a --exclude=b c d /e")
    assert isinstance(node, syntax.Copy)
    assert ([word.text for word in node.sources], node.dest.text) == (["c", "d"], "/e")
    values = [node.from_, node.chown, node.chmod, node.link, node.parents]
    assert [flag.value for flag in values if flag] == ["x", "1:2", "644", None, None]
    assert [flag.value for flag in node.exclude] == ["a", "b"]


def test_add() -> None:
    node = one('ADD --checksum=sha256:1 --keep-git-dir=true --unpack=false ["a b", "/c"]')
    assert isinstance(node, syntax.Copy) and node.name == "ADD"
    assert ([word.text for word in node.sources], node.dest.text) == (["a b"], "/c")
    values = [node.checksum, node.keep_git_dir, node.unpack]
    assert [flag.value for flag in values if flag] == ["sha256:1", "true", "false"]


@pytest.mark.parametrize(
    ("text", "form", "words"),
    [
        ("HEALTHCHECK CMD a b", "shell", ("a b",)),
        ('HEALTHCHECK cmd ["a", "b"]', "exec", ("a", "b")),
        ("HEALTHCHECK CMD\t\ta", "shell", ("a",)),
        ("HEALTHCHECK CMD --interval=1s a", "shell", ("--interval=1s a",)),
    ],
)
def test_healthcheck(text: str, form: str, words: tuple[str, ...]) -> None:
    node = one(text)
    assert isinstance(node, syntax.Healthcheck) and node.command is not None
    assert (node.command.form, node.command.words) == (form, words)


def test_healthcheck_none() -> None:
    node = one("HEALTHCHECK none")
    assert isinstance(node, syntax.Healthcheck) and node.command is None


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("ONBUILD RUN a  b", "RUN a  b"),
        ("onbuild  copy . /x", "copy . /x"),
        ("ONBUILD RUN a  \t", "RUN a  \t"),
        ("ONBUILD RUN a \\\n  b", "RUN a   b"),
    ],
)
def test_onbuild(text: str, expression: str) -> None:
    node = one(text)
    assert isinstance(node, syntax.OnBuild)
    assert node.expression == expression
    assert node.trigger.text == expression.strip()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("WORKDIR /a b ", "/a b"),
        ("USER a:b c", "a:b c"),
        ("STOPSIGNAL SIGTERM", "SIGTERM"),
        ('MAINTAINER "A B" <c>', '"A B" <c>'),
    ],
)
def test_one_argument_is_all_the_rest(text: str, found: str) -> None:
    node = one(text)
    words = [getattr(node, name) for name in syntax.names(type(node))]
    assert [word.text for word in words] == [found]


def test_volume_and_expose() -> None:
    volume, expose, shell = one('VOLUME ["/a", " /b "]'), one("EXPOSE 1 2/udp $P"), one('SHELL ["a", "-c"]')
    assert isinstance(volume, syntax.Volume) and [path.text for path in volume.paths] == ["/a", "/b"]
    assert isinstance(expose, syntax.Expose) and [port.text for port in expose.ports] == ["1", "2/udp", "$P"]
    assert isinstance(shell, syntax.Shell) and shell.words == ("a", "-c")


@pytest.mark.parametrize("keyword", ["run", "Run", "rUN"])
def test_keywords_in_any_case(keyword: str) -> None:
    node = one(f"{keyword} a")
    assert (type(node), node.keyword, node.name) == (syntax.Run, keyword, "RUN")
