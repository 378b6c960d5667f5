"""RUN, COPY, ADD and WORKDIR as vertices: what the graph says of them."""

from __future__ import annotations

import pytest

from buildkit_py.graph import (
    BindMount,
    CacheMount,
    Copy,
    Definition,
    FileMount,
    GitSource,
    HttpSource,
    LocalSource,
    Merge,
    Mkdir,
    Run,
    SecretMount,
    Settings,
    SshMount,
    TmpfsMount,
    Write,
)
from tests.support.dockerfiles import DIGEST, compiled, faults, history, ops


def _run(definition: Definition) -> Run:
    op = ops(definition, "run")[-1]
    assert isinstance(op, Run)
    return op


def _copies(definition: Definition) -> list[Copy]:
    return [op for op in ops(definition, "copy") if isinstance(op, Copy)]


def test_run_goes_through_the_shell_with_the_whole_environment() -> None:
    op = _run(compiled("FROM base\nENV A=1\nARG B=2\nRUN echo $A\n"))
    assert op.args == ("/bin/sh", "-c", "echo $A")
    assert dict(op.env) == {"PATH": "/bin:/sbin", "BASE": "yes", "A": "1", "B": "2"}
    assert (op.cwd, op.user, op.network, op.set_id, op.proxy) == ("/srv", "0", "host", True, True)


def test_run_in_exec_form_has_no_shell() -> None:
    made = compiled('FROM base\nRUN ["a", "b c"]\n')
    assert _run(made).args == ("a", "b c")
    assert history(made) == ["RUN a b c # buildkit"]


def test_history_of_run_shows_declared_arguments_once_with_their_last_values() -> None:
    made = compiled("FROM base\nARG foo=bar\nARG bar=123\nARG foo=bar2\nRUN ls\n")
    assert history(made)[-1] == "RUN |2 foo=bar2 bar=123 /bin/sh -c ls # buildkit"


def test_a_heredoc_is_the_script_itself() -> None:
    made = compiled("FROM base\nRUN <<EOF\necho $A\nEOF\n")
    assert _run(made).args == ("/bin/sh", "-c", "echo $A\n")
    assert history(made) == ["RUN /bin/sh -c echo $A\n # buildkit"]


def test_a_heredoc_with_an_interpreter_is_a_file() -> None:
    op = _run(compiled("FROM base\nRUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF\n"))
    assert op.args == ("/bin/sh", "-c", "/dev/pipes/EOF")
    assert op.mounts == (FileMount(target="/dev/pipes/EOF", text="#!/usr/bin/env python3\nprint(1)\n", mode="0755"),)


def test_a_heredoc_for_a_program_is_left_to_the_shell() -> None:
    op = _run(compiled("FROM base\nRUN cat <<A > /a && cat <<B\none\nA\ntwo\nB\n"))
    assert op.args[2] == "cat <<A > /a && cat <<B\none\nA\ntwo\nB"


def test_tabs_are_taken_out_of_a_chomped_heredoc_that_is_the_script() -> None:
    assert _run(compiled("FROM base\nRUN <<-EOF\n\techo hi\n\tEOF\n")).args[2] == "echo hi\n"


@pytest.mark.parametrize(
    ("flag", "mount"),
    [
        ("type=bind,target=/t", BindMount(target="/t", input="mount0")),
        ("target=t,source=a/b,rw", BindMount(target="/srv/t", input="mount0", source="/a/b", read_only=False)),
        ("type=cache,target=/root/.cache/", CacheMount(target="/root/.cache", id="//root/.cache")),
        (
            "type=cache,id=x,target=/c,sharing=locked,ro,mode=0700,uid=1,gid=2",
            CacheMount(target="/c", id="/x 700 1:2", sharing="locked", read_only=True, mode="0700", owner="1:2"),
        ),
        ("type=tmpfs,target=/t,size=1m", TmpfsMount(target="/t", size=1 << 20)),
        ("type=secret,id=s", SecretMount(id="s", target="/run/secrets/s", required=False)),
        ("type=secret,id=s,env=TOKEN", SecretMount(id="s", env="TOKEN", required=False)),
        (
            "type=secret,target=/x/key,required,mode=0440,uid=3",
            SecretMount(id="key", target="/x/key", mode="0440", owner="3:0"),
        ),
        ("type=ssh", SshMount(target="/run/buildkit/ssh_agent.0", required=False)),
    ],
)
def test_mounts(flag: str, mount: object) -> None:
    assert _run(compiled(f"FROM base\nRUN --mount={flag} x\n")).mounts == (mount,)


