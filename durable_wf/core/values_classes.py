"""Classes of users: which ones a value may contain, and how their instances become JSON.

Owns: `Classes`, found by walking the annotations of a task's function through generics and
fields; the exact taking apart and putting together of enums, attrs classes, dataclasses and
named tuples.
Must never: import a class by a stored name, or run a user's `__init__`, converter or validator:
an instance is rebuilt from its fields as they were.
Read next: `values_forms.py`, which knows every other type.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

_UNSET = object()
_CACHED_HASH = "_attrs_cached_hash"
"""Where the `__hash__` that attrs writes for `cache_hash=True` keeps its answer, None at first."""

_BESIDE_FIELDS = frozenset({"__weakref__", "__dict__", "__orig_class__", _CACHED_HASH})
"""State of an instance that is no field and no part of its value."""


class Refused(Exception):
    """Internal: a part of a value cannot be stored; becomes NotStorable with the path to it."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.hint = hint


class Classes:
    """The classes that values of one function may contain, by the name they are stored under.

    The name is the qualified name; where two classes share it, the module stands before it.
    Annotations are looked at when the first instance of a class is met, not before: plain values
    never pay for it. Where `known` is given they are not looked at at all: `function`, if that is
    given, too, has left behind what they mention.
    """

    __slots__ = ("_by_name", "_function", "_known", "_names", "_problems")

    def __init__(
        self, function: Callable[..., Any] | None = None, known: Iterable[type] | None = None
    ) -> None:
        self._function = function
        self._known = None if known is None else tuple(known)
        self._by_name: dict[str, type] | None = None
        self._names: dict[type, str] = {}
        self._problems: tuple[str, ...] = ()

    def all(self) -> tuple[type, ...]:
        """Every class, in the order in which the annotations name them."""
        self._look()
        return tuple(self._names)

    def name_of(self, kind: type) -> str | None:
        """The name under which instances of `kind` are stored, or None: not annotated."""
        self._look()
        return self._names.get(kind)

    def find(self, name: str) -> type | None:
        """The class stored as `name`, or None."""
        return self._look().get(name)

    @property
    def problems(self) -> tuple[str, ...]:
        """Annotations that could not be resolved, as text."""
        self._look()
        return self._problems

    def advice(self, kind: type) -> str:
        """What to write so that instances of `kind`, which is not annotated, can be stored."""
        self._look()
        name = _spoken(kind)
        if above := next((base for base in kind.__mro__ if base in self._names), None):
            return f"name it beside its base class, for example `-> {_spoken(above)} | {name}`"
        if getattr(_innermost(self._function), "__name__", "") == "<lambda>":
            return (
                f"a lambda cannot be annotated: write a function with `def` and `-> {name}`, "
                'or give the task codec="pickle"'
            )
        return f"annotate the function, for example `-> {name}` or `-> list[{name}]`"

    def _look(self) -> dict[str, type]:
        if self._by_name is None:
            walk = _Walk()
            for kind in self._known or ():
                walk.found.setdefault(kind)
            if self._known is None and self._function is not None:
                walk.function(self._function)
            taken: dict[str, list[type]] = {}
            for kind in walk.found:
                taken.setdefault(kind.__qualname__, []).append(kind)
            for name, kinds in taken.items():
                for kind in kinds:
                    alone = len(kinds) == 1
                    self._names[kind] = name if alone else f"{kind.__module__}:{name}"
            self._problems = tuple(walk.problems)
            self._by_name = {name: kind for kind, name in self._names.items()}
        return self._by_name


NO_CLASSES = Classes()


def classes_of(function: Callable[..., Any]) -> Classes:
    """The classes that the annotations of `function` name: its return type and parameters,
    through generics, and the fields of those classes, recursively.
    """
    return Classes(function)


# --- walking annotations ------------------------------------------------------------------------


