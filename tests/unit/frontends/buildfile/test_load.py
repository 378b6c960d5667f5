"""The frontend's public functions: what they are given, what they give back, and what they ask of the world."""

import subprocess
import sys
from pathlib import Path

import pytest

from buildkit_py.errors import RegistryError, SourceError
from buildkit_py.graph import Copy, Definition, Host, LocalSource, Run
from buildkit_py.graph.resolver import ResolvedImage, StaticResolver
from buildkit_py.platform import Platform
from frontends.buildfile import check, imports, load, outline

AMD, ARM = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")
TWO = """buildfile 1
param version: string = "1"   # to ship
param words: list = ["x"]
param jobs: int = 2
param debug: bool = false
secret token "for the index"
secret other   # a comment helps too
stage build { from scratch; write /v "${version} ${words} ${jobs} ${debug}" }   # compiles
image one { from build; output archive ./out/one.tar }
image two {   # the second
    platforms linux/amd64, linux/arm64
    from scratch
    mkdir /two
    copy ./ to /ctx/
}
"""


def compiled(text: str, **given: object) -> Definition:
    return load(text, **{"file": "Buildfile", "resolver": StaticResolver(), "platforms": [AMD], **given})  # type: ignore[arg-type]


def images(definition: Definition) -> list[str]:
    return [f"{target.name} {target.platform}" for target in definition.targets]


def written(definition: Definition) -> list[str]:
    return [vertex.op.text for vertex in definition.vertices.values() if vertex.op.type == "write"]


def test_images_and_platforms() -> None:
    assert images(compiled(TWO)) == ["one linux/amd64", "two linux/amd64"]
    host = str(Platform.host())
    assert images(compiled(TWO, platforms=[])) == [f"one {host}", "two linux/amd64", "two linux/arm64"]
    assert images(compiled(TWO, platforms=[ARM], targets=["two"])) == ["two linux/arm64"]


def test_a_stage_can_be_a_target() -> None:
    definition = compiled(TWO, targets=["build"])
    assert images(definition) == ["build linux/amd64"]
    assert [layer.name for layer in definition.targets[0].layers] == ["build"]


def test_only_what_is_reachable_is_built() -> None:
    kinds = [vertex.op.type for vertex in compiled(TWO, targets=["two"]).vertices.values()]
    assert "write" not in kinds and "mkdir" in kinds


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({}, "1 x 2 false"),
        ({"version": "9", "words": "a, b,,c", "jobs": "-3", "debug": "true"}, "9 a b c -3 true"),
        ({"words": ["a,b", "c"]}, "1 a,b c 2 false"),
        ({"words": ""}, "1  2 false"),
    ],
)
def test_params(params: dict[str, str | list[str]], text: str) -> None:
    assert written(compiled(TWO, params=params)) == [text]


def test_the_context_hides_the_build_file_lock_and_outputs() -> None:
    definition = compiled(TWO, targets=["two"], hidden=["more.txt", "/elsewhere", "../up"])
    (source,) = [vertex.op for vertex in definition.vertices.values() if isinstance(vertex.op, LocalSource)]
    assert source.hidden == ("Buildfile", "Buildfile.lock", "more.txt", "out/one.tar")


def test_steps_see_the_epoch_and_only_what_they_mention() -> None:
    text = (
        'buildfile 1\nparam a: string = "1"\nparam b: string = "2"\nimage i {\nfrom scratch\nrun echo ${a%x} \\$c\n}\n'
    )
    first, second = (compiled(text, epoch=7, params={"b": value}) for value in ("2", "3"))
    (run,) = [vertex.op for vertex in first.vertices.values() if isinstance(vertex.op, Run)]
    assert dict(run.env)["SOURCE_DATE_EPOCH"] == "7"
    assert dict(run.env)["a"] == "1" and "b" not in dict(run.env)
    assert first.digest == second.digest != compiled(text, epoch=7, params={"a": "4"}).digest


