"""Arbitrary storable values, for properties: every form, nested, with classes of users."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import typing
from pathlib import PurePosixPath

import attrs
import numpy as np
from hypothesis import strategies as st

from durable_wf.core.values import Missing
from durable_wf.core.values_classes import Classes


class Suit(enum.Enum):
    CLUBS = (1, "c")
    HEARTS = (2, "h")


class Bits(enum.IntFlag):
    A = 1
    B = 2
    C = 4


@attrs.define(eq=False)
class Loose:
    held: typing.Any
    _more: typing.Any = None
    made: typing.Any = attrs.field(init=False, default=0)


@dataclasses.dataclass(frozen=True)
class Strict:
    left: typing.Any
    right: typing.Any = dataclasses.field(compare=False, default=1)


class Couple(typing.NamedTuple):
    a: typing.Any
    b: typing.Any


def annotated(*_: Suit | Bits | Loose) -> Strict | Couple: ...


CLASSES = Classes(annotated)

_TEXT = st.text(st.characters(exclude_categories=())) | st.sampled_from(["$", '"$"', "v", "\ud800"])
_ZONES = st.none() | st.timezones() | st.just(dt.UTC) | st.builds(
    lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)), st.integers(-1439, 1439)
)  # fmt: skip
HASHABLE = (
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT | st.binary(max_size=20)
    | st.integers(-(1 << 300), 1 << 300) | st.complex_numbers(allow_nan=False)
    | st.decimals(allow_nan=False) | st.fractions() | st.uuids() | st.dates() | st.timedeltas()
    | st.datetimes(timezones=_ZONES) | st.times() | st.builds(PurePosixPath, st.text(min_size=1))
    | st.sampled_from(Suit) | st.builds(Bits, st.integers(0, 7)) | st.builds(Missing, _TEXT, _TEXT)
    | st.builds(range, st.integers(), st.integers(), st.integers(1))
)  # fmt: skip
_LEAVES = (
    HASHABLE | st.builds(bytearray, st.binary(max_size=8))
    | st.builds(np.float64, st.floats()) | st.builds(np.int32, st.integers(-9, 9))
    | st.builds(np.array, st.lists(st.floats(), max_size=3))
)  # fmt: skip
_LABEL = _TEXT | HASHABLE


def _containers(inner: st.SearchStrategy) -> st.SearchStrategy:
    few = st.lists(inner, max_size=4)
    return (
        few | st.builds(tuple, few) | st.dictionaries(_TEXT, inner, max_size=4)
        | st.dictionaries(_LABEL, inner, max_size=3) | st.sets(HASHABLE, max_size=4)
        | st.frozensets(HASHABLE, max_size=4) | st.builds(collections.deque, few)
        | st.builds(collections.OrderedDict, st.dictionaries(_LABEL, inner, max_size=3))
        | st.builds(Strict, inner, inner) | st.builds(Couple, inner, inner)
        | st.builds(Loose, inner, inner)
    )  # fmt: skip


VALUES = st.recursive(_LEAVES, _containers, max_leaves=12)
"""Values of every form, up to a dozen leaves."""


def same(left: object, right: object) -> bool:
    """Equal, with equal types all the way down. Written apart from the code it judges."""
    kind = type(left)
    if kind is not type(right):
        return False
    if kind in {float, np.float64}:
        return repr(left) == repr(right)
    if kind is complex:
        return same(left.real, right.real) and same(left.imag, right.imag)
    if kind is np.ndarray:
        return left.dtype == right.dtype and left.tobytes() == right.tobytes()
    if kind in {list, tuple, collections.deque, Couple}:
        return len(left) == len(right) and all(map(same, left, right))
    if kind in {dict, collections.OrderedDict}:
        return same(list(left), list(right)) and same([*left.values()], [*right.values()])
    if kind in {set, frozenset}:
        rest = list(right)
        for item in left:
            at = next((at for at, other in enumerate(rest) if same(item, other)), None)
            if at is None:
                return False
            del rest[at]
        return not rest
    if kind is Loose:
        return all(same(getattr(left, n), getattr(right, n)) for n in ("held", "_more", "made"))
    if kind is Strict:
        return same((left.left, left.right), (right.left, right.right))
    if kind in {dt.datetime, dt.time}:
        return left == right and (left.fold, str(left.tzinfo)) == (right.fold, str(right.tzinfo))
    return left == right and str(left) == str(right)
