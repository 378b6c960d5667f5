"""Makes an image of every site in `sites.toml`, without a build file: the graph is built here, pybuild builds it.

    python3 sites.py sites.toml > sites.json
    pybuild build --graph sites.json

It also says on the error stream what the build will fetch, which it can know because the graph is data.
"""

import sys
import tomllib
from pathlib import Path

from buildkit_py.graph import (
    Copy,
    Definition,
    GraphBuilder,
    ImageConfig,
    ImageSource,
    LocalSource,
    Output,
    Test,
    TestItem,
    Write,
)
from buildkit_py.platform import Platform
from buildkit_py.reference import Reference

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def definition(manifest: dict) -> Definition:
    """The graph of all sites: one base, one context, and for each site a layer of its pages."""
    graph = GraphBuilder()
    here = Platform.host()
    server = graph.add(ImageSource(ref=str(Reference.parse(manifest["server"])), platform=str(here)))
    context = graph.add(LocalSource())
    for name, site in manifest["site"].items():
        pages = graph.add(
            Copy(sources=(f"/{site['folder']}/",), dest="/srv/www/", owner="0:0", mode="auto"),
            inputs={"base": server, "from": context},
        )
        tip = graph.add(Write(path="/srv/www/robots.txt", text=robots(site)), base=pages)
        graph.target(
            name,
            platform=here,
            base=server,
            layers=[("pages", tip)],
            config=ImageConfig(
                env=(("PATH", PATH),),
                command=("httpd", "-f", "-p", str(site["port"]), "-h", "/srv/www"),
                expose=(f"{site['port']}/tcp",),
                labels={"org.opencontainers.image.title": site["title"]},
            ),
            tests=[Test(name="has a front page", items=(TestItem(kind="file", path="/srv/www/index.html"),))],
            outputs=[Output(kind="archive", value=f"out/{name}.tar")],
        )
    return graph.build()


def robots(site: dict) -> str:
    """What search engines are told."""
    return f"User-agent: *\n{'Allow' if site.get('public') else 'Disallow'}: /\n"


def fetched(graph: Definition) -> list[str]:
    """What has to come from elsewhere."""
    return [vertex.op.ref for vertex in graph.vertices.values() if isinstance(vertex.op, ImageSource)]


if __name__ == "__main__":
    made = definition(tomllib.loads(Path(sys.argv[1]).read_text()))
    for reference in fetched(made):
        print(f"fetches {reference}", file=sys.stderr)
    print(f"{len(made.targets)} images from {len(made.vertices)} steps", file=sys.stderr)
    print(made.to_json().decode())
