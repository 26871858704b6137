"""decide: what people and reports cause. The transcripts show whole runs; here stand the edges."""

from __future__ import annotations

import pytest
import strategies
from histories_of import (
    A_MAY_FAIL,
    CANCELLING,
    CREATED,
    FAILING,
    GIVEN_UP,
    PAUSED,
    RETRY,
    STARTED,
    begun,
    broke,
    closed,
    done,
    state_after,
)

from durable_wf.core import decide as deciding
from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.decide import decide
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind, RunStatus

RUNNING = (CREATED, STARTED)
OPEN = (*RUNNING, begun())
FAULTED = (*OPEN, broke())


def kinds(decided):
    return [type(recorded.event) for recorded in decided.events]


# --- a claim finishes what a torn history left --------------------------------------------------

TORN = {
    "created, not started": ((CREATED,), [e.RunClaimed, e.RunStarted]),
    "a timer is due": ((*FAULTED, RETRY), [e.RunClaimed, e.TaskWoken]),
    "failed, not draining": (
        (*FAULTED, GIVEN_UP),
        [e.RunClaimed, e.RunDraining, e.TasksClosed, e.RunFailed],
    ),
    "draining, not closed": (
        (*FAULTED, GIVEN_UP, FAILING),
        [e.RunClaimed, e.TasksClosed, e.RunFailed],
    ),
    "draining, a fault not concluded": (
        (*OPEN, CANCELLING, closed(1), broke()),
        [e.RunClaimed, e.TaskFailed, e.RunCancelled],
    ),
    "nothing left, not ended": (
        (*OPEN, done(), begun("b"), done("b")),
        [e.RunClaimed, e.RunSucceeded],
    ),
    "whole": (OPEN, [e.RunClaimed]),
}


@pytest.mark.parametrize("torn", TORN)
def test_a_claim_finishes_what_was_left_undone(torn):
    """Wherever a history ends, the next engine can go on from there."""
    history, expected = TORN[torn]
    state = state_after(*history)
    decided = decide(state, i.Claim("e-2", "recover"), 1_000)
    assert kinds(decided) == expected
    assert not decided.judge


def test_a_claim_hands_out_what_awaits_a_decision():
    """A fault without its conclusion is judged by the next engine."""
    decided = decide(state_after(*FAULTED), i.Claim("e-2", "recover"), 1_000)
    assert decided.judge == (0,)


def test_a_claim_during_a_pause_wakes_nobody():
    """Recovery never resumes a paused run."""
    state = state_after(*FAULTED, PAUSED, RETRY)
    assert kinds(decide(state, i.Claim("e-2", "recover"), 1_000)) == [e.RunClaimed]
    assert state.status is RunStatus.PAUSED


# --- decisions that come too late ---------------------------------------------------------------


@pytest.mark.parametrize("decision", [i.Fail(0, "r", "why"), i.Retry(0, "r", "why", 5)])
@pytest.mark.parametrize(
    ("kind", "conclusion"),
    [(FaultKind.ERROR, e.TaskFailed), (FaultKind.LOST, e.TaskCancelled),
     (FaultKind.IN_DOUBT, e.TaskCancelled), (FaultKind.TIMEOUT, e.TaskFailed)],
)  # fmt: skip
def test_a_decision_after_the_run_began_to_drain(decision, kind, conclusion):
    """Whatever a rule has answered: nothing starts again, and the task ends."""
    state = state_after(*OPEN, broke("a", 1, kind))
    decide(state, i.Cancel("ann"), 500)
    assert kinds(decide(state, decision, 501)) == [conclusion, e.RunCancelled]


@pytest.mark.parametrize("decision", [i.Fail(0, "r", "why"), i.Retry(0, "r", "why")])
def test_a_decision_nobody_asked_for_is_refused(decision):
    """Also when it comes a second time."""
    decided = decide(state_after(*OPEN), decision, 500)
    assert decided.refused == "task 'a' awaits no decision"
    assert not decided.events


# --- commands -----------------------------------------------------------------------------------


