from __future__ import annotations

import pytest

from buildkit_py.errors import UsageError
from buildkit_py.service.order import check_order


def test_an_order() -> None:
    check_order("web", {"db", "log"}, {"db": {"log"}, "log": set(), "other": {"web"}})


@pytest.mark.parametrize(
    ("needs", "others", "circle"),
    [
        ({"web"}, {}, "web after web"),
        ({"db"}, {"db": {"web"}}, "web after db after web"),
        ({"a"}, {"a": {"b"}, "b": {"c"}, "c": {"web", "a"}}, "web after a after b after c after web"),
    ],
)
def test_circles(needs: set[str], others: dict[str, set[str]], circle: str) -> None:
    with pytest.raises(UsageError, match=circle):
        check_order("web", needs, others)


def test_a_circle_of_others_is_not_ours() -> None:
    check_order("web", {"a"}, {"a": {"b"}, "b": {"a"}})
