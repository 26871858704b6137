"""evolve refuses what the tables alone cannot see, and says what and where."""

from __future__ import annotations

import attrs
import pytest
import strategies
from histories_of import (
    A_MAY_FAIL,
    A_THEN_B,
    BOTH_DONE,
    CANCELLED,
    CANCELLING,
    CLAIMED,
    CREATED,
    FAILED,
    GIVEN_UP,
    PAUSED,
    RELEASED,
    RESUMED,
    RETRY,
    STARTED,
    SUCCEEDED,
    begun,
    broke,
    closed,
    done,
    recorded,
    returned,
    state_after,
)

from durable_wf.core import events as e
from durable_wf.core.definition import PayloadRef, WaitFor
from durable_wf.core.evolve import evolve, replay
from durable_wf.core.state import RunState, row_of
from durable_wf.core.status import FaultKind, WaitKind
from durable_wf.core.status import RunStatus as R
from durable_wf.core.status import TaskStatus as T
from durable_wf.errors import HistoryError

RUNNING = (CREATED, STARTED)

REFUSED = {
    "attempt 1 should come next": (*RUNNING, begun("a", 2)),
    "attempt 2 should come next": (*RUNNING, begun(), broke(), RETRY, e.TaskWoken("a"), begun()),
    "1 upstream task has not ended": (*RUNNING, begun("b")),
    "the open attempt is 1": (*RUNNING, begun(), done("a", 2)),
    "the definition has no such task": (*RUNNING, begun("c")),
    "its definition has 2 tasks": (e.RunCreated("w", "d-1", 3),),
    "its definition has no task 'c'": (e.RunCreated("w", "d-1", 2, details=(("c", "1"),)),),
    "1 task has not ended": (*RUNNING, *BOTH_DONE[:2], SUCCEEDED),
    "2 tasks can be closed, not 1": (*RUNNING, CANCELLING, closed(1)),
    "tasks cannot be closed as succeeded": (*RUNNING, CANCELLING, closed(2, T.SUCCEEDED)),
    "the verdict is cancelled": (*RUNNING, CANCELLING, closed(2), FAILED),
    "succeeded is no verdict": (*RUNNING, e.RunDraining(R.SUCCEEDED, "why")),
    "the run is paused": (*RUNNING, PAUSED, begun()),
    "the task is running": (*RUNNING, begun(), begun("a", 2)),
    "the run is not there yet": (STARTED,),
    "the run is cancelled": (*RUNNING, CANCELLING, closed(2), CANCELLED, STARTED),
}


@pytest.mark.parametrize("why", REFUSED)
def test_an_impossible_event_is_refused_with_its_reason(why):
    """The message names run, number, kind and reason; everything before was legal."""
    history = REFUSED[why]
    state_after(*history[:-1])

    with pytest.raises(HistoryError) as caught:
        state_after(*history)

    assert caught.value.message.endswith(why)
    assert f"run r, event {len(history)}: {type(history[-1]).__name__}" in caught.value.message
    assert caught.value.hint == "dwf audit verify r"


def test_a_run_does_not_succeed_over_a_failed_required_task():
    """Only optional tasks may fail in a run that succeeds."""
    tail = (begun(), broke(), GIVEN_UP, begun("b"), done("b"), SUCCEEDED)
    assert state_after(*RUNNING, *tail, workflow=A_MAY_FAIL).status is R.SUCCEEDED

    state = state_after(*RUNNING, begun(), broke(), GIVEN_UP)
    state.tasks[1], state.unfinished = T.SUCCEEDED, 0
    with pytest.raises(HistoryError, match="task 'a' has failed"):
        evolve(state, recorded(SUCCEEDED, after=state.n)[0])


@pytest.mark.parametrize("n", [1, 2, 4, 0, -3])
def test_numbers_come_without_gaps(n):
    """After event 2 comes 3 and nothing else."""
    state = state_after(*RUNNING)
    with pytest.raises(HistoryError, match="number 3 should come next"):
        evolve(state, e.Recorded(n, 1, PAUSED))


def test_values_are_kept_only_for_those_who_will_ask():
    """The result of a task without children is not held in memory."""
    ref = PayloadRef("ab", 70_000)
    event = e.AttemptSucceeded("b", 1, ref, 1, 1)
    state = state_after(*RUNNING, begun(), done(), begun("b"), event)
    assert state.values == {0: "1"}


def test_a_returned_attempt_is_not_counted():
    """The next one has the same number."""
    state = state_after(*RUNNING, begun(), returned(), begun())
    assert state.attempts[0] == 1
    assert state.running[0].n == 5


