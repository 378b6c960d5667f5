from __future__ import annotations

import pytest

from buildkit_py.cli.template import fill
from buildkit_py.errors import UsageError

DOCUMENT = {"name": "web", "digest": "sha256:1", "media_type": "x/y", "size": 3, "images": [{"digest": "sha256:2"}]}
IMAGE = {"digest": "sha256:2", "config": {"Env": ["A=1"], "Labels": {"org.x": "y"}, "User": None}, "layers": []}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Digest}}", "sha256:1"),
        ("{{ .digest }} {{.MediaType}} {{.media_type}}", "sha256:1 x/y x/y"),
        ("{{.Size}}", "3"),
        ("{{json .Digest}}", '"sha256:1"'),
        ("{{.Config.Env}}", '["A=1"]'),
        ("{{.Config.Env.0}}", "A=1"),
        ("{{.Images.0.Digest}}", "sha256:2"),
        ('{{.Config.Labels."org.x"}}', "y"),
        ("{{.Config.User}}", "null"),
        ("{{json .Layers}}", "[]"),
        (r"{{.Name}}\t{{.Size}}\n", "web\t3\n"),
        ("plain", "plain"),
        (
            "{{json .}}",
            '{"name": "web", "digest": "sha256:1", "media_type": "x/y", "size": 3, "images": [{"digest": "sha256:2"}]}',
        ),
    ],
)
def test_fields(template: str, text: str) -> None:
    assert fill(template, DOCUMENT, IMAGE) == text


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{range .Layers}}", "can't read the template"),
        ("{{.Digest}", "can't read the template"),
        ("}}", "can't read the template"),
        ("{{Digest}}", "can't read the template"),
        ("{{.Nothing}}", "no field 'Nothing'"),
        ("{{.Config.Nothing}}", "no field 'Config.Nothing'"),
        ("{{.Images.7}}", "no field 'Images.7'"),
    ],
)
def test_mistakes(template: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fill(template, DOCUMENT, IMAGE)


def test_what_stands_in_an_image_is_no_template() -> None:
    assert fill("{{.Name}}", {"name": "{{.Digest}}\\n"}) == "{{.Digest}}\\n"
