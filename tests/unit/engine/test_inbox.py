"""inbox: the store is asked for commands now and then, and only when it has changed."""

from __future__ import annotations

import pytest
from loop_rig import FakeClock

from durable_wf.engine.inbox import POLL_S, Inbox
from durable_wf.store.memory import MemoryLog, Shelf
from durable_wf.store.port import Verb


class Rig:
    """An inbox, and another process that posts into it."""

    def __init__(self):
        shelf = Shelf()
        self.clock = FakeClock()
        self.other = MemoryLog(shelf)
        self.inbox = Inbox(MemoryLog(shelf))

    def post(self, key):
        self.other.post("r", Verb.PAUSE, "ann", key, 1, "{}")

    def later(self):
        """The keys of the commands that are news after `POLL_S`, if it is time to look then."""
        self.clock.s += POLL_S
        if self.clock.s < self.inbox.look_at:
            return []
        return [command.key for command in self.inbox.news(self.clock.s)]


@pytest.fixture
def rig():
    return Rig()


def test_a_command_is_news_at_the_next_look(rig):
    assert rig.later() == []
    rig.post("k")
    assert rig.inbox.look_at == rig.clock.s + POLL_S
    assert rig.later() == ["k"]


def test_what_has_not_changed_is_not_read_again(rig):
    rig.post("k")
    assert rig.later() == ["k"]
    assert rig.later() == []
    rig.post("l")
    assert rig.later() == ["k", "l"]


def test_what_was_passed_over_comes_again_when_it_is_asked_for(rig):
    rig.post("k")
    assert not rig.inbox.has_looked
    assert rig.later() == ["k"]
    assert rig.inbox.has_looked
    rig.inbox.look_again()
    assert not rig.inbox.has_looked
    assert rig.later() == ["k"]


def test_an_inbox_that_is_closed_stays_closed(rig):
    rig.inbox.look_no_more()
    rig.post("k")
    assert rig.later() == []
