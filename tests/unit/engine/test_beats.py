"""beats: the heartbeats of running attempts reach the log, and the next attempt."""

from __future__ import annotations

import attrs
import pytest
from histories_of import CLAIMED, CREATED, STARTED, begun
from loop_rig import Rig, live_of, put
from strategies import task, workflow

from durable_wf.core import inputs as i
from durable_wf.core.events import AttemptFailed
from durable_wf.core.fault import Fault
from durable_wf.core.status import FaultKind
from durable_wf.engine.beats import PERIOD_S, last_details
from durable_wf.errors import DiskFull
from durable_wf.store.memory import MemoryLog
from durable_wf.store.port import Batch, Beat

ONE = workflow(task("a"))
TWO = workflow(task("a"), task("b"))


def running(work=ONE):
    """A rig with a run whose first tasks run, and a second in which nothing else happens."""
    rig = Rig()
    live = rig.enter(work)
    rig.turn()
    rig.turn()
    return rig, live


def later(rig, seconds=PERIOD_S):
    rig.clock.s += seconds
    rig.turn()


def rows(rig, run_id="r"):
    return rig.log.beats(rig.log.shelf.runs[run_id])


@pytest.fixture
def again():
    """A rig whose run tries everything again at once."""

    def make(work):
        rig = Rig()
        live = rig.enter(work)
        live.judge = lambda state, index: i.Retry(index, "again", "it failed", 0)
        rig.turn()
        return rig, live

    return make


# --- into the log ---------------------------------------------------------------------------------


def test_a_heartbeat_is_in_the_log_within_a_second():
    rig, live = running()
    rig.executor.says("a", "41", at=77)
    later(rig)
    assert rows(rig) == {"a": Beat(live.run, "a", 1, 77, "41")}
    assert len(rig.log.kinds()) == 4, "and is no event"


def test_heartbeats_alone_make_no_more_than_one_commit_a_second():
    rig, _ = running()
    later(rig)
    before = len(rig.log.batches)
    for tenth in range(50):
        rig.executor.says("a", str(tenth))
        later(rig, 0.1)
    assert 4 <= len(rig.log.batches) - before <= 5


def test_without_heartbeats_there_are_no_commits_of_their_own():
    rig, _ = running()
    before = len(rig.log.batches)
    for _ in range(50):
        later(rig, 0.1)
    assert len(rig.log.batches) == before
    assert all(not batch.beats for batch in rig.log.batches)


def test_an_engine_in_which_nothing_runs_asks_nobody():
    rig, _ = running()
    rig.executor.ends("a")
    rig.turn()
    rig.executor.says("a", "41")
    later(rig)
    assert len(rig.executor.beats()) == 1


def test_a_heartbeat_goes_along_with_what_else_is_committed():
    rig, _ = running(TWO)
    rig.executor.says("a", "41")
    rig.executor.ends("b")
    later(rig)
    assert [beat.detail for beat in rig.log.batches[-1].beats] == ["41"]
    assert len(rig.log.batches[-1].appends) == 1


def test_the_end_of_a_task_ends_its_heartbeat():
    rig, live = running(TWO)
    rig.executor.says("a", "41")
    later(rig)
    assert [*rows(rig)] == ["a"]
    rig.executor.says("a", "42")
    rig.executor.ends("a")
    later(rig)
    assert not rows(rig)
    rig.executor.says("b", "43")
    later(rig)
    assert live.last_details == {1: "43"}


def test_heartbeats_of_runs_that_are_not_held_are_nobodys():
    rig, live = running()
    rig.executor.says("a", "41")
    rig.loop.forget(live)
    later(rig)
    assert not rows(rig)


def test_a_full_disk_loses_no_heartbeat():
    rig, _ = running()
    rig.executor.says("a", "41")
    rig.log.troubles.append(DiskFull("full"))
    rig.log.on_trouble = rig.loop.wake
    later(rig)
    assert rows(rig)["a"].detail == "41"
    assert rig.log.refused


