from __future__ import annotations

from pathlib import Path

import pytest

from buildkit_py.errors import UsageError
from buildkit_py.registry.config import RegistryConfig, default_path, load


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "registries.toml").write_text(text)
    return tmp_path / "registries.toml"


def test_nothing_configured() -> None:
    config = load(environ={"HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"})
    (endpoint,) = config.endpoints("docker.io")
    assert (endpoint.host, endpoint.base) == ("docker.io", "https://registry-1.docker.io")


def test_everything(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        [registry."docker.io"]
        mirrors = ["127.0.0.1:5000", "harbor.local/hub"]
        ca = "hub.pem"

        [registry."127.0.0.1:5000"]
        plain_http = true
        """,
    )
    config = load(file)
    first, second, origin = config.endpoints("docker.io")
    assert (first.base, first.repository("library/python")) == ("http://127.0.0.1:5000", "library/python")
    assert (second.base, second.repository("library/python")) == ("https://harbor.local", "hub/library/python")
    assert (first.mirror, second.mirror, origin.mirror) == (True, True, False)
    assert config.origin("docker.io") == origin
    assert config.settings("registry-1.docker.io").ca == tmp_path / "hub.pem"
    assert config.settings("LOCALHOST").mirrors == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[registry", "can't read"),
        ("registry = " + "[" * 100_000, "can't read"),
        ("[registries]", "unknown setting 'registries'"),
        ("registry = 5", "unknown setting"),
        ('registry."docker.io" = 5', "must be a table"),
        ('[registry."https://docker.io"]', "not a registry host"),
        ('[registry."docker.io"]\nmirror = []', "unknown setting 'mirror'"),
        ('[registry."docker.io"]\nmirrors = "a"', "must be a list of strings"),
        ('[registry."docker.io"]\nmirrors = [5]', "a list of strings"),
        ('[registry."docker.io"]\nmirrors = ["http://a"]', "not a mirror"),
        ('[registry."docker.io"]\nmirrors = ["a/"]', "not a mirror"),
        ('[registry."docker.io"]\nmirrors = ["a/../b"]', "not a mirror"),
        ('[registry."docker.io"]\nca = "~nobody-is-called-so/x"', "no such user"),
        ('[registry."docker.io"]\nplain_http = 1', "must be true or false"),
        ('[registry."docker.io"]\nca = 1', "must be a string"),
    ],
)
def test_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load(written(tmp_path, text))


def test_did_you_mean(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(written(tmp_path, '[registry."a.b"]\nplain-http = true'))
    assert caught.value.hint == "did you mean 'plain_http'?"


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such registry configuration"):
        load(environ={"PYBUILD_REGISTRIES": str(tmp_path / "none.toml")})


def test_default_path(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_path({"PYBUILD_REGISTRIES": "/x"}) == Path("/x")
    monkeypatch.setattr("buildkit_py.paths.STARTED_AS_ROOT", True)
    assert default_path({"HOME": "/h"}) == Path("/etc/pybuild/registries.toml")
    monkeypatch.setattr("buildkit_py.paths.STARTED_AS_ROOT", False)
    assert default_path({"HOME": "/h"}) == Path("/h/.config/pybuild/registries.toml")


def test_empty_configuration_has_defaults() -> None:
    assert not RegistryConfig().settings("a").plain_http


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs/registries.md").read_text()
    config = load(written(tmp_path, text.partition("```toml\n")[2].partition("```")[0]))
    assert [endpoint.base for endpoint in config.endpoints("docker.io")] == [
        "http://127.0.0.1:5000",
        "https://harbor.example",
        "https://registry-1.docker.io",
    ]
