"""Which step is which of an earlier build."""

from __future__ import annotations

from typing import Any

from buildkit_py.engine.pairing import Pairing


def build(*titles: str, salt: str = "", first: int = 1, path: str = "Buildfile") -> dict[str, Any]:
    """A record of steps that stand on one another; a title that ends with `'` is another step of the same name."""
    nodes: dict[str, Any] = {}
    for number, title in enumerate(titles):
        name = title.rstrip("'")
        inputs = {"base": number - 1} if number else {}
        kind = name.split()[0]
        nodes[f"sha256:{title}{salt}"] = {
            "title": name, "kind": kind, "inputs": inputs, "at": f"{path}:{first + number}",
        }  # fmt: skip
    return {"id": salt, "nodes": nodes}


def called(pairs: dict[str, str]) -> dict[str, str]:
    return {new.removeprefix("sha256:"): old.removeprefix("sha256:") for new, old in pairs.items()}


def test_a_step_is_found_by_what_it_is_before_anything_else() -> None:
    pairing = Pairing(build("image a", "run b"), build("image a", "run b"))
    assert called(pairing.surely) == {"image a": "image a", "run b": "run b"}
    assert pairing.perhaps == {}


def test_a_step_is_found_by_its_name_where_something_stands_before_it() -> None:
    pairing = Pairing(build("image a", "run x", "run b", salt="2"), build("image a", "run b"))
    assert called(pairing.surely) == {"image a2": "image a", "run b2": "run b"}
    assert pairing.old("sha256:run x2") is None


def test_the_way_to_the_file_does_not_matter() -> None:
    pairing = Pairing(build("image a", salt="2", path="sub/Buildfile"), build("image a", path="Buildfile"))
    assert called(pairing.surely) == {"image a2": "image a"}


def test_an_edited_step_is_the_one_that_stood_there() -> None:
    pairing = Pairing(build("image a", "run x", "run c", salt="2"), build("image a", "run b", "run c"))
    assert called(pairing.perhaps) == {"run x2": "run b"}


def test_two_edited_steps_on_one_another_keep_their_order() -> None:
    pairing = Pairing(build("image a", "run x", "run y", salt="2"), build("image a", "run b", "run c"))
    assert called(pairing.perhaps) == {"run x2": "run b", "run y2": "run c"}


def test_another_kind_of_step_is_another_step() -> None:
    pairing = Pairing(build("image a", "mkdir /x", salt="2"), build("image a", "run b"))
    assert pairing.old("sha256:mkdir /x2") is None


def test_steps_of_one_name_are_told_apart_by_what_they_stand_on() -> None:
    old = build("image a", "run make", "run b", "run make'")
    new = build("image a", "run b", "run make'", salt="2")
    assert called(Pairing(new, old).surely) == {"image a2": "image a", "run b2": "run b", "run make'2": "run make'"}


def test_another_image_on_the_same_line_is_the_base_that_changed() -> None:
    pairing = Pairing(build("image new", "run b", salt="2"), build("image old", "run b"))
    assert called(pairing.perhaps) == {"image new2": "image old"}


def test_a_record_of_an_older_version_has_nothing_to_compare_with() -> None:
    old = {"id": "0", "nodes": {"sha256:1": {"title": "run b", "kind": "run"}}}
    assert Pairing(build("run b"), old).surely == {}
