"""The part of a function that cannot be sent is found, wherever it hides."""

from __future__ import annotations

import functools
import socket
import threading

import pytest

from durable_wf.execute.culprits import culprit
from durable_wf.execute.sending import Homes, why_not

CLIENT = "closure variable 'Client'"


def found(thing):
    homes = Homes()
    path, part = culprit(thing, lambda one: why_not(one, homes))
    return path.partition(" (")[0], part


def by_keyword(held):
    def task(*, lock=held):
        return lock

    return task


def by_attribute_of_a_base(held):
    class Base:
        lock = held

    class Single(Base):
        pass

    return lambda: Single


def by_object(held):
    class Client:
        def __init__(self, lock):
            self.lock = lock

    client = Client(held)
    return lambda: client


def by_method(held):
    class Client:
        def __init__(self, lock):
            self.lock = lock

        def fetch(self):
            return self.lock

    return Client(held).fetch


def by_cached_function(held):
    @functools.cache
    def task():
        return held

    return task


def by_property(held):
    class Client:
        @property
        def lock(self):
            return held

    return lambda: Client


def by_circle(held):
    class Single:
        @classmethod
        def get(cls):
            return Single

    Single.other = lambda: Single.lock
    Single.lock = held
    return lambda: Single


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (by_keyword, "default of 'lock'"),
        (by_attribute_of_a_base, "closure variable 'Single' -> base 'Base' -> attribute 'lock'"),
        (by_object, "closure variable 'client' -> attribute 'lock'"),
        (by_method, "its object -> attribute 'lock'"),
        (by_cached_function, "its function -> closure variable 'held'"),
        (by_property, f"{CLIENT} -> attribute 'lock' -> its function -> closure variable 'held'"),
        (by_circle, "closure variable 'Single' -> attribute 'lock'"),
    ],
)
def test_the_path_leads_to_the_part_that_cannot_travel_by_itself(make, path):
    lock = threading.Lock()
    assert found(make(lock)) == (path, lock)


def test_what_is_open_is_named_too():
    with socket.socket() as sock:
        assert found(lambda: sock) == ("closure variable 'sock'", sock)