def test_mount_values_are_expanded_but_from() -> None:
    made = compiled("FROM base AS one\nFROM base\nARG P=/a\nRUN --mount=from=one,target=$P x\n")
    assert _run(made).mounts == (BindMount(target="/a", input="mount0"),)


def test_a_mount_of_a_later_stage_is_refused() -> None:
    (fault,) = faults("FROM base AS a\nRUN --mount=from=b,target=/x y\nFROM base AS b\n", target="a")
    assert fault.span is not None
    assert fault.span.line == 2


def test_networks_of_run() -> None:
    assert _run(compiled("FROM base\nRUN --network=none x\n")).network == "none"
    assert _run(compiled("FROM base\nRUN x\n", settings=Settings(network="none"))).network == "none"
    (fault,) = faults("FROM base\nRUN --network=host x\n")
    assert "--allow network.host" in (fault.hint or "")
    for settings in (Settings(network="host"), Settings(allow=frozenset({"network.host"}))):
        assert _run(compiled("FROM base\nRUN --network=host x\n", settings=settings)).network == "host"


def test_security_of_run_needs_a_grant() -> None:
    text = "FROM base\nRUN --security=insecure x\n"
    (fault,) = faults(text)
    assert "security.insecure" in (fault.hint or "")
    assert _run(compiled(text, settings=Settings(allow=frozenset({"security.insecure"})))).security == "insecure"


def test_settings_reach_every_process() -> None:
    settings = Settings(hosts=(("db", "10.0.0.1"),), limits=(("nofile", 10, 20),), shm_size=1 << 20)
    op = _run(compiled("FROM base\nRUN x\n", settings=settings))
    assert (op.hosts, op.limits) == ((("db", "10.0.0.1"),), (("nofile", 10, 20),))
    assert op.mounts == (TmpfsMount(target="/dev/shm", size=1 << 20),)


def test_copy_takes_each_source_by_itself_into_one_layer() -> None:
    made = compiled("FROM base\nCOPY a b/ /dst/\n")
    assert [(op.sources, op.dest) for op in _copies(made)] == [(("/a",), "/dst/"), (("/b",), "/dst/")]
    assert history(made) == ["COPY a b/ /dst/ # buildkit"]
    assert len(made.targets[0].layers) == 1


@pytest.mark.parametrize(
    ("written", "dest"),
    [
        ("/x", "/x"),
        ("/x/", "/x/"),
        ("x", "/srv/x"),
        (".", "/srv/"),
        ("./", "/srv/"),
        ("..", "/"),
        ("/", "/"),
        ("x/.", "/srv/x/"),
        ("/a//b/../c/", "/a/c/"),
    ],
)
def test_destinations(written: str, dest: str) -> None:
    assert _copies(compiled(f"FROM base\nCOPY a {written}\n"))[0].dest == dest


def test_sources_can_t_lead_out_of_the_context() -> None:
    assert _copies(compiled("FROM base\nCOPY ../../a /\n"))[0].sources == ("/a",)


def test_copy_flags() -> None:
    made = compiled("FROM base\nARG U=me\nCOPY --chown=$U:g --chmod=0640 --exclude=*.md a /b\n")
    (op,) = _copies(made)
    assert (op.owner, op.mode, op.exclude, op.made) == ("me:g", "0640", ("*.md",), "alike")
    assert history(made)[-1] == "COPY --chown=me:g --chmod=0640 a /b # buildkit"


def test_copy_link_is_made_on_nothing_and_laid_over() -> None:
    made = compiled("FROM base\nCOPY --link a /b\n")
    assert ops(made, "merge") == [Merge()]


def test_copy_link_with_a_mode_is_an_ordinary_copy() -> None:
    assert ops(compiled("FROM base\nCOPY --link --chmod=644 a /b\n"), "merge") == []


@pytest.mark.parametrize(
    ("source", "path"), [("a/b", "/./a/b"), ("a/./b/c", "/a/./b/c"), ("./a", "/./a"), ("/x/./y", "/x/./y")]
)
def test_copy_parents_makes_the_pivot_plain(source: str, path: str) -> None:
    made = compiled(f"FROM base\nCOPY --parents {source} /d/\n")
    assert _copies(made)[0].sources == (path,)
    assert history(made) == [f"COPY --parents {source} /d/ # buildkit"]


