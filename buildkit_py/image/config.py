"""Between `graph.ImageConfig` and an OCI image configuration: its `config` object, and the `author` beside that.

Keys of a `healthcheck`: `test` (a list that begins with `CMD`, `CMD-SHELL` or `NONE`), `interval`, `timeout`,
`start_period`, `start_interval` (nanoseconds) and `retries`. Healthchecks are Docker's addition, as are `Shell`,
`OnBuild`, `StopTimeout` and `ArgsEscaped`; Docker and Podman read them in OCI images too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buildkit_py.errors import IntegrityError
from buildkit_py.graph.resolver import ImageConfig
from buildkit_py.oci import ImageConfigDoc

_HEALTH = {
    "test": "Test",
    "interval": "Interval",
    "timeout": "Timeout",
    "start_period": "StartPeriod",
    "start_interval": "StartInterval",
    "retries": "Retries",
}


def to_document(config: ImageConfig) -> dict[str, Any]:
    """The `config` object; what is not set is left out, as the specification asks."""
    document: dict[str, Any] = {
        "User": config.user,
        "ExposedPorts": {_port(port): {} for port in config.expose},
        "Env": [f"{name}={value}" for name, value in config.env],
        "Volumes": {path: {} for path in config.volumes},
        "WorkingDir": config.workdir,
        "Labels": dict(config.labels),
        "StopSignal": config.stop_signal,
        "Healthcheck": _health_document(config.healthcheck or {}),
        "OnBuild": list(config.on_build),
        "ArgsEscaped": config.args_escaped,
    }
    document = {name: value for name, value in document.items() if value}
    # An empty list differs from none: it is an entrypoint that was taken away.
    for name, words in (("Entrypoint", config.entrypoint), ("Cmd", config.command), ("Shell", config.shell)):
        if words is not None:
            document[name] = list(words)
    if config.stop_timeout is not None:
        document["StopTimeout"] = config.stop_timeout
    return document


def from_document(document: ImageConfigDoc) -> ImageConfig:
    """The fields that a build can inherit; others, unknown ones too, are passed over.

    Raises `IntegrityError` where a healthcheck is malformed.
    """
    return ImageConfig(
        env=document.env,
        user=document.user,
        workdir=document.workdir,
        entrypoint=document.entrypoint,
        command=document.command,
        expose=document.exposed_ports,
        volumes=document.volumes,
        labels=document.labels,
        stop_signal=document.stop_signal,
        healthcheck=_health(document.healthcheck or {}),
        shell=document.shell,
        on_build=document.on_build,
        stop_timeout=document.stop_timeout,
        args_escaped=document.args_escaped,
        author=document.author or "",
    )


def _port(port: str) -> str:
    return port if "/" in port else f"{port}/tcp"


def _health_document(check: Mapping[str, object]) -> dict[str, object]:
    return {name: check[key] for key, name in _HEALTH.items() if check.get(key)}


def _health(fields: Mapping[str, Any]) -> Mapping[str, object] | None:
    check: dict[str, object] = {}
    for key, name in _HEALTH.items():
        value = fields.get(name)
        if value and not _is_right(key, value):
            raise IntegrityError(f"an image configuration is malformed: 'Healthcheck' has a wrong {name!r}")
        if value:
            check[key] = value
    return check or None


def _is_right(key: str, value: object) -> bool:
    if key == "test":
        return isinstance(value, list) and all(isinstance(word, str) for word in value)
    return type(value) is int and value > 0
