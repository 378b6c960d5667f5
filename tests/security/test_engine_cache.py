"""What a step's key consists of: everything that can change its result, and nothing that an image says of itself."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buildkit_py.dataclass import fields
from buildkit_py.errors import GraphError
from buildkit_py.graph import (
    BindMount,
    CacheMount,
    Copy,
    GitSource,
    GraphBuilder,
    HttpSource,
    ImageConfig,
    LocalSource,
    Merge,
    Op,
    Run,
    Scratch,
    SecretMount,
    SshMount,
    TmpfsMount,
    Tool,
    Unpack,
)
from buildkit_py.graph.op import EXEC_STEPS, FILE_STEPS, MOUNTS
from buildkit_py.layer.stored import git_content_id, http_content_id, image_content_ids
from buildkit_py.solver.key import key_of
from buildkit_py.solver.selection import Selector
from tests.support import layouts
from tests.support.build import Build
from tests.support.graphs import BASE, PATH, sh
from tests.support.hostile import build_dockerfile
from tests.support.layouts import Entry
from tests.support.project import Project

# --- every field


PAIRS = ((), (("a", "1"),), (("a", "2"),), (("b", "1"),), (("a", "1"), ("b", "1")))
VALUES: dict[str, tuple[Any, ...]] = {
    "str": ("/one", "/two"),
    "str | None": (None, "/one", "/two"),
    "int": (0, 1),
    "int | None": (None, 1, 2),
    "bool": (False, True),
    "tuple[str, ...]": (("/one",), ("/two",), ("/one", "/two"), ("/two", "/one")),
    "tuple[tuple[str, str], ...]": PAIRS,
    "tuple[tuple[str, int, int], ...]": ((), (("core", 0, 1),), (("core", 1, 1),), (("core", 0, 2),), (("cpu", 0, 1),)),
    "tuple[Mount, ...]": ((), (TmpfsMount(target="/t"),), (TmpfsMount(target="/u"),), (SshMount(),)),
}
"""By annotation, values each of which must give another key."""
NO_MEANING = {"type", "kind", "tools"}
"""What tells classes apart, and what is in a key by its identity (see below)."""


def values(annotation: str) -> tuple[Any, ...]:
    return tuple(re.findall(r"'([^']*)'", annotation)) if annotation.startswith("Literal[") else VALUES[annotation]


def sample(cls: type[Any], **given: Any) -> Any:
    """One with the first value of every field that has no default."""
    needed = {item.name: values(str(item.type))[0] for item in fields(cls) if repr(item.default) == "MISSING"}
    return cls(**{**needed, **given})


def variants(cls: type[Any], name: str, annotation: str) -> list[Any]:
    return [sample(cls, **{name: value}) for value in values(annotation)]


def meaningful(cls: type[Any], *without: str) -> list[tuple[str, str]]:
    return [(item.name, str(item.type)) for item in fields(cls) if item.name not in {*NO_MEANING, *without}]


def key(op: Op, **given: Any) -> str:
    parts: dict[str, Any] = {"inputs": {"base": "sha256:b"}, "selections": {}, "tools": {}, "epoch": 0, **given}
    return key_of(op, **parts).digest


def differ(keys: Iterable[str]) -> bool:
    found = list(keys)
    return len(found) > 1 and len(set(found)) == len(found)


@pytest.mark.parametrize("cls", [*FILE_STEPS, *EXEC_STEPS], ids=lambda cls: cls.__name__)
def test_a_change_of_any_field_of_a_step(cls: type[Any]) -> None:
    """CVE-2024-24557: no field of any op is left out of a key; a field that comes later is asked for here."""
    for name, annotation in meaningful(cls):
        assert differ(key(each) for each in variants(cls, name, annotation)), name


@pytest.mark.parametrize("cls", MOUNTS, ids=lambda cls: cls.__name__)
def test_a_change_of_any_field_of_a_mount(cls: type[Any]) -> None:
    """CVE-2024-24557: nor one of any mount, beside which others stand or not."""
    other = TmpfsMount(target="/other")
    for name, annotation in meaningful(cls):
        mounts = variants(cls, name, annotation)
        for around in ((), (other,)):
            assert differ(key(Run(args=("x",), mounts=(*around, each))) for each in mounts), name


def test_steps_of_different_kinds() -> None:
    """CVE-2024-24557: what two ops have in common makes them no one step."""
    steps: list[Op] = [sample(cls) for cls in (*FILE_STEPS, *EXEC_STEPS)]
    assert differ(key(each) for each in steps)
    shown = [sample(cls, target="/m") for cls in MOUNTS]
    assert differ(key(Run(args=("x",), mounts=(each,))) for each in shown)


def test_a_change_of_anything_that_a_step_is_given() -> None:
    """CVE-2024-24557: inputs, what is selected of them, tools, the time, and whether a secret was given."""
    secret = replace(sample(Run), mounts=(SecretMount(id="s", env="S", required=False), SshMount(required=False)))
    roles = ("base", "from", "tools", "m")
    for name in ("inputs", "selections", "tools"):
        given = [{}, *({role: digest} for role, digest in itertools.product(roles, ("sha256:1", "sha256:2")))]
        assert differ(key(sample(Run), **{name: each}) for each in given), name
    assert differ(key(secret, given=each) for each in ((), {"secret.s"}, {"ssh.default"}, {"secret.s", "ssh.default"}))
    assert differ(key(sample(Run), epoch=each) for each in (0, 1))
    same = {"x": "sha256:1"}
    assert differ(key(sample(Run), **{"inputs": {}, name: same}) for name in ("inputs", "selections", "tools"))
    assert differ(key(Run(args=("x",), env=((name, "1"),))) for name in ("a", "b", "mounts", "op.args", ""))


def test_a_change_of_any_field_of_a_source() -> None:
    """CVE-2024-24557: a tree is named by what pins it and how it is laid down; only where it came from says nothing."""
    for name, annotation in meaningful(HttpSource, "url"):
        assert differ(http_content_id(each) for each in variants(HttpSource, name, annotation)), name
    for name, annotation in meaningful(GitSource, "url"):
        assert differ(git_content_id(each) for each in variants(GitSource, name, annotation)), name
    layers = (["sha256:1"], ["sha256:2"], ["sha256:1", "sha256:2"], ["sha256:2", "sha256:1"])
    assert differ(image_content_ids(each)[-1] for each in layers)


def test_a_change_of_any_field_of_a_selection() -> None:
    """CVE-2024-24557: what was found to be selected is remembered under all that it was selected by."""
    for name, annotation in meaningful(Selector, "name", "role"):
        made = variants(Selector, name, annotation.replace("Modes", "Literal['all', 'executable', 'none']"))
        assert differ(each.memo_key("sha256:x") for each in made), name
    assert differ(sample(Selector).memo_key(each) for each in ("sha256:x", "sha256:y"))


# --- every input, in a whole build


HERE = ("graph.json", "base")
SHOWN = "cat /m/f /m/a.tar > /dev/null; mkdir /seen; cp /m/f /seen"
TAKING: dict[str, Op] = {
    "copy": Copy(sources=("/f",), dest="/copy/"),
    "copy-tree": Copy(sources=("/",), dest="/tree/"),
    "copy-always": Copy(sources=("/d",), dest="/always", contents="always"),
    "copy-auto": Copy(sources=("/f",), dest="/auto", mode="auto", owner="0:0"),
    "add": Copy(sources=("/a.tar",), dest="/add", contents="always", unpack=True),
    "merge": Merge(),
    "unpack": Unpack(sources=("/a.tar",), dest="/unpack"),
    "bind": sh(f"{SHOWN}/bind", mounts=(BindMount(target="/m", input="from"),)),
    "cache": sh(f"{SHOWN}/cache", mounts=(CacheMount(target="/m", id="c", input="from"),)),
}
"""Every way in which a step takes something of an input, whose files `f`, `d/f` and `a.tar` will change."""


def taken(special: bool) -> bytes:
    graph = GraphBuilder()
    scratch, image = graph.add(Scratch()), graph.add(BASE)
    source = graph.add(LocalSource(special=special, ignore=HERE))
    for name, op in TAKING.items():
        base = image if isinstance(op, Run) else scratch
        tip = graph.add(op, inputs={"base": base, "from": source})
        graph.target(name, base=base, layers=[("l", tip)], config=ImageConfig(env=(PATH,)))
    return graph.build().to_json()


@pytest.mark.parametrize("special", [False, True])
def test_a_change_of_any_input_of_a_step(project: Project, special: bool) -> None:
    """CVE-2024-24557: whatever way a step takes files of the client, it runs again when they change, and not before."""

    def build(text: str) -> tuple[int, dict[str, str]]:
        archive = layouts.layer([Entry(name="inside", data=text.encode())])
        project.write({"graph.json": taken(special), "f": text, "d/f": text, "a.tar": archive})
        result = project.pybuild("build", ".", "--graph", "graph.json", "--progress", "json", cwd=project.directory)
        build = Build.of(result)
        assert result.code == 0, result.output
        return len([title for title in build.ran if not title.startswith("image ")]), build.digests

    count, first = build("one")
    assert count >= len(TAKING)
    assert build("one") == (0, first)
    count, second = build("two")
    assert count >= len(TAKING)
    assert all(first[name] != second[name] for name in TAKING)


@pytest.mark.parametrize("special", [False, True])
def test_a_directory_of_the_client_as_a_base(special: bool) -> None:
    """CVE-2024-24557: a tree that has no name of its own can be no step's base, where it would be in no key."""
    graph = GraphBuilder()
    base, source = graph.add(Scratch()), graph.add(LocalSource(special=special))
    inner = graph.add(Copy(sources=("/x",), dest="/y"), inputs={"base": source, "from": base})
    tip = graph.add(Merge(), inputs={"base": base, "from": inner})
    graph.target("a", base=base, layers=[("l", tip)])
    with pytest.raises(GraphError, match="a directory of the client"):
        graph.build()


