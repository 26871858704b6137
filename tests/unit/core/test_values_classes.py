"""Instances of users' classes are put together as their own constructors leave them."""

from __future__ import annotations

import attrs
import pytest

from durable_wf.core.values import decode, encode
from durable_wf.core.values_classes import Classes


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
