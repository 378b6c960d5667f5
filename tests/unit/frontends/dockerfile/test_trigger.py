"""Triggers from a base image's configuration."""

import pytest

from buildkit_py.errors import SourceError
from buildkit_py.graph import ImageConfig
from buildkit_py.source import Span
from frontends.dockerfile import syntax
from frontends.dockerfile.parser import parse_trigger
from tests.support.dockerfiles import compiled

PLACE = Span("Dockerfile", 3, 1, 3, 5)


def test_every_span_is_that_of_the_from() -> None:
    node = parse_trigger("COPY --from=a b \\\n  c", "Dockerfile", PLACE)
    assert isinstance(node, syntax.Copy) and node.from_ is not None
    assert {node.span, node.head, node.dest.span, node.from_.span} == {PLACE}
    assert node.text == "COPY --from=a b   c"


def test_here_documents() -> None:
    node = parse_trigger("RUN cat <<-A <<B\n\tx\nA\ny\nB", "Dockerfile", PLACE)
    assert isinstance(node, syntax.Run)
    assert [document.text for document in node.heredocs] == ["x\n", "y\n"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FOO bar", "the base image's ONBUILD 'FOO bar' can't be run: there is no instruction FOO"),
        ("", "the base image's ONBUILD '' can't be run: it holds no instruction"),
        ("# x", "the base image's ONBUILD '# x' can't be run: it holds no instruction"),
        ("RUN a\nRUN b", "the base image's ONBUILD 'RUN a' can't be run: it is more than one instruction"),
        ("FROM a", "the base image's ONBUILD 'FROM a' can't be run: it can't be a FROM"),
        ("RUN <<E", "the base image's ONBUILD 'RUN <<E' can't be run: the here-document E does not end"),
    ],
)
def test_faults(text: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_trigger(text, "Dockerfile", PLACE)
    (found,) = caught.value.diagnostics
    assert (found.message, found.span) == (message, PLACE)


def test_too_long() -> None:
    with pytest.raises(SourceError, match="may have"):
        parse_trigger("RUN " + "x" * 2**20, "Dockerfile", PLACE)


@pytest.mark.parametrize("grant", ["--security=insecure", "--network=host"])
def test_a_base_image_asks_in_vain(grant: str) -> None:
    """Whoever made the base has no more to say than the Dockerfile."""
    base = ImageConfig(on_build=(f"RUN {grant} id",))
    with pytest.raises(SourceError, match=f"{grant} is not allowed in this build") as caught:
        compiled("FROM base\n", images={"docker.io/library/base:latest": base})
    (found,) = caught.value.diagnostics
    assert found.span is not None and found.span.line == 1
