"""hot: values of the hot path are values like all others, but for the guard at run time."""

from __future__ import annotations

import attrs
import pytest

from durable_wf.core import decide as deciding
from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.hot import frozen, hot

HOT = (e.AttemptStarted, e.AttemptSucceeded, e.Recorded, i.AttemptBegins, i.Succeeded)


@hot
class Pair:
    """A value."""

    left: int
    right: tuple[int, ...] = ()


def test_a_hot_value_has_equality_hash_slots_and_defaults():
    """As a frozen one has."""
    assert Pair(1) == Pair(left=1, right=())
    assert Pair(1) != Pair(2)
    assert hash(Pair(1, (2,))) == hash(Pair(1, (2,)))
    assert not hasattr(Pair(1), "__dict__")
    assert attrs.evolve(Pair(1), right=(3,)) == Pair(1, (3,))
    assert repr(Pair(1)) == "Pair(left=1, right=())"


@frozen
class Event:
    """The same, and kept from being changed."""

    name: str
    pair: Pair | None = None
    secret: str = attrs.field(default="", repr=False)


@attrs.frozen
class PlainEvent:
    """As attrs alone makes it."""

    name: str
    pair: Pair | None = None
    secret: str = attrs.field(default="", repr=False)


def test_a_frozen_value_is_what_attrs_makes_of_it():
    one, other = Event("a", Pair(1)), Event("a", Pair(1))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Event("a")
    assert not hasattr(one, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.name = "b"
    assert repr(one) == repr(PlainEvent("a", Pair(1))).removeprefix("Plain")
    assert repr(one) == "Event(name='a', pair=Pair(left=1, right=()))"


def test_a_class_inside_a_function_is_shown_by_its_own_name():
    @frozen
    class Inner:
        x: int

    assert repr(Inner(1)) == "Inner(x=1)"


def test_the_commonest_values_are_hot_and_hashable():
    """Those that are made for every task; frozen ones refuse to be changed, these do not."""
    assert hash(e.Recorded(1, 2, e.AttemptStarted("a", 1, "w", 3, 4)))
    for cls in (*HOT, deciding.Decided):
        assert cls.__setattr__ is object.__setattr__
    assert e.RunCreated.__setattr__ is not object.__setattr__


def test_the_type_checker_keeps_a_hot_value_from_being_changed():
    """It is told that these classes are frozen."""
    told = hot.__dataclass_transform__
    assert {**told, **told["kwargs"]}["frozen_default"] is True
