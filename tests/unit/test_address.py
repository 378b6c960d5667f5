"""Addresses with passwords."""

from __future__ import annotations

import pytest

from buildkit_py.address import refuse_password, shown
from buildkit_py.errors import SourceInputError


@pytest.mark.parametrize(
    ("url", "hidden"),
    [
        ("https://me:secret@host/x", "https://***@host/x"),
        ("https://secret@host/x", "https://***@host/x"),
        ("https://a@b:secret@host/x", "https://***@host/x"),
        ("ssh://git:secret@host/x", "ssh://***@host/x"),
    ],
)
def test_it_is_refused_and_not_shown(url: str, hidden: str) -> None:
    assert shown(url) == hidden
    with pytest.raises(SourceInputError) as caught:
        refuse_password(url)
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://host/x@y", "https://host/x?a=b@c", "ssh://git@host/x", "git@host:x", "https://host/a:b@c"]
)
def test_what_has_none(url: str) -> None:
    refuse_password(url)
