"""Values come back equal and of equal type, or are refused with the way to what does not fit."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import functools
import json
import math
import threading
import typing
import zoneinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from uuid import UUID

import attrs
import numpy as np
import pytest

from durable_wf.core import values, values_forms
from durable_wf.core.values import (
    Missing,
    classes_of,
    decode,
    encode,
)
from durable_wf.core.values_classes import Classes
from durable_wf.errors import NotReadable, NotStorable


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"
    ALSO_RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@attrs.frozen
class Point:
    x: int
    y: int = 0


@attrs.define
class Node:
    name: str
    children: list[Node] = attrs.Factory(list)
    _hidden: int = 0
    derived: int = attrs.field(init=False, default=7)
    later: str = attrs.field(init=False, eq=False)


@attrs.define
class Converts:
    n: int = attrs.field(converter=lambda v: v + 1)


@dataclasses.dataclass
class Order:
    lines: tuple[Point, ...]
    note: str | None = None
    cached: int = dataclasses.field(default=0, compare=False)

    def __post_init__(self):
        self.cached = 99

    @functools.cached_property
    def total(self):
        return len(self.lines)


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    where: Point


@dataclasses.dataclass(eq=False)
class ByIdentity:
    n: int


class Pair(typing.NamedTuple):
    left: Point
    right: int


T = typing.TypeVar("T")


@attrs.frozen
class Box(typing.Generic[T]):
    held: T


def same(left: object, right: object) -> bool:
    """Equal, with equal types all the way down."""
    return type(left) is type(right) and encode(left, EVERY) == encode(right, EVERY)


EVERY = Classes(
    known=(
        Color, Level, Access, Point, Node, Converts, Order, Slotted, ByIdentity, Pair, Box,
    )
)  # fmt: skip

UTC_PLUS = dt.timezone(dt.timedelta(hours=5, minutes=30), "IST")
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")

PLAIN = [
    None, True, False, 0, 1, -1, 2**53 + 1, 2**63, -(2**200), 1.5, -0.0, 1e-320, "", "a", "ü€😀",
    'say "$"', "\x00\x1f\x7f\u2028", [], {}, [1, [2, {"a": [None]}]], {"": 1, "v": 2},
]  # fmt: skip

TAGGED = [
    math.inf, -math.inf, [1, math.inf], 2**256, -(2**256), 10**5000, [10**5000, 1], "\ud800",
    "\ud83d\ude00", ["\udcff"], {"\ud800": 1}, {"$": 1}, {"$": "tuple", "v": [1]}, (), (1,),
    ((1, 2), [3]), set(), {1, "a"}, frozenset({(1, 2)}), {1: 2}, {True: 1, "a": 2}, {None: 1},
    {(1, 2): {3: 4}}, {1.5: 1}, b"", b"\x00\xff", bytearray(b"ab"), 1 + 2j, complex(0.0, -0.0),
    dt.datetime(2026, 1, 2, 3, 4, 5, 6), dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.datetime(2026, 1, 2, tzinfo=UTC_PLUS),
    dt.date(1, 1, 1), dt.time(1, 2, 3), dt.time(1, 2, tzinfo=dt.UTC), dt.time(1, fold=1),
    dt.timedelta(days=-1, microseconds=1), dt.timedelta.max, dt.UTC, UTC_PLUS, BERLIN,
    Decimal("1.10"), Decimal("-0"), Decimal("sNaN12"), Decimal("1E+999999"), Fraction(10**90, 3),
    Path("/a/b"), PurePosixPath("a\udcff"), PureWindowsPath("C:\\x"), UUID(int=5),
    range(1, 10, 3), range(0), ..., Missing("t", "error", "m"), collections.OrderedDict(b=1, a=2),
    collections.Counter("aab"), collections.deque([1, 2], 5), collections.deque(),
    collections.defaultdict(list, {"a": [1]}), collections.defaultdict(None, {1: 2}),
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=lambda v: ascii(v)[:30])
def test_plain_json_is_stored_as_it_is(value):
    text = encode(value)
    assert json.loads(text) == value
    assert '"$"' not in text.replace('\\"$\\"', "")
    assert same(decode(text), value)


@pytest.mark.parametrize("value", TAGGED, ids=lambda v: ascii(str(type(v)))[:30])
def test_what_json_cannot_give_back_is_tagged(value):
    for held in (value, [value], {"k": value}, (value,)):
        text = encode(held)
        text.encode()
        back = decode(text)
        assert type(back) is type(held)
        assert encode(back) == text
        if not isinstance(value, Decimal):  # a signalling NaN may not be compared
            assert back == held


def test_nan_and_signs_of_zero_come_back():
    assert math.isnan(decode(encode(math.nan)))
    assert math.copysign(1, decode(encode(-0.0))) == -1
    assert math.copysign(1, decode(encode(complex(0.0, -0.0))).imag) == -1


def test_fold_zone_and_offset_names_come_back():
    moment = decode(encode(dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)))
    assert (moment.tzinfo, moment.fold, moment.utcoffset()) == (BERLIN, 1, dt.timedelta(hours=1))
    assert decode(encode(dt.datetime(2026, 1, 1, tzinfo=UTC_PLUS))).tzname() == "IST"


def test_sets_are_written_in_one_order_whatever_theirs_is():
    assert encode({"a", "b", 1, 2}) == encode({2, "b", 1, "a"})


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (Color.RED, Color),
        (Color.ALSO_RED, Color),
        (Level.LOW, Level),
        (Access.READ | Access.WRITE, Access),
        (Access(0), Access),
        (Point(1, 2), Point),
        ([Point(1)], list[Point]),
        ({"a": (Point(1), None)}, dict[str, tuple[Point, ...]]),
        (Point(1), "Point | None"),
        (Node("a", [Node("b")]), Node),
        (Converts(1), Converts),
        (Order((Point(1),), "x"), Order),
        (Slotted(Point(1)), typing.Annotated[Slotted, "doc"]),
        (Pair(Point(1), 2), Pair),
        (Box(Point(1)), Box[Point]),
        (Box[Point](Point(1)), Box[Point]),
        ({Color.RED: {Point(1)}}, dict[Color, set[Point]]),
        (Point(1), typing.NewType("P", Point)),
    ],
    ids=lambda v: ascii(v)[:40],
)
def test_instances_of_annotated_classes_come_back(value, annotation):
    def task():
        return value

    task.__annotations__["return"] = annotation
    classes = classes_of(task)
    back = decode(encode(value, classes), classes)
    assert back == value
    assert same(back, value)


def test_fields_come_back_as_they_were_without_running_init():
    order = Order((Point(1),))
    order.cached = 5
    converted = Converts(1)
    assert decode(encode(order, EVERY), EVERY).cached == 5
    assert decode(encode(converted, EVERY), EVERY).n == 2
    node = decode(encode(Node("a"), EVERY), EVERY)
    assert not hasattr(node, "later")
    assert node.derived == 7


def test_classes_without_equality_come_back_field_by_field():
    back = decode(encode(ByIdentity(3), EVERY), EVERY)
    assert type(back) is ByIdentity
    assert back.n == 3


def test_a_cached_property_is_no_part_of_the_value():
    @attrs.define
    class Doubles:
        n: int

        @functools.cached_property
        def twice(self):
            return 2 * self.n

    order, doubles = Order((Point(1),)), Doubles(2)
    assert (order.total, doubles.twice) == (1, 4)
    assert "total" not in vars(decode(encode(order, EVERY), EVERY))
    classes = Classes(known=(Doubles,))
    assert decode(encode(doubles, classes), classes) == doubles


def test_a_class_that_no_annotation_names_is_refused_with_what_to_write():
    def task():
        return [Point(1)]

    with pytest.raises(NotStorable, match=r"result\[0\]: class Point .*\n.*-> Point"):
        encode([Point(1)], classes_of(task))


def test_an_annotation_that_cannot_be_resolved_is_named():
    def task() -> Nowhere: ...  # noqa: F821

    with pytest.raises(NotStorable, match="could not be resolved: return: Nowhere"):
        encode(Point(1), classes_of(task))


def test_a_bad_annotation_does_not_hide_the_good_ones():
    def task(x: Nowhere) -> Point: ...  # noqa: F821

    assert classes_of(task).all() == (Point,)


def test_classes_are_found_through_wrappers_methods_and_partials():
    def plain(a: Color) -> Point: ...

    @functools.wraps(plain)
    def wrapped(*args): ...

    class Maker:
        def method(self) -> Point: ...
        def __call__(self) -> Point: ...

    for function in (plain, wrapped, functools.partial(plain, 1), Maker().method, Maker(), Point):
        assert Point in classes_of(function).all()
    assert Color in classes_of(wrapped).all()


def test_classes_of_one_name_are_told_apart_by_module():
    other = attrs.make_class("Point", ["z"])
    other.__qualname__ = "Point"
    other.__module__ = "elsewhere"
    classes = Classes(known=(Point, other))
    for value in (Point(1), other(2)):
        assert type(decode(encode(value, classes), classes)) is type(value)


def test_classes_that_name_each_other_in_circles_are_walked_once():
    def task() -> Node: ...

    assert classes_of(task).all() == (Node,)


def test_a_stored_class_that_is_not_annotated_is_never_looked_for():
    text = '{"$":"object","c":"os.system","v":[]}'
    with pytest.raises(NotReadable, match="not named by the annotations"):
        decode(text)


def test_a_class_that_has_changed_is_said():
    @attrs.define
    class Old:
        a: int

    text = encode(Old(1), Classes(known=(Old,)))
    new = attrs.make_class("Old", ["a", "b"])
    new.__qualname__ = Old.__qualname__
    with pytest.raises(NotReadable, match=r"has changed since this was stored: b"):
        decode(text, Classes(known=(new,)))


class LyingDict(dict): ...


class SubPoint(Point): ...


class SubStr(str): ...


def with_attribute(value, name):
    object.__setattr__(value, name, 1)
    return value


def nested(depth, make):
    value = make(None)
    for _ in range(depth):
        value = make(value)
    return value


def circle():
    value = [1]
    value.append({"me": value})
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"rows": [1, 2, 3, (i for i in ())]}, r'result\["rows"\]\[3\].*generator.*list\('),
        (threading.Lock(), "result: .*_thread.lock"),
        ([open], "builtin_function"),
        (lambda: 1, "function"),
        (LyingDict(a=1), r"LyingDict extends dict.*\n.*dict\(value\)"),
        (SubStr("a"), "SubStr extends str"),
        ([SubPoint(1)], "SubPoint"),
        ({"a": {1, SubStr("b")}}, r'result\["a"\]\[\d\]: '),
        ({SubStr("k"): 1}, "SubStr"),
        (Order((object(),)), r"\.lines\[0\]"),
        (with_attribute(Order(()), "extra"), "attribute 'extra' is not a field"),
        (dt.datetime(2026, 1, 1, tzinfo=type("Zone", (dt.tzinfo,), {})()), "time zone"),
        (collections.defaultdict(lambda: 0), "default_factory"),
        (nested(20_000, lambda v: [v]), "nested"),
        (nested(20_000, lambda v: {"a": v}), "nested"),
        (nested(20_000, lambda v: (v,)), "nested"),
        (nested(20_000, lambda v: Box(v)), "nested"),
        (circle(), "contains itself"),
        (np.array([object()]), "Python objects"),
        (np.ma.array([1]), "MaskedArray"),
        (type, "type"),
        (math, "module"),
        (ValueError("x"), "ValueError"),
        (memoryview(b"x"), r"bytes\("),
    ],
    ids=range(24),
)
def test_what_cannot_come_back_is_refused_with_its_path(value, words):
    with pytest.raises(NotStorable, match=f"(?s){words}"):
        encode(value, EVERY)


def test_a_small_value_that_unfolds_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(values, "MAX_PARTS", 10_000)
    monkeypatch.setattr(values_forms, "MAX_PARTS", 10_000)
    assert decode(encode(nested(8, lambda v: [v, v]))) == nested(8, lambda v: [v, v])
    for make in (lambda v: [v, v], lambda v: (v, v)):
        with pytest.raises(NotStorable, match="more than 10,000 parts"):
            encode(nested(50, make))


def test_a_value_that_fails_while_it_is_looked_at_is_refused():
    class Angry(enum.Enum):
        A = 1

        @classmethod
        def _missing_(cls, value):
            raise RuntimeError("no")

    @attrs.define
    class Holder:
        held: object

    with pytest.raises(NotStorable, match="held"):
        encode(Holder(open), Classes(known=(Holder, Angry)))


def test_a_class_whose_fields_do_not_come_back_equal_is_refused():
    class Shift:
        def __get__(self, owner, kind=None):
            return self if owner is None else owner.__dict__["x"] + 1

        def __set__(self, owner, value):
            owner.__dict__["x"] = value

    class Shifty:
        x = Shift()

        def __init__(self):
            self.x = 1

    Shifty.__dataclass_fields__ = dataclasses.make_dataclass("D", ["x"]).__dataclass_fields__
    with pytest.raises(NotStorable, match="does not come back equal"):
        encode(Shifty(), Classes(known=(Shifty,)))


@dataclasses.dataclass
class ListWithField(list):
    a: int = 1


@attrs.define
class Failure(Exception):
    code: int


@pytest.mark.parametrize("value", [ListWithField(), Failure(1)], ids=lambda v: type(v).__name__)
def test_classes_that_extend_built_in_ones_are_refused(value):
    with pytest.raises(NotStorable):
        encode(value, Classes(known=(type(value),)))


@pytest.mark.parametrize("leaf", [1, math.nan, 1 << 300], ids=["plain", "nan", "big"])
@pytest.mark.parametrize("wrap", [lambda v: {"k": v}, lambda v: [v]], ids=["dict", "list"])
def test_lists_and_dicts_have_the_same_depth_whatever_is_in_them(wrap, leaf):
    value = leaf
    for _ in range(values.MAX_DEPTH):
        value = wrap(value)
    assert encode(decode(encode(value))) == encode(value)
    with pytest.raises(NotStorable, match=rf"nested too deep.* {values.MAX_DEPTH} levels"):
        encode(wrap(value))


def test_the_deepest_value_that_is_stored_can_be_read():
    value = nested(190, lambda v: [v])
    assert decode(encode(value)) == value


DAMAGED = [
    "", " ", "{", "[1", "nul", "NaN", "[Infinity]", '{"$":1}', '{"$":"tuple"}',
    '{"$":"tuple","v":1}',
    '{"$":"set","v":[[1]]}', '{"$":"nope","v":1}', '{"$":"bytes","v":"%"}', '{"$":"int","v":"z"}',
    '{"$":"Decimal","v":"x"}', '{"$":"Fraction","v":[1,0]}', '{"$":"datetime","v":"x"}',
    '{"$":"datetime","v":["2026-01-01","../../etc/passwd",0]}', '{"$":"npy","v":"AAAA"}',
    '{"$":"float","v":"1"}', '{"$":"enum","c":"Color","v":"NO"}',
    '{"$":"object","c":"Point","v":1}',
    '{"$":"named","c":"Pair","v":[1]}', '{"$":"object","c":"Color","v":[]}', '{"$":"arrow","v":""}',
    "[" * 100_000, "1" * 5000, "1 2", '{"$":"scalar","v":["O",1]}',
    '{"$":"defaultdict","v":["x",[]]}',
]  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_text_is_one_clear_error(text):
    with pytest.raises(NotReadable, match="a stored value cannot be read"):
        decode(text, EVERY)


def test_missing_is_falsy_and_says_why():
    missing = Missing("load", "error", "no disk")
    assert not missing
    assert (missing.task, missing.kind, missing.message) == ("load", "error", "no disk")
