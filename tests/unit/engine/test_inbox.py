"""inbox: the store is asked for commands now and then, and what the loop answers to them."""

from __future__ import annotations

import pytest
from histories_of import BOTH_DONE, CLAIMED, CREATED, STARTED, SUCCEEDED
from loop_rig import FakeClock, Rig, put
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.engine.inbox import POLL_S, Inbox
from durable_wf.errors import DiskFull, OwnedElsewhere
from durable_wf.store.memory import MemoryLog, Shelf
from durable_wf.store.port import Answer, Batch, Command, Verb

WIDE = workflow(task("a"), task("b"), task("c"))


class Looking:
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
def looking():
    return Looking()


def test_a_command_is_news_at_the_next_look(looking):
    assert looking.later() == []
    looking.post("k")
    assert looking.inbox.look_at == looking.clock.s + POLL_S
    assert looking.later() == ["k"]


def test_what_has_not_changed_is_not_read_again(looking):
    looking.post("k")
    assert looking.later() == ["k"]
    assert looking.later() == []
    looking.post("l")
    assert looking.later() == ["k", "l"]


def test_what_was_passed_over_comes_again_when_it_is_asked_for(looking):
    looking.post("k")
    assert not looking.inbox.has_looked
    assert looking.later() == ["k"]
    assert looking.inbox.has_looked
    looking.inbox.look_again()
    assert not looking.inbox.has_looked
    assert looking.later() == ["k"]


def test_an_inbox_that_is_closed_stays_closed(looking):
    looking.inbox.look_no_more()
    looking.post("k")
    assert looking.later() == []


# --- the loop obeys, and answers ----------------------------------------------------------------


def post(rig, verb, run_id="r"):
    """A command from another process; the inbox is looked at in the next turn."""
    rig.clock.s += POLL_S
    other = MemoryLog(rig.log.shelf)
    return other.post(run_id, verb, "ann", f"k-{verb.value}", 1, "{}")


def test_the_answer_stands_in_the_transaction_of_what_it_answers():
    rig = Rig()
    rig.enter()
    rig.turn()
    number = post(rig, Verb.PAUSE)
    rig.turn()
    batch = rig.log.batches[-1]
    assert [*batch.answers] == [Answer(number, "r", True, "pause accepted")]
    assert [recorded.event for recorded in batch.appends[0].events] == [e.RunPaused("ann")]
    assert rig.log.inbox() == []


def test_a_refusal_is_an_answer_too():
    rig = Rig()
    rig.enter()
    rig.turn()
    rig.executor.breaks("a")
    number = post(rig, Verb.RESUME)
    rig.turn()
    answered = rig.log.command(number)
    assert answered.accepted is False
    assert answered.answer == "run r has failed and cannot be resumed"


def test_what_a_cancel_stops_is_stopped_after_the_commit():
    rig = Rig()
    rig.enter(WIDE)
    rig.turn()
    rig.loop.give(rig.loop.run("r"), i.Cancel("ann"))
    rig.log.troubles = [DiskFull("full")]
    stopped_by_then = []

    def look():
        stopped_by_then.extend(rig.executor.cancelled)
        rig.loop.wake()

    rig.log.on_trouble = look
    rig.turn()
    assert stopped_by_then == []
    assert rig.executor.cancelled == [(1, 0, 1), (1, 1, 1), (1, 2, 1)]


def test_a_run_whose_command_somebody_else_has_answered_is_let_go_of():
    """Whoever has done so takes this engine for dead. Also where no event was to be written."""
    rig = Rig()
    live = rig.enter()
    rig.turn()
    number, news = post(rig, Verb.RESUME), rig.loop.inbox.news
    taken_back = Batch(answers=[Answer(number, "r", False, "nobody runs it any more")])

    def slow(now):
        found = news(now)
        MemoryLog(rig.log.shelf).append(taken_back)
        return found

    rig.loop.inbox.news = slow
    rig.turn()
    with pytest.raises(OwnedElsewhere, match="has written to it; this one has let go"):
        live.handle.result(0)
    assert live.lost
    assert rig.loop.runs() == []


def test_commands_for_runs_of_others_are_left_alone():
    rig = Rig()
    rig.enter()
    rig.turn()
    number = post(rig, Verb.CANCEL, "somebody-elses")
    rig.turn()
    assert [command.id for command in rig.log.inbox()] == [number]


def test_a_command_whose_run_has_ended_is_told_so():
    """Whoever has ended it: this engine a moment ago, or another one."""
    rig = Rig()
    rig.enter()
    rig.turn()
    rig.executor.breaks("a")
    rig.turn()
    put(rig.log, CREATED, CLAIMED, STARTED, *BOTH_DONE, SUCCEEDED, run_id="s")
    numbers = [post(rig, Verb.CANCEL, "r"), post(rig, Verb.ANSWER, "s")]
    before = len(rig.log.shelf.events)
    rig.turn()
    told = [rig.log.command(number) for number in numbers]
    assert [one.answer for one in told] == [
        "run r has ended: failed; the cancel came too late",
        "run s has ended: succeeded; the answer came too late",
    ]
    assert [one.accepted for one in told] == [False, False]
    assert len(rig.log.shelf.events) == before


def test_two_engines_that_tell_the_same_sender_both_go_on():
    rig = Rig()
    live = rig.enter()
    rig.turn()
    put(rig.log, CREATED, CLAIMED, STARTED, *BOTH_DONE, SUCCEEDED, run_id="s")
    number = post(rig, Verb.CANCEL, "s")
    other = Rig(rig.log.shelf, engine="e-2", clock=rig.clock)
    news = other.loop.inbox.news

    def slow(now):
        found = news(now)
        rig.turn()
        return found

    other.loop.inbox.news = slow
    other.turn()
    assert rig.log.command(number).answer == "run s has ended: succeeded; the cancel came too late"
    assert rig.loop.runs() == [live]
    rig.executor.ends("a")
    rig.turn()
    assert rig.executor.tasks() == ["a", "b"]


def test_who_obeys_nothing_more_tells_those_that_are_too_late():
    """As an engine does in its last commit; commands for runs that go on wait for the next one."""
    rig = Rig()
    rig.enter()
    rig.turn()
    put(rig.log, CREATED, CLAIMED, STARTED, *BOTH_DONE, SUCCEEDED, run_id="s")
    rig.loop.inbox.look_no_more()
    late, early = post(rig, Verb.CANCEL, "s"), post(rig, Verb.CANCEL, "r")
    rig.loop.desk.close()
    rig.loop.flush()
    assert [command.id for command in rig.log.inbox()] == [early]
    assert rig.log.command(late).accepted is False


def test_a_command_that_waits_for_a_run_is_obeyed_once_the_run_is_adopted():
    """Though nothing new was posted since the inbox was last read."""
    rig = Rig()
    number = post(rig, Verb.PAUSE)
    rig.turn()
    rig.enter()
    rig.turn()
    rig.clock.s += POLL_S
    rig.turn()
    answered: Command = rig.log.command(number)
    assert answered.accepted is True
