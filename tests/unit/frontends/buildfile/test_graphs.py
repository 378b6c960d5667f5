"""Good Buildfiles and the graph that each gives, as a listing: one vertex a line, then the targets.

`REWRITE_GOLDEN=1 pytest …` writes the listings anew, to be read before they are kept.
"""

import json
import os
from pathlib import Path

import pytest

from buildkit_py.graph import Definition
from buildkit_py.graph.resolver import ImageConfig, ResolvedImage, StaticResolver
from buildkit_py.platform import Platform
from frontends.buildfile import load

FOLDER = Path(__file__).parents[3] / "golden" / "buildfile" / "graphs"
BASE = ImageConfig(
    env=(("PATH", "/bin"), ("SECRET", "x")),
    workdir="/base",
    command=("sh",),
    volumes=("/data",),
    expose=("80/tcp", "81/tcp"),
    labels={"old": "1"},
)
RESOLVER = {
    "images": {"docker.io/library/base:1": ResolvedImage(digest="sha256:" + "b" * 64, config=BASE)},
    "urls": {"https://example.org/tool?x=1": "sha256:" + "c" * 64},
    "commits": {("https://example.org/app.git", "v1.0"): "d" * 40},
}


def listing(definition: Definition) -> str:
    """The graph with short names in place of digests, so that a reader sees what changed."""
    names = {digest: f"v{number}" for number, digest in enumerate(definition.vertices)}
    plain = definition.to_plain(spans=False)
    lines = []
    for vertex in plain["vertices"]:
        inputs = " ".join(f"{role}={names[digest]}" for role, digest in sorted(vertex["inputs"].items()))
        op = dict(vertex["op"])
        lines.append(f"{names[vertex['digest']]} {op.pop('type')} {inputs}".rstrip())
        lines += [f"    {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in op.items()]
    text = json.dumps(plain["targets"], indent=1, ensure_ascii=False)
    for digest, name in names.items():
        text = text.replace(digest, name)
    return "\n".join(lines) + "\n\n" + text + f"\n\nsecrets: {json.dumps(plain.get('secrets', {}))}\n"


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_graph(name: str) -> None:
    case = FOLDER / name
    texts = {str(path.relative_to(case)): path.read_text() for path in case.rglob("*.build")}
    found = listing(
        load(
            (case / "Buildfile").read_text(),
            file="Buildfile",
            resolver=StaticResolver(texts=texts, **RESOLVER),
            platforms=[Platform.parse("linux/amd64")],
        )
    )
    found = found.replace(str(Platform.host()), "HOST") if name == "programs" else found
    if os.environ.get("REWRITE_GOLDEN"):
        (case / "expected.txt").write_text(found)
    assert found == (case / "expected.txt").read_text()
