"""Decoding a definition that another program wrote: every type, range and digest is checked before it is used."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from buildkit_py.errors import GraphError
from buildkit_py.graph import codec, op
from buildkit_py.graph.check import check
from buildkit_py.graph.definition import VERSION, Definition, Vertex

MAX_BYTES = 64 * 1024 * 1024

_SpanRow = tuple[str, int, int, int, int]
_DIGEST = r"^sha256:[0-9a-f]{64}$"
_DigestText = Annotated[str, Field(pattern=_DIGEST)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Vertex(_Document):
    digest: _DigestText
    op: Annotated[op.Op, Field(discriminator="type")]
    inputs: dict[str, _DigestText]


class _Layer(_Document):
    name: str
    tip: _DigestText


class _Config(_Document):
    env: tuple[tuple[str, str], ...] = ()
    user: str = ""
    workdir: str = ""
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    expose: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    stop_signal: str | None = None
    healthcheck: dict[str, str | int | list[str]] | None = None
    shell: tuple[str, ...] | None = None
    on_build: tuple[str, ...] = ()
    stop_timeout: int | None = None
    args_escaped: bool = False
    author: str = ""


class _TestItem(_Document):
    kind: Literal["run", "file", "absent", "owner", "mode", "text"]
    vertex: _DigestText | None = None
    path: str | None = None
    expected: str | None = None


class _Test(_Document):
    name: str
    items: list[_TestItem]


class _Output(_Document):
    kind: Literal["archive", "layout", "docker", "registry", "rootfs", "store"]
    value: str


class _HistoryLine(_Document):
    text: str
    comment: str = ""
    empty: bool = False


class _Warning(_Document):
    message: str
    severity: Literal["error", "warning", "note"]
    label: str | None = None
    hint: str | None = None
    rule: str | None = None
    span: _SpanRow | None = None
    notes: list[tuple[str, _SpanRow]] = []


class _Target(_Document):
    name: str
    platform: str
    base: _DigestText
    layers: list[_Layer] = []
    config: _Config = _Config()
    annotations: dict[str, str] = {}
    tests: list[_Test] = []
    outputs: list[_Output] = []
    history: list[_HistoryLine] = []


class DefinitionDocument(_Document):
    """The JSON form of a definition; `spec/graph.schema.json` is made from this class."""

    version: Literal[1]
    vertices: list[_Vertex]
    targets: list[_Target]
    secrets: dict[str, str] = {}
    spans: dict[str, _SpanRow] = {}
    fresh: list[_DigestText] = []
    warnings: list[_Warning] = []
    hints: dict[_DigestText, str] = {}


_ADAPTER = TypeAdapter(DefinitionDocument)


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the encoding."""
    made = _ADAPTER.json_schema(ref_template="#/$defs/{model}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def decode(data: bytes) -> Definition:
    """Decode and check a definition; raises `GraphError` and nothing else on bad input."""
    if len(data) > MAX_BYTES:
        raise GraphError(f"a graph may have {MAX_BYTES} bytes, this one has {len(data)}")
    try:
        plain = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise GraphError(f"the graph is not JSON: {error}") from None
    if isinstance(plain, dict) and plain.get("version", VERSION) != VERSION:
        raise GraphError(f"the graph has version {plain['version']!r}, this pybuild reads version {VERSION}")
    try:
        _ADAPTER.validate_json(data, strict=True)
        definition = codec.decode_definition(plain)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "/".join(str(part) for part in first["loc"])
        raise GraphError(f"the graph is malformed at {place}: {first['msg']}") from None
    except LookupError as error:
        raise GraphError(f"the graph is malformed: {error} is missing") from None
    except (RecursionError, TypeError, ValueError) as error:
        raise GraphError(f"the graph is malformed: {error}") from None
    _check_digests(plain, definition)
    check(definition)
    return definition


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of two fields with one name, readers need not take the same."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has two fields with one name")
    return found


def _check_digests(plain: dict[str, Any], definition: Definition) -> None:
    if len(definition.vertices) != len(plain["vertices"]):
        raise GraphError("the graph holds a vertex twice")
    for vertex in definition.vertices.values():
        real = Vertex.of(vertex.op, vertex.inputs).digest
        if real != vertex.digest:
            raise GraphError(f"a vertex calls itself {vertex.digest}, but its content is {real}")
