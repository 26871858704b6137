"""Culprits: which part of a function is the one that cannot be sent.

Owns: what a value takes along when it travels, with words for each part, and the search in it.
Must never: raise because of what it looks at.
Read next: `sending.py`, which asks.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

WhyNot = Callable[[Any], str | None]
"""Why a value cannot travel; None when it can."""

_DEPTH = 6
_NEVER_SENT = {"__dict__", "__weakref__", "_abc_impl"}


def culprit(thing: Any, why_not: WhyNot) -> tuple[str, Any]:
    """The innermost part of `thing` that cannot travel, after a path to it for people; the path is
    "" where it is unknown.
    """
    return _innermost(thing, why_not, _DEPTH, {id(thing)}) or ("", thing)


def _innermost(thing: Any, why_not: WhyNot, depth: int, seen: set[int]) -> tuple[str, Any] | None:
    """The same below `thing`, which cannot travel; None where it cannot only because it leads back
    to what was `seen`.
    """
    leads_back = False
    for name, part in _parts(thing) if depth else ():
        if id(part) in seen:
            leads_back = True
            continue
        why = why_not(part)
        if why is None:
            continue
        seen.add(id(part))
        found = _innermost(part, why_not, depth - 1, seen)
        if found is None:
            leads_back = True
            continue
        path, inner = found
        kind = f"{type(part).__module__}.{type(part).__qualname__}".removeprefix("builtins.")
        return f"{name} -> {path}" if path else f"{name} ({kind}): {why}", inner
    return None if leads_back else ("", thing)


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """What a value takes along when it travels, with words for each."""
    if isinstance(thing, types.MethodType):
        yield "its object", thing.__self__
    elif isinstance(thing, types.FunctionType):
        yield from _parts_of_function(thing)
    elif isinstance(thing, type):
        yield from ((f"base {base.__name__!r}", base) for base in thing.__bases__)
        yield from _attributes(thing)
    elif isinstance(thing, dict):
        yield from ((f"[{key!r}]", part) for key, part in thing.items())
    elif isinstance(thing, list | tuple | set):
        yield from ((f"[{at}]", part) for at, part in enumerate(thing))
    elif isinstance(thing, property):
        yield from (("its function", part) for part in (thing.fget, thing.fset, thing.fdel))
    elif hasattr(thing, "func"):
        yield "its function", thing.func
        yield "its arguments", getattr(thing, "args", ())
        yield "its arguments", getattr(thing, "keywords", {})
    elif hasattr(thing, "__wrapped__"):
        yield "its function", thing.__wrapped__
    else:
        yield "its class", type(thing)
        yield from _attributes(thing)


def _parts_of_function(thing: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # not filled yet
            yield f"closure variable {name!r}", cell.cell_contents
    for at, default in enumerate(thing.__defaults__ or ()):
        yield f"default {at + 1}", default
    for name, default in (thing.__kwdefaults__ or {}).items():
        yield f"default of {name!r}", default
    for name in _names(thing.__code__):
        if name in thing.__globals__:
            yield f"global {name!r}", thing.__globals__[name]
    yield from ((f"annotation of {name!r}", hint) for name, hint in thing.__annotations__.items())
    yield from _attributes(thing)


def _attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    held = getattr(thing, "__dict__", None)
    if isinstance(held, dict | types.MappingProxyType):
        for name, part in list(held.items()):
            if name not in _NEVER_SENT:
                yield f"attribute {name!r}", part


def _names(code: types.CodeType) -> Iterator[str]:
    """Global names that a code object uses, inner functions included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
