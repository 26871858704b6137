"""What comes back from a library is the same only in value and type, all the way down."""

from __future__ import annotations

import copy
import datetime as dt
import math
import re
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest

from durable_wf.core.values_same import change, change_in_cells

READ_ONLY = np.array([1])
READ_ONLY.flags.writeable = False
NIGHT = dt.datetime(2026, 10, 25, 2, 30)

EQUAL_BUT_ANOTHER = [
    (1, 1.0, ": int would come back as float"),
    (True, 1, ": bool would come back as int"),
    (0.0, -0.0, "another value"),
    (1j, complex(-0.0, 1), "another value"),
    (Decimal(2), Decimal("2.00"), "another value"),
    (NIGHT, NIGHT.replace(fold=1), "another value"),
    ("a", np.str_("a"), ": str would come back as numpy.str_"),
    (np.int64(1), 1, ": numpy.int64 would come back as int"),
    ((1,), [1], ": tuple would come back as list"),
    ([1, 2], [1], ": 2 items would come back as 1"),
    ({"a": 1}, {"a": 1, "b": None}, ": 1 keys would come back as 2"),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "in another order"),
    ({1: 2}, {True: 2}, "its keys would come back as others"),
    ({"a": [{"b": 1}]}, {"a": [{"b": 1.0}]}, r'\["a"\]\[0\]\["b"\]: int would come back as float'),
    (np.array([1, 2]), np.array([1.0, 2.0]), "an array of int64 .* one of float64"),
    (np.array([1, 2]), np.array([[1, 2]]), r"shape \(2,\) .* shape \(1, 2\)"),
    (np.array([0.0]), np.array([-0.0]), "another value"),
    (np.array([1]), READ_ONLY, "read-only"),
    (np.array([1], object), np.array([1.0], object), r"\[0\]: int would come back as float"),
    (np.float32(0.0), np.float32(-0.0), "another value"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "back", "words"), EQUAL_BUT_ANOTHER, ids=lambda v: ascii(v)[:20])
def test_what_only_looks_equal_is_said_to_be_another(value, back, words):
    for left, right in ((value, back), ([value], [back]), ({"k": value}, {"k": back})):
        assert re.search(words, change(left, right))
    assert change_in_cells([None, value], [None, back]).startswith("[1]")


SAME = [
    None, 1, "a", b"a", 1.5, math.nan, -0.0, complex(0, math.nan), Decimal("sNaN1"), NIGHT,
    dt.date(2026, 1, 1), dt.time(1, fold=1), dt.timedelta(1), UUID(int=1), np.float64("nan"),
    np.datetime64("NaT"), READ_ONLY, np.array([math.nan]), np.array([None, math.nan], object),
    [1, math.nan], (1, [2]), {"a": {"b": [math.nan, 1]}, 2: None},
]  # fmt: skip


@pytest.mark.parametrize("value", SAME, ids=lambda v: ascii(v)[:20])
def test_a_copy_is_the_same(value):
    again = copy.deepcopy(value)
    assert change(value, again) == ""
    assert change_in_cells([value, "x"], [again, "x"]) == ""


@pytest.mark.parametrize("value", [object(), {1, 2}, int, ...], ids=range(4))
def test_values_of_unknown_types_are_never_called_the_same(value):
    assert "cannot be compared" in change(value, value)


def test_long_columns_of_plain_values_are_compared_whole():
    cells = ["a", None, b"x", 1, True] * 1000
    assert change_in_cells(cells, list(cells)) == ""
    assert change_in_cells(cells, [*cells[:-1], False]).startswith("[4999]: it would come back")
    assert change_in_cells(cells, cells[:-1]) == ": 5000 items would come back as 4999"
