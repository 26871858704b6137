"""The forms of values: how each type is written as JSON that gives it back equal, of its own type.

Owns: `Writer` (value -> what json can write) and `Reader` (the way back). Plain JSON stays as it
is; everything else is `{"$": form, "v": ...}`, for classes of users with their name as "c".
Must never: store what it cannot give back; a part that does not fit is refused, with its path.
Read next: `values_standard.py` (types of the standard library), `values_arrays.py` (numpy, Arrow),
`values_classes.py` (classes of users).
"""

from __future__ import annotations

import datetime as dt
import json
import types
from collections.abc import Callable, Iterable
from typing import Any

from durable_wf.core import values_arrays as arrays
from durable_wf.core.text import is_text
from durable_wf.core.values_classes import (
    Classes,
    Refused,
    is_named_tuple,
    is_storable_class,
    member_of,
    member_token,
    put_together,
    take_fields,
)
from durable_wf.core.values_standard import FORMS, READERS, TAG, tagged, write_str

MAX_DEPTH = 200
"""Levels of nesting in the JSON text: far enough from Python's limit of 1,000 calls that a value
that was stored can also be read deep inside a caller's own code."""

MAX_PARTS = 5_000_000
"""Containers in one value; more is a value that contains itself over and over."""

BIG_INT = 1 << 256
"""Integers from here on are stored in hex: Python limits how many decimal digits it reads."""


class Writer:
    """Turns one value into what `json` can write. Used once."""

    __slots__ = ("_active", "_classes", "_depth", "_parts", "own", "path")

    def __init__(self, classes: Classes) -> None:
        self._classes = classes
        self._active: set[int] = set()
        self._depth = 0
        self._parts = 0
        self.path: list[Any] = []
        """the way to the part being written; stays as it was when writing fails"""
        self.own = False
        """whether an instance of a user's class was met"""

    def write(self, value: Any) -> Any:
        """What `json` can write. Raises Refused."""
        kind = type(value)
        if kind is bool or value is None:
            return value
        if kind is str:
            return write_str(value)
        if kind is int:
            return value if -BIG_INT < value < BIG_INT else tagged("int", hex(value))
        if kind is float:
            if value - value == 0.0:
                return value
            return tagged("float", repr(value))
        if kind is list:
            return self._inside(value, 1, self._items)
        if kind is dict:
            if TAG not in value and all(type(key) is str and is_text(key) for key in value):
                return self._inside(value, 1, self._plain)
            return self._inside(value, 3, lambda items: tagged("dict", self._pairs(items)))
        form = FORMS.get(kind)
        if form is not None:
            return tagged(form.tag, form.write(self, value))
        return self._other(kind, value)

    def _inside(self, value: Any, levels: int, write: Callable[[Any], Any]) -> Any:
        """Write a container, watching for circles, depth and endless size."""
        me = id(value)
        if me in self._active:
            raise Refused("it contains itself", "a stored value must be a tree")
        self._depth += levels
        self._parts += 1
        if self._depth > MAX_DEPTH:
            self.path[8:] = ["..."]
            raise _too_deep()
        if self._parts > MAX_PARTS:
            raise too_many()
        self._active.add(me)
        written = write(value)
        self._active.discard(me)
        self._depth -= levels
        return written

    def _items(self, items: Iterable[Any]) -> list[Any]:
        written = []
        path = self.path
        path.append(0)
        for at, item in enumerate(items):
            path[-1] = at
            written.append(self.write(item))
        path.pop()
        return written

    def _plain(self, value: dict[str, Any]) -> dict[str, Any]:
        path = self.path
        path.append("")
        written = {}
        for key, item in value.items():
            path[-1] = key
            written[key] = self.write(item)
        path.pop()
        return written

    def _pairs(self, value: dict[Any, Any]) -> list[Any]:
        path = self.path
        path.append("")
        written = []
        for key, item in value.items():
            path[-1] = key
            written.append([self.write(key), self.write(item)])
        path.pop()
        return written

    def listed(self, value: Iterable[Any]) -> list[Any]:
        """The items of a sequence that is not a list."""
        return self._inside(value, 3, self._items)  # type: ignore[no-any-return]

    def sorted(self, value: Iterable[Any]) -> list[Any]:
        """The items of a set, in an order that depends on nothing but them."""
        return sorted(self.listed(value), key=_text)

    def pairs(self, value: Any) -> list[Any]:
        """The items of a mapping, in order."""
        if getattr(value, "__dict__", None):
            raise Refused("it has attributes of its own, which would be lost", "return a dict")
        return self._inside(value, 4, self._pairs)  # type: ignore[no-any-return]

    def _other(self, kind: type, value: Any) -> Any:
        home = kind.__module__.partition(".")[0]
        if home in arrays.LIBRARIES:
            found = arrays.write(home, value)
            if found is not None:
                form, held = found
                return tagged(form, self.write(held) if form == "scalar" else held)
        if is_storable_class(kind):
            return self._instance(kind, value)
        raise _refusal(kind, value)

    def _instance(self, kind: type, value: Any) -> Any:
        name = self._classes.name_of(kind)
        if name is None:
            raise Refused(*_unnamed(kind, self._classes))
        self.own = True
        return self._inside(value, 3, lambda _: self._taken_apart(kind, name, value))

    def _taken_apart(self, kind: type, name: str, value: Any) -> Any:
        if hasattr(kind, "__members__"):
            return {TAG: "enum", "c": name, "v": member_token(value)}
        if is_named_tuple(kind):
            if getattr(value, "__dict__", None):
                raise Refused("it has attributes beside its fields, which would be lost")
            return {TAG: "named", "c": name, "v": self._items(value)}
        fields, unset = take_fields(value)
        path = self.path
        path.append(Field(""))
        written = []
        for key, item in fields.items():
            path[-1] = Field(key)
            written.append([key, self.write(item)])
        path.pop()
        instance = {TAG: "object", "c": name, "v": written}
        return {**instance, "unset": unset} if unset else instance