def test_what_was_said_before_the_executors_closed_is_kept():
    """An attempt that the end of its engine has killed stays open in the log."""
    rig, _ = running()
    rig.executor.says("a", "41")
    rig.executor.breaks("a", fault=Fault(FaultKind.LOST, "still ran when the engine closed"))
    rig.loop.take_last_reports()
    rig.loop.flush()
    assert rows(rig)["a"].detail == "41"


# --- to the next attempt --------------------------------------------------------------------------


def test_the_first_attempt_is_told_nothing():
    rig, _ = running()
    assert rig.executor.given("a").detail == ""


def test_the_next_attempt_is_given_what_the_last_one_said_before_it_failed(again):
    rig, live = again(ONE)
    rig.executor.says("a", "41")
    rig.executor.breaks("a")
    rig.turn()
    assert rig.log.kinds()[-4:] == [
        "AttemptFailed", "TaskRetryScheduled", "TaskWoken", "AttemptStarted",
    ]  # fmt: skip
    assert (rig.executor.given("a").attempt, rig.executor.given("a").detail) == (2, "41")
    assert rows(rig)["a"] == Beat(live.run, "a", 1, 5, "41")


def test_a_detail_outlives_an_attempt_that_said_nothing(again):
    rig, _ = again(ONE)
    rig.executor.says("a", "41")
    rig.executor.breaks("a")
    rig.turn()
    rig.executor.breaks("a")
    rig.turn()
    assert (rig.executor.given("a").attempt, rig.executor.given("a").detail) == (3, "41")


def test_other_tasks_are_told_nothing(again):
    rig, _ = again(TWO)
    rig.executor.says("a", "41")
    rig.executor.breaks("a")
    rig.executor.breaks("b")
    rig.turn()
    assert rig.executor.given("a").detail == "41"
    assert rig.executor.given("b").detail == ""


def test_the_announcement_says_what_the_attempt_was_given(again):
    rig, live = again(ONE)
    rig.executor.says("a", "[1,2]")
    rig.executor.breaks("a")
    rig.turn()
    assert live.state.running[0].started.detail == "[1,2]"


def test_a_failure_says_how_far_its_attempt_had_come(again):
    """A retry of the run finds it there, when nothing else is left of the heartbeat."""
    rig, live = again(ONE)
    rig.executor.says("a", "41")
    rig.executor.breaks("a")
    rig.turn()
    rig.executor.breaks("a")  # the second attempt has said nothing
    rig.turn()
    failed = [one.event for one in rig.log.history(live.run) if type(one.event) is AttemptFailed]
    assert [one.detail for one in failed] == ["41", ""]


def test_a_run_that_was_made_with_details_begins_with_them():
    rig = Rig()
    live = rig.enter(TWO)
    live.last_details = {1: "41"}
    rig.turn()
    assert (rig.executor.given("a").detail, rig.executor.given("b").detail) == ("", "41")


# --- after a crash --------------------------------------------------------------------------------


def test_a_claim_reads_what_the_log_has():
    log = MemoryLog()
    row, state = put(log, CREATED, CLAIMED, STARTED, begun("a"), begun("b"), workflow=TWO)
    log.append(Batch(beats=[Beat(row.run, "a", 1, 5, "41"), Beat(row.run, "b", 1, 5, "")]))
    assert last_details(log, row.run, state) == {0: "41"}
    assert last_details(MemoryLog(), row.run, state) == {}


def test_a_claim_knows_what_the_run_was_made_with_until_a_task_has_said_more():
    log = MemoryLog()
    created = attrs.evolve(CREATED, details=(("a", "40"), ("b", "50")))
    row, state = put(log, created, CLAIMED, STARTED, begun("a"), workflow=TWO)
    assert last_details(log, row.run, state) == {0: "40", 1: "50"}
    log.append(Batch(beats=[Beat(row.run, "a", 1, 5, "41")]))
    assert last_details(log, row.run, state) == {0: "41", 1: "50"}


def test_a_run_that_was_claimed_goes_on_from_its_details():
    rig = Rig()
    row, state = put(rig.log, CREATED, CLAIMED, STARTED, workflow=ONE)
    live = live_of(state, run=row.run, committed_n=row.n, last_details={0: "41"})
    rig.loop.adopt(live)
    rig.turn()
    assert rig.executor.given("a").detail == "41"
