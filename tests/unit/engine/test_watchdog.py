"""watchdog: a rule that takes too long is named while it still runs; others are not."""

from __future__ import annotations

import logging
import threading

import pytest
from engine_rig import DEADLINE_S, wait_for

from durable_wf.engine.watchdog import Asked, Watchdog


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.WARNING, "durable_wf")
    return lambda: [record.args[:3] for record in caplog.records]


def test_a_rule_that_does_not_return_is_named_meanwhile_and_once(told):
    """It is in the middle of it when its name is read; a second look at it says nothing new."""
    dog = Watchdog(0.01)
    with dog.watching(Asked("stuck", "a", "r")):
        wait_for(told, "the report")
        with_another = threading.Thread(target=_asks, args=(dog, told, 2))
        with_another.start()
        with_another.join(DEADLINE_S)
    assert told() == [("stuck", "a", "r"), ("other", "b", "s")]


def _asks(dog, told, count):
    """Another engine of the process, which is stuck, too: by then the first was looked at again."""
    with dog.watching(Asked("other", "b", "s")):
        wait_for(lambda: len(told()) >= count, "the other report")


def test_rules_that_return_in_time_are_not_named(told):
    """However many there are: the control is one that does not."""
    dog = Watchdog(0.5)
    for number in range(1000):
        with dog.watching(Asked(f"quick {number}", "a", "r")):
            pass
    with dog.watching(Asked("slow", "a", "r")):
        wait_for(told, "the report")
    assert told() == [("slow", "a", "r")]


def test_a_rule_that_raises_is_not_watched_any_more(told):
    dog = Watchdog(0.01)
    with pytest.raises(ZeroDivisionError), dog.watching(Asked("broken", "a", "r")):
        raise ZeroDivisionError
    with dog.watching(Asked("slow", "a", "r")):
        wait_for(told, "the report")
    assert ("broken", "a", "r") not in told()
