"""Previews show people what a stored value is, and can do a terminal no harm."""

from __future__ import annotations

import enum
import math
from decimal import Decimal

import attrs
import pytest

from durable_wf.core.definition import PayloadRef
from durable_wf.core.values import encode, preview
from durable_wf.core.values_classes import Classes


class Color(enum.Enum):
    RED = "red"


@attrs.frozen
class Point:
    x: int
    y: int = 0


EVERY = Classes(known=(Color, Point))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": [1, None, True]}, '{"a":[1,null,true]}'),
        ((1,), "(1,)"),
        ((1, "b"), '(1, "b")'),
        (set(), "set()"),
        ({1}, "{1}"),
        ({1: 2}, "{1: 2}"),
        (Point(1), "Point(x=1, y=0)"),
        (Color.RED, "Color.RED"),
        (Decimal("1.0"), 'Decimal("1.0")'),
        (b"abc", "<bytes, 3 bytes>"),
        (math.nan, "nan"),
        ("x" * 500, '"' + "x" * 196 + "..."),
    ],
    ids=lambda v: ascii(v)[:20],
)
def test_previews_show_values_to_people(value, shown):
    assert preview(encode(value, EVERY)) == shown


def test_previews_never_let_control_characters_through_and_never_fail():
    assert preview("\x1b[2J\u202e\x9b$") == "[2J$"
    assert preview('{"$": }') == '{"$": }'
    assert preview("a\nb") == "a b"
    assert preview(PayloadRef("00", 12345, "npy", True)) == "<npy, 12,345 bytes>"
    assert len(preview("[" * 30_000 + "$")) == 200