class _Walk:
    def __init__(self) -> None:
        self.found: dict[type, None] = {}
        self.problems: list[str] = []
        self._seen: set[int] = set()
        self._kept: list[Any] = []
        """what `_seen` knows by id stays alive, so that no id is used twice"""

    def function(self, function: Any) -> None:
        function = _innermost(function)
        if isinstance(function, type):
            self.hint(function)
            function = function.__init__  # type: ignore[misc]
        elif not hasattr(function, "__annotations__"):
            function = getattr(type(function), "__call__", None)  # noqa: B004 - its annotations
        closed = getattr(function, "__closure__", None) or ()
        names = function.__code__.co_freevars if closed else ()
        near = {name: _content(cell) for name, cell in zip(names, closed, strict=False)}
        hints = self._hints(function, getattr(function, "__globals__", {}), near)
        if "return" in hints:
            self.hint(hints.pop("return"))
        for hint in hints.values():
            self.hint(hint)

    def hint(self, hint: Any) -> None:
        """Walk one annotation, iteratively: types may name each other in circles."""
        stack = [hint]
        while stack:
            hint = stack.pop()
            if id(hint) in self._seen or hint is None:
                continue
            self._seen.add(id(hint))
            self._kept.append(hint)
            inner: list[Any] = []
            if typing.get_origin(hint) is None and isinstance(hint, type):
                inner += self._class(hint)
            elif isinstance(hint, list | tuple):
                inner += hint
            elif isinstance(hint, enum.Enum):
                inner.append(type(hint))
            elif isinstance(hint, typing.TypeVar):
                inner += [hint.__bound__, *hint.__constraints__]
            else:
                inner += [typing.get_origin(hint), *typing.get_args(hint)]
                inner += [getattr(hint, "__supertype__", None), getattr(hint, "__value__", None)]
            stack.extend(reversed(inner))

    def _class(self, kind: type) -> Iterator[Any]:
        if is_storable_class(kind):
            self.found.setdefault(kind)
        elif not typing.is_typeddict(kind):
            return
        if issubclass(kind, enum.Enum):
            return
        yield from self._hints(kind, None, {}).values()

    def _hints(self, owner: Any, scope: dict[str, Any] | None, near: Mapping[str, Any]) -> Any:
        try:
            return typing.get_type_hints(owner, scope, dict(near) or None, include_extras=True)
        except Exception:  # noqa: BLE001 - annotations may be anything; each is tried alone below
            return self._one_by_one(owner, scope, near)

    def _one_by_one(
        self, owner: Any, scope: dict[str, Any] | None, near: Mapping[str, Any]
    ) -> dict[str, Any]:
        hints: dict[str, Any] = {}
        for part in reversed(owner.__mro__) if isinstance(owner, type) else (owner,):
            for name, annotation in _annotations(part).items():
                alone = types.new_class(part.__name__ if isinstance(part, type) else "_")
                alone.__annotations__ = {name: annotation}
                alone.__module__ = part.__module__
                try:
                    hints |= typing.get_type_hints(alone, scope, dict(near), include_extras=True)
                except Exception:  # noqa: BLE001 - told to the user when a value needs it
                    self.problems.append(f"{name}: {annotation}")
        return hints


