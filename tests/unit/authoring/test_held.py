"""held: what objects hold that stand beside a task's code is part of its fingerprint."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import sys
import threading
import types
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import attrs
import pytest

import durable_wf as wf
from durable_wf.authoring import held
from durable_wf.authoring.fingerprint import fingerprint


class Job:
    def __init__(self, region: object) -> None:
        self.region = region

    def work(self) -> object:
        return self.region

    def __call__(self) -> object:
        return self.region


class Slotted:
    __slots__ = ("region",)

    def __init__(self, region: object) -> None:
        self.region = region

    def work(self) -> object:
        return self.region


class Locked(Job):
    """Some of what it holds has no form."""

    def __init__(self, region: object) -> None:
        super().__init__(region)
        self.lock = threading.Lock()
        self.log = logging.getLogger("jobs")


@attrs.define
class Config:
    region: object


@dataclass
class Data:
    region: object
    more: list[object] = field(default_factory=list)


Pair = namedtuple("Pair", "region number")  # noqa: PYI024 - the plain kind


def closure(config: object) -> Callable[[], object]:
    def work() -> object:
        return config

    return work


def default(config: object) -> Callable[[], object]:
    def work(config: object = config) -> object:
        return config

    return work


def partial(config: object) -> Callable[[], object]:
    return functools.partial(closure, config)


KINDS = {
    "plain": Job,
    "slots": Slotted,
    "attrs": Config,
    "dataclass": Data,
    "with a lock": Locked,
    "named tuple": lambda region: Pair(region, 1),
    "in a list": lambda region: [Job(region)],
    "in a dict": lambda region: {"a": Config(region)},
    "nested": lambda region: Config(Job(Data(region))),
}


@pytest.mark.parametrize("carry", [closure, default, partial])
@pytest.mark.parametrize("made", KINDS.values(), ids=KINDS.keys())
def test_an_object_beside_a_function_tells_by_what_it_holds(carry, made):
    assert fingerprint(carry(made("eu"))) == fingerprint(carry(made("eu")))
    assert fingerprint(carry(made("eu"))) != fingerprint(carry(made("us")))


@pytest.mark.parametrize("kind", [Job, Slotted, Locked])
def test_a_bound_method_has_the_code_of_its_function_and_the_state_of_its_object(kind):
    assert fingerprint(kind("eu").work) == fingerprint(kind("eu").work)
    assert fingerprint(kind("eu").work) != fingerprint(kind("us").work)


def test_so_does_an_object_that_is_called():
    assert fingerprint(Job("eu")) == fingerprint(Job("eu"))
    assert fingerprint(Job("eu")) != fingerprint(Job("us"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Path("a"), Path("b")),
        (dt.date(2026, 1, 1), dt.date(2026, 1, 2)),
        (dt.timedelta(1), dt.timedelta(2)),
    ],
)
def test_values_of_the_standard_library_tell_by_their_exact_text(one, other):
    assert fingerprint(closure(one)) != fingerprint(closure(other))
    assert held.exact_text(one) == held.exact_text(type(one)(one) if type(one) is Path else one)


def test_small_arrays_tell_too_and_large_ones_by_their_class_alone():
    np = pytest.importorskip("numpy")
    assert fingerprint(closure(np.arange(3))) != fingerprint(closure(np.arange(4)))
    assert held.exact_text(np.zeros(held.LARGEST, np.uint8)) is not None
    assert held.exact_text(np.zeros(held.LARGEST + 1, np.uint8)) is None


def test_what_a_circle_of_objects_holds_is_told_once():
    def circle(region: str) -> Job:
        one, other = Job(region), Job("other")
        one.region, other.region = [region, other], one
        return one

    assert fingerprint(circle("eu").work) == fingerprint(circle("eu").work)
    assert fingerprint(circle("eu").work) != fingerprint(circle("us").work)


def test_caches_are_no_state():
    class Cached(Job):
        @functools.cached_property
        def slow(self) -> int:
            return 7

    fresh, used = Cached("eu"), Cached("eu")
    assert used.slow == 7
    assert fingerprint(fresh.work) == fingerprint(used.work)


def test_of_objects_of_other_modules_only_those_with_declared_fields_are_looked_into():
    """What a library keeps in its objects differs in every process."""
    other = types.ModuleType("other_module")
    source = (
        "class Plain:\n    def __init__(self, x): self.x = x\n    def work(self): return self.x"
    )
    exec(source, vars(other))
    plain = other.Plain
    assert plain.__module__ == "other_module"
    assert fingerprint(closure(plain(1))) == fingerprint(closure(plain(2)))
    assert fingerprint(plain(1).work) != fingerprint(plain(2).work), "the task's own object"
    assert fingerprint(Job(plain(1)).work) == fingerprint(Job(plain(2)).work)


def test_what_is_of_this_package_is_not_looked_into():
    one = wf.WorkflowBuilder("one").add_task("a", closure(1)).build()
    two = wf.WorkflowBuilder("two").add_task("b", closure(2)).build()
    assert fingerprint(closure(one)) == fingerprint(closure(two))
    assert held.held_by(one, __name__) is None


def test_an_object_that_cannot_be_looked_into_is_no_error():
    class Broken(Job):
        def __getattribute__(self, name: str) -> object:
            if name == "__dict__":
                raise RuntimeError("not for you")
            return super().__getattribute__(name)

    assert fingerprint(closure(Broken("eu")))
    assert sys.getrecursionlimit() > 100