class Field(str):
    """A step of a path that is a field of an instance, not a key."""

    __slots__ = ()


def render_path(root: str, path: Iterable[Any]) -> str:
    """A path as people write it: `result["rows"][3].name`."""
    text = root
    for step in path:
        if type(step) is Field:
            text += f".{step}"
        elif step == "..." and type(step) is str:
            text += "..."
        elif type(step) is str:
            text += f"[{json.dumps(step[:40])}]"
        elif type(step) in {int, float, bool}:
            text += f"[{step}]"
        else:
            text += f"[<{type(step).__name__}>]"
    return text


# --- the way back -------------------------------------------------------------------------------


class Reader:
    """Turns parsed JSON back into a value, one object at a time, from the inside out."""

    __slots__ = ("_classes",)

    def __init__(self, classes: Classes) -> None:
        self._classes = classes

    def revive(self, found: dict[str, Any]) -> Any:
        """The value of a JSON object. Raises ValueError and its like when it is damaged."""
        tag = found.get(TAG, _NO_TAG)
        if tag is _NO_TAG:
            return found
        read = _READERS.get(tag) if type(tag) is str else None
        if read is not None and len(found) == 2:
            return read(found["v"])
        if tag in {"enum", "named", "object"}:
            return self._instance(tag, found)
        raise ValueError(f"form {tag!r} is not known")

    def _instance(self, tag: str, found: dict[str, Any]) -> Any:
        kind = self._classes.find(found["c"])
        if kind is None:
            raise ValueError(
                f"class {found['c']!r} is not named by the annotations of the function"
            )
        held = found["v"]
        if tag == "enum":
            return member_of(kind, held)
        if tag == "named":
            if not is_named_tuple(kind) or len(held) != len(kind._fields):  # type: ignore[attr-defined]
                raise ValueError(f"{kind.__qualname__} has changed since this was stored")
            return tuple.__new__(kind, held)
        return put_together(kind, dict(held), found.get("unset", ()))


_NO_TAG = object()
_READERS = {**READERS, **arrays.READERS}


def _text(written: Any) -> str:
    return json.dumps(written, sort_keys=True)


# --- refusals -----------------------------------------------------------------------------------


def too_many() -> Refused:
    """The refusal of a value without end."""
    return Refused(f"it has more than {MAX_PARTS:,} parts", "return an array, or a path to a file")


def _too_deep() -> Refused:
    return Refused(
        f"it is nested too deep: lists and dicts may have {MAX_DEPTH} levels, and one of anything "
        "else counts for up to four",
        "return a flatter value, or write a file and return its path",
    )


def _unnamed(kind: type, classes: Classes) -> tuple[str, str]:
    name = kind.__qualname__
    reason = f"class {name} is not named by the annotations of the function"
    if classes.problems:
        reason += f" (these could not be resolved: {', '.join(classes.problems)})"
    return reason, classes.advice(kind)


_HINTS: dict[type, str] = {
    types.GeneratorType: "a generator can be read only once: return list(...) of it",
    types.AsyncGeneratorType: "return the list of what it yields",
    types.CoroutineType: "await it inside the task and return what it gives",
    types.FunctionType: "return data; pass functions as tasks",
    types.ModuleType: "return data",
    map: "return list(...) of it",
    filter: "return list(...) of it",
    zip: "return list(...) of it",
    memoryview: "return bytes(...) of it",
}


def _refusal(kind: type, value: Any) -> Refused:
    name = kind.__qualname__ if kind.__module__ == "builtins" else _full_name(kind)
    hint = _HINTS.get(kind)
    if hint is None and (instead := arrays.remedy(kind)) is not None:
        hint = f'return {instead}, or give the task codec="pickle"'
    if hint is None:
        for plain in (bool, int, float, str, bytes, dict, list, tuple, set, frozenset, dt.datetime):
            if isinstance(value, plain):
                return Refused(
                    f"{name} extends {plain.__name__} and would come back as a plain one",
                    f"return {plain.__name__}(value)"
                    if plain is not dt.datetime
                    else "convert it to a plain datetime",
                )
        if hasattr(kind, "model_dump"):
            hint = "return value.model_dump()"
        elif hasattr(kind, "fileno"):
            hint = "return the path or the content instead"
        else:
            hint = (
                "return plain data, an attrs class or a dataclass; "
                'with codec="pickle" a task may return whatever can be pickled'
            )
    return Refused(f"a value of type {name} cannot be stored", hint)


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
