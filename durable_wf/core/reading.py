"""Reading: attrs values out of JSON data, by the types of their fields.

Owns: what each type of a field takes. Nothing is converted: a number is no text, a text no list.
Must never: be lenient. What is not exactly of its type raises TypeError or ValueError.
Read next: `codec.py`, which reads events with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import attrs

from durable_wf.core.payload import Value

Read = Callable[[Any], Any]
"""Makes a value of its JSON data."""


@cache
def reader(kind: Any) -> Read:
    """What reads values of the type `kind`: plain ones, enums, attrs classes, tuples, optionals."""
    if kind in (int, str, bool):
        return _exactly(kind)
    if kind == Value:
        return lambda value: value  # it was cut out of the body, and read, before
    if isinstance(kind, type):
        if issubclass(kind, Enum):
            return kind
        if attrs.has(kind):
            return _record(kind)
    inner = get_args(kind)
    if get_origin(kind) is tuple:
        return _many(reader(inner[0])) if inner[-1] is ... else _one_each(inner)
    if get_origin(kind) is UnionType and inner[1:] == (NoneType,):
        return _optional(reader(inner[0]))
    raise TypeError(f"{kind} is no type for a field that is stored")


def _exactly(kind: type) -> Read:
    def read(data: Any) -> Any:
        if type(data) is not kind:
            raise TypeError(f"{data!r} is not of type {kind.__name__}")
        return data

    return read


def _record(kind: type) -> Read:
    hints = get_type_hints(kind)
    readers = {field.name: reader(hints[field.name]) for field in attrs.fields(kind)}

    def read(data: Any) -> Any:
        if type(data) is not dict:
            raise TypeError(f"{data!r} is no {kind.__name__}")
        if unknown := data.keys() - readers.keys():
            raise TypeError(f"{kind.__name__} has no field {', '.join(sorted(unknown))}")
        return kind(**{name: readers[name](value) for name, value in data.items()})

    return read


def _many(one: Read) -> Read:
    return lambda data: tuple([one(item) for item in _listed(data)])


def _one_each(kinds: Sequence[Any]) -> Read:
    readers = [reader(kind) for kind in kinds]

    def read(data: Any) -> Any:
        return tuple([one(item) for one, item in zip(readers, _listed(data), strict=True)])

    return read


def _optional(one: Read) -> Read:
    return lambda data: None if data is None else one(data)


def _listed(data: Any) -> list[Any]:
    if type(data) is not list:
        raise TypeError(f"{data!r} is no list")
    return data
