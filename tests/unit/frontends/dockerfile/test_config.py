"""Instructions that change the configuration: what the image says in the end, and the history's words."""

from __future__ import annotations

import pytest

from buildkit_py.graph import ImageConfig
from tests.support.dockerfiles import compiled, config, faults, history

PATH = ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("ENV A=1", "- ENV A=1"),
        ("ENV A=1 B='x y'", "- ENV A=1 B=x y"),
        ("ENV A two words", "- ENV A=two words"),
        ('LABEL a=b "c d"=e', "- LABEL a=b c d=e"),
        ("ARG A=1 B", "- ARG A=1 B"),
        ("USER 12:34", "- USER 12:34"),
        ("WORKDIR /a/../b", "WORKDIR /a/../b"),
        ("WORKDIR /", "- WORKDIR /"),
        ("EXPOSE 80 443/udp 70-71 1.2.3.4:9:5", "- EXPOSE [5/tcp 443/udp 70/tcp 71/tcp 80/tcp]"),
        ("VOLUME /a /b", "- VOLUME [/a /b]"),
        ('VOLUME ["/a b"]', "- VOLUME [/a b]"),
        ("STOPSIGNAL SIGTERM", "- STOPSIGNAL SIGTERM"),
        ('SHELL ["/bin/bash", "-c"]', "- SHELL [/bin/bash -c]"),
        ("CMD echo hi", '- CMD ["/bin/sh" "-c" "echo hi"]'),
        ('CMD ["a", "b\\"c"]', '- CMD ["a" "b\\"c"]'),
        ("CMD []", "- CMD []"),
        ('ENTRYPOINT ["/x"]', '- ENTRYPOINT ["/x"]'),
        ("MAINTAINER some one", "- MAINTAINER some one"),
        (
            "HEALTHCHECK --interval=1m30s --retries=3 CMD x",
            "- HEALTHCHECK {Test:[CMD-SHELL x] Interval:1m30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:3}",
        ),
        (
            'HEALTHCHECK CMD ["a", "b"]',
            "- HEALTHCHECK {Test:[CMD a b] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
        ),
        (
            "HEALTHCHECK NONE",
            "- HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
        ),
    ],
)
def test_history_words(lines: str, expected: str) -> None:
    assert history(compiled(f"FROM scratch\n{lines}\n")) == [expected]


def test_onbuild_leaves_no_line_of_history() -> None:
    made = compiled("FROM scratch\nONBUILD RUN echo hi\n")
    assert history(made) == []
    assert config(made).on_build == ("RUN echo hi",)


def test_scratch_has_a_path_and_the_root_as_working_directory() -> None:
    assert config(compiled("FROM scratch\nCMD a\n")) == ImageConfig(
        env=(PATH,), workdir="/", command=("/bin/sh", "-c", "a"), args_escaped=True
    )


def test_env_values_are_expanded_before_any_is_set() -> None:
    made = compiled("FROM scratch\nENV a=1\nENV a=2 b=$a\n")
    assert config(made).env == (PATH, ("a", "2"), ("b", "1"))


def test_arg_values_are_expanded_one_after_the_other() -> None:
    assert history(compiled("FROM scratch\nARG p=1 q=$p\n")) == ["- ARG p=1 q=1"]


def test_an_argument_goes_before_an_earlier_variable_and_leaves_it_in_the_image() -> None:
    made = compiled("FROM scratch\nENV F=e\nARG F=a\nLABEL x=$F\n")
    assert config(made).labels == {"x": "a"}
    assert ("F", "e") in config(made).env


def test_an_argument_without_a_value_leaves_the_variable() -> None:
    assert config(compiled("FROM scratch\nENV F=e\nARG F\nLABEL x=$F\n")).labels == {"x": "e"}


def test_a_later_variable_goes_before_an_argument() -> None:
    made = compiled("FROM scratch\nARG F=a\nENV F=e\nLABEL x=$F\n", args={"F": "given"})
    assert config(made).labels == {"x": "e"}


def test_a_variable_of_the_parent_goes_before_an_argument_of_the_parent() -> None:
    made = compiled("FROM scratch AS one\nENV F=e\nARG F=a\nFROM one\nLABEL x=$F\n")
    assert config(made).labels == {"x": "e"}


