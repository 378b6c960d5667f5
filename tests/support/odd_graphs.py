"""Graphs as an enemy would write them: sound ones that were damaged, and whole ones that make no sense."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from buildkit_py import canonical
from buildkit_py.graph import (
    BindMount,
    CacheMount,
    Chmod,
    Chown,
    Copy,
    FileMount,
    GitSource,
    GraphBuilder,
    HistoryLine,
    Host,
    HttpSource,
    ImageConfig,
    ImageSource,
    LocalSource,
    Merge,
    Mkdir,
    Op,
    Output,
    Remove,
    Run,
    Scratch,
    SecretMount,
    SshMount,
    Symlink,
    Test,
    TestItem,
    TmpfsMount,
    Tool,
    Unpack,
    Write,
)
from buildkit_py.source import Diagnostic, Span

SPAN = Span("Buildfile", 3, 1, 3, 9)
MOUNTS = (
    BindMount(target="/m/bind", input="m", source="/a"),
    CacheMount(target="/m/cache", id="c", input="m", sharing="locked"),
    TmpfsMount(target="/m/tmpfs", size=4096),
    SecretMount(target="/m/secret", id="token", env="TOKEN", required=False),
    SshMount(target="/m/ssh", required=False),
    FileMount(target="/m/file", text="x"),
)
RUN = Run(
    args=("true",), env=(("A", "b"),), mounts=MOUNTS, limits=(("core", 0, -1),), hosts=(("a", "::1"),), user="0:0"
)


def sound() -> dict[str, Any]:
    """A graph that holds every op, every mount and every part of a target, as plain JSON."""
    graph = GraphBuilder()
    base = tip = graph.add(Scratch())
    context = graph.add(LocalSource(special=True, ignore=("*.o",), hidden=("x",)))
    for source in (
        ImageSource(ref="docker.io/library/a:1", platform="linux/amd64", digest=f"sha256:{'0' * 64}"),
        HttpSource(url="https://example.test/x", filename="x", digest=f"sha256:{'0' * 64}"),
        GitSource(url="https://example.test/x.git", commit="0" * 40, subdir="lib", keep_git_dir=True),
        LocalSource(name="other"),
    ):
        tip = graph.add(Copy(sources=("/x",), dest="/y"), inputs={"base": tip, "from": graph.add(source, span=SPAN)})
    for step in (
        Merge(),
        Copy(sources=("/a*",), dest="/", contents="always", exclude=("b",)),
        Unpack(sources=("/a",), dest="/"),
    ):
        tip = graph.add(step, inputs={"base": tip, "from": context}, span=SPAN)
    files = tip
    for step in (*PLAIN, Host(args=("x",), tools=(Tool(name="x"),))):
        tip = graph.add(step, base=tip, span=SPAN)
    tip = graph.add(RUN, inputs={"base": tip, "m": context})
    check = graph.add(Run(args=("true",)), base=tip)
    graph.fresh(tip)
    graph.secret("token", "what it is")
    graph.hint(tip, "a hint")
    graph.warn(Diagnostic(message="beware", span=SPAN, severity="warning", notes=(("here", SPAN),)))
    items = (TestItem(kind="run", vertex=check), TestItem(kind="mode", path="/x", expected="0644", span=SPAN))
    graph.target(
        "app",
        base=base,
        layers=[("files", files), ("rest", tip)],
        tests=[Test(name="t", items=items)],
        outputs=[Output(kind="archive", value="out.tar", span=SPAN), Output(kind="store", value="app:1")],
        history=[HistoryLine(text="COPY"), HistoryLine(text="ENV", empty=True), HistoryLine(text="RUN")],
        config=ImageConfig(
            env=(("A", "b"),), user="1", labels={"a": "b"}, healthcheck={"test": ["CMD", "x"], "retries": 1}
        ),
        annotations={"a": "b"},
        span=SPAN,
    )
    plain: dict[str, Any] = graph.build().to_plain()
    return plain


PLAIN: tuple[Op, ...] = (
    Mkdir(path="/d"),
    Write(path="/f", text="x"),
    Symlink(path="/l", target="/f"),
    Chmod(paths=("/f",), mode="u+x"),
    Chown(paths=("/f",), owner="1:1", recursive=True),
    Remove(paths=("/g*",), missing_ok=True),
)


def resealed(plain: dict[str, Any]) -> bytes:
    """The graph with digests that fit what its vertices have become, so that nothing is refused for them."""
    renamed: dict[str, str] = {}
    text = json.dumps(plain)
    for vertex in plain["vertices"]:
        inputs = {role: renamed.get(old, old) for role, old in vertex["inputs"].items()}
        renamed[vertex["digest"]] = str(canonical.digest({"op": vertex["op"], "inputs": inputs}))
    for old, new in renamed.items():
        text = text.replace(old, new)
    return text.encode()


def damaged(seed: int, count: int) -> Iterator[bytes]:
    """Sound graphs with something wrong: bytes, tokens, values, names and places."""
    dice, base = random.Random(seed), sound()
    whole = json.dumps(base).encode()
    for _ in range(count):
        if dice.random() < 0.3:
            yield _bytes(dice, whole)
            continue
        plain = json.loads(whole)
        for _ in range(dice.choice((1, 1, 1, 2, 4))):
            _value(dice, plain)
        try:
            yield resealed(plain) if dice.random() < 0.8 else json.dumps(plain).encode()
        except (AttributeError, KeyError, TypeError):
            yield json.dumps(plain).encode()


ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 0.5, 1e300, "", "/", "..", "../..", "a", "\0", "\n"),
    *(
        "\ud800",
        "\x1b[31m",
        "x" * 300,
        "/" * 5000,
        "sha256:",
        f"sha256:{'f' * 64}",
        "0:0",
        "99999999999",
        "u+x",
        "9999",
    ),
    *(
        "oci:..",
        "dir:/etc",
        "http://[",
        "linux",
        "base",
        "from",
        "*",
        "[",
        "[]a]",
        "**/",
        "\\",
        "²",
        [],
        {},
        [[]],
        {"": {}},
    ),
)
_TOKENS = (
    b"null",
    b"1e999",
    b"NaN",
    b"-Infinity",
    b'"\\ud800"',
    b"[" * 2000,
    b"{}",
    b",",
    b'"',
    b"\\",
    b"\xff",
    b"\0",
    b"1" * 5000,
)


def _bytes(dice: random.Random, data: bytes) -> bytes:
    at, size = dice.randrange(len(data)), dice.randrange(1, 40)
    piece = dice.choice((b"", dice.choice(_TOKENS), data[at : at + 2 * size], dice.randbytes(size)))
    return data[:at] + piece + data[at + dice.choice((0, 1, size)) :]


def _value(dice: random.Random, plain: Any) -> None:
    """Change one place, anywhere in a JSON value."""
    place = plain
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = dice.choice(list(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or dice.random() < 0.15:
            break
        place = inner
    wild = dice.random()
    if wild < 0.6:
        place[key] = dice.choice(ODD)
    elif wild < 0.75:
        del place[key]
    elif isinstance(place, dict):
        place[dice.choice(("extra", "type", "kind", "", "digest", "input", "platform"))] = place[key]
    else:
        place.insert(dice.randrange(len(place) + 1), dice.choice((inner, *ODD)))


def strange(seed: int, count: int) -> Iterator[bytes]:
    """Graphs that a decoder has to take, or to refuse, and that no frontend would ever write; nothing of them needs a
    process or a network."""
    dice = random.Random(seed)
    for _ in range(count):
        graph = GraphBuilder()
        base = tip = graph.add(Scratch())
        for _ in range(dice.randrange(1, 4)):
            step = _step(dice)
            other = graph.add(_source(dice)) if dice.random() < 0.6 else dice.choice((base, tip))
            inputs = {"base": tip, "from": other} if isinstance(step, Copy | Merge | Unpack) else {"base": tip}
            tip = graph.add(step, inputs=inputs)
        items = [TestItem(kind=dice.choice(("file", "absent")), path=_path(dice))] if dice.random() < 0.3 else []
        graph.target("a", base=base, layers=[("l", tip)], tests=[Test(name="t", items=tuple(items))] if items else [])
        yield graph.build().to_json()


_PATHS = (
    "/",
    "//",
    "/.",
    "/..",
    "/a",
    "/a/",
    "/a/b",
    "/l",
    "/l/x",
    "/l/../..",
    "/f",
    "/f/x",
    "/d",
    "/d/",
    "/*",
    "/[",
    "/\\",
)


def _path(dice: random.Random) -> str:
    return dice.choice(_PATHS)


def _step(dice: random.Random) -> Op:
    path, other = _path(dice), _path(dice)
    owner, mode = (
        dice.choice(("0:0", "5", "nobody", ":7", "4294967294")),
        dice.choice(("0644", "u+x", "=", "7777", "a-rwx")),
    )
    return dice.choice(
        (
            Mkdir(path=path, mode=mode, owner=owner, keep_existing=dice.random() < 0.5),
            Write(path=path, text="\0", mode=mode, owner=owner),
            Symlink(path=path, target=dice.choice(("/", "..", "l", "/l", "/a/b", "x" * 4000)), owner=owner),
            Remove(paths=(path, other), missing_ok=dice.random() < 0.7),
            Chmod(paths=(path,), mode=mode, recursive=dice.random() < 0.5),
            Chown(paths=(path,), owner=owner, recursive=dice.random() < 0.5),
            Copy(sources=(path,), dest=other, mode=dice.choice((None, "auto", mode)), exclude=(other,)),
            Copy(sources=(path, other), dest=other, contents="always", optional=True, parents=True, owner=owner),
            Copy(sources=(path,), dest=other, contents="always", unpack=True, made="alike"),
            Unpack(sources=(path,), dest=other, strip=dice.randrange(3)),
            Merge(),
        )
    )


def _source(dice: random.Random) -> Op:
    url = dice.choice(
        (
            "http://127.0.0.1:1/x",
            "http://[",
            "http://127.0.0.1:x/",
            "http://127.0.0.1:1/ü",
            "http://ü..:1/",
            "ftp://x",
            "x",
        )
    )
    zero = f"sha256:{'0' * 64}"
    return dice.choice(
        (
            LocalSource(special=dice.random() < 0.5, ignore=(_path(dice), f"!{_path(dice)}"), hidden=(_path(dice),)),
            LocalSource(name=dice.choice(("nowhere", "../x"))),
            HttpSource(url=url, filename=dice.choice(("x", " ", "-x")), digest=dice.choice((None, zero))),
            GitSource(url=url, commit="0" * 40, subdir=_path(dice)),
            ImageSource(ref=dice.choice(("oci:nowhere", "dir:.", "oci-archive:f")), platform="linux/amd64"),
        )
    )
