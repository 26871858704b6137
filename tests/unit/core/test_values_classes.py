"""Instances of users' classes are put together as their own constructors leave them, and of those
that no annotation names it is said what to write."""

from __future__ import annotations

import functools

import attrs
import pytest

from durable_wf.core.values import classes_of, decode, encode
from durable_wf.core.values_classes import Classes
from durable_wf.errors import NotStorable


@attrs.frozen(cache_hash=True)
class InSlots:
    x: int


@attrs.frozen(cache_hash=True, slots=False)
class InDict:
    x: int


@attrs.frozen
class HashedAnew(InSlots):
    y: int = 0


@pytest.mark.parametrize("kind", [InSlots, InDict, HashedAnew])
def test_an_instance_that_caches_its_hash_can_be_hashed_when_it_comes_back(kind):
    value = kind(1)
    hash(value)
    classes = Classes(known=(kind,))
    assert {decode(encode(value, classes), classes): "found"}[kind(1)] == "found"
    assert decode(encode({value}, classes), classes) == {value}
    assert decode(encode({value: 1}, classes), classes) == {value: 1}


# --- what to write where a class is not annotated -------------------------------------------------


@attrs.frozen
class Shape:
    name: str


@attrs.frozen
class Circle(Shape):
    r: float = 1.0


def hint(value, classes):
    with pytest.raises(NotStorable) as refused:
        encode(value, classes)
    return refused.value.hint


def test_a_subclass_of_an_annotated_class_is_to_be_named_beside_it():
    def draw() -> list[Shape]: ...

    for classes in (classes_of(draw), Classes(draw, known=(Shape,))):
        assert hint([Circle("c")], classes) == (
            "name it beside its base class, for example `-> Shape | Circle`"
        )

    def follows() -> list[Shape | Circle]: ...

    held = classes_of(follows)
    assert decode(encode([Circle("c"), Shape("s")], held), held) == [Circle("c"), Shape("s")]


def test_a_lambda_is_told_what_a_lambda_can_do():
    for function in (lambda: Circle("c"), functools.partial(lambda n: Circle("c"), 1)):
        for classes in (classes_of(function), Classes(function, known=())):
            assert hint(Circle("c"), classes) == (
                "a lambda cannot be annotated: write a function with `def` and `-> Circle`, "
                'or give the task codec="pickle"'
            )


def test_any_other_function_is_told_to_annotate_even_a_class_defined_inside_one():
    @attrs.frozen
    class Local:
        n: int

    def make(): ...

    assert hint(Local(1), classes_of(make)) == (
        "annotate the function, for example `-> Local` or `-> list[Local]`"
    )
