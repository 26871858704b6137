"""durations: what tasks took in an earlier run of the same workflow."""

from __future__ import annotations

from histories_of import (
    BOTH_DONE,
    CLAIMED,
    CREATED,
    FAILED,
    FAILING,
    STARTED,
    SUCCEEDED,
    begun,
    broke,
    closed,
)
from loop_rig import FakeClock, put
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core.status import TaskStatus
from durable_wf.engine import durations
from durable_wf.engine.durations import Earlier, earlier_durations
from durable_wf.errors import HistoryError
from durable_wf.store.memory import MemoryLog

A_THEN_B = workflow(task("a"), task("b", "a"))


def run_of(log, run_id, wall_us):
    """A run that succeeded, each task of which took so long."""
    events = [CREATED, CLAIMED, STARTED]
    for name in ("a", "b"):
        events += [begun(name), e.AttemptSucceeded(name, 1, "1", 10, wall_us)]
    put(log, *events, SUCCEEDED, run_id=run_id)


def test_without_an_earlier_run_there_are_none():
    assert earlier_durations(MemoryLog(), A_THEN_B) == {}


def test_the_newest_run_that_succeeded_counts():
    """Failed and unfinished runs, though newer, say little about what all of it takes."""
    log = MemoryLog()
    run_of(log, "old", 7)
    run_of(log, "new", 9)
    failed = (begun(), broke(), e.TaskFailed("a", "default", "boom"), FAILING)
    put(log, CREATED, CLAIMED, STARTED, *failed, closed(1, TaskStatus.SKIPPED), FAILED, run_id="no")
    put(log, CREATED, CLAIMED, STARTED, *BOTH_DONE[:2], run_id="open")
    assert earlier_durations(log, A_THEN_B) == {0: 9, 1: 9}


def test_of_results_that_were_taken_over_the_run_that_made_them_knows():
    log = MemoryLog()
    run_of(log, "old", 7)
    taken = e.TaskImported("a", "old", "1")
    made = (begun("b"), e.AttemptSucceeded("b", 1, "1", 10, 9))
    put(log, CREATED, CLAIMED, STARTED, taken, *made, SUCCEEDED, run_id="old.2")
    assert earlier_durations(log, A_THEN_B) == {0: 7, 1: 9}
    gone = e.TaskImported("a", "somewhere else", "1")
    put(log, CREATED, CLAIMED, STARTED, gone, *made, SUCCEEDED, run_id="new")
    assert earlier_durations(log, A_THEN_B) == {1: 9}


def test_tasks_are_matched_by_name():
    """The workflow may have changed since."""
    log = MemoryLog()
    run_of(log, "r", 7)
    assert earlier_durations(log, workflow(task("c"), task("b", "c"))) == {1: 7}


def test_another_workflow_is_another_matter():
    log = MemoryLog()
    run_of(log, "r", 7)
    assert earlier_durations(log, workflow(task("a"), name="v")) == {}


def test_a_damaged_run_does_not_keep_later_ones_from_starting():
    class Damaged(MemoryLog):
        def history(self, run, after=0):
            raise HistoryError("event 3 is missing")

    log = MemoryLog()
    run_of(log, "r", 7)
    assert earlier_durations(Damaged(log.shelf), A_THEN_B) == {}
    assert earlier_durations(log, A_THEN_B) == {0: 7, 1: 7}


def test_large_runs_are_not_read(monkeypatch):
    """Neither of a large workflow, nor where the earlier run was large."""
    log = MemoryLog()
    run_of(log, "r", 7)
    monkeypatch.setattr(durations, "_MOST_TASKS", 2)
    assert earlier_durations(log, A_THEN_B) == {0: 7, 1: 7}
    monkeypatch.setattr(durations, "_MOST_TASKS", 1)
    assert earlier_durations(log, A_THEN_B) == {}
    assert earlier_durations(log, workflow(task("a"))) == {}


def test_an_engine_reads_once_for_runs_that_follow_at_once():
    log, clock = MemoryLog(), FakeClock()
    earlier = Earlier(log, clock)
    assert earlier.durations(A_THEN_B) == {}
    run_of(log, "old", 7)
    assert earlier.durations(A_THEN_B) == {0: 7, 1: 7}, "that there were none is not remembered"
    run_of(log, "new", 9)
    assert earlier.durations(A_THEN_B) == {0: 7, 1: 7}
    assert earlier.durations(workflow(task("b"))) == {0: 9}
    clock.s += durations.FRESH_S
    assert earlier.durations(A_THEN_B) == {0: 9, 1: 9}
