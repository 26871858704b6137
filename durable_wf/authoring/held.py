"""Held: what an object holds, as far as that can be said in the same words in every process.

Owns: the exact text of values that the codec has a form for, and the fields of other objects.
Must never: run a user's code, a property for instance, or look into objects of libraries: what
these keep differs from process to process.
Read next: `fingerprint.py`, which asks.
"""

from __future__ import annotations

import functools
import inspect
import types

from durable_wf.core.values import encode
from durable_wf.core.values_classes import is_named_tuple, is_storable_class
from durable_wf.core.values_standard import FORMS
from durable_wf.errors import NotStorable

LARGEST = 1 << 20
"""Arrays of more bytes than this are not looked at: it would be done for each task that has one."""

_NO_STATE = frozenset({"__weakref__", "__dict__", "__orig_class__", "_attrs_cached_hash"})


def exact_text(value: object) -> str | None:
    """The text that gives the value back, of the types of the standard library that the codec
    knows, and small numpy arrays; None for anything else.
    """
    kind = type(value)
    if kind not in FORMS and kind.__module__.partition(".")[0] != "numpy":
        return None
    if getattr(value, "nbytes", 0) > LARGEST:
        return None
    try:
        return encode(value)
    except NotStorable:
        return None


def held_by(value: object, module: str | None) -> list[tuple[str, object]] | None:
    """The fields of an instance by name: of a named tuple, dataclass or attrs class, or of any
    class of `module`. None where nothing is known of it.
    """
    kind = type(value)
    if kind.__module__.partition(".")[0] == "durable_wf":
        return None
    if not (is_storable_class(kind) or kind.__module__ == module):
        return None
    return fields_of(value)


def fields_of(value: object) -> list[tuple[str, object]] | None:
    """The same, of an instance of whatever class."""
    kind = type(value)
    if isinstance(value, tuple) and is_named_tuple(kind):
        names: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
        return list(zip(names, value, strict=False))
    try:
        found = dict(object.__getattribute__(value, "__dict__"))
    except AttributeError:  # it has slots alone
        found = {}
    for part in kind.__mro__:
        for name, slot in vars(part).items():
            if type(slot) is types.MemberDescriptorType:
                try:
                    found.setdefault(name, slot.__get__(value))
                except AttributeError:  # it is not set
                    continue
    return [(name, found[name]) for name in sorted(found) if not _is_cache(kind, name)]


def _is_cache(kind: type, name: str) -> bool:
    static = inspect.getattr_static(kind, name, None)
    return name in _NO_STATE or isinstance(static, functools.cached_property)
