"""Rebuilding: what pickles of functions call where they are read, to make what was sent.

Owns: the counterparts of `reducing.py`, which names them in what it writes.
Must never: rename them or change their arguments, since stored bundles and results call them; or
have a class do again what it did where it was defined.
Read next: `reducing.py`.
"""

from __future__ import annotations

import functools
import linecache
import threading
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import attrs

# --- functions ------------------------------------------------------------------------------------


def code(
    make: Callable[..., types.CodeType], args: Sequence[Any], file: str, source: str
) -> types.CodeType:
    """A code object that names the file it came from, so that tracebacks show its lines.

    `source` is the text of what is no file elsewhere, such as a cell of a notebook.
    """
    if source:
        lines = source.splitlines(keepends=True)
        linecache.cache.setdefault(file, (len(source), None, lines, file))
    return make(*args).replace(co_filename=file)


def cache(function: Callable[..., Any], parameters: Mapping[str, Any]) -> Any:
    """The function with a `functools.lru_cache` of its own, which is empty."""
    return functools.lru_cache(**parameters)(function)


def cached_property(kind: type[functools.cached_property[Any]]) -> functools.cached_property[Any]:
    """One without a function: that comes with its state."""
    made = kind.__new__(kind)
    if hasattr(functools.cached_property(len), "lock"):  # in Python 3.11
        vars(made)["lock"] = threading.RLock()
    return made


def dispatch(
    made: Any, state: tuple[Mapping[type, Callable[..., Any]], Mapping[str, Any], dict[str, Any]]
) -> None:
    """Give a `singledispatch` function what was registered, its names and its attributes."""
    registry, names, attributes = state
    for kind, function in registry.items():
        made.register(kind, function)
    for name, value in names.items():
        setattr(made, name, value)
    vars(made).update(attributes)


# --- variables ------------------------------------------------------------------------------------


def context_variable(name: str, default: tuple[Any, ...]) -> ContextVar[Any]:
    """One that has no value yet. `default` is empty where it has none."""
    return ContextVar(name, default=default[0]) if default else ContextVar(name)


# --- annotations ----------------------------------------------------------------------------------


def new_type(name: str, supertype: Any, module: str, qualname: str) -> Any:
    """What `typing.NewType` makes."""
    make: Any = typing.NewType
    made = make(name, supertype)
    made.__module__, made.__qualname__ = module, qualname
    return made


def parameters(name: str, bound: Any) -> Any:
    """What `typing.ParamSpec` makes."""
    make: Any = typing.ParamSpec
    return make(name, bound=bound)


def type_alias(name: str, value: Any, variables: tuple[Any, ...]) -> Any:
    """What a `type` statement makes, which Python 3.11 has not."""
    return vars(typing)["TypeAliasType"](name, value, type_params=variables)


# --- classes --------------------------------------------------------------------------------------


def quietly(make: Callable[..., type], args: Sequence[Any], told: Sequence[type]) -> type:
    """A class, made without telling the classes `told` of it, its bases or metaclasses.

    They were told where it was defined, and what they made of that comes with their state.
    """
    with _without_hooks(told):
        return make(*args)


_HOOKS = ("__init_subclass__",)
_HOOKS_OF_METACLASSES = ("__prepare__", "__new__", "__init__")


@contextmanager
def _without_hooks(classes: Sequence[type]) -> Iterator[None]:
    hooks = [
        (one, name, vars(one)[name])
        for one in classes
        for name in (_HOOKS_OF_METACLASSES if issubclass(one, type) else _HOOKS)
        if name in vars(one)
    ]
    for one, name, _ in hooks:
        type.__delattr__(one, name)
    try:
        yield
    finally:
        for one, name, hook in hooks:
            type.__setattr__(one, name, hook)


@attrs.frozen
class Held:
    """A member of an enum on its way: its value, and what its data type is made of."""

    value: Any
    args: tuple[Any, ...]


def new_member(kind: Any, held: Any, *_: Any) -> Any:
    """Stands for `__new__` of an enum while it is made: nothing is computed once more."""
    if isinstance(held, tuple):  # so it comes to enums of tuples
        held = held[0]
    made = kind._member_type_.__new__(kind, *held.args)
    made._value_ = held.value
    return made


def init_member(_member: Any, *_: Any) -> None:
    """Stands for `__init__` of an enum while it is made."""


def fill_enum(
    made: Any, state: tuple[Callable[..., Any], Any, Mapping[str, Mapping[str, Any]]]
) -> None:
    """Give an enum its state, and its members the attributes that they had been given."""
    fill, own, attributes = state
    for name, stand_in in (("__init__", init_member), ("__new_member__", new_member)):
        if vars(made).get(name) is stand_in:
            type.__delattr__(made, name)
    fill(made, own)
    for name, values in attributes.items():
        member = made.__members__.get(name)  # a reader may have a class of its own, without it
        held = {} if member is None else vars(member)
        for attribute, value in values.items():
            held.setdefault(attribute, value)