def test_commands_that_are_already_so_change_nothing():
    """They are accepted: the wish is fulfilled."""
    cancelled = (CREATED, CANCELLING, closed(2), e.RunCancelled("why"))
    for history, command in [
        ((*RUNNING, PAUSED), i.Pause("ann")),
        (RUNNING, i.Resume("ann")),
        (cancelled, i.Cancel("ann")),
    ]:
        decided = decide(state_after(*history), command, 500)
        assert not decided.events
        assert not decided.refused


def test_a_run_can_be_cancelled_before_it_has_started():
    """It goes through draining too."""
    decided = decide(state_after(CREATED), i.Cancel("ann", "not today"), 500)
    assert kinds(decided) == [e.RunDraining, e.TasksClosed, e.RunCancelled]
    assert decided.events[-1].event.cause == "not today"


def test_a_cancel_stops_what_runs_and_closes_the_rest():
    """The run ends when the last of them has reported."""
    state = state_after(*OPEN)
    decided = decide(state, i.Cancel("ann"), 500)
    assert kinds(decided) == [e.RunDraining, e.TasksClosed]
    assert decided.stop == ((0, 1),)
    assert kinds(decide(state, i.Returned(1, 0, 1), 501)) == [
        e.AttemptReturned, e.TasksClosed, e.RunCancelled,
    ]  # fmt: skip


def test_a_failed_optional_task_lets_the_run_go_on():
    """And the last one, failed or not, ends it in success."""
    state = state_after(*FAULTED, workflow=A_MAY_FAIL)
    assert kinds(decide(state, i.Fail(0, "default", "boom"), 500)) == [e.TaskFailed]
    assert state.is_ready(1)


def test_a_run_without_tasks_succeeds_at_once():
    """There is nothing to wait for."""
    empty = strategies.workflow()
    state = RunState.of("r", empty)
    made = e.RunCreated("w", "d-1", 0)
    assert kinds(decide(state, i.Create(made, "e-1"), 1))[-1] is e.RunSucceeded


# --- timers -------------------------------------------------------------------------------------


def test_a_retry_without_delay_is_pending_again_at_once():
    """In the same commit."""
    state = state_after(*FAULTED)
    assert kinds(decide(state, i.Retry(0, "r", "why"), 500)) == [e.TaskRetryScheduled, e.TaskWoken]
    assert state.is_ready(0)


def test_a_timer_that_was_due_stays_due_when_the_clock_is_set_back():
    """Else the task would wait for a time that has been."""
    state = state_after(*FAULTED, PAUSED)
    decide(state, i.Retry(0, "r", "why"), 5_000)
    decided = decide(state, i.Resume("ann"), 70)
    assert kinds(decided) == [e.RunResumed, e.TaskWoken]


def test_a_timer_that_is_not_due_is_left_alone():
    """A resume wakes only who is due."""
    state = state_after(*FAULTED, PAUSED)
    decide(state, i.Retry(0, "r", "why", 9_000), 5_000)
    assert kinds(decide(state, i.Resume("ann"), 5_001)) == [e.RunResumed]
    assert state.waiting == {0: 14_000}


def test_reports_keep_all_that_was_measured():
    """Nothing of a report is lost on its way into the log."""
    output = e.OutputRef("w-1.txt", 5, 10)
    given = i.Succeeded(1, 0, 1, '"x"', 11, 12, 13, 14, output)
    (recorded,) = decide(state_after(*OPEN), given, 500).events
    assert recorded == e.Recorded(4, 500, e.AttemptSucceeded("a", 1, '"x"', 11, 12, 13, 14, output))
    fault = e.Fault(FaultKind.EXIT, "exit code 3", exit_code=3)
    failed = i.Failed(1, 0, 1, fault, 11, 12, 13, 14, output, "kept")
    (recorded,) = decide(state_after(*OPEN), failed, 500).events
    assert recorded.event == e.AttemptFailed("a", 1, fault, 11, 12, 13, 14, output, "kept")


def test_every_input_has_a_handler():
    """Each member of the union, and nothing else."""
    assert set(deciding._HANDLERS) == set(i.Input.__args__)