def test_line_ends_and_byte_order_mark_mean_nothing() -> None:
    text = TWO + "image three {\nfrom scratch\nrun {\n  a\n  b\n}\n}\n"
    assert compiled("\ufeff" + text.replace("\n", "\r\n")).digest == compiled(text).digest


def test_a_failing_resolver_is_passed_on_with_the_place() -> None:
    class Refusing(StaticResolver):
        def image(self, ref: str, platform: Platform) -> ResolvedImage:
            raise RegistryError("no")

    with pytest.raises(RegistryError) as caught:
        compiled('buildfile 1\nimage a {\n    from "debian:12"\n}\n', resolver=Refusing())
    assert str(caught.value.span) == "Buildfile:3:10"


def test_every_vertex_has_the_place_it_was_written() -> None:
    definition = compiled(TWO)
    steps = [digest for digest, vertex in definition.vertices.items() if vertex.inputs]
    assert all(definition.spans[digest].file == "Buildfile" for digest in steps)


def test_definition_survives_its_encoding() -> None:
    definition = compiled(TWO)
    assert Definition.from_json(definition.to_json()).digest == definition.digest


def test_outline() -> None:
    found = outline(TWO)
    assert [(item.name, item.type, item.default, item.help) for item in found.params] == [
        ("version", "string", '"1"', "to ship"),
        ("words", "list", '["x"]', ""),
        ("jobs", "int", "2", ""),
        ("debug", "bool", "false", ""),
    ]
    assert [(item.name, item.help) for item in found.secrets] == [
        ("token", "for the index"),
        ("other", "a comment helps too"),
    ]
    assert [(item.name, item.help) for item in (*found.stages, *found.images)] == [
        ("build", "compiles"),
        ("one", ""),
        ("two", "the second"),
    ]


def test_imports() -> None:
    text = "buildfile 1\nimport ./a.build as a\nimport ../b.build as b\nimport ../../c.build as c\n"
    assert imports(text, file="sub/Buildfile") == ["sub/a.build", "b.build"]


def test_check_needs_no_resolver() -> None:
    text = "buildfile 1\nimport ./a.build as a\nimage x {\nfrom a.base\na.anything(1)\nmkdri /x\n}\n"
    assert [item.message for item in check(text)] == ["there is no statement `mkdri`"]
    assert [item.message for item in check(TWO) if item.severity == "error"] == []


def image_with(body: str) -> Definition:
    return compiled(f'buildfile 1\nsecret token "t"\nimage web {{\nfrom scratch\n{body}\n}}\n')


def test_a_range_of_ports_becomes_its_ports() -> None:
    (target,) = image_with("expose 8000-8003, 53/udp, 90-91/udp; unset expose 8001-8002, 90/udp").targets
    assert target.config.expose == ("8000/tcp", "8003/tcp", "53/udp", "91/udp")


def test_grants_belong_to_the_user_of_the_step() -> None:
    grants = "with secret(token), cache(/c), ssh"
    definition = image_with(f"user app:staff\n{grants}\nrun a\n{grants}\nhost b\nuser 7\n{grants}\nrun c")
    owners = {
        vertex.op.args[-1][-1]: [mount.owner for mount in vertex.op.mounts]
        for vertex in definition.vertices.values()
        if isinstance(vertex.op, Run | Host)
    }
    assert owners == {"a": ["app:staff"] * 3, "b": ["0:0"] * 3, "c": ["7"] * 3}


@pytest.mark.parametrize(
    ("written", "mode"), [("", "auto"), ("mode keep", None), ("mode 0640", "0640"), ("mode u+x owner 5", "u+x")]
)
def test_the_mode_of_a_copy(written: str, mode: str | None) -> None:
    definition = image_with(f"copy ./a to /b {written}")
    (op,) = [vertex.op for vertex in definition.vertices.values() if isinstance(vertex.op, Copy)]
    assert (op.mode, op.owner) == (mode, "5" if "owner" in written else "0:0")


