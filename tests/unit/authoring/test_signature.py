"""Shapes of functions are those that `inspect` gives."""

from __future__ import annotations

import functools
import inspect

import pytest

from durable_wf.authoring.signature import UNKNOWN, _of_parameters, shape_of


def wraps(function):
    return functools.wraps(function)(lambda *args, **kwargs: function(*args, **kwargs))


@pytest.mark.parametrize(
    "function",
    [
        lambda: 0,
        lambda a: a,
        lambda a, b=1: a,
        lambda a, /, b, c=2: a,
        lambda a=1, /: a,
        lambda *args: args,
        lambda **kwargs: kwargs,
        lambda a, *args, b, c=3, **kwargs: a,
        lambda *, a, b=2: a,
        lambda *, a=1, b: [c + 1 for c in (a, b)],
        lambda a, b=None, /, *args, **k: lambda x: a,
        wraps(lambda a, b=1: a),
    ],
)
def test_the_shape_is_that_of_the_signature(function):
    expected = _of_parameters(inspect.signature(function).parameters)
    found = shape_of(function)
    for field in ("names", "positional", "positional_only", "required", "defaults", "var_args",
                  "var_kwargs", "known"):  # fmt: skip
        assert getattr(found, field) == getattr(expected, field), field


def test_what_has_no_signature_takes_anything():
    assert shape_of(max) is UNKNOWN
    assert shape_of(max).takes("anything")
    assert not shape_of(lambda a: a).takes("b")