def _innermost(function: Any) -> Any:
    """What is behind partials, methods and wrappers."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return function


def _spoken(kind: type) -> str:
    """The name of a class as an annotation says it."""
    return kind.__qualname__.rpartition("<locals>.")[2]


def _annotations(owner: Any) -> dict[str, Any]:
    try:
        found = vars(owner).get("__annotations__") or getattr(owner, "__annotations__", None)
    except Exception:  # noqa: BLE001 - lazily evaluated annotations may raise anything
        return {}
    return dict(found) if isinstance(found, dict) else {}


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


# --- instances ----------------------------------------------------------------------------------


def is_storable_class(kind: type) -> bool:
    """Whether `kind` is of a sort whose instances can be taken apart exactly."""
    return not issubclass(kind, BaseException) and (
        issubclass(kind, enum.Enum)
        or "__attrs_attrs__" in vars(kind)
        or ("__dataclass_fields__" in vars(kind))
        or is_named_tuple(kind)
    )


def is_named_tuple(kind: type) -> bool:
    """Whether `kind` is a named tuple class."""
    return issubclass(kind, tuple) and isinstance(getattr(kind, "_fields", None), tuple)


def field_names(kind: type) -> tuple[str, ...]:
    """The fields of an attrs class or dataclass, in order."""
    if "__attrs_attrs__" in vars(kind):
        return tuple(field.name for field in kind.__attrs_attrs__)  # type: ignore[attr-defined]
    return tuple(field.name for field in dataclasses.fields(kind))


def take_fields(value: Any) -> tuple[dict[str, Any], list[str]]:
    """The fields of an instance, and the names of those never set.

    Raises Refused when the instance holds more than its fields.
    """
    kind = type(value)
    names = field_names(kind)
    fields: dict[str, Any] = {}
    unset: list[str] = []
    for name in names:
        try:
            fields[name] = object.__getattribute__(value, name)
        except AttributeError:
            unset.append(name)
    for extra in _state(value).difference(names, _cached_in_slots(kind)):
        if isinstance(inspect.getattr_static(kind, extra, None), functools.cached_property):
            continue
        raise Refused(
            f"attribute {extra!r} is not a field of {kind.__qualname__}, so it would be lost",
            "declare it as a field, or return what the value is made of",
        )
    return fields, unset


def _state(value: Any) -> set[str]:
    """Names of everything that an instance holds, beside what is no part of its value."""
    found = set(getattr(value, "__dict__", ()))
    for part in type(value).__mro__:
        for name, slot in vars(part).items():
            if type(slot) is types.MemberDescriptorType and name not in _BESIDE_FIELDS:
                try:
                    slot.__get__(value)
                except AttributeError:
                    continue
                found.add(name)
    return found - _BESIDE_FIELDS


def _cached_in_slots(kind: type) -> set[str]:
    """Cached properties of slotted attrs classes, which attrs remembers only in `__getattr__`."""
    found: set[str] = set()
    for part in kind.__mro__:
        getter = vars(part).get("__getattr__")
        if isinstance(getter, types.FunctionType):
            names = inspect.signature(getter).parameters.get("cached_properties")
            if names is not None and isinstance(names.default, dict):
                found |= names.default.keys()
    return found


def put_together(kind: type, fields: Mapping[str, Any], unset: Iterable[str]) -> Any:
    """An instance with exactly these fields, made without its `__init__`.

    Raises ValueError when the class has other fields, TypeError when it extends a built-in type.
    """
    if (names := set(field_names(kind))) != {*fields, *unset}:
        differ = ", ".join(sorted(names.symmetric_difference({*fields, *unset})))
        raise ValueError(f"{kind.__qualname__} has changed since this was stored: {differ}")
    value: Any = object.__new__(kind)
    for name, held in fields.items():
        object.__setattr__(value, name, held)
    if _CACHED_HASH in getattr(getattr(kind.__hash__, "__code__", None), "co_names", ()):
        object.__setattr__(value, _CACHED_HASH, None)  # as the class's own `__init__` does
    return value


def member_token(member: enum.Enum) -> str | int:
    """What an enum member is stored as: its name; for a combination of flags its number."""
    kind = type(member)
    if isinstance(member, enum.Flag):
        number = member.value
        if type(number) is int and kind(number) is member:
            return number
    elif kind.__members__.get(member.name) is member:
        return member.name
    raise Refused(f"{kind.__qualname__} cannot give this member back by its name")


def member_of(kind: type, token: Any) -> enum.Enum:
    """The enum member stored as `token`. Raises ValueError."""
    if not issubclass(kind, enum.Enum):
        raise ValueError(f"{kind.__qualname__} is no longer an enum")  # noqa: TRY004
    if issubclass(kind, enum.Flag) and type(token) is int:
        return kind(token)
    if token not in kind.__members__:
        raise ValueError(f"{kind.__qualname__} has no member {token!r}")
    return kind.__members__[token]
