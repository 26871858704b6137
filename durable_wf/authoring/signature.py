"""Signatures: what a function can be called with, in the form that the data-flow rules ask for.

Owns: Shape.
Must never: call the function.
Read next: `data_flow.py`.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs


@attrs.frozen(eq=False)
class Shape:
    """The parameters of a function, by how they may be passed.

    `names` holds all that can be named, in the order of the signature; `positional` those that may
    be passed by position, of which the first `positional_only` must be. `known` is False for
    builtins without a signature, which take anything.
    """

    names: tuple[str, ...] = ()
    positional: tuple[str, ...] = ()
    positional_only: int = 0
    required: tuple[str, ...] = ()
    defaults: Mapping[str, object] = attrs.field(factory=dict)
    var_args: str = ""
    var_kwargs: str = ""
    known: bool = True

    def takes(self, name: str) -> bool:
        """Whether an argument may be given under this name."""
        return name in self.names or bool(self.var_kwargs) or not self.known


UNKNOWN = Shape(known=False)

_REDIRECTS: Final = frozenset({"__wrapped__", "__signature__"})
"""Attributes by which a function says that its signature is another one."""


def shape_of(function: Callable[..., Any]) -> Shape:
    """The shape of a callable: function, lambda, partial, bound method, class, callable object."""
    if type(function) is types.FunctionType and function.__dict__.keys().isdisjoint(_REDIRECTS):
        return _of_plain(function)
    try:
        parameters = inspect.signature(function).parameters
    except (ValueError, TypeError):
        return UNKNOWN
    return _of_parameters(parameters)


def _of_plain(function: types.FunctionType) -> Shape:
    """The same as by `inspect.signature`, ten times as fast: lambdas are made by the thousand."""
    code = function.__code__
    positional = code.co_varnames[: code.co_argcount]
    end = code.co_argcount + code.co_kwonlyargcount
    names = code.co_varnames[:end]
    values = function.__defaults__ or ()
    defaults = dict(zip(positional[len(positional) - len(values) :], values, strict=True))
    defaults |= function.__kwdefaults__ or {}
    has_args = bool(code.co_flags & inspect.CO_VARARGS)
    return Shape(
        names=names,
        positional=positional,
        positional_only=code.co_posonlyargcount,
        required=tuple([name for name in names if name not in defaults]),
        defaults=defaults,
        var_args=code.co_varnames[end] if has_args else "",
        var_kwargs=(
            code.co_varnames[end + has_args] if code.co_flags & inspect.CO_VARKEYWORDS else ""
        ),
    )


def _of_parameters(parameters: Mapping[str, inspect.Parameter]) -> Shape:
    kinds = {name: parameter.kind for name, parameter in parameters.items()}
    stars = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = tuple(name for name, kind in kinds.items() if kind not in stars)
    defaults = {
        name: parameters[name].default
        for name in names
        if parameters[name].default is not inspect.Parameter.empty
    }
    only, either = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    by_kind = {kind: name for name, kind in kinds.items()}
    return Shape(
        names=names,
        positional=tuple(name for name in names if kinds[name] in (only, either)),
        positional_only=sum(1 for name in names if kinds[name] is only),
        required=tuple(name for name in names if name not in defaults),
        defaults=defaults,
        var_args=by_kind.get(inspect.Parameter.VAR_POSITIONAL, ""),
        var_kwargs=by_kind.get(inspect.Parameter.VAR_KEYWORD, ""),
    )