UNTIDY = """buildfile 1
param used: string = "1"
param mentioned: string = "1"
param spare: string = "${used}"
secret token "t"
secret other "o"
stage lonely { from scratch; mkdir /a }
def nothing() { mkdir /x }
image web {
    from scratch
    with secret(token), secret(named, env: named)
    run echo $token $mentioned $named $own
    run own=1 token=2 sh -c 'echo $token'
    run --mount=type=cache,target=/c make
}
secret named "n"
"""


def test_warnings() -> None:
    found = check(UNTIDY)
    assert {item.severity for item in found} == {"warning"}
    assert [(item.span.line, item.message) for item in found if item.span] == [
        (4, "nothing uses the param `spare`"),
        (6, "nothing uses the secret `other`"),
        (7, "nothing starts or copies from stage `lonely`"),
        (8, "nothing calls the def `nothing`"),
        (12, "`$token` is no variable here: a secret is a file, unless it is given as a variable"),
        (14, "`run` has no options: `--mount=…` is shell text"),
    ]
    assert found[-1].hint == "write `with cache(/path)` on the line above"
    assert found[-2].hint == "write `with secret(token, env: token)`, or read /run/secrets/token"
    assert compiled(UNTIDY).targets


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ("from scratch; env A = env.NOPE", True),
        ("from base; env A = env.NOPE", True),
        ("from base; env A = env.SET", False),
        ("from base; some(); env A = env.DEFINED", False),
        ("from base; u.unread(); env A = env.NOPE", False),
        ('from "debian:12"; env A = env.NOPE', False),
        ("from scratch; env A = env.PATH", False),
    ],
)
def test_a_variable_that_is_never_set_is_seen_where_the_base_is_known(body: str, known: bool) -> None:
    text = f"""buildfile 1
import ./users.build as u
stage base {{ from scratch; env SET = "1" }}
def some() {{ env DEFINED = "1" }}
image web {{ {body} }}
"""
    faults = [item.message for item in check(text) if item.severity == "error"]
    assert faults == (["no variable `NOPE` is set here"] if known else [])


def test_nothing_is_warned_of_beside_an_error() -> None:
    assert {item.severity for item in check(UNTIDY + "image web { from scratch }\n")} == {"error"}


def test_check_follows_imports_where_it_can() -> None:
    text = "buildfile 1\nimport ./a.build as a\nimage x {\nfrom scratch\na.anything()\n}\n"
    found = check(text, read=lambda path: "buildfile 1\n")
    assert [item.message for item in found] == ["there is no def `anything` in `a`"]


def test_a_repeated_mistake_is_reported_in_full() -> None:
    text = "buildfile 1\nimage a {\nfrom scratch\n" + "mkdri /x\n" * 12 + "}\n"
    with pytest.raises(SourceError) as caught:
        compiled(text)
    assert len(caught.value.diagnostics) == 12


def test_import_is_cheap() -> None:
    heavy = "('lark', 'pydantic', 'rich', 'asyncio')"
    code = f"import sys, frontends.buildfile; print([name for name in {heavy} if name in sys.modules])"
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "body",
    [
        'def a(x: string) { b("${x}${x}") }\ndef b(x: string) { c("${x}${x}") }\ndef c(x: string) { d("${x}${x}") }\n'
        'def d(x: string) { mkdir "/${x}" }\n' + 'image i { from scratch; a("' + "x" * 900_000 + '") }\n',
        "def a() { b(); b(); b(); b(); b(); b(); b(); b(); b(); b() }\n"
        "def b() { c(); c(); c(); c(); c(); c(); c(); c(); c(); c() }\n"
        "def c() { d(); d(); d(); d(); d(); d(); d(); d(); d(); d() }\n"
        "def d() { e(); e(); e(); e(); e(); e(); e(); e(); e(); e() }\n"
        "def e() { mkdir /x; mkdir /y }\nimage i { from scratch; a() }\n",
        "# " + "x" * 1024 * 1024 + "\nimage i { from scratch }\n",
    ],
)
def test_what_grows_too_large_is_refused(body: str) -> None:
    with pytest.raises(SourceError):
        compiled("buildfile 1\n" + body)
