"""An image as the differential tests compare it: configuration, history, and what each layer changes."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.differential.tree import Tree, changes, snapshots

_FIELDS = (
    "User", "Env", "Entrypoint", "Cmd", "WorkingDir", "Labels", "ExposedPorts", "Volumes", "StopSignal",
    "Healthcheck", "OnBuild", "Shell", "ArgsEscaped",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a history."""

    text: str
    empty: bool
    comment: str

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Line:
        """From the configuration's document."""
        return cls(
            text=plain.get("created_by", ""), empty=plain.get("empty_layer", False), comment=plain.get("comment", "")
        )

    def __str__(self) -> str:
        return f"{'- ' if self.empty else '+ '}{self.text}{f' ({self.comment})' if self.comment else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One image. Empty settings are left out of `config`; `trees` is what there is after each layer, the base's too."""

    config: Mapping[str, Any]
    history: Sequence[Line]
    trees: Sequence[Tree]

    @property
    def tree(self) -> Tree:
        """All files of the image."""
        return self.trees[-1] if self.trees else {}

    @property
    def layers(self) -> Sequence[Tree]:
        """What each layer changes."""
        return [changes(before, after) for before, after in zip([{}, *self.trees], self.trees, strict=False)]

    @classmethod
    def of(cls, document: Mapping[str, Any], layers: Sequence[bytes]) -> Record:
        """From an image's configuration document and its layers (tar, perhaps by gzip)."""
        plain = document.get("config") or {}
        config = {name: _sorted(plain[name]) for name in _FIELDS if plain.get(name)}
        if document.get("author"):
            config["Author"] = document["author"]
        lines = [Line.of(line) for line in document.get("history") or []]
        return cls(config=config, history=lines, trees=snapshots(layers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A build that failed, and what was said."""

    message: str


Outcome = Record | Failure


def from_layout(directory: Path) -> Record:
    """The only image of an OCI layout."""
    blobs = directory / "blobs" / "sha256"
    (row,) = json.loads((directory / "index.json").read_bytes())["manifests"]

    def blob(described: Mapping[str, Any]) -> bytes:
        return (blobs / str(described["digest"]).removeprefix("sha256:")).read_bytes()

    manifest = json.loads(blob(row))
    return Record.of(json.loads(blob(manifest["config"])), [blob(layer) for layer in manifest["layers"]])


def from_directory(directory: Path) -> Record:
    """The image in a `dir:` of the containers tools."""

    def blob(described: Mapping[str, Any]) -> bytes:
        return (directory / str(described["digest"]).removeprefix("sha256:")).read_bytes()

    manifest = json.loads((directory / "manifest.json").read_bytes())
    return Record.of(json.loads(blob(manifest["config"])), [blob(layer) for layer in manifest["layers"]])


def from_saved(file: Path) -> Record:
    """The only image of what `docker save` wrote."""
    with tarfile.open(file) as archive:

        def member(name: str) -> bytes:
            found = archive.extractfile(name)
            assert found is not None
            return found.read()

        (row,) = json.loads(member("manifest.json"))
        return Record.of(json.loads(member(row["Config"])), [member(name) for name in row["Layers"] or ()])


def _sorted(value: Any) -> Any:
    return dict(sorted(value.items())) if isinstance(value, Mapping) else value


def flat(outcome: Outcome, *, layers: bool = True) -> dict[str, str]:
    """Everything that is compared, by the name that differences and the table of disagreements use.

    With `layers`, what each one changes and the history; without, only where all of them lead.
    """
    if isinstance(outcome, Failure):
        return {"build": "fails"}
    facts = {"build": "works"}
    facts |= {f"config.{name}": json.dumps(value, ensure_ascii=False) for name, value in outcome.config.items()}
    if not layers:
        return facts | {f"tree{path}": text for path, text in outcome.tree.items()}
    facts |= {f"history.{number}": str(line) for number, line in enumerate(outcome.history)}
    facts["layers"] = str(len(outcome.layers))
    for number, layer in enumerate(outcome.layers):
        facts |= {f"layer.{number}{path}": text for path, text in layer.items()}
    return facts


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What two flat records say otherwise, by fact: ours, theirs; `nothing` where one doesn't have it.

    Where one build failed, there is nothing else to compare.
    """
    names = ["build"] if ours["build"] != theirs["build"] else sorted(ours.keys() | theirs.keys())
    pairs = {name: (ours.get(name, "nothing"), theirs.get(name, "nothing")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
