"""The commands that are killed at every point: what there is before, and what must be true in the end."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support import bases, layouts
from tests.support.layouts import Entry
from tests.support.places import Place
from tests.support.wholeness import layout_flaws, names, objects

BUILDFILE = """buildfile 1

image app {
    from "oci:base"
    layer "one" {
        copy ./data to /data
        run cat /data /data > /twice
    }
    layer "two" {
        run mkdir /d; echo x > /d/x; rm /twice
    }
}
"""
DOCKERFILE = "FROM base\nCOPY data /data\nRUN cat /data /data > /twice\nRUN mkdir /d; echo x > /d/x\n"
_DATA = bytes(range(256)) * 300
Words = tuple[str, ...]


def images(place: Place) -> Any:
    """The digests of the images by name."""
    return names(place.store)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`words` is the command in a place; `told` what its outcome is known by. The exit codes of `again` are fine where
    it is run once more; one whose store is `damaged` is there to mend that."""

    name: str
    prepare: Callable[[Place], None]
    words: Callable[[Place], Words]
    told: Callable[[Place], Any] = images
    again: tuple[int, ...] = (0,)
    damaged: bool = False


def _project(place: Place, build_file: str, text: str) -> None:
    bases.place("tiny", place.project / "base")
    (place.project / "data").write_bytes(_DATA)
    (place.project / build_file).write_text(text)


def _buildfile(place: Place) -> None:
    _project(place, "Buildfile", BUILDFILE)
    place.ok("store", "check")


def _dockerfile(place: Place) -> None:
    _project(place, "Dockerfile", DOCKERFILE)


def _built(place: Place) -> None:
    """The image app:1, and other:1 with a layer of its own."""
    _buildfile(place)
    place.ok("build", "-q", "-t", "app:1", ".")
    (place.project / "Dockerfile").write_text(f"{DOCKERFILE}RUN echo other > /other\n")
    place.ok("build", "-q", "-f", "Dockerfile", "-t", "other:1", *_base(place), ".")


def _saved(place: Place) -> None:
    _built(place)
    place.ok("save", "-q", "-o", place.root / "saved.tar", "app:1", "other:1")
    _empty(place)


def _packed(place: Place) -> None:
    (place.root / "root.tar").write_bytes(layouts.layer([Entry(name="a", data=_DATA), Entry(name="b", data=b"b")]))
    place.ok("store", "check")


def _empty(place: Place) -> None:
    subprocess.run(["rm", "-r", place.store], check=True)
    place.ok("store", "check")


def _remote(place: Place) -> None:
    """An image of two layers in the registry."""
    layers = [layouts.layer([Entry(name=name, data=name.encode() + _DATA)]) for name in ("a", "b")]
    layouts.write_layout(place.root / "layout", layers, {"Cmd": ["sh"]})
    target = f"docker://{place.registry}/kills/two:1"
    command = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{place.root}/layout:latest", target]
    subprocess.run(command, check=True)
    place.ok("store", "check")


def _damaged(place: Place) -> None:
    """A layer with a flipped bit, one that was cut short, and a snapshot without its index. The base is left
    alone: its layer may be missing, as it can be had from where it came from."""
    _built(place)
    _, largest, second, *_ = sorted(place.store.glob("blobs/*/*"), key=lambda path: -path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    os.truncate(second, 100)
    next(iter(sorted(place.store.glob("snapshots/*/index")))).unlink()


def _build(*more: str) -> Words:
    return ("build", "-q", "-t", "app:1", *more, ".")


def _base(place: Place) -> Words:
    return ("--build-context", f"base=oci-layout://{place.project}/base")


def _everything(place: Place) -> Any:
    return images(place), objects(place.store)


def _pruned(place: Place) -> Any:
    """A removal that was cut short after the name was gone leaves bytes to the next prune."""
    place.ok("prune")
    return _everything(place)


def _copied(place: Place) -> Any:
    layout = place.root / "copied"
    assert layout_flaws(layout) == []
    assert list(layout.rglob(".*")) == []
    return names(layout)


def _cached(place: Place) -> Any:
    """The records are named by keys; what they say of when is no part of the outcome."""
    assert layout_flaws(place.root / "cache") == []
    assert list((place.root / "cache").rglob(".*")) == []
    return images(place), sorted(names(place.root / "cache"))


def _pushed(place: Place) -> Any:
    target = f"docker://{place.registry}/kills/{place.root.name}:1"
    command = ["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", target]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def halves(place: Place, case: Case) -> None:
    """Fail where something besides the store is there by half, at whatever point the command was killed."""
    for layout in (place.root / "copied", place.root / "cache"):
        assert layout_flaws(layout) == []
    if case.name == "push":
        target = f"docker://{place.registry}/kills/{place.root.name}:1"
        asked = ["skopeo", "inspect", "--raw", "--tls-verify=false", target]
        found = subprocess.run(asked, capture_output=True, text=True)
        if found.returncode == 0:
            assert json.loads(found.stdout)["layers"], "a tag that is there has its image"
            assert _pushed(place)


CASES = (
    Case(name="build a Buildfile", prepare=_buildfile, words=lambda _: _build()),
    Case(
        name="build a Dockerfile in a new store",
        prepare=_dockerfile,
        words=lambda place: _build(*_base(place)),
    ),
    Case(
        name="build --cache-to",
        prepare=_buildfile,
        words=lambda place: _build("--cache-to", f"type=local,dest={place.root}/cache,mode=max"),
        told=_cached,
    ),
    Case(name="pull", prepare=_remote, words=lambda place: ("pull", "-q", f"{place.registry}/kills/two:1")),
    Case(
        name="copy",
        prepare=_built,
        words=lambda place: ("copy", "-q", "app:1", f"oci:{place.root}/copied:app"),
        told=_copied,
    ),
    Case(
        name="push",
        prepare=_built,
        words=lambda place: ("push", "-q", "app:1", f"{place.registry}/kills/{place.root.name}:1"),
        told=_pushed,
    ),
    Case(name="tag", prepare=_built, words=lambda _: ("tag", "app:1", "app:2", "other:1")),
    Case(name="rmi", prepare=_built, words=lambda _: ("rmi", "app:1"), told=_pruned, again=(0, 16)),
    Case(name="prune", prepare=_built, words=lambda _: ("prune", "--all"), told=_everything),
    Case(name="load", prepare=_saved, words=lambda place: ("load", "-q", "-i", f"{place.root}/saved.tar")),
    Case(name="import", prepare=_packed, words=lambda place: ("import", "-q", f"{place.root}/root.tar", "made:1")),
    Case(
        name="store check --repair",
        prepare=_damaged,
        words=lambda _: ("store", "check", "--repair"),
        told=_everything,
        damaged=True,
    ),
)
"""Every command that commits something."""


def case(name: str) -> Case:
    """The case of that name."""
    return next(each for each in CASES if each.name == name)
