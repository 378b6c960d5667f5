"""Every example of the specification compiles, and every wrong one fails with the message that stands below it."""

import re
from pathlib import Path

import pytest

from buildkit_py.errors import SourceError
from buildkit_py.graph.resolver import StaticResolver
from buildkit_py.source import render
from frontends.buildfile import load

SPEC = (Path(__file__).parents[4] / "spec" / "buildfile.md").read_text()
BLOCK = re.compile(r"^```([a-z-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
USERS = 'buildfile 1\ndef add(name: string, uid: int) { write /etc/passwd "${name}:x:${uid}:${uid}::/:/bin/sh\\n" }\n'
PRELUDE = """buildfile 1
param version: string = "1.0"
param variant: "slim" | "debug" = "debug"
image example {
from scratch
"""
RESOLVER = StaticResolver(
    texts={"lib/users.build": USERS},
    urls={"https://example.org/tool": "sha256:" + "a" * 64},
    commits={("https://example.org/app.git", "v1.0"): "b" * 40},
)


def blocks() -> list[tuple[str, str]]:
    return [(match.group(1), match.group(2)) for match in BLOCK.finditer(SPEC)]


def whole(text: str) -> str:
    return text if text.startswith("buildfile 1") else f"{PRELUDE}{text}\n}}\n"


def wrong() -> list[tuple[str, str]]:
    found = blocks()
    return [(text, found[index + 1][1]) for index, (tag, text) in enumerate(found) if tag == "buildfile-error"]


@pytest.mark.parametrize("text", [text for tag, text in blocks() if tag == "buildfile"])
def test_example_compiles(text: str) -> None:
    definition = load(whole(text), file="Buildfile", resolver=RESOLVER)
    assert definition.targets


@pytest.mark.parametrize(("text", "message"), wrong())
def test_wrong_example_fails(text: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        load(whole(text), file="Buildfile", resolver=RESOLVER)
    rendered = render(caught.value.diagnostics, {"Buildfile": whole(text)})
    assert [line for line in message.splitlines() if line not in rendered] == []


def test_the_page_has_examples() -> None:
    tags = [tag for tag, _ in blocks()]
    assert tags.count("buildfile") >= 10
    assert tags.count("buildfile-error") >= 2
