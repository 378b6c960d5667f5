"""Ours against the standard library's: every class is made by both, and must behave alike."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from buildkit_py import dataclass as ours

T = TypeVar("T")
Kit = Any
"""A module that has `dataclass`, `field` and so on."""


def point(kit: Kit, **options: Any) -> Any:
    @kit.dataclass(slots=True, **{"kw_only": True, **options})
    class Point:
        """A point."""

        unit: ClassVar[str] = "m"
        x: int
        y: int = 2
        names: list[str] = kit.field(default_factory=list)
        note: str = kit.field(default="n", repr=False, compare=False)
        _made: int = kit.field(init=False, default=7)

        def moved(self) -> Any:
            return kit.replace(self, x=self.x + 1)

    return Point


def family(kit: Kit) -> Any:
    @kit.dataclass(frozen=True, slots=True, kw_only=True)
    class Base(Generic[T]):
        a: int = 1

    @kit.dataclass(frozen=True, slots=True, kw_only=True)
    class Child(Base[int]):
        b: str
        a: int = 5

        def __hash__(self) -> int:
            return 3

    return Child


def finished(kit: Kit) -> Any:
    @kit.dataclass(slots=True)
    class Finished:
        a: int
        b: int = kit.field(init=False)

        def __post_init__(self) -> None:
            self.b = self.a * 2

    return Finished


def both(build: Callable[[Kit], Any]) -> list[object]:
    """What `build` says of ours and of the library's, an exception by its kind."""
    said = []
    for kit in (ours, dataclasses):
        try:
            said.append(build(kit))
        except Exception as fault:
            said.append(type(fault).__mro__[1] if isinstance(fault, AttributeError) else type(fault))
    return said


@pytest.mark.parametrize(
    "build",
    [
        lambda kit: repr(point(kit)(x=1)).rpartition("Point")[2],
        lambda kit: point(kit)(x=1) == point(kit)(x=1),
        lambda kit: (lambda cls: cls(x=1) == cls(x=1, note="other"))(point(kit)),
        lambda kit: (lambda cls: cls(x=1) == cls(x=2))(point(kit)),
        lambda kit: point(kit)(x=1).__eq__(1),
        lambda kit: point(kit)(1),
        lambda kit: point(kit)(),
        lambda kit: point(kit)(x=1, z=1),
        lambda kit: point(kit)(x=1, _made=2),
        lambda kit: point(kit, kw_only=False)(1, 3).y,
        lambda kit: point(kit)(x=1)._made,
        lambda kit: (lambda cls: cls(x=1).names is cls(x=1).names)(point(kit)),
        lambda kit: hash(point(kit)(x=1)),
        lambda kit: setattr(point(kit, frozen=True)(x=1), "x", 2),
        lambda kit: delattr(point(kit, frozen=True)(x=1), "x"),
        lambda kit: setattr(point(kit)(x=1), "other", 2),
        lambda kit: point(kit)(x=1).moved().x,
        lambda kit: [item.name for item in kit.fields(point(kit))],
        lambda kit: [item.name for item in dataclasses.fields(point(kit)(x=1))],
        lambda kit: dataclasses.asdict(point(kit)(x=1)),
        lambda kit: dataclasses.replace(point(kit)(x=1), y=9).y,
        lambda kit: list(inspect.signature(point(kit)).parameters),
        lambda kit: (point(kit).__match_args__, point(kit, kw_only=False).__match_args__),
        lambda kit: point(kit).unit,
        lambda kit: sorted(cls for cls in point(kit).__slots__),
        lambda kit: (lambda cls: cls(x=1) < cls(x=2))(point(kit, order=True)),
        lambda kit: (lambda cls: sorted([cls(x=2), cls(x=1)])[0].x)(point(kit, order=True)),
        lambda kit: (lambda value: copy.deepcopy(value) == value)(point(kit, frozen=True)(x=1)),
        lambda kit: family(kit)(b="b").a,
        lambda kit: [item.name for item in kit.fields(family(kit))],
        lambda kit: hash(family(kit)(b="b")),
        lambda kit: finished(kit)(4).b,
        lambda kit: kit.is_dataclass(point(kit)) and not kit.is_dataclass(int),
        lambda kit: kit.replace(finished(kit)(4), b=1),
        lambda kit: point(kit).__doc__,
    ],
)
def test_as_the_library(build: Callable[[Kit], Any]) -> None:
    mine, library = both(build)
    assert mine == library


@ours.dataclass(frozen=True, kw_only=True)
class Kept:
    """Pickled by its name, so at the top of a module."""

    a: int
    b: tuple[int, ...] = ()


def test_values_are_pickled_and_hashed() -> None:
    value = Kept(a=1, b=(2,))
    assert pickle.loads(pickle.dumps(value)) == value
    assert len({value, Kept(a=1, b=(2,)), Kept(a=2)}) == 2


def test_the_library_is_not_loaded() -> None:
    code = "import sys, buildkit_py.graph, buildkit_py.engine; print({'dataclasses', 'inspect'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_values_are_alike_before_and_after_the_methods_are_compiled() -> None:
    @ours.dataclass(frozen=True, slots=True)
    class Value:
        a: int
        b: list[int] = ours.field(default_factory=list)
        c: int = ours.field(init=False, default=3)

    class Named(Value):
        """A class of one's own below a frozen one."""

    for number in range(40):
        value = Value(number, b=[1])
        assert (value.a, value.b, value.c) == (number, [1], 3)
        assert Value(number).b == []
        assert ours.replace(value, a=-1) == Value(-1, [1])
        assert (type(Named(number)), Named(number).a) == (Named, number)
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.a = 1  # type: ignore[misc]
        for wrong in (lambda: Value(), lambda: Value(1, a=1), lambda: Value(1, [], 3), lambda: Value(1, d=1)):  # type: ignore[call-arg, misc]
            with pytest.raises(TypeError):
                wrong()