def test_arguments_pass_on_through_from() -> None:
    made = compiled("FROM scratch AS one\nARG F=a\nFROM one\nLABEL x=$F\nRUN x\n")
    assert config(made).labels == {"x": "a"}
    assert history(made)[-1] == "RUN |1 F=a /bin/sh -c x # buildkit"


def test_global_arguments_need_a_declaration_in_the_stage() -> None:
    made = compiled("ARG V=1\nFROM scratch\nLABEL a=$V\nARG V\nLABEL b=$V\n")
    assert config(made).labels == {"a": "", "b": "1"}


def test_platform_arguments_need_a_declaration_but_in_from() -> None:
    made = compiled("FROM scratch\nLABEL a=$TARGETARCH\nARG TARGETARCH\nLABEL b=$TARGETARCH\n")
    assert config(made).labels == {"a": "", "b": "amd64"}


def test_the_shell_of_the_image_is_used_by_later_commands() -> None:
    made = compiled('FROM scratch\nSHELL ["/x", "-y"]\nCMD a b\nENTRYPOINT c\n')
    assert config(made).command == ("/x", "-y", "a b")
    assert config(made).entrypoint == ("/x", "-y", "c")
    assert config(made).shell == ("/x", "-y")


def test_a_base_is_inherited() -> None:
    made = config(compiled("FROM base\nLABEL a=b\n"))
    assert made.env == (("PATH", "/bin:/sbin"), ("BASE", "yes"))
    assert (made.workdir, made.entrypoint, made.command) == ("/srv", ("/base-entry",), ("base-cmd",))
    assert made.labels == {"from": "base", "a": "b"}


def test_entrypoint_takes_an_inherited_command_away() -> None:
    assert config(compiled("FROM base\nENTRYPOINT x\n")).command is None
    assert config(compiled("FROM base AS a\nCMD b\nFROM a\nENTRYPOINT x\n")).command is None


@pytest.mark.parametrize("lines", ["CMD c\nENTRYPOINT e", "ENTRYPOINT e\nCMD c"])
def test_a_command_of_the_same_stage_stays(lines: str) -> None:
    assert config(compiled(f"FROM base\n{lines}\n")).command == ("/bin/sh", "-c", "c")


def test_an_empty_entrypoint_takes_the_base_s_away() -> None:
    made = config(compiled("FROM base\nENTRYPOINT []\n"))
    assert (made.entrypoint, made.command) == (None, None)


def test_expose_takes_several_ports_out_of_one_variable() -> None:
    made = config(compiled("FROM scratch\nENV P='80 81/udp'\nEXPOSE $P 127.0.0.1:90:91\n"))
    assert set(made.expose) == {"80/tcp", "81/udp", "91/tcp"}


def test_workdir_is_relative_to_the_one_before() -> None:
    made = compiled("FROM base\nWORKDIR a\nWORKDIR ../b\n")
    assert config(made).workdir == "/srv/b"
    assert history(made) == ["WORKDIR /srv/a", "WORKDIR /srv/b"]


def test_triggers_of_a_base_image_are_fired_and_forgotten() -> None:
    images = {"docker.io/library/t:latest": ImageConfig(on_build=("ENV T=1", "RUN t"))}
    made = compiled("FROM t\nENV O=2\n", images=images)
    assert history(made) == ["- ENV T=1", "RUN /bin/sh -c t # buildkit", "- ENV O=2"]
    assert config(made).on_build == ()


def test_triggers_of_a_stage_are_fired_by_the_stage_above_it_alone() -> None:
    made = compiled("FROM scratch AS a\nONBUILD ENV T=1\nFROM a AS b\nFROM b\n")
    assert history(made) == ["- ENV T=1"]
    assert config(made).on_build == ()


def test_maintainer_is_the_author() -> None:
    assert config(compiled("FROM scratch\nMAINTAINER me <m@e>\n")).author == "me <m@e>"


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        ("STOPSIGNAL FOO", 2),
        ("VOLUME $EMPTY", 2),
        ("EXPOSE 80/nope", 2),
        ("LABEL a=${b:?must}", 2),
        ("USER ${a", 2),
        ("\nENV a=${x!y}", 3),
    ],
)
def test_wrong_values_are_refused_where_they_stand(lines: str, line: int) -> None:
    (fault,) = faults(f"FROM scratch\n{lines}\n")
    assert fault.span is not None
    assert fault.span.line == line