def test_copy_from_a_stage_by_name_and_by_number() -> None:
    for name in ("one", "ONE", "0"):
        made = compiled(f"FROM base AS one\nRUN x\nFROM scratch\nCOPY --from={name} /a /b\n")
        assert len(ops(made, "run")) == 1


def test_copy_from_an_image() -> None:
    made = compiled("FROM scratch\nCOPY --from=base /a /b\n")
    assert [op.ref for op in ops(made, "image")] == ["docker.io/library/base:latest"]  # type: ignore[union-attr]


def test_a_heredoc_is_a_file_with_expanded_text() -> None:
    made = compiled("FROM base\nARG A=1\nCOPY <<one <<'two' /d/\n$A \"q\"\none\n$A\ntwo\n")
    assert ops(made, "write") == [Write(path="/one", text='1 "q"\n'), Write(path="/two", text="$A\n")]
    assert history(made)[-1] == "COPY <<one <<two /d/ # buildkit"


def test_context_has_the_ignore_file_of_the_dockerfile_before_the_common_one() -> None:
    texts = {".dockerignore": "a\n", "Dockerfile.dockerignore": "# c\n/b\n!b/c\n"}
    (source,) = ops(compiled("FROM base\nCOPY . /\n", texts=texts), "local")
    assert isinstance(source, LocalSource)
    assert source.ignore == ("b", "!b/c")
    assert source.special


def test_add_of_a_url_is_a_private_file() -> None:
    made = compiled("FROM scratch\nADD https://example.test/a.txt /d/\n")
    assert ops(made, "http") == [
        HttpSource(url="https://example.test/a.txt", filename="a.txt", digest=DIGEST, mode="0600")
    ]
    assert not _copies(made)[0].unpack


def test_add_of_a_local_source_unpacks_archives() -> None:
    assert _copies(compiled("FROM scratch\nADD a.tar /\n"))[0].unpack
    assert not _copies(compiled("FROM scratch\nADD --unpack=false a.tar /\n"))[0].unpack
    assert _copies(compiled("FROM scratch\nADD --unpack https://example.test/a.tar /\n"))[0].unpack


def test_add_of_a_repository() -> None:
    made = compiled("FROM scratch\nADD --keep-git-dir https://example.test/x.git#v1:sub /d\n")
    assert ops(made, "git") == [
        GitSource(url="https://example.test/x.git", commit="b" * 40, subdir="sub", keep_git_dir=True, submodules=True)
    ]


def test_workdir_makes_directories_of_the_user() -> None:
    made = compiled("FROM scratch\nUSER 5\nWORKDIR /a/b\n")
    assert ops(made, "mkdir") == [Mkdir(path="/a/b", owner="5", keep_existing=True, made="alike")]


def test_the_working_directory_of_a_base_is_there_before_a_process_starts() -> None:
    made = compiled("FROM base\nRUN x\n")
    assert ops(made, "mkdir") == [Mkdir(path="/srv", keep_existing=True)]
    assert len(made.targets[0].layers) == 1


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("COPY https://example.test/a /", "ADD"),
        ("COPY --from=9 a /", "stage number 9"),
        ("COPY --from=$X a /", "no variables"),
        ("COPY --chmod=999 a /", "mode"),
        ("COPY --chmod=17777 a /", "mode"),
        ("ADD --checksum=sha256:x a /", "URL"),
        ("RUN --device=vendor.test/x=y z", "devices"),
        ("RUN --mount=target=/ x", "root"),
        ("RUN []", "empty"),
    ],
)
def test_wrong_steps_are_refused(lines: str, words: str) -> None:
    (fault,) = faults(f"FROM base\n{lines}\n")
    assert words in f"{fault.message} {fault.hint}"
    assert fault.span is not None
    assert fault.span.line == 2


def test_several_faults_are_told_at_once() -> None:
    found = faults("FROM base\nSTOPSIGNAL X\nCOPY --from=9 a /\nFROM base AS b\nVOLUME $x\n")
    assert [fault.span.line for fault in found if fault.span] == [2, 3, 5] or len(found) >= 2
