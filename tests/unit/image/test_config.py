"""Image configurations: from the graph's value to the document and back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildkit_py.errors import IntegrityError
from buildkit_py.graph.resolver import ImageConfig
from buildkit_py.image.config import from_document, to_document
from buildkit_py.oci import parse_config

FULL = ImageConfig(
    env=(("PATH", "/bin"), ("A", "b=c")),
    user="app:33",
    workdir="/srv",
    entrypoint=("python3", "-m", "acme"),
    command=("serve",),
    expose=("53/udp", "8080/tcp"),
    volumes=("/data",),
    labels={"k": "v"},
    stop_signal="SIGINT",
    healthcheck={"test": ["CMD-SHELL", "true"], "interval": 30_000_000_000, "timeout": 1, "retries": 3},
    shell=("/bin/bash", "-c"),
    on_build=("RUN make",),
    stop_timeout=0,
    args_escaped=True,
)


def document(config: object) -> Any:
    plain = {"architecture": "amd64", "os": "linux", "config": config, "rootfs": {"type": "layers", "diff_ids": []}}
    return parse_config(json.dumps(plain).encode())


def test_every_field_has_its_name_and_shape() -> None:
    assert to_document(FULL) == {
        "User": "app:33",
        "ExposedPorts": {"53/udp": {}, "8080/tcp": {}},
        "Env": ["PATH=/bin", "A=b=c"],
        "Entrypoint": ["python3", "-m", "acme"],
        "Cmd": ["serve"],
        "Volumes": {"/data": {}},
        "WorkingDir": "/srv",
        "Labels": {"k": "v"},
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 30_000_000_000, "Timeout": 1, "Retries": 3},
        "Shell": ["/bin/bash", "-c"],
        "OnBuild": ["RUN make"],
        "StopTimeout": 0,
        "ArgsEscaped": True,
    }


def test_there_and_back() -> None:
    assert from_document(document(to_document(FULL))) == FULL
    assert from_document(document(None)) == ImageConfig()
    assert to_document(ImageConfig()) == {}


def test_an_empty_entrypoint_differs_from_none() -> None:
    taken = ImageConfig(entrypoint=(), command=())
    assert to_document(taken) == {"Entrypoint": [], "Cmd": []}
    assert from_document(document({"Entrypoint": [], "Cmd": None})) == ImageConfig(entrypoint=())


def test_a_port_without_protocol_is_tcp() -> None:
    assert to_document(ImageConfig(expose=("80",)))["ExposedPorts"] == {"80/tcp": {}}


def test_unknown_fields_of_a_base_are_passed_over() -> None:
    base = document({"User": "x", "Tty": True, "Healthcheck": {"Test": ["NONE"], "New": 1}})
    assert from_document(base) == ImageConfig(user="x", healthcheck={"test": ["NONE"]})


def test_the_author_stands_beside_the_config() -> None:
    plain = {"os": "linux", "architecture": "amd64", "author": "me", "rootfs": {"type": "layers", "diff_ids": []}}
    assert from_document(parse_config(json.dumps(plain).encode())) == ImageConfig(author="me")
    assert to_document(ImageConfig(author="me")) == {}


@pytest.mark.parametrize("wrong", [{"StopTimeout": "5"}, {"StopTimeout": 2**70}, {"ArgsEscaped": 1}, {"OnBuild": "x"}])
def test_a_malformed_addition_of_docker_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match=next(iter(wrong))):
        document(wrong)


@pytest.mark.parametrize(
    "health", [{"Test": "x"}, {"Test": [1]}, {"Interval": "1s"}, {"Retries": -1}, {"Retries": 1.5}]
)
def test_a_malformed_healthcheck_is_refused(health: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match="Healthcheck"):
        from_document(document({"Healthcheck": health}))


text = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
words = st.none() | st.lists(text, max_size=3).map(tuple)
names = st.lists(text, max_size=3, unique=True).map(lambda items: tuple(sorted(items)))
configs = st.builds(
    ImageConfig,
    env=st.lists(
        st.tuples(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="="), min_size=1), text),
        max_size=3,
    ).map(tuple),
    user=text,
    workdir=text,
    entrypoint=words,
    command=words,
    expose=st.sampled_from([(), ("1/tcp", "2/udp")]),
    volumes=names,
    labels=st.dictionaries(text, text, max_size=3),
    stop_signal=st.none() | text.filter(bool),
    healthcheck=st.none() | st.just({"test": ["NONE"]}),
    shell=words,
    on_build=st.lists(text, max_size=3).map(tuple),
    stop_timeout=st.none() | st.integers(-1, 100),
    args_escaped=st.booleans(),
)


@given(configs)
def test_any_configuration_survives_a_round_trip(config: ImageConfig) -> None:
    assert from_document(document(to_document(config))) == config
