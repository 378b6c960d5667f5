"""What foreign documents may look like, checked by pydantic. Imported only where foreign bytes are parsed.

The models check and are thrown away: records are made of the JSON value itself. Unknown fields are allowed, as the
specifications demand, unless they differ from a known one only in case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from buildkit_py.digest import Digest
from buildkit_py.errors import IntegrityError

MAX_SIZE = 1 << 44
MAX_ITEMS = 1024


def _digest(text: str) -> str:
    try:
        return str(Digest.parse(text))
    except IntegrityError as error:
        raise ValueError(error.message) from None


DigestText = Annotated[str, AfterValidator(_digest)]
MediaType = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$")
]
Text = Annotated[str, Field(max_length=1 << 20)]
Words = Annotated[list[Text], Field(max_length=10_000)]
Texts = Annotated[dict[str, Text], Field(max_length=10_000)]
Names = Annotated[dict[str, dict[str, Any]], Field(max_length=10_000)]


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _no_lookalikes(cls, value: Any) -> Any:
        known = {field.alias or name for name, field in cls.model_fields.items()}
        folded = {name.lower(): name for name in known}
        for name in value if isinstance(value, dict) else ():
            if name not in known and name.lower() in folded:
                raise ValueError(f"has a field {name[:40]!r}, which is not {folded[name.lower()]!r}")
        return value


class PlatformWire(_Wire):
    """`platform` of a descriptor."""

    architecture: Text = ""
    os: Text = ""
    variant: Text | None = None


class DescriptorWire(_Wire):
    """An OCI content descriptor."""

    media_type: MediaType = Field(alias="mediaType")
    digest: DigestText
    size: int = Field(ge=0, le=MAX_SIZE)
    platform: PlatformWire | None = None
    annotations: Texts | None = None
    artifact_type: Text | None = Field(default=None, alias="artifactType")


class ManifestWire(_Wire):
    """An OCI image manifest, or Docker's of schema 2."""

    schema_version: Literal[2] = Field(alias="schemaVersion")
    config: DescriptorWire
    layers: list[DescriptorWire] = Field(max_length=MAX_ITEMS)
    annotations: Texts | None = None
    artifact_type: Text | None = Field(default=None, alias="artifactType")
    subject: DescriptorWire | None = None


class IndexWire(_Wire):
    """An OCI image index, or Docker's manifest list."""

    schema_version: Literal[2] = Field(alias="schemaVersion")
    manifests: list[DescriptorWire] = Field(max_length=MAX_ITEMS)
    annotations: Texts | None = None


class RootfsWire(_Wire):
    """`rootfs` of a configuration. Artifacts that borrow the configuration's type may lack the diff ids."""

    type: Literal["layers"]
    diff_ids: Annotated[list[DigestText], Field(max_length=MAX_ITEMS)] | None = None


class HistoryWire(_Wire):
    """A line of history."""

    created: Text | None = None
    created_by: Text | None = None
    comment: Text | None = None
    author: Text | None = None
    empty_layer: bool | None = None


class SettingsWire(_Wire):
    """`config` of a configuration: what a container would run. The names are Go's."""

    user: Text | None = Field(default=None, alias="User")
    env: Words | None = Field(default=None, alias="Env")
    entrypoint: Words | None = Field(default=None, alias="Entrypoint")
    cmd: Words | None = Field(default=None, alias="Cmd")
    working_dir: Text | None = Field(default=None, alias="WorkingDir")
    exposed_ports: Names | None = Field(default=None, alias="ExposedPorts")
    volumes: Names | None = Field(default=None, alias="Volumes")
    labels: Texts | None = Field(default=None, alias="Labels")
    stop_signal: Text | None = Field(default=None, alias="StopSignal")
    healthcheck: dict[str, Any] | None = Field(default=None, alias="Healthcheck")
    shell: Words | None = Field(default=None, alias="Shell")
    on_build: Words | None = Field(default=None, alias="OnBuild")
    stop_timeout: int | None = Field(default=None, alias="StopTimeout", ge=-1, lt=1 << 63)
    args_escaped: bool | None = Field(default=None, alias="ArgsEscaped")


class ConfigWire(_Wire):
    """An OCI image configuration, or Docker's."""

    architecture: Text = ""
    os: Text = ""
    variant: Text | None = None
    created: Text | None = None
    author: Text | None = None
    config: SettingsWire | None = None
    rootfs: RootfsWire
    history: Annotated[list[HistoryWire], Field(max_length=10_000)] | None = None


def check(model: type[BaseModel], plain: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    """`plain` itself, if it is a well-formed `model`; raises `IntegrityError` that names the first wrong field."""
    try:
        model.model_validate(plain)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "document"
        raise IntegrityError(f"a {what} is malformed: {place[:100]}: {first['msg'][:200]}") from None
    return plain
