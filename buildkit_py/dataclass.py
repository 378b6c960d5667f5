"""`dataclass`, `field`, `fields` and `replace` as the standard library has them, made when they are used.

The library compiles six methods for every class, half a millisecond a class each time pybuild starts, and loads
`inspect`; most of those classes are then not used, or for a few values. Here a class costs one `type()`: comparison,
hash and `repr` are shared, `__init__` and what `replace` calls are compiled once a class has been used often, and what
`dataclasses` wants to know of a class is told when it asks (so `dataclasses.fields`, `asdict` and `replace` work). Type
checkers see the library's own.

What of the library nobody here uses is not there: the options `hash`, `init` and `match_args`, and annotations of
`__init__`.
"""

from __future__ import annotations

from operator import attrgetter, ge, gt, le, lt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
else:
    _FEW = 16
    """Values after which compiling methods for a class is worth its time."""

    MISSING = type("Missing", (), {"__slots__": (), "__repr__": lambda _: "MISSING"})()

    class Field:
        """One field: its name, annotation and defaults, as `dataclasses.Field` calls them."""

        __slots__ = ("compare", "default", "default_factory", "init", "kw_only", "name", "repr", "type")

        def __init__(self, default, default_factory, init, repr, compare):  # noqa: A002
            self.name = self.type = self.kw_only = None
            self.default, self.default_factory, self.init = default, default_factory, init
            self.repr, self.compare = repr, compare

    def field(*, default=MISSING, default_factory=MISSING, init=True, repr=True, compare=True):  # noqa: A002
        """See `dataclasses.field`."""
        return Field(default, default_factory, init, repr, compare)

    def dataclass(*, frozen=False, slots=False, kw_only=False, eq=True, order=False):
        """See `dataclasses.dataclass`."""
        return lambda cls: _made(cls, frozen, slots, kw_only, eq, order)

    def fields(value):
        """The fields of a class or of a value, in order."""
        return tuple(value.__own_fields__.values())

    def is_dataclass(value):
        """Whether `value` is such a class or a value of one."""
        return hasattr(value, "__own_fields__")

    def replace(value, /, **changes):
        """A copy of `value` in which some fields have other values."""
        return value.__own_replace__(**changes)

    class _Late:
        """Something of a class that is made when somebody looks at it, and then takes its own place."""

        __slots__ = ("_made", "_make", "_name")

        def __init__(self, name, make):
            self._name, self._make, self._made = name, make, MISSING

        def __get__(self, value, cls):
            owner = next((each for each in cls.__mro__ if each.__dict__.get(self._name) is self), None)
            # Without an owner another thread has made it meanwhile.
            if owner is not None:
                self._made = self._make(owner)
                setattr(owner, self._name, self._made)
            return self._made if value is None or not hasattr(self._made, "__get__") else self._made.__get__(value, cls)

    def _made(cls, frozen, slots, kw_only, eq, order):
        gathered = _gathered(cls, kw_only)
        names = tuple(gathered)
        space = {name: value for name, value in cls.__dict__.items() if name not in ("__dict__", "__weakref__")}
        for name in names:
            space.pop(name, None)
        if not slots:
            space |= {name: item.default for name, item in gathered.items() if item.default is not MISSING}
        else:
            held = {name for base in cls.__mro__[1:] for name in getattr(base, "__slots__", ())}
            space["__slots__"] = tuple(name for name in names if name not in held)
        space["__own_fields__"] = gathered
        space["__own_options__"] = (frozen, eq, order)
        space["__own_replace__"] = _Late("__own_replace__", _changing)
        space["__match_args__"] = tuple(item.name for item in gathered.values() if item.init and not item.kw_only)
        # What `dataclasses` keeps with a class is taken from a class that it makes of the same fields.
        for name in ("__dataclass_fields__", "__dataclass_params__"):
            space[name] = _Late(name, lambda owner, name=name: getattr(_twin(owner), name))
        if "__init__" not in space:
            space["__init__"] = _Late("__init__", _beginning)
            space["__signature__"] = _Late("__signature__", _signature)
        if "__repr__" not in space:
            space["__repr__"] = _repr
        if eq and "__eq__" not in space:
            space |= _comparison(tuple(name for name in names if gathered[name].compare), frozen, order, space)
        if frozen:
            space |= {
                "__setattr__": _refuse,
                "__delattr__": _refuse,
                "__getstate__": _state,
                "__setstate__": _set_state,
            }
        made = type(cls)(cls.__name__, cls.__bases__, space)
        made.__qualname__ = cls.__qualname__
        return made

    def _gathered(cls, kw_only):
        """The fields of the bases and of the class itself, by name."""
        found = {}
        for base in cls.__mro__[:0:-1]:
            found |= base.__dict__.get("__own_fields__", {})
        for name, annotation in cls.__dict__.get("__annotations__", {}).items():  # noqa: RUF063
            if str(annotation).startswith(("ClassVar", "typing.ClassVar")):
                continue
            item = cls.__dict__.get(name, MISSING)
            if not isinstance(item, Field):
                item = Field(item, MISSING, True, True, True)
            item.name, item.type, item.kw_only = name, annotation, kw_only
            found[name] = item
        return found

    def _comparison(names, frozen, order, space):
        """`__eq__` and `__hash__`, and `__lt__` where values have an order."""
        values = attrgetter(*names) if names else lambda _: ()

        def equal(self, other):
            return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

        def hashed(self):
            return hash(values(self))

        def ordered(compare):
            def method(self, other):
                return compare(values(self), values(other)) if other.__class__ is self.__class__ else NotImplemented

            return method

        methods = {"__eq__": equal, "__hash__": space.get("__hash__") or (hashed if frozen else None)}
        return methods | ({f"__{each.__name__}__": ordered(each) for each in (lt, le, gt, ge)} if order else {})

    def _beginning(cls):
        """An `__init__` for the first values of a class: it costs each a few microseconds, and no compiler is started.

        What it can't make anything of is left to the compiled one, which says what is wrong.
        """
        items = tuple(cls.__own_fields__.values())
        places = tuple(item.name for item in items if item.init and not item.kw_only)
        put = object.__setattr__ if cls.__own_options__[0] else setattr
        follow = getattr(cls, "__post_init__", None)
        left = iter(range(_FEW))

        def begin(self, *args, **named):
            values = {**dict(zip(places, args, strict=False)), **named} if args else named
            if next(left, None) is None or len(args) > len(places) or len(values) != len(args) + len(named):
                return compiled(self, args, named)
            used = 0
            made = []
            for item in items:
                if item.init and item.name in values:
                    used += 1
                    made.append((item.name, values[item.name]))
                elif item.default_factory is not MISSING:
                    made.append((item.name, item.default_factory()))
                elif item.default is not MISSING:
                    made.append((item.name, item.default))
                elif item.init:
                    return compiled(self, args, named)
            if used != len(values):
                return compiled(self, args, named)
            for name, value in made:
                put(self, name, value)
            if follow is not None:
                follow(self)
            return None

        def compiled(self, args, named):
            cls.__init__ = _compiled(cls)
            return cls.__init__(self, *args, **named)

        return begin

    def _signature(cls):
        """What `inspect` shows of a class."""
        import inspect

        signature = inspect.signature(_compiled(cls))
        return signature.replace(parameters=list(signature.parameters.values())[1:])

    def _changing(cls):
        """What `replace` calls for the first values of a class."""
        given = [name for name, item in cls.__own_fields__.items() if item.init]
        known = frozenset(given)
        left = iter(range(_FEW))

        def change(self, /, **changes):
            if next(left, None) is None or not changes.keys() <= known:
                cls.__own_replace__ = _replacing(cls)
                return cls.__own_replace__(self, **changes)
            return self.__class__(**{name: getattr(self, name) for name in given} | changes)

        return change

    def _compiled(cls):
        """The `__init__` of a class."""
        space, parameters, lines, star = {"_MISSING": MISSING, "_set": object.__setattr__}, ["self"], [], False
        frozen, plain = cls.__own_options__[0], []
        bare = frozen and _bare(cls)
        for item in sorted(cls.__own_fields__.values(), key=lambda each: each.kw_only):
            name, value = item.name, item.name
            if item.default_factory is not MISSING:
                space[f"_make_{name}"] = item.default_factory
                value = f"_make_{name}() if {name} is _MISSING else {name}" if item.init else f"_make_{name}()"
            elif item.default is not MISSING:
                space[f"_default_{name}"] = item.default
                value = name if item.init else f"_default_{name}"
            elif not item.init:
                continue
            if item.init:
                if item.kw_only and not star:
                    star = True
                    parameters.append("*")
                preset = "_MISSING" if item.default_factory is not MISSING else f"_default_{name}"
                has = item.default is not MISSING or item.default_factory is not MISSING
                parameters.append(f"{name}={preset}" if has else name)
            lines.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
            plain.append(f" self.{name} = {value}")
        if bare:
            space |= {"_bare": bare, "_own": cls, "_turn": object.__dict__["__class__"].__set__}
            quick = [" _turn(self, _bare)", *plain, " self.__class__ = _own"]
            lines = ["if self.__class__ is _own:", *quick, "else:", *(f" {line}" for line in lines)]
        if hasattr(cls, "__post_init__"):
            lines.append("self.__post_init__()")
        body = "\n ".join(lines or ["pass"])
        exec(f"def __init__({', '.join(parameters)}):\n {body}", space)
        space["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
        return space["__init__"]

    def _bare(cls):
        """A class of the same slots that lets itself be written to, where there is one: while it is made, a frozen
        value is one of these, which takes a third of the time that writing past its own class takes."""
        return bool(cls.__own_fields__) and (
            cls.__bases__ == (object,)
            and "__slots__" in cls.__dict__
            and type("Bare", (), {"__slots__": cls.__slots__})
        )

    def _replacing(cls):
        """What gives a value of a class with some fields changed."""
        given = [name for name, item in cls.__own_fields__.items() if item.init]
        fixed = [name for name, item in cls.__own_fields__.items() if not item.init]
        parameters = ", ".join(["self", *(["*"] if given else []), *(f"{name}=_MISSING" for name in given), "**others"])
        values = ", ".join(f"{name}=self.{name} if {name} is _MISSING else {name}" for name in given)
        space = {"_MISSING": MISSING, "_fixed": frozenset(fixed), "_refuse": _refuse_fixed}
        body = f"if others:\n  _refuse(_fixed, others)\n return self.__class__({values})"
        exec(f"def replace({parameters}):\n {body}", space)
        return space["replace"]

    def _refuse_fixed(fixed, others):
        for name in others:
            if name in fixed:
                raise ValueError(f"{name} is not given to a new value")
            raise TypeError(f"there is no field {name}")

    def _twin(cls):
        """A class of the standard library with the same fields."""
        import dataclasses

        space = {"__annotations__": {}, "__module__": cls.__module__}
        for item in cls.__own_fields__.values():
            space["__annotations__"][item.name] = item.type
            given = {"default": item.default, "default_factory": item.default_factory}
            present = {name: value for name, value in given.items() if value is not MISSING}
            space[item.name] = dataclasses.field(
                **present, init=item.init, repr=item.repr, compare=item.compare, kw_only=item.kw_only
            )
        frozen, eq, order = cls.__own_options__
        return dataclasses.dataclass(frozen=frozen, eq=eq, order=order)(type(cls.__name__, (), space))

    def _repr(self):
        shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in self.__own_fields__.values() if f.repr)
        return f"{type(self).__qualname__}({shown})"

    def _refuse(self, name, *_):
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def _state(self):
        return [getattr(self, name) for name in self.__own_fields__]

    def _set_state(self, state):
        for name, value in zip(self.__own_fields__, state, strict=True):
            object.__setattr__(self, name, value)


__all__ = ["MISSING", "Field", "dataclass", "field", "fields", "is_dataclass", "replace"]