# --- images that lie about themselves


def poisoned(layout: Path) -> None:
    """Exchange the topmost layer of an image, and leave everything that it says of itself as it was."""
    index = json.loads((layout / "index.json").read_bytes())
    manifest = json.loads(layouts.blob(layout, index["manifests"][0]["digest"]).read_bytes())
    config = json.loads(layouts.blob(layout, manifest["config"]["digest"]).read_bytes())
    assert "echo good" in config["history"][-1]["created_by"]
    layer = layouts.layer([Entry(name="answer", data=b"evil\n")])
    packed = gzip.compress(layer, 1, mtime=0)
    digest = f"sha256:{hashlib.sha256(packed).hexdigest()}"
    layouts.blob(layout, digest).write_bytes(packed)
    config["rootfs"]["diff_ids"][-1] = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    manifest["layers"][-1] |= {"digest": digest, "size": len(packed)}
    manifest["config"] |= layouts.put_document(layout, config)
    index["manifests"][0] |= layouts.put_document(layout, manifest)
    (layout / "index.json").write_text(json.dumps(index))


def test_a_pulled_image_never_seeds_the_cache(project: Project, tmp_path: Path) -> None:
    """CVE-2024-24557: an image that says that it was made by this very step, over this very base, is not believed."""
    text = "FROM base\nRUN echo good > /answer\n"
    place = tmp_path / "evil"
    honest = build_dockerfile(project, text, "-t", "app:latest", "-o", f"layout:{place}")
    assert honest.code == 0, honest.result.output
    poisoned(place)
    other = Project(pybuild=replace(project.pybuild, store=tmp_path / "other"), directory=project.directory)
    other.pybuild.ok("copy", f"oci:{place}", "store:app")
    lies = build_dockerfile(other, "FROM evil\nRUN cat /answer\n", "--build-context", f"evil=oci-layout://{place}")
    assert lies.printed() == ["evil"], "the image could not even be used"
    built = build_dockerfile(other, f"{text}RUN cat /answer\n")
    assert built.printed() == ["good"], built.result.output
    again = build_dockerfile(other, text, "-t", "app:latest")
    assert again.digest == honest.digest


def test_a_tool_by_what_it_is() -> None:
    """CVE-2024-24557: a program of the machine is in the key by its bytes, so the name of its package says nothing."""
    host = sample(EXEC_STEPS[1])
    assert differ(key(host, tools={"make": each}) for each in ("sha256:1", "sha256:2"))
    named = [replace(host, tools=(Tool(name="make", package=each),)) for each in (None, "make")]
    assert len({key(each, tools={"make": "sha256:1"}) for each in named}) == 1
