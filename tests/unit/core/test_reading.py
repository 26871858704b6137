"""reading: what each type of a field takes, and nothing else."""

from __future__ import annotations

from enum import Enum

import attrs
import pytest

from durable_wf.core.reading import reader


class Colour(Enum):
    RED = "red"


@attrs.frozen
class Point:
    x: int
    name: str | None = None
    more: tuple[int, ...] = ()


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        (int, 1, 1),
        (str, "a", "a"),
        (bool, True, True),
        (Colour, "red", Colour.RED),
        (int | None, None, None),
        (int | None, 3, 3),
        (tuple[str, ...], ["a", "b"], ("a", "b")),
        (tuple[str, ...], [], ()),
        (tuple[tuple[str, int], ...], [["a", 1]], (("a", 1),)),
        (Point, {"x": 1}, Point(1)),
        (Point, {"x": 1, "name": None, "more": [2]}, Point(1, None, (2,))),
    ],
)
def test_data_becomes_a_value_of_its_type(kind, data, value):
    read = reader(kind)(data)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (int, True),
        (int, 1.0),
        (int, "1"),
        (int, None),
        (str, 1),
        (bool, 0),
        (Colour, "blue"),
        (Colour, ["red"]),
        (int | None, "a"),
        (tuple[str, ...], "ab"),
        (tuple[str, ...], {"a": 1}),
        (tuple[tuple[str, int], ...], [["a"]]),
        (tuple[tuple[str, int], ...], [["a", 1, 2]]),
        (Point, {}),
        (Point, []),
        (Point, {"x": 1, "y": 2}),
        (Point, {"x": "1"}),
    ],
)
def test_what_is_not_exactly_of_its_type_is_refused(kind, data):
    with pytest.raises((TypeError, ValueError)):
        reader(kind)(data)


@pytest.mark.parametrize("kind", [float, list[int], dict, int | str, object])
def test_a_type_that_no_field_has_is_refused_at_once(kind):
    with pytest.raises(TypeError, match="no type for a field"):
        reader(kind)