def test_a_run_that_nobody_owns_is_due_at_once_where_tasks_could_start():
    """Who lists runs must see without a replay that it is not people alone who can bring it on."""
    two = strategies.workflow(
        strategies.task("a", wait=WaitFor(WaitKind.SIGNAL, "go", timeout_s=1.0)),
        strategies.task("b"),
        strategies.task("c", "b"),
    )
    asks = e.TaskWaiting("a", WaitKind.SIGNAL, None)
    begins = (attrs.evolve(CREATED, total=3), CLAIMED, STARTED, asks, begun("b"))

    def wake_at(*events):
        return row_of(state_after(*events, workflow=two)).wake_at

    assert wake_at(*begins, RELEASED) is None  # in doubt: its attempt counts as running
    assert wake_at(*begins, done("b")) is None  # its engine starts it
    left = state_after(*begins, done("b"), RELEASED, workflow=two)
    assert row_of(left).wake_at == left.at
    assert left.wake_at is None
    assert wake_at(*begins, done("b"), RELEASED, CLAIMED) is None
    assert wake_at(*begins, done("b"), PAUSED, RELEASED) is None
    until = e.TaskWaiting("a", WaitKind.SIGNAL, 10**9)
    late = state_after(*begins[:3], until, *begins[4:], done("b"), RELEASED, workflow=two)
    assert row_of(late).wake_at == late.at


def test_the_last_fault_and_the_doubts_are_remembered():
    """Doubts are counted, other faults are not among them."""
    lost = broke("a", 1, FaultKind.IN_DOUBT)
    state = state_after(
        *RUNNING, begun(), lost, RETRY, e.TaskWoken("a"), begun("a", 2), broke("a", 2)
    )
    assert state.in_doubt == {0: 1}
    assert state.faults[0].kind is FaultKind.ERROR
    assert state.faulted == {0}


def test_whoever_is_ready_is_told_again_after_a_pause():
    """Tasks that were taken from `ready` in vain during the pause are told once more."""
    state = state_after(*RUNNING, begun(), PAUSED, done())
    state.ready.clear()
    assert not state.is_ready(1)

    replay(state, recorded(RESUMED, after=state.n))

    assert state.ready == state.all_ready() == [1]


def test_a_failed_optional_task_releases_its_children():
    """And they find no value of it."""
    state = state_after(*RUNNING, begun(), broke(), GIVEN_UP, workflow=A_MAY_FAIL)
    assert state.is_ready(1)
    assert 0 not in state.values
    assert state.faults[0].message == "boom"


def test_a_row_counts_a_task_that_awaits_a_decision_as_running():
    """FAULTED is no state that people see."""
    row = row_of(state_after(*RUNNING, begun(), broke()))
    assert (row.counts.running, row.counts.pending) == (1, 1)


def test_there_is_no_row_before_the_first_event():
    """A run that was never created is not shown."""
    with pytest.raises(ValueError, match="run r has no events"):
        row_of(RunState.of("r", A_THEN_B))


def test_engines_that_die_over_a_task_are_forgiven_when_it_came_further():
    """A heartbeat that says something new is progress; the same one again is none."""

    def died(*details):
        """Engines that died one after the other, and the detail that each attempt was given."""
        history = [*RUNNING, e.RunClaimed("e-1", "create")]
        for number, detail in enumerate(details, 1):
            history += [e.AttemptStarted("a", number, "w-1-0", 100, 7, detail)]
            history += [e.RunClaimed(f"e-{number + 1}", "recover")]
            history += [broke("a", number, FaultKind.IN_DOUBT), RETRY, e.TaskWoken("a")]
        return state_after(*history).crashes

    assert died("", "") == 2
    assert died("", "70", "70") == 2
    assert died("", "70", "80") == 1


@pytest.mark.parametrize(
    "end",
    [
        (done("a", 2),),
        (broke("a", 2), e.TaskFailed("a", "rule", "because")),
        (broke("a", 2), e.TaskSkipped("a", "rule", "because")),
        (broke("a", 2), e.TaskFellBack("a", "1", "rule", "because")),
    ],
    ids=["succeeded", "failed", "skipped", "fell back"],
)
def test_the_detail_of_a_task_that_has_ended_is_kept_no_longer(end):
    """It may be large, and tasks may be many."""
    again = e.AttemptStarted("a", 2, "w-1-0", 100, 7, "70")
    before = (*RUNNING, begun("a"), broke("a"), RETRY, e.TaskWoken("a"), again)
    assert state_after(*before).given_details == {0: "70"}
    assert state_after(*before, *end).given_details == {}
